import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { hostNetwork } from '../../core/cidr.ts';
import type { Log } from '../../core/log.ts';
import type { S2sBounds, S2sListen } from './federation-options.ts';
import type { TlsDoor } from './tls-door.ts';

export type PeerDoorDeps = {
  readonly listen: readonly S2sListen[];
  readonly limits: Pick<S2sBounds, 'streamsPerAddress' | 'streams' | 'unproved'>;
  readonly tls: TlsDoor;
  readonly log: Log;
  /** Streams that were opened to us, and such of them on which nobody has proved who he is. */
  readonly count: () => { readonly incoming: number; readonly unproved: number };
  /** A connection on which a stream begins, its TLS done where that comes first. */
  readonly take: (socket: Socket) => void;
  /** Says no to a connection in the words of a stream. */
  readonly refuse: (socket: Socket, text: string) => void;
};

/** Where peers' servers connect, and how many of them may. */
export class PeerDoor {
  readonly #deps: PeerDoorDeps;
  readonly #perAddress = new Map<string, number>();
  #servers: Server[] = [];
  #isClosed = false;

  constructor(deps: PeerDoorDeps) {
    this.#deps = deps;
  }

  /** Where it listens; the port that the system chose where the configuration left it to it. */
  get listening(): ReadonlyArray<{ readonly transport: string; readonly address: string; readonly port: number }> {
    return this.#servers.flatMap((server, n) => {
      const where = server.address();
      if (where === null || typeof where === 'string') return [];
      return [{ transport: this.#deps.listen[n]?.transport ?? 'tcp', address: where.address, port: where.port }];
    });
  }

  /** @throws Error when a port cannot be had; what listens already is to be closed */
  async open(): Promise<void> {
    for (const { transport, address, port } of this.#deps.listen) {
      const server = createServer((socket) => this.#accept(socket, transport));
      this.#servers.push(server);
      server.listen({ host: address, port });
      await once(server, 'listening');
      server.on('error', (error) => this.#deps.log.error({ error }, 'listener failed'));
    }
  }

  /** Takes nobody any more; resolves when the last connection that came in here has gone. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const servers = this.#servers;
    this.#servers = [];
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }

  #accept(socket: Socket, transport: 'tcp' | 'tls'): void {
    const { limits, tls, log, take, refuse } = this.#deps;
    socket.on('error', () => socket.destroy());
    const address = socket.remoteAddress ?? '';
    const host = hostNetwork(address);
    const sameAddress = this.#perAddress.get(host) ?? 0;
    const { incoming, unproved } = this.#deps.count();
    const isFull =
      sameAddress >= limits.streamsPerAddress ||
      incoming >= limits.streams ||
      unproved + tls.handshakes >= limits.unproved;
    if (this.#isClosed || (isFull && transport === 'tls')) {
      socket.destroy();
      return;
    }
    if (isFull) {
      log.warn({ address, open: incoming }, 'stream refused, there are too many');
      refuse(socket, 'too many streams');
      return;
    }
    this.#perAddress.set(host, sameAddress + 1);
    socket.once('close', () => {
      const left = (this.#perAddress.get(host) ?? 1) - 1;
      if (left > 0) this.#perAddress.set(host, left);
      else this.#perAddress.delete(host);
    });
    if (transport === 'tcp') {
      take(socket);
      return;
    }
    tls.accept(socket, (secure, fault) => {
      if (secure === undefined) {
        log.info({ address, reason: fault ?? '' }, 'TLS handshake failed');
        socket.destroy();
      } else if (this.#isClosed) {
        secure.destroy();
      } else {
        take(secure);
      }
    });
  }
}
