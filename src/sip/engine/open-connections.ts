import type { Socket } from 'node:net';

import type { SipFlow, SipTransport } from '../message.ts';
import { canonicalAddress } from './certificate-names.ts';
import type { Connection } from './connection.ts';
import type { TokenSource } from './tokens.ts';

/** The connections that are open, by the names of their flows. */
export class OpenConnections<C extends Connection> {
  readonly #byId = new Map<string, C>();
  /** Unguessable and of this process: a name kept from an earlier one finds nothing here. */
  readonly #idPrefix: string;
  #made = 0;

  constructor(tokens: TokenSource) {
    this.#idPrefix = tokens.token();
  }

  /** The flow of a connection that is there, under a name of its own. */
  flowOf(socket: Socket, transport: SipTransport, peerNames?: readonly string[]): SipFlow {
    return {
      transport,
      localAddress: socket.localAddress ?? '',
      localPort: socket.localPort ?? 0,
      remoteAddress: canonicalAddress(socket.remoteAddress ?? ''),
      remotePort: socket.remotePort ?? 0,
      id: `${transport},${this.#idPrefix},${++this.#made}`,
      ...(peerNames === undefined ? {} : { peerNames }),
    };
  }

  get(flowId: string): C | undefined {
    return this.#byId.get(flowId);
  }

  add(flowId: string, connection: C): void {
    this.#byId.set(flowId, connection);
  }

  delete(flowId: string): void {
    this.#byId.delete(flowId);
  }

  all(): Iterable<C> {
    return this.#byId.values();
  }
}

/** Closes connections: what waits to be sent has `graceMs` of the system's time to leave. */
export async function closeAll(connections: ReadonlySet<Connection>, graceMs: number): Promise<void> {
  for (const connection of connections) connection.close();
  if (connections.size > 0 && graceMs > 0) {
    await Promise.race([Promise.all([...connections].map(({ closed }) => closed)), pause(graceMs)]);
  }
  for (const connection of connections) connection.destroy();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
