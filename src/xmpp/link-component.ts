import { randomBytes } from 'node:crypto';
import type { XmlElement } from '../cpim/xml.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock, Random } from '../core/ports.ts';
import { formatJid, type Jid, parseJid } from './jid.ts';
import { ComponentStream, type StreamEnd } from './link-component-stream.ts';
import type { LinkEvents, LinkState, XmppLink } from './link.ts';
import { LinkListener, whenHandled } from './link-listener.ts';
import { LinkStanding } from './link-standing.ts';
import { stanzaText } from './outgoing-stanza.ts';
import { reconnectPauseMs } from './reconnect-pause.ts';
import { SendWindow } from './send-window.ts';
import { COMPONENT_NAMESPACE } from './stanza-content.ts';
import { ReadingHold } from './reading-hold.ts';
import { StreamPulse } from './stream-pulse.ts';
import { TurnWrite } from './turn-write.ts';

export type ComponentLinkLimits = {
  /** Largest stanza, in and out, bytes of UTF-8 as written. */
  readonly stanzaBytesMax: number;
  /** Stanzas that may wait for confirmation at once. */
  readonly window: number;
  /** Bytes that may wait for confirmation at once. */
  readonly windowBytes: number;
  /** Stanzas that came in and may be under way at once; over it nothing is read until half of them are done. */
  readonly inboundMax: number;
  /** Bytes of answers that may wait to be written; over it nothing is read. */
  readonly answerBytesMax: number;
};

export type ComponentLinkOptions = {
  /** The link's name in the configuration. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Our address on the server: the JID domain of the component. */
  readonly component: string;
  readonly secret: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits?: Partial<ComponentLinkLimits>;
};

const LIMITS: ComponentLinkLimits = {
  stanzaBytesMax: 262_144,
  window: 2048,
  windowBytes: 16_777_216,
  inboundMax: 500,
  answerBytesMax: 1_048_576,
};

/** Connecting, header and handshake together, ms. */
const OPEN_MS = 10_000;
/** A stream that stood this long was a good one: the next pause is the first again, ms. */
const STOOD_WELL_MS = 10_000;
/** Steps in which a stream's age is counted, ms. */
const STEP_MS = 50;
/** A burst has a ping after so many stanzas, so that a slow server is seen to go on. */
const PING_EVERY = 128;
/** Over this much unsent in the socket nothing more is given to it, bytes. */
const SOCKET_BYTES_MAX = 1_048_576;

/** Stream errors that an operator must mend, and how. */
const REMEDIES: Readonly<Record<string, string>> = {
  'not-authorized':
    'the secret of this link is not the one the server has for this component, or (ejabberd) it has none of this name: correct one of them',
  'host-unknown': 'the server has no component of this name: add it there, or correct the name of this link',
  'host-gone': 'the server serves this component name no more: add it there, or correct the name of this link',
  'invalid-namespace': 'this port is not one for components (XEP-0114): correct the port of this link',
  conflict: 'another connection holds this component name: end it',
};

/** A link over the component protocol (XEP-0114). What it promises stands in `link.ts`. */
export class ComponentLink implements XmppLink {
  readonly name: string;
  readonly #options: ComponentLinkOptions;
  readonly #limits: ComponentLinkLimits;
  readonly #log: Log;
  readonly #jid: Jid;
  /** Our address as it stands on the wire. */
  readonly #address: string;
  readonly #window: SendWindow;
  readonly #listener: LinkListener;
  #stream: ComponentStream | undefined;
  #pulse = new StreamPulse('', false);
  readonly #standing: LinkStanding;
  #failures = 0;
  /** How long the present stream has stood, ms, in steps. */
  #stoodMs = 0;
  #stopping = false;
  #answers = '';
  #answerBytes = 0;
  readonly #turn = new TurnWrite(() => this.#flush(false));
  #inbound = 0;
  readonly #hold: ReadingHold;
  #firstTryEnded: () => void = () => undefined;
  #drained: () => void = () => undefined;
  /** Ends the patience of `stop`. */
  #hurry: () => void = () => undefined;
  #cancelPause: () => void = () => undefined;
  #cancelStep: () => void = () => undefined;
  #lastReason: string | undefined;

  /** @throws GatewayError('address-malformed') when the component's address is no JID domain */
  constructor(options: ComponentLinkOptions) {
    const jid = parseJid(options.component);
    if (jid === undefined || jid.local !== undefined || jid.resource !== undefined) {
      throw new GatewayError('address-malformed', 'the component address of a link is no domain');
    }
    this.name = options.name;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#log = options.log.child({ link: options.name });
    this.#jid = jid;
    this.#address = formatJid(jid);
    this.#window = new SendWindow({ stanzasMax: this.#limits.window, bytesMax: this.#limits.windowBytes });
    const { inboundMax, answerBytesMax } = this.#limits;
    this.#hold = new ReadingHold({ inboundMax, answersMax: answerBytesMax });
    this.#standing = new LinkStanding(options.clock);
    this.#listener = new LinkListener(this.#log);
  }

  start(events: LinkEvents): Promise<void> {
    this.#listener.listen(events);
    return new Promise((resolve) => {
      this.#firstTryEnded = resolve;
      this.#connect();
    });
  }

  async send(stanza: XmlElement): Promise<void> {
    if (this.#standing.at !== 'up' || this.#stopping) throw unreachable(this.#standing.reason ?? this.#standing.at);
    const text = this.#written(stanza);
    const bytes = Buffer.byteLength(text);
    this.#log.trace(
      { stanza: stanza.name, stanzaId: stanza.attrs['id'] ?? '', jid: stanza.attrs['to'] ?? '', bytes },
      'stanza sent',
    );
    return new Promise((taken, lost) => {
      this.#window.add({ text, bytes, taken, lost });
      this.#turn.soon();
    });
  }

  post(stanza: XmlElement): void {
    if (this.#standing.at !== 'up') return;
    try {
      const text = this.#written(stanza);
      this.#answers += text;
      this.#answerBytes += Buffer.byteLength(text);
    } catch (thrown) {
      this.#log.error({ error: thrown, stanza: stanza.name }, 'answer cannot be written');
      return;
    }
    this.#turn.soon();
    this.#holdOrRead();
  }

  state(): LinkState {
    return this.#standing.with(this.#window.unconfirmed);
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#stopping) {
      if (graceMs === 0) this.#hurry();
      return;
    }
    this.#stopping = true;
    this.#cancelPause();
    this.#flush(false);
    if (this.#standing.at === 'up' && this.#owes()) {
      await new Promise<void>((resolve) => {
        const cancel = this.#options.clock.after(graceMs, resolve);
        this.#hurry = () => {
          cancel();
          resolve();
        };
        this.#drained = () => {
          if (this.#standing.at !== 'up' || !this.#owes()) this.#hurry();
        };
      });
    }
    const stream = this.#stream;
    if (this.#standing.at === 'up') stream?.close('this server stops');
    else stream?.abort('this server stops');
    this.#standing.become('stopped', 'stopped');
    this.#firstTryEnded();
  }

  #connect(): void {
    const { host, port, secret, clock } = this.#options;
    const { stanzaBytesMax } = this.#limits;
    this.#standing.become('connecting', this.#standing.reason);
    const stream: ComponentStream = new ComponentStream(
      { host, port, secret, name: this.#address, stanzaUnitsMax: stanzaBytesMax, openMs: OPEN_MS, clock },
      {
        onUp: () => this.#up(),
        onStanza: (stanza) => this.#stanza(stanza),
        onDrain: () => this.#turn.soon(),
        onEnd: (end) => this.#ended(end),
      },
    );
    this.#stream = stream;
    stream.open();
  }

  #up(): void {
    const { answers, isMute } = this.#pulse;
    this.#pulse = new StreamPulse(`ping-${randomBytes(12).toString('base64url')}`, answers, isMute);
    this.#stoodMs = 0;
    this.#lastReason = undefined;
    this.#standing.become('up');
    this.#log.info({ peer: this.#peer() }, 'link up');
    this.#step();
    this.#holdOrRead();
    this.#flush(true);
    this.#listener.tell((events) => events.onUp());
    this.#firstTryEnded();
  }

  /** Everything that follows from the end of a stream, whatever ended it. */
  #ended(end: StreamEnd): void {
    const wasUp = this.#standing.at === 'up';
    const remedy = end.condition === undefined ? undefined : REMEDIES[end.condition];
    const reason = remedy === undefined ? end.reason : `${end.reason}; ${remedy}`;
    this.#stream = undefined;
    this.#cancelStep();
    this.#answers = '';
    this.#answerBytes = 0;
    this.#hold.forget();
    this.#standing.become(this.#stopping ? 'stopped' : 'down', reason);
    this.#window.rejectAll(unreachable(reason));
    this.#drained();
    if (wasUp) this.#listener.tell((events) => events.onDown(reason));
    this.#firstTryEnded();
    if (this.#stopping) return;
    this.#failures = wasUp && this.#stoodMs >= STOOD_WELL_MS ? 0 : this.#failures;
    const pauseMs = reconnectPauseMs(this.#failures, remedy !== undefined, this.#options.random);
    this.#failures += 1;
    this.#tellLoss(end, remedy, wasUp, pauseMs);
    this.#cancelPause = this.#options.clock.after(pauseMs, () => this.#connect());
  }

  /** Said loudly once per reason, not with every attempt. */
  #tellLoss(end: StreamEnd, remedy: string | undefined, wasUp: boolean, pauseMs: number): void {
    const isNews = this.#lastReason !== end.reason;
    this.#lastReason = end.reason;
    const fields = { peer: this.#peer(), reason: end.reason, againInMs: pauseMs };
    if (remedy !== undefined) this.#log[isNews ? 'error' : 'info']({ ...fields, remedy }, 'link refused');
    else if (wasUp) this.#log.warn(fields, 'link lost');
    else this.#log[isNews ? 'warn' : 'debug'](fields, 'link cannot be opened');
  }

  #stanza(stanza: XmlElement): void {
    if (this.#isPulse(stanza)) return;
    const isUnderWay = whenHandled(this.#listener.stanza(stanza), this.#log, () => {
      this.#inbound -= 1;
      this.#holdOrRead();
    });
    if (!isUnderWay) return;
    this.#inbound += 1;
    this.#holdOrRead();
  }

  /** Answers to our pings are ours alone: by id and by sender, in whatever form the server sends them back. */
  #isPulse(stanza: XmlElement): boolean {
    const { id, from } = stanza.attrs;
    if (stanza.name !== 'iq' || id === undefined || !this.#pulse.isOurs(id)) return false;
    if (from !== this.#address && !isSameDomain(from, this.#jid)) {
      this.#log.warn({ stanzaId: id, jid: from ?? '' }, 'answer to a ping from the wrong sender ignored');
      return true;
    }
    const confirmed = this.#pulse.answered(id);
    if (confirmed !== undefined) this.#confirmed(confirmed);
    return true;
  }

  #confirmed(count: number): void {
    this.#window.confirm(count);
    if (this.#window.unconfirmed + this.#window.waiting > 0) this.#turn.soon();
    else this.#drained();
  }

  /** Whether anything has still to be written, or confirmed. */
  #owes(): boolean {
    return this.#window.unconfirmed + this.#window.waiting > 0 || this.#answers !== '';
  }

  #flush(pingDue: boolean): void {
    const stream = this.#stream;
    if (stream === undefined || this.#standing.at !== 'up') return;
    const pulse = this.#pulse;
    let text = '';
    if (stream.bytesWaiting < SOCKET_BYTES_MAX) {
      text = this.#answers;
      this.#answers = '';
      this.#answerBytes = 0;
      this.#holdOrRead();
      for (;;) {
        const before = this.#window.written;
        text += this.#window.take(PING_EVERY);
        if (this.#window.written - before < PING_EVERY) break;
        text += this.#ping();
      }
    }
    if (pingDue || (!pulse.pinging && this.#window.unconfirmed > 0)) text += this.#ping();
    if (text === '') return;
    const { written } = this.#window;
    stream.write(text, () => pulse.flushed(written));
    this.#drained();
  }

  #ping(): string {
    const id = this.#pulse.ping(this.#window.written);
    return `<iq type="get" id="${id}" from="${this.#address}" to="${this.#address}"><ping xmlns="urn:xmpp:ping"/></iq>`;
  }

  /** Time goes on for the stream. One timer for all that waits. */
  #step(): void {
    this.#cancelStep = this.#options.clock.after(STEP_MS, () => {
      const stream = this.#stream;
      if (stream === undefined || this.#standing.at !== 'up') return;
      this.#stoodMs += STEP_MS;
      const { dead, mute, pingDue, confirmed } = this.#pulse.passed(STEP_MS, {
        holding: this.#hold.isHolding,
        bytesWaiting: stream.bytesWaiting,
      });
      if (dead !== undefined) {
        stream.abort(dead);
        return;
      }
      if (mute === true) {
        const fields = { peer: this.#peer(), remedy: 'let the server route what the component sends to itself' };
        this.#log.warn(fields, 'server answers no pings: stanzas count as taken unless the stream breaks soon after');
      }
      if (confirmed !== undefined) this.#confirmed(confirmed);
      if (pingDue === true) this.#flush(true);
      this.#step();
    });
  }

  /** Stops reading while too much is under way, reads on when enough of it is done. */
  #holdOrRead(): void {
    this.#hold.look(this.#inbound, this.#answerBytes, this.#stream);
  }

  /** The stanza's text; promise 4: nothing that a server ends the stream for. */
  #written(stanza: XmlElement): string {
    const bytesMax = this.#limits.stanzaBytesMax;
    return stanzaText(stanza, { own: this.#jid.domain, namespace: COMPONENT_NAMESPACE, bytesMax });
  }

  #peer(): string {
    return `${this.#options.host}:${this.#options.port}`;
  }
}

function unreachable(reason: string): GatewayError {
  return new GatewayError('peer-unreachable', `link is not up: ${reason}`);
}

function isSameDomain(address: string | undefined, own: Jid): boolean {
  return address !== undefined && parseJid(address)?.domain === own.domain;
}
