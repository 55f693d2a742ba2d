import { EventEmitter } from 'node:events';
import { component, type ComponentEntity } from '@xmpp/component';
import { childOf, textOf, writeXml, type XmlElement, XmlStreamReader } from '../cpim/xml.ts';
import type { Clock } from '../core/ports.ts';
import { conditionOfFault } from './input-fault.ts';
import { COMPONENT_NAMESPACE, isStanzaName } from './stanza-content.ts';

/** Why a stream is over. */
export type StreamEnd = {
  /** In words, for log and health. */
  readonly reason: string;
  /** The condition of the stream error that the server ended it with (RFC 6120, section 4.9.3). */
  readonly condition?: string;
};

export type ComponentStreamOptions = {
  readonly host: string;
  readonly port: number;
  /** Our address on the server. */
  readonly name: string;
  readonly secret: string;
  /** Largest stanza that is read, UTF-16 units. */
  readonly stanzaUnitsMax: number;
  /** How long connecting, header and handshake may take together, ms. */
  readonly openMs: number;
  readonly clock: Clock;
};

export type ComponentStreamEvents = {
  /** The handshake was accepted. */
  onUp(): void;
  /** A stanza; only between `onUp` and `onEnd`. Must not throw. */
  onStanza(stanza: XmlElement): void;
  /** What was waiting in the socket has left. */
  onDrain(): void;
  /** The stream is over, or never came to be. Once, and nothing follows. */
  onEnd(end: StreamEnd): void;
};

const STREAMS = 'http://etherx.jabber.org/streams';
const STREAM_ERRORS = 'urn:ietf:params:xml:ns:xmpp-streams';
/** How long a closed stream may take to go away before its socket is destroyed, ms. */
const LINGER_MS = 1_000;
/** Elements above those of a stanza count too. */
const DEPTH_MAX = 64;

/**
 * One component stream (XEP-0114), from connecting to its end; a lost one is never revived, a new one is made.
 *
 * Connection, stream header and handshake are @xmpp/component's. Replaced, each for a fault that was seen: its decoding
 * of every packet by itself (characters split between packets), its parser (throws out of the socket's handler, goes
 * deaf, has no bounds), its reconnecting (every second, for ever), its timeouts, its answers to iq stanzas, and its
 * reading of the secret as Latin-1.
 */
export class ComponentStream {
  readonly #options: ComponentStreamOptions;
  readonly #events: ComponentStreamEvents;
  readonly #entity: ComponentEntity;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  readonly #reader: XmlStreamReader;
  #stage: 'opening' | 'handshake' | 'up' | 'over' = 'opening';
  /** The namespace that stanzas inherit. */
  #namespace: string | undefined;
  #streamsPrefix = 'stream';
  /** Stanzas that came in one packet with the end of the handshake, before the package has noticed it. */
  #early: XmlElement[] = [];
  #accepted = false;
  #error: string | undefined;
  #cancelDeadline: () => void = () => undefined;

  constructor(options: ComponentStreamOptions, events: ComponentStreamEvents) {
    this.#options = options;
    this.#events = events;
    this.#reader = new XmlStreamReader(
      {
        onOpen: (name, attrs) => this.#opened(name, attrs),
        onElement: (element) => this.#element(element),
        onClose: () => this.#finish({ reason: 'the server closed the stream' }, '</stream:stream>'),
        onError: (error) => this.fail(conditionOfFault(error), `bad input from the server: ${error.message}`),
      },
      { unitsMax: options.stanzaUnitsMax, depthMax: DEPTH_MAX },
    );
    // The package hashes the secret's characters as single bytes; servers hash its UTF-8.
    const entity = component({ service: 'xmpp://component', domain: options.name, password: bytesOf(options.secret) });
    this.#entity = entity;
    entity.reconnect.stop();
    entity.removeAllListeners('element');
    entity.timeout = 0;
    entity.Parser = EventEmitter;
    entity.socketParameters = () => ({ host: options.host, port: options.port });
    entity._onData = (chunk) => this.#read(chunk);
    entity.on('error', (error: unknown) => {
      this.#error ??= error instanceof Error ? error.message : 'unknown';
    });
    entity.on('connect', () => this.#connected());
    entity.on('online', () => this.#up());
    entity.on('disconnect', () => this.#finish({ reason: this.#lossReason() }));
  }

  /** Starts; what becomes of it is told by the events. */
  open(): void {
    const { clock, name, openMs } = this.#options;
    this.#cancelDeadline = clock.after(openMs, () => this.abort('no answer from the server in time'));
    const lost = (): void => this.#finish({ reason: this.#lossReason() });
    this.#entity.connect('').then(() => this.#entity.open({ domain: name }).catch(lost), lost);
  }

  /** Bytes given to the socket and not yet taken by the system. */
  get bytesWaiting(): number {
    return this.#entity.socket?.writableLength ?? 0;
  }

  /** Writes text as it is. `flushed` is called when the system has taken it. */
  write(text: string, flushed: () => void): void {
    if (this.#stage !== 'up') return;
    this.#entity.socket?.write(text, (error) => {
      if (!error) flushed();
    });
  }

  pause(): void {
    this.#entity.socket?.pause();
  }

  resume(): void {
    if (this.#stage !== 'over') this.#entity.socket?.resume();
  }

  /** Ends the stream with a stream error of ours. */
  fail(condition: string, reason: string): void {
    const error = { name: condition, attrs: { xmlns: STREAM_ERRORS }, children: [] };
    this.#finish({ reason }, `${writeXml({ name: 'stream:error', attrs: {}, children: [error] })}</stream:stream>`);
  }

  /** Ends the stream as RFC 6120, section 4.4 asks. */
  close(reason: string): void {
    this.#finish({ reason }, '</stream:stream>');
  }

  /** Cuts the connection: for a peer that does not answer any more. */
  abort(reason: string): void {
    this.#finish({ reason });
  }

  #connected(): void {
    const { socket } = this.#entity;
    socket?.setNoDelay(true);
    socket?.setKeepAlive(true, 30_000);
    socket?.on('drain', () => {
      if (this.#stage === 'up') this.#events.onDrain();
    });
  }

  /** Never throws: what is wrong with the input ends this stream and nothing else. */
  #read(chunk: Buffer): void {
    if (this.#stage === 'over') return;
    let text: string;
    try {
      text = this.#decoder.decode(chunk, { stream: true });
    } catch {
      this.fail('not-well-formed', 'bad input from the server: not UTF-8');
      return;
    }
    if (this.#stage === 'up') this.#acknowledge();
    this.#reader.write(text);
  }

  /**
   * Writes a blank between stanzas (RFC 6120, section 4.6.1), which takes the acknowledgement of TCP with it. On its own
   * that goes out up to 40 ms late, and a server that leaves Nagle's algorithm on, as Prosody does, holds its next stanza
   * back until then: messages at 500/s took 31 ms (p99) instead of 5.
   */
  #acknowledge(): void {
    const { socket } = this.#entity;
    if (socket?.writableLength === 0) socket.write(' ');
  }

  #opened(name: string, attrs: Readonly<Record<string, string>>): void {
    const colon = name.indexOf(':');
    this.#streamsPrefix = colon < 0 ? '' : name.slice(0, colon);
    const declared = attrs[colon < 0 ? 'xmlns' : `xmlns:${this.#streamsPrefix}`];
    if (declared !== STREAMS || name.slice(colon + 1) !== 'stream') {
      this.fail('invalid-namespace', 'what answers there speaks no XMPP');
      return;
    }
    this.#namespace = attrs['xmlns'];
    this.#stage = 'handshake';
    // The id is hashed as single bytes too.
    this.#entity.parser?.emit('start', { attrs: { id: bytesOf(attrs['id'] ?? '') } });
  }

  #element(element: XmlElement): void {
    if (this.#isStreamError(element)) {
      this.#refused(element);
      return;
    }
    const namespace = element.attrs['xmlns'] ?? this.#namespace;
    if (this.#accepted) {
      // Everything else is skipped: a stanza of another namespace is none (RFC 6120, section 4.8.3).
      if (namespace !== COMPONENT_NAMESPACE || !isStanzaName(element.name)) return;
      if (this.#stage === 'up') this.#events.onStanza(element);
      else this.#early.push(element);
      return;
    }
    if (element.name !== 'handshake' || namespace !== COMPONENT_NAMESPACE) {
      this.fail('not-authorized', 'the server sent something else than the end of the handshake');
      return;
    }
    this.#accepted = true;
    this.#entity.parser?.emit('element', { name: 'handshake', attrs: {}, children: [], is: () => false });
  }

  #isStreamError(element: XmlElement): boolean {
    if (this.#streamsPrefix === '') return element.name === 'error' && (element.attrs['xmlns'] ?? STREAMS) === STREAMS;
    return element.name === `${this.#streamsPrefix}:error`;
  }

  #refused(error: XmlElement): void {
    const children = error.children.filter((child) => typeof child !== 'string');
    const condition = children.find(({ name, attrs }) => attrs['xmlns'] === STREAM_ERRORS && name !== 'text');
    const text = childOf(error, 'text', STREAM_ERRORS);
    const name = condition?.name ?? 'undefined-condition';
    const words = text === undefined ? '' : textOf(text).slice(0, 200);
    const reason = `the server ended the stream: ${name}${words === '' ? '' : ` (${words})`}`;
    this.#finish({ reason, condition: name }, '</stream:stream>');
  }

  #up(): void {
    if (this.#stage === 'over') return;
    this.#stage = 'up';
    this.#cancelDeadline();
    this.#events.onUp();
    const early = this.#early;
    this.#early = [];
    for (const stanza of early) {
      if (this.#isUp()) this.#events.onStanza(stanza);
    }
  }

  #isUp(): boolean {
    return this.#stage === 'up';
  }

  #lossReason(): string {
    if (this.#error !== undefined) return this.#error;
    return this.#stage === 'handshake'
      ? 'the server closed the connection during the handshake'
      : 'the connection was lost';
  }

  /** The one way out of every stage. `last` is written before the socket closes; without it the socket is cut. */
  #finish(end: StreamEnd, last?: string): void {
    if (this.#stage === 'over') return;
    this.#stage = 'over';
    this.#cancelDeadline();
    this.#reader.stop();
    const entity = this.#entity;
    const { socket } = entity;
    // Whatever the package still waits for is let go; our listener is there, so that this cannot throw.
    entity.emit('error', new Error(end.reason));
    if (socket !== null && !socket.destroyed) {
      if (last === undefined || socket.connecting) {
        socket.destroy();
      } else {
        socket.resume();
        socket.end(last);
        socket.once(
          'close',
          this.#options.clock.after(LINGER_MS, () => socket.destroy()),
        );
      }
    }
    this.#events.onEnd(end);
  }
}

/** A string whose characters are the bytes of the text's UTF-8. */
function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
