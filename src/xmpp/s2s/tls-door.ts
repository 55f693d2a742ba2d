import type { Socket } from 'node:net';
import { createSecureContext, createServer, type SecureContext, type Server, type TLSSocket } from 'node:tls';

/** PEM texts. */
export type DoorCertificate = { readonly certificate: string; readonly key: string };

/** The application protocol that direct TLS between servers has (XEP-0368, section 5). */
export const DIRECT_TLS_PROTOCOL = 'xmpp-server';
const HANDSHAKE_MS = 15_000;

/**
 * TLS for all streams of one link, 1.2 and up, in both directions: one context of certificate and roots, and one TLS
 * server that listens nowhere and is handed connections, fresh ones or such as have said STARTTLS.
 *
 * No handshake fails because of the far side's certificate: what that is worth is judged afterwards, by who says to be
 * there and what is asked of him.
 */
export class TlsDoor {
  readonly context: SecureContext;
  readonly hasCertificate: boolean;
  readonly #server: Server | undefined;
  readonly #waiting = new Map<string, (socket: TLSSocket | undefined, fault?: string) => void>();

  /** @param ca PEM of the roots that peers are checked against; absent: those of Node */
  constructor(own: DoorCertificate | undefined, ca: string | undefined) {
    const options = {
      minVersion: 'TLSv1.2',
      ...(own === undefined ? {} : { cert: own.certificate, key: own.key }),
      ...(ca === undefined ? {} : { ca }),
    } as const;
    this.context = createSecureContext(options);
    this.hasCertificate = own !== undefined;
    if (own === undefined) return;
    const server = createServer({
      ...options,
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_MS,
      ALPNProtocols: [DIRECT_TLS_PROTOCOL],
    });
    server.on('secureConnection', (socket) => this.#waiting.get(endsOf(socket))?.(socket));
    server.on('tlsClientError', (error, socket) => this.#waiting.get(endsOf(socket))?.(undefined, error.message));
    this.#server = server;
  }

  /** Handshakes under way that somebody else began. */
  get handshakes(): number {
    return this.#waiting.size;
  }

  /** The server's side of a handshake, on a connection that speaks TLS from its next byte on; `done` is called once. */
  accept(clear: Socket, done: (socket: TLSSocket | undefined, fault?: string) => void): void {
    const ends = endsOf(clear);
    const finish = (socket: TLSSocket | undefined, fault?: string): void => {
      if (!this.#waiting.delete(ends)) return;
      done(socket, fault);
    };
    if (this.#server === undefined || this.#waiting.has(ends)) {
      done(undefined, 'no TLS here');
      return;
    }
    this.#waiting.set(ends, finish);
    clear.once('close', () => finish(undefined, 'the connection was lost in the handshake'));
    this.#server.emit('connection', clear);
  }
}

/** What tells one open connection from all others. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return [remoteAddress, remotePort, localAddress, localPort].join(' ');
}
