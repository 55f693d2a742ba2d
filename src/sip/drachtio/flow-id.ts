import { hostPort } from '../engine/channel.ts';
import { isSipTransport } from '../message.ts';

/** What the flow of a request that came through a drachtio server stands for. */
export type DrachtioFlow = {
  /** The name of the server. */
  readonly server: string;
  /** As the server names it: udp, tcp, tls, ws, wss. */
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
};

const PREFIX = 'drachtio';

/** Holds all there is to know, so that a flow outlives this process: the connection is the drachtio server's. */
export function formatFlowId({ server, protocol, address, port }: DrachtioFlow): string {
  return `${PREFIX},${encodeURIComponent(server)},${protocol},${address},${port}`;
}

/** @returns undefined for a flow of another engine, and for what is none */
export function parseFlowId(id: string): DrachtioFlow | undefined {
  const [prefix, server, protocol, address, portText, ...rest] = id.split(',');
  const port = Number(portText);
  if (prefix !== PREFIX || rest.length > 0 || server === undefined || protocol === undefined) return undefined;
  if (!isSipTransport(protocol) || address === undefined || !/^[0-9a-fA-F.:]+$/.test(address)) return undefined;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  try {
    return { server: decodeURIComponent(server), protocol, address, port };
  } catch {
    return undefined;
  }
}

/** The URI that sends a request where the flow goes: the server uses the connection that it has to that place. */
export function flowUri({ protocol, address, port }: DrachtioFlow): string {
  return `sip:${hostPort(address, port)};transport=${protocol}`;
}
