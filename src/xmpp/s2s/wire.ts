import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext, TLSSocket } from 'node:tls';
import { writeOpeningTag, writeXml, type XmlElement, XmlStreamReader } from '../../cpim/xml.ts';
import type { Clock } from '../../core/ports.ts';
import { AnswersUnread } from '../answers-unread.ts';
import { conditionOfFault } from '../input-fault.ts';
import { certificateNames } from './certificate-names.ts';
import type { PeerTarget } from './peer-targets.ts';
import type { TlsProof } from './policy.ts';
import { DIRECT_TLS_PROTOCOL, type TlsDoor } from './tls-door.ts';
import { expandedName, NS, readStreamError, streamError } from './stream-elements.ts';

/** Why a stream is over. */
export type StreamEnd = {
  /** In words, for log and health. */
  readonly reason: string;
  /** The condition of the stream error that ended it (RFC 6120, section 4.9.3), ours or theirs. */
  readonly condition?: string;
  /** Both sides have said that it is over, and neither has complained. */
  readonly isClean: boolean;
};

export type WireEvents = {
  /** The far side's stream header: name as written, attributes. */
  onHeader(name: string, attrs: Readonly<Record<string, string>>): void;
  onElement(element: XmlElement): void;
  /** What was waiting in the socket has left. */
  onDrain(): void;
  /** It is over, or never came to be. Once, and nothing follows. */
  onEnd(end: StreamEnd): void;
};

/** How long a closed stream may take to go away before its socket is destroyed, ms. */
const LINGER_MS = 1_000;
/** Elements above those of a stanza count too. */
const DEPTH_MAX = 64;
/** What may come before anybody has proved who he is (RFC 6120, section 13.12), UTF-16 units. */
const UNITS_BEFORE_PROOF = 10_000;
const KEEP_ALIVE_MS = 30_000;

/**
 * The bytes of one stream between servers: a socket, TLS from the start or from STARTTLS on, and the bounded reader of
 * streams. Knows nothing of what is negotiated.
 *
 * No input throws: what is ill-formed, has a DTD, or passes a bound ends this stream and nothing else.
 */
export class S2sWire {
  readonly #clock: Clock;
  readonly #events: WireEvents;
  readonly #tls: TlsDoor;
  readonly #answers: AnswersUnread;
  #socket: Socket;
  #decoder = new TextDecoder('utf-8', { fatal: true });
  #reader: XmlStreamReader;
  #unitsMax = UNITS_BEFORE_PROOF;
  #header: Readonly<Record<string, string>> = {};
  #isOver = false;
  #isHeaderSent = false;
  #isHandshaking = false;
  #error: string | undefined;
  #unlisten: () => void = () => undefined;

  constructor(socket: Socket, tls: TlsDoor, clock: Clock, events: WireEvents) {
    this.#socket = socket;
    this.#answers = new AnswersUnread(socket);
    this.#tls = tls;
    this.#clock = clock;
    this.#events = events;
    this.#reader = this.#newReader();
    this.#listen();
  }

  /** Bytes given to the socket and not yet taken by the system. */
  get bytesWaiting(): number {
    return this.#socket.writableLength;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Writes our stream header, and expects the far side's. */
  open(attrs: Readonly<Record<string, string>>): void {
    if (this.#isOver) return;
    this.#isHeaderSent = true;
    this.#socket.write(`<?xml version='1.0'?>${writeOpeningTag({ name: 'stream:stream', attrs })}`);
  }

  /** Reads a stream from its beginning. */
  restart(): void {
    this.#reader.stop();
    this.#decoder = new TextDecoder('utf-8', { fatal: true });
    this.#reader = this.#newReader();
    this.#isHeaderSent = false;
  }

  /** Somebody has proved who he is: stanzas of full size may come. */
  allow(unitsMax: number): void {
    this.#unitsMax = unitsMax;
    this.#reader.allow(unitsMax);
  }

  write(text: string, flushed: () => void = () => undefined): void {
    if (this.#isOver) return;
    this.#socket.write(text, (error) => {
      if (!error) flushed();
    });
  }

  /** Writes an element of the negotiation, or of stream management: an answer, as a rule. */
  writeElement(element: XmlElement): void {
    if (!this.#isOver) this.#answers.write(writeXml(element));
  }

  /**
   * Begins TLS in what has been clear so far. What came in the clear and was not yet looked at is thrown away: somebody
   * could have put it there (CVE-2011-0411).
   *
   * @param side who begins the handshake: whoever opened the stream is the client
   * @param peer its domain, as name for TLS (SNI)
   */
  secure(side: 'client' | 'server', peer: string | undefined, secured: (proof: TlsProof) => void): void {
    const clear = this.#socket;
    this.#unlisten();
    this.restart();
    this.#isHandshaking = true;
    const done = (socket: TLSSocket): void => {
      this.#isHandshaking = false;
      if (this.#isOver) socket.destroy();
      else secured(proofOf(socket));
    };
    if (side === 'server') {
      this.#tls.accept(clear, (socket, fault) => {
        if (socket === undefined) {
          this.abort(`the TLS handshake failed: ${fault ?? 'no reason given'}`);
          return;
        }
        this.#socket = socket;
        this.#listen();
        done(socket);
      });
      return;
    }
    const socket = connectTls({
      socket: clear,
      secureContext: this.#tls.context,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...serverName(peer),
    });
    this.#socket = socket;
    this.#listen();
    socket.once('secureConnect', () => done(socket));
  }

  pause(): void {
    this.#answers.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#answers.resume();
  }

  /** Ends the stream with a stream error of ours. */
  fail(condition: string, reason: string, text?: string): void {
    const error = `${writeXml(streamError(condition, text))}</stream:stream>`;
    this.#finish({ reason, condition, isClean: false }, error);
  }

  /** Ends the stream as RFC 6120, section 4.4 asks. */
  close(reason: string): void {
    this.#finish({ reason, isClean: true }, '</stream:stream>');
  }

  /** Cuts the connection: for a peer that does not answer any more. */
  abort(reason: string): void {
    this.#finish({ reason, isClean: false });
  }

  #newReader(): XmlStreamReader {
    return new XmlStreamReader(
      {
        onOpen: (name, attrs) => {
          this.#header = attrs;
          this.#events.onHeader(name, attrs);
        },
        onElement: (element) => this.#element(element),
        onClose: () => this.#finish({ reason: 'the peer closed the stream', isClean: true }, '</stream:stream>'),
        onError: (error) => this.fail(conditionOfFault(error), `bad input from the peer: ${error.message}`),
      },
      { unitsMax: this.#unitsMax, depthMax: DEPTH_MAX },
    );
  }

  #element(element: XmlElement): void {
    const { name, namespace } = expandedName(element, this.#header);
    if (namespace !== NS.streams || name !== 'error') {
      this.#events.onElement(element);
      return;
    }
    const { condition, text } = readStreamError(element);
    const reason = `the peer ended the stream: ${condition}${text === '' ? '' : ` (${text})`}`;
    this.#finish({ reason, condition, isClean: false }, '</stream:stream>');
  }

  #listen(): void {
    const socket = this.#socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const onData = (chunk: Buffer): void => this.#read(chunk);
    const onDrain = (): void => {
      if (!this.#isOver) this.#events.onDrain();
    };
    const onEnd = (): void => this.#finish({ reason: 'the connection was closed', isClean: false });
    const onClose = (): void => this.#finish({ reason: this.#error ?? 'the connection was lost', isClean: false });
    // This one stays, also when TLS takes the connection over.
    socket.on('error', (error) => {
      this.#error ??= error.message;
      socket.destroy();
    });
    socket.on('data', onData).on('drain', onDrain).on('end', onEnd).on('close', onClose);
    this.#unlisten = () => {
      socket.off('data', onData).off('drain', onDrain).off('end', onEnd).off('close', onClose);
    };
    this.#answers.goOnWith(socket);
  }

  #read(chunk: Buffer): void {
    if (this.#isOver) return;
    let text: string;
    try {
      text = this.#decoder.decode(chunk, { stream: true });
    } catch {
      this.fail('not-well-formed', 'bad input from the peer: not UTF-8');
      return;
    }
    this.#reader.write(text);
  }

  /** The one way out. `last` is written before the socket closes; without it the socket is cut. */
  #finish(end: StreamEnd, last?: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reader.stop();
    const socket = this.#socket;
    if (!socket.destroyed) {
      if (last === undefined || socket.connecting || this.#isHandshaking) {
        socket.destroy();
      } else {
        socket.resume();
        // Whoever has seen no header of ours gets one around the error (RFC 6120, section 4.9.1.2).
        const header = this.#isHeaderSent
          ? ''
          : `<?xml version='1.0'?>${writeOpeningTag({ name: 'stream:stream', attrs: { xmlns: NS.server, 'xmlns:stream': NS.streams, version: '1.0' } })}`;
        socket.end(header + last);
        socket.once(
          'close',
          this.#clock.after(LINGER_MS, () => socket.destroy()),
        );
      }
    }
    this.#events.onEnd(end);
  }
}

/**
 * Connects to one place; resolves with a connected socket, its TLS handshake done where it begins with one.
 *
 * @param peer the domain looked for, as name for TLS (SNI)
 */
export function connectTo(
  target: PeerTarget,
  peer: string,
  {
    context,
    clock,
    timeoutMs,
    signal,
  }: {
    readonly context: SecureContext;
    readonly clock: Clock;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
  },
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const where = { host: target.address, port: target.port };
    const socket = target.isTls
      ? connectTls({
          ...where,
          secureContext: context,
          rejectUnauthorized: false,
          ...serverName(peer),
          ALPNProtocols: [DIRECT_TLS_PROTOCOL],
          checkServerIdentity: () => undefined,
        })
      : connectTcp(where);
    const cancel = clock.after(timeoutMs, () => socket.destroy(new Error('no connection in time')));
    const aborted = (): void => void socket.destroy(new Error('given up'));
    signal.addEventListener('abort', aborted, { once: true });
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', aborted);
    };
    // This one stays: a socket without it would end the process with its next fault.
    socket.on('error', (error: Error) => {
      done();
      reject(connectFault(error));
    });
    socket.once('close', () => {
      done();
      reject(new Error('the connection was closed'));
    });
    socket.once(target.isTls ? 'secureConnect' : 'connect', () => {
      done();
      resolve(socket);
    });
  });
}

/** What the system and the TLS library say in their own words, in ours where something can be done about it. */
function connectFault(error: Error): Error {
  const { code, reason = '' } = error as NodeJS.ErrnoException & { readonly reason?: string };
  switch (code) {
    case 'ECONNREFUSED':
      return new Error('nobody listens there', { cause: error });
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return new Error('what answers does not begin with TLS: STARTTLS is `tcp://`', { cause: error });
    case undefined:
    default:
      return code?.startsWith('ERR_SSL_') === true ? new Error(`no TLS: ${reason} (${code})`, { cause: error }) : error;
  }
}

/** The name for TLS (SNI); an address is none (RFC 6066, section 3). */
function serverName(peer: string | undefined): { readonly servername?: string } {
  return peer === undefined || isIP(peer.replace(/^\[|\]$/g, '')) !== 0 ? {} : { servername: peer };
}

/** What TLS says of the far side. */
export function proofOf(socket: Socket): TlsProof | undefined;
export function proofOf(socket: TLSSocket): TlsProof;
export function proofOf(socket: Socket): TlsProof | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const certificate = socket.getPeerCertificate();
  // Node gives an empty object where there is none.
  if (!(certificate.raw instanceof Uint8Array))
    return { fault: 'it showed none', names: certificateNames(new Uint8Array()) };
  const names = certificateNames(certificate.raw);
  if (socket.authorized) return { names };
  // Typed as an error, it is the name of what is wrong.
  return { fault: String(socket.authorizationError), names };
}
