import { connect, createServer, isIP, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';

import { GatewayError } from '../../core/errors.ts';
import type { SipFlow } from '../message.ts';
import { canonicalAddress, certificateIsFor, sipIdentities } from './certificate-names.ts';
import { ConnectionAliases } from './connection-aliases.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { listenAt } from './listening.ts';
import { closeAll, OpenConnections } from './open-connections.ts';
import { StreamConnection, type StreamContext } from './stream-connection.ts';
import { targetKey, type Target } from './targets.ts';
import { secureContextOptions, type TlsFiles } from './tls-settings.ts';
import type { TokenSource } from './tokens.ts';

/** How long a client may take to finish the TLS handshake; ms. */
const HANDSHAKE_MS = 10_000;
/** After this long without traffic the system asks whether the far end still lives; ms. */
const KEEP_ALIVE_AFTER_MS = 60_000;

type SocketOptions = { readonly noDelay: true; readonly keepAlive: true; readonly keepAliveInitialDelay: number };
const SOCKET_OPTIONS: SocketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_AFTER_MS };

export type StreamPlace = { readonly transport: 'tcp' | 'tls'; readonly address: string; readonly port: number };

/** To whom a connection goes, and how. */
export type StreamRoute = {
  readonly target: Target;
  /** Names one of which a TLS server's certificate must carry. */
  readonly names: readonly string[];
  readonly bindAddress?: string;
};

/**
 * All TCP and TLS connections: those that come in at the listeners, and those opened for requests, which are kept and
 * shared by everything that goes to the same place under the same names (RFC 5923, section 5).
 */
export class StreamTransport {
  readonly #context: StreamContext;
  readonly #tls: TlsFiles | undefined;
  readonly #gate: ConnectionGate;
  readonly #servers: Server[] = [];
  readonly #open: OpenConnections<StreamConnection>;
  readonly #pool = new Map<string, StreamConnection>();
  readonly #aliases = new ConnectionAliases();
  /** Sockets inside their TLS handshake, which are nobody's connection yet. */
  readonly #handshakes = new Set<Socket>();

  constructor(context: StreamContext, tls: TlsFiles | undefined, tokens: TokenSource, gate: ConnectionGate) {
    this.#context = context;
    this.#tls = tls;
    this.#gate = gate;
    this.#open = new OpenConnections(tokens);
  }

  /** Starts to listen; gives the port in use. */
  async listen(place: StreamPlace): Promise<number> {
    if (place.transport === 'tls' && this.#tls === undefined) {
      throw new GatewayError('internal', 'a TLS listener needs a certificate and its key');
    }
    const server = place.transport === 'tcp' ? this.#tcpServer() : this.#tlsServer();
    const port = await listenAt(server, place, (error) => {
      this.#context.log.warn({ error }, 'stream listener failed');
    });
    this.#servers.push(server);
    return port;
  }

  /** An open connection by its flow id. */
  byId(flowId: string): StreamConnection | undefined {
    return this.#open.get(flowId);
  }

  /** The connection for this route: one that is there, or a new one that is being opened. */
  towards(route: StreamRoute): StreamConnection {
    const { target } = route;
    const key = target.transport === 'tls' ? `${targetKey(target)} ${route.names.join(' ')}` : targetKey(target);
    const known = this.#pool.get(key);
    if (known?.isUsable === true) return known;
    const alias = this.#aliases.find(target, route.names);
    if (alias !== undefined) return alias;
    const connection = target.transport === 'tls' ? this.#openTls(route) : this.#openTcp(route);
    this.#pool.set(key, connection);
    connection.onGone = () => {
      this.#open.delete(connection.flow.id);
      if (this.#pool.get(key) === connection) this.#pool.delete(key);
    };
    return connection;
  }

  /** Whoever has opened this connection takes requests over it, too, instead of at this port (RFC 5923). */
  alias(connection: StreamConnection, port: number): void {
    this.#aliases.add(connection, port);
  }

  /** Lets no one in any more. */
  stopListening(): void {
    for (const server of this.#servers) server.close();
  }

  /** Closes every connection: what waits to be sent has `graceMs` of the system's time to leave. */
  async close(graceMs: number): Promise<void> {
    this.stopListening();
    for (const socket of this.#handshakes) socket.destroy();
    await closeAll(new Set([...this.#open.all(), ...this.#pool.values()]), graceMs);
  }

  #tcpServer(): Server {
    return createServer(SOCKET_OPTIONS, (socket) => {
      if (this.#gate.admit(socket)) this.#welcome(socket, 'tcp', undefined);
    });
  }

  #tlsServer(): Server {
    const server = createTlsServer({
      ...SOCKET_OPTIONS,
      ...secureContextOptions(this.#tls),
      // Peers show who they are; phones have no certificate and need none (RFC 5922, section 7.4).
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_MS,
    });
    server.on('connection', (socket: Socket) => {
      if (!this.#gate.admit(socket)) return;
      this.#handshakes.add(socket);
      socket.once('close', () => this.#handshakes.delete(socket));
    });
    server.on('secureConnection', (socket) => {
      socket.disableRenegotiation();
      this.#welcome(socket, 'tls', verifiedNames(socket));
    });
    server.on('tlsClientError', (error, socket) => {
      this.#context.log.info({ peer: socket.remoteAddress ?? 'gone', error }, 'tls handshake failed');
      socket.destroy();
    });
    return server;
  }

  #welcome(socket: Socket, transport: 'tcp' | 'tls', peerNames: readonly string[] | undefined): void {
    const flow = this.#open.flowOf(socket, transport, peerNames);
    const connection = new StreamConnection(socket, flow, true, this.#context);
    this.#open.add(flow.id, connection);
    connection.onGone = () => {
      this.#open.delete(flow.id);
      this.#aliases.remove(connection);
    };
    connection.opened(flow);
  }

  #openTcp({ target, bindAddress }: StreamRoute): StreamConnection {
    const socket = connect({
      ...SOCKET_OPTIONS,
      host: target.address,
      port: target.port,
      ...(bindAddress === undefined ? {} : { localAddress: bindAddress }),
    });
    const connection = new StreamConnection(socket, this.#flowBefore(target), false, this.#context);
    socket.once('connect', () => this.#ready(connection, socket, 'tcp', undefined));
    return connection;
  }

  #openTls({ target, names, bindAddress }: StreamRoute): StreamConnection {
    const [name = target.address] = names;
    const socket = connectTls({
      ...secureContextOptions(this.#tls),
      host: target.address,
      port: target.port,
      ...(bindAddress === undefined ? {} : { localAddress: bindAddress }),
      // RFC 5922, section 7.3: the domain that was asked for, not the host DNS led to. No address goes into SNI.
      ...(isIP(canonicalAddress(name)) === 0 ? { servername: name } : {}),
      rejectUnauthorized: true,
      checkServerIdentity: (_host, certificate) =>
        certificateIsFor(certificate, names)
          ? undefined
          : new Error('the certificate is for other names than the one that was asked for'),
    });
    socket.disableRenegotiation();
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_AFTER_MS);
    const connection = new StreamConnection(socket, this.#flowBefore(target), false, this.#context);
    socket.once('error', (error) => {
      this.#context.log.info({ nextHop: target.address, error }, 'tls connection failed');
    });
    socket.once('secureConnect', () => this.#ready(connection, socket, 'tls', verifiedNames(socket)));
    return connection;
  }

  #ready(
    connection: StreamConnection,
    socket: Socket,
    transport: 'tcp' | 'tls',
    peerNames: readonly string[] | undefined,
  ): void {
    const flow = this.#open.flowOf(socket, transport, peerNames);
    this.#open.add(flow.id, connection);
    connection.opened(flow);
  }

  #flowBefore(target: Target): SipFlow {
    return {
      transport: target.transport,
      localAddress: '',
      localPort: 0,
      remoteAddress: target.address,
      remotePort: target.port,
      id: '',
    };
  }
}

/** The names of the far end's certificate, if its chain was verified; without a certificate undefined. */
function verifiedNames(socket: TLSSocket): readonly string[] | undefined {
  return socket.authorized ? sipIdentities(socket.getPeerCertificate()) : undefined;
}
