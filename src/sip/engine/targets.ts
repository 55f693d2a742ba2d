import type { DialledTransport, SipTransport } from '../message.ts';

/** One place a request can be sent to. */
export type Target = {
  readonly transport: DialledTransport;
  /** IP address, IPv6 without brackets, in its canonical spelling. */
  readonly address: string;
  readonly port: number;
};

/** One spelling per target, for tables. */
export function targetKey(target: Target): string {
  return `${target.transport} ${target.address} ${target.port}`;
}

/** RFC 3261, section 19.1.2; RFC 7118, section 5.5. */
const DEFAULT_PORT: Readonly<Record<SipTransport, number>> = { udp: 5060, tcp: 5060, tls: 5061, ws: 80, wss: 443 };

export function defaultPort(transport: SipTransport): number {
  return DEFAULT_PORT[transport];
}
