import { createServer, STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { Socket } from 'node:net';
import { WebSocketServer } from 'ws';

import { GatewayError } from '../../core/errors.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { listenAt } from './listening.ts';
import { closeAll, OpenConnections } from './open-connections.ts';
import { isAllowedOrigin } from './origins.ts';
import type { StreamContext } from './stream-connection.ts';
import { secureContextOptions, type TlsFiles } from './tls-settings.ts';
import type { TokenSource } from './tokens.ts';
import { WsConnection } from './ws-connection.ts';

export type WsPlace = { readonly transport: 'ws' | 'wss'; readonly address: string; readonly port: number };

/** The name of SIP among the protocols that a WebSocket may carry (RFC 7118, section 4.1). */
const SUBPROTOCOL = 'sip';
/** How long a client may take until its connection is a WebSocket, TLS included; ms. */
const HANDSHAKE_MS = 10_000;
const HANDSHAKE_BYTES_MAX = 8 * 1024;
/** Pieces that one message may come in: browsers send one or a few, and each costs more memory than it has bytes. */
const PIECES_MAX = 1_024;
const KEEP_ALIVE_AFTER_MS = 60_000;

/**
 * Listeners for WebSockets (RFC 7118; RFC 6455): who comes from a page that may, and asks for SIP, is welcome. All that
 * is sent to a client goes over the connection that it has opened; none is ever opened from here.
 */
export class WsTransport {
  readonly #context: StreamContext;
  readonly #tls: TlsFiles | undefined;
  readonly #gate: ConnectionGate;
  readonly #origins: readonly string[];
  readonly #handshakes: WebSocketServer;
  readonly #servers: Server[] = [];
  readonly #open: OpenConnections<WsConnection>;

  /** @param origins pages whose scripts may connect, `https://chat.example`; `*`: any */
  constructor(
    context: StreamContext,
    tls: TlsFiles | undefined,
    tokens: TokenSource,
    gate: ConnectionGate,
    origins: readonly string[],
  ) {
    this.#context = context;
    this.#tls = tls;
    this.#gate = gate;
    this.#origins = origins;
    this.#open = new OpenConnections(tokens);
    const { headerBytesMax, bodyBytesMax } = context.limits;
    const options = {
      noServer: true,
      clientTracking: false,
      // Texts are small, and what a few bytes may swell to is nobody's to decide.
      perMessageDeflate: false,
      maxPayload: headerBytesMax + bodyBytesMax,
      maxFragments: PIECES_MAX,
      maxBufferedChunks: 4 * PIECES_MAX,
      handleProtocols: () => SUBPROTOCOL,
    };
    this.#handshakes = new WebSocketServer(options);
  }

  /** Starts to listen; gives the port in use. */
  async listen({ transport, address, port }: WsPlace): Promise<number> {
    const http = { maxHeaderSize: HANDSHAKE_BYTES_MAX, headersTimeout: HANDSHAKE_MS, requestTimeout: HANDSHAKE_MS };
    const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_AFTER_MS };
    let server: Server;
    if (transport === 'ws') server = createServer({ ...http, ...socketOptions });
    else {
      if (this.#tls === undefined) {
        throw new GatewayError('internal', 'a wss listener needs a certificate and its key');
      }
      const secure = { ...secureContextOptions(this.#tls), handshakeTimeout: HANDSHAKE_MS };
      server = createTlsServer({ ...http, ...secure });
    }
    server.on('connection', (socket: Socket) => {
      if (!this.#gate.admit(socket)) return;
      socket.setNoDelay(true);
      socket.setTimeout(HANDSHAKE_MS, () => socket.destroy());
    });
    server.on('tlsClientError', (error: Error, socket: Socket) => {
      this.#context.log.info({ peer: socket.remoteAddress ?? 'gone', error }, 'tls handshake failed');
      socket.destroy();
    });
    server.on('clientError', (_error, socket) => socket.destroy());
    server.on('request', (_request, response) => {
      response.writeHead(426, { Upgrade: 'websocket', Connection: 'close, Upgrade', 'Content-Length': 0 }).end();
    });
    server.on('upgrade', (request, socket, head) => {
      // The socket of an upgrade is the one that the listener has accepted.
      if (socket instanceof Socket) this.#upgrade(request, socket, head, transport);
      else socket.destroy();
    });
    const bound = await listenAt(server, { address, port }, (error) => {
      this.#context.log.warn({ error }, 'websocket listener failed');
    });
    this.#servers.push(server);
    return bound;
  }

  /** An open connection by its flow id. */
  byId(flowId: string): WsConnection | undefined {
    return this.#open.get(flowId);
  }

  /** Closes every connection: what waits to be sent has `graceMs` of the system's time to leave. */
  async close(graceMs: number): Promise<void> {
    for (const server of this.#servers) server.close();
    await closeAll(new Set(this.#open.all()), graceMs);
    for (const server of this.#servers) server.closeAllConnections();
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer, transport: 'ws' | 'wss'): void {
    const { log } = this.#context;
    const { origin } = request.headers;
    socket.on('error', (error) => log.debug({ peer: socket.remoteAddress ?? 'gone', error }, 'connection failed'));
    if (!asksForSip(request)) {
      refuse(socket, 400);
      return;
    }
    if (!isAllowedOrigin(origin, this.#origins)) {
      log.warn(
        { peer: socket.remoteAddress ?? 'gone', origin: origin?.slice(0, 200) ?? '' },
        'websocket from a page that sip.websocket.origins does not name refused',
      );
      refuse(socket, 403);
      return;
    }
    this.#handshakes.handleUpgrade(request, socket, head, (webSocket) => {
      socket.setTimeout(0);
      const flow = this.#open.flowOf(socket, transport);
      const connection = new WsConnection(webSocket, socket, flow, this.#context);
      this.#open.add(flow.id, connection);
      connection.onGone = () => this.#open.delete(flow.id);
    });
  }
}

function asksForSip({ headers }: IncomingMessage): boolean {
  const offered = headers['sec-websocket-protocol'] ?? '';
  return offered.split(',').some((name) => name.trim().toLowerCase() === SUBPROTOCOL);
}

function refuse(socket: Socket, status: number): void {
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  );
}
