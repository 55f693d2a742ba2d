import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

import { isAmong, parseCidrs, type Cidr } from '../../core/cidr.ts';
import type { Log } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import { canonicalAddress } from '../engine/certificate-names.ts';
import { listenAt } from '../engine/listening.ts';
import type { SipServerState } from '../stack.ts';
import type { DrachtioSession } from '../stack-drachtio-session.ts';

export type ControlListenerOptions = {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Addresses and CIDR blocks from which servers connect; nobody else is told anything. */
  readonly trust: readonly string[];
  /** PEM text; absent: plain TCP. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  readonly openSession: (socket: Socket, onGone: (reason: string) => void) => Promise<DrachtioSession>;
  readonly onUp: (session: DrachtioSession) => void;
  readonly onDown: (session: DrachtioSession) => void;
  readonly clock: Clock;
  readonly log: Log;
};

/** Connections of servers at once, those that have not let us in among them. */
const CONNECTIONS_MAX = 256;
const HANDSHAKE_MS = 10_000;

/**
 * Where drachtio servers connect to, when their routing sends requests here ("outbound connections"). This side says
 * the secret on these too; a server stays connected as long as it likes.
 */
export class ControlListener {
  readonly name: string;
  readonly #options: ControlListenerOptions;
  readonly #log: Log;
  readonly #trusted: readonly Cidr[];
  readonly #sockets = new Set<Socket>();
  readonly #joined = new Set<DrachtioSession>();
  #server: Server | undefined;
  #sinceMs: number;
  #port = 0;

  constructor(options: ControlListenerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#log = options.log.child({ drachtio: options.name });
    this.#sinceMs = options.clock.nowMs();
    this.#trusted = parseCidrs(options.trust);
  }

  get state(): SipServerState {
    return {
      at: this.#server === undefined ? 'down' : 'listening',
      sinceMs: this.#sinceMs,
      connections: this.#joined.size,
    };
  }

  /** The port in use, once started. */
  get port(): number {
    return this.#port;
  }

  /** @throws when the port cannot be had */
  async start(): Promise<void> {
    const { address, port, tls, clock } = this.#options;
    const server =
      tls === undefined
        ? createServer((socket) => {
            if (this.#admits(socket)) void this.#welcome(socket);
          })
        : createTlsServer(
            { cert: tls.certificate, key: tls.key, minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_MS },
            (socket) => void this.#welcome(socket),
          );
    server.maxConnections = CONNECTIONS_MAX;
    if (tls !== undefined) server.on('connection', (socket: Socket) => this.#admits(socket));
    server.on('tlsClientError', (error: Error, socket: Socket) => {
      this.#log.info({ peer: socket.remoteAddress ?? 'gone', error }, 'tls handshake of a drachtio server failed');
      socket.destroy();
    });
    this.#port = await listenAt(server, { address, port }, (error) => {
      this.#log.warn({ error }, 'control listener failed');
    });
    this.#server = server;
    this.#sinceMs = clock.nowMs();
  }

  /** Takes no more connections; those that are no sessions yet are closed. */
  stop(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Closes a connection from elsewhere, before anything is said on it. */
  #admits(socket: Socket): boolean {
    if (isAmong(canonicalAddress(socket.remoteAddress ?? ''), this.#trusted)) return true;
    this.#log.warn(
      { peer: socket.remoteAddress ?? 'gone' },
      'connection refused, it is from no drachtio server of ours',
    );
    socket.destroy();
    return false;
  }

  async #welcome(socket: Socket): Promise<void> {
    const { openSession, onUp, onDown } = this.#options;
    const peer = canonicalAddress(socket.remoteAddress ?? '');
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
    let session: DrachtioSession | undefined;
    try {
      session = await openSession(socket, (reason) => {
        if (session === undefined || !this.#joined.delete(session)) return;
        this.#log.debug({ peer, reason }, 'drachtio server ended its connection');
        onDown(session);
      });
    } catch (thrown) {
      socket.destroy();
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#log.warn({ peer, reason }, 'connection of a drachtio server came to nothing');
      return;
    }
    // A session is ended by whoever has it, with a farewell.
    this.#sockets.delete(socket);
    if (!session.isOpen) return;
    this.#joined.add(session);
    onUp(session);
  }
}
