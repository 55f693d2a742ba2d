import type { XmlElement } from '../../cpim/xml.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import { formatJid, parseJid } from '../jid.ts';
import { whenHandled } from '../link-listener.ts';
import type { Outgoing } from '../send-window.ts';
import type { Ends } from './incoming-negotiation.ts';
import { NS, plain } from './stream-elements.ts';
import { type PingHabit, StreamSender } from './stream-sender.ts';
import type { TlsDoor } from './tls-door.ts';
import type { S2sWire, StreamEnd } from './wire.ts';

export type S2sLimits = {
  /** Largest stanza, in and out, bytes of UTF-8 as written. */
  readonly stanzaBytesMax: number;
  /** Stanzas, and bytes, that may wait for confirmation at once on one stream. */
  readonly window: number;
  readonly windowBytes: number;
  /** Stanzas that came in over one stream and may be under way at once; over it nothing is read. */
  readonly inboundMax: number;
  /** Bytes of answers that may wait to be written to a peer; over it nothing is read from it. */
  readonly answerBytesMax: number;
  /** From dialling to the first stanza, ms. */
  readonly openMs: number;
  /** How long somebody may take to prove who he is, ms. */
  readonly authenticateMs: number;
  /** A stream over which nothing went for so long is closed, ms. */
  readonly idleMs: number;
  /** How long a lost stream may be taken up again, ms. */
  readonly resumeMs: number;
};

/** What streams need of the link that they belong to. */
export type StreamDeps = {
  readonly clock: Clock;
  readonly log: Log;
  readonly tls: TlsDoor;
  readonly limits: S2sLimits;
  /** This node among others; its pings carry it. */
  readonly run?: string;
  /** A stanza of a domain that has proved itself, to one of ours. */
  readonly onStanza: (ends: Ends, element: XmlElement) => void | Promise<void>;
  /** Says no to a stanza that is for none of the pairs of its stream. */
  readonly refuse: (ends: Ends, element: XmlElement, condition: 'item-not-found' | 'jid-malformed') => void;
  /** Whether so much waits to be written to a peer that nothing more should be read from it. */
  readonly isClogged: (ends: Ends) => boolean;
  /** It reads nothing for now, or reads on. */
  readonly onHold: (stream: StanzaStream, isHolding: boolean) => void;
  /** Answers have left, or everything that was sent is confirmed. */
  readonly onSpace: (stream: StanzaStream) => void;
  readonly onEnd: (stream: StanzaStream, end: StreamEnd & { readonly isRefusal: boolean }) => void;
};

export function pairKey({ own, peer }: Ends): string {
  return `${own} ${peer}`;
}

/**
 * One stream between servers as far as stanzas are concerned: the pairs of domains it stands for, what comes over it and
 * what goes, whichever side opened it. It outlives its connection where stream management lets it be taken up again.
 */
export abstract class StanzaStream {
  abstract readonly direction: 'out' | 'in';
  readonly pairs = new Map<string, Ends>();
  readonly sender: StreamSender;
  protected readonly deps: StreamDeps;
  protected wire: S2sWire | undefined;
  readonly #peers = new Map<string, Ends>();
  #newest: Ends | undefined;
  #inbound = 0;
  #isHolding = false;
  #idleMs = 0;
  #isOver = false;

  constructor(deps: StreamDeps, habit: PingHabit) {
    this.deps = deps;
    this.sender = new StreamSender(
      deps.limits,
      habit,
      (id) => this.#pingText(id),
      () => deps.onSpace(this),
      deps.run,
    );
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether stanzas of ours may go over it. */
  abstract get maySend(): boolean;

  carries(ends: Ends): boolean {
    return this.pairs.has(pairKey(ends));
  }

  send(ends: Ends, outgoing: Outgoing): void {
    this.#newest = ends;
    this.#idleMs = 0;
    this.sender.send(outgoing);
  }

  post(ends: Ends, text: string): void {
    this.#newest = ends;
    this.#idleMs = 0;
    this.sender.post(text);
  }

  /** Ends it in good order. */
  close(reason: string): void {
    if (this.wire !== undefined && !this.wire.isOver) this.wire.close(reason);
    else this.over({ reason, isClean: true });
  }

  /** This server stops: the peer is to know that it is not the stream alone that ends (RFC 6120, section 4.9.3.21). */
  shutDown(): void {
    const reason = 'this server stops';
    if (this.wire !== undefined && !this.wire.isOver) this.wire.fail('system-shutdown', reason);
    else this.over({ reason, isClean: true });
  }

  abort(reason: string): void {
    if (this.wire !== undefined && !this.wire.isOver) this.wire.abort(reason);
    else this.over({ reason, isClean: false });
  }

  /** Time has passed. */
  tick(ms: number): void {
    const { wire } = this;
    if (wire === undefined || wire.isOver || this.pairs.size === 0) return;
    const { dead, mute } = this.sender.passed(ms, this.#isHolding);
    if (dead !== undefined) {
      wire.abort(dead);
      return;
    }
    if (mute === true) {
      const fields = { peer: this.#newest?.peer ?? '', remedy: 'see that this peer can reach us: its DNS, our port' };
      this.deps.log.warn(fields, 'peer answers no pings: stanzas count as taken unless the stream breaks soon after');
    }
    this.#idleMs += ms;
    if (this.sender.unconfirmed > 0 || this.#inbound > 0) this.#idleMs = 0;
    if (this.#idleMs >= this.deps.limits.idleMs) this.close('nothing to say for long');
  }

  /** Stops reading while too much is under way, reads on when enough of it is done. */
  holdOrRead(): void {
    const { inboundMax } = this.deps.limits;
    const isClogged = (): boolean =>
      this.sender.answerBytes > this.deps.limits.answerBytesMax ||
      [...this.pairs.values()].some((ends) => this.deps.isClogged(ends));
    if (!this.#isHolding) {
      if (this.#inbound <= inboundMax && !isClogged()) return;
      this.#isHolding = true;
      this.wire?.pause();
      this.deps.onHold(this, true);
    } else if (this.#inbound <= inboundMax / 2 && !isClogged()) {
      this.#isHolding = false;
      this.wire?.resume();
      this.deps.onHold(this, false);
    }
  }

  protected add(ends: Ends): void {
    this.pairs.set(pairKey(ends), ends);
    if (!this.#peers.has(ends.peer)) this.#peers.set(ends.peer, ends);
    this.#newest ??= ends;
    // Three bytes at most for a UTF-16 unit; what is larger in bytes was refused by no standard.
    this.wire?.allow(this.deps.limits.stanzaBytesMax);
  }

  /** A stanza came in. What is not from whom it may be ends the stream (RFC 6120, section 4.9.3.9). */
  protected stanza(element: XmlElement): void {
    this.sender.count();
    this.#idleMs = 0;
    const { from, to } = element.attrs;
    if (from === undefined || to === undefined) {
      this.wire?.fail('improper-addressing', 'stanza without from and to');
      return;
    }
    const sender = parseJid(from);
    const known = sender === undefined ? undefined : this.#peers.get(sender.domain);
    if (sender === undefined || known === undefined) {
      this.deps.log.warn({ jid: from }, 'stanza from a domain that has not proved itself on its stream');
      this.wire?.fail('invalid-from', 'stanza from a domain that has not proved itself');
      return;
    }
    const own = parseJid(to)?.domain ?? domainPart(to);
    const ends = own === undefined ? undefined : this.pairs.get(pairKey({ own, peer: sender.domain }));
    const clean = withoutNamespace(element);
    if (ends === undefined) {
      this.deps.refuse(known, clean, own === undefined ? 'jid-malformed' : 'item-not-found');
      return;
    }
    const isUnderWay = whenHandled(this.deps.onStanza(ends, clean), this.deps.log, () => {
      this.#inbound -= 1;
      this.holdOrRead();
    });
    if (!isUnderWay) return;
    this.#inbound += 1;
    this.holdOrRead();
  }

  protected acknowledge(): void {
    this.wire?.writeElement(plain('a', NS.sm, [], { h: String(this.sender.received) }));
  }

  protected acknowledged(taken: number): void {
    if (!this.sender.acknowledged(taken)) {
      this.wire?.fail('undefined-condition', 'the peer acknowledged more than it was sent');
    }
  }

  /** The stream is over for good. Once. */
  protected over(end: StreamEnd, isRefusal = false): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.deps.onEnd(this, { ...end, isRefusal });
  }

  #pingText(id: string): string {
    const { own, peer } = this.#newest ?? { own: '', peer: '' };
    const [from, to] = [formatJid({ domain: own }), formatJid({ domain: peer })];
    return `<iq type="get" id="${id}" from="${from}" to="${to}"><ping xmlns="urn:xmpp:ping"/></iq>`;
  }
}

export function unreachable(reason: string): GatewayError {
  return new GatewayError('peer-unreachable', `stream is not up: ${reason}`);
}

/** Stanzas inherit their namespace from the stream; one that says it again is the same stanza. */
function withoutNamespace(element: XmlElement): XmlElement {
  if (element.attrs['xmlns'] === undefined) return element;
  const attrs = Object.fromEntries(Object.entries(element.attrs).filter(([name]) => name !== 'xmlns'));
  const children = element.children.map((child) =>
    typeof child !== 'string' && child.attrs['xmlns'] === NS.server && !child.name.includes(':')
      ? { ...child, attrs: Object.fromEntries(Object.entries(child.attrs).filter(([name]) => name !== 'xmlns')) }
      : child,
  );
  return { ...element, attrs, children };
}

function domainPart(text: string): string | undefined {
  const bare = text.split('/', 1)[0] ?? '';
  return parseJid(bare.slice(bare.lastIndexOf('@') + 1))?.domain;
}
