import type { XmlElement } from '../../cpim/xml.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Random } from '../../core/ports.ts';
import type { LinkEvents, LinkState, XmppLink } from '../link.ts';
import { LinkListener } from '../link-listener.ts';
import { LinkStanding } from '../link-standing.ts';
import { stanzaText } from '../outgoing-stanza.ts';
import { reconnectPauseMs } from '../reconnect-pause.ts';
import type { Outgoing } from '../send-window.ts';
import type { Ends } from './incoming-negotiation.ts';
import { NS } from './stream-elements.ts';
import { type StanzaStream, unreachable } from './stanza-stream.ts';
import type { StreamEnd } from './wire.ts';

export type PairDeps = Ends & {
  /** The link's name in the rest of the server. */
  readonly name: string;
  readonly stanzaBytesMax: number;
  readonly answerBytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Whether something waits for this peer, so that it is worth trying. */
  readonly isWanted: () => boolean;
  /** Finds or opens a stream; `opened` or `failed` is called later, or at once. */
  readonly open: (pair: PairLink) => void;
  /** This pair sends nothing more; `isGoingOn`: but another node does. */
  readonly release: (pair: PairLink, stream: StanzaStream | undefined, isGoingOn: boolean) => void;
  /** What waits to be written has become more or less. */
  readonly recheck: (pair: PairLink) => void;
};

/** A stream that stood this long was a good one: the next pause is the first again, ms. */
const STOOD_WELL_MS = 10_000;
/** A peer for which nothing waits is not looked for any longer after this time, ms; the next stanza tries it again. */
const LOOK_FOR_MS = 600_000;

/**
 * The way between one domain of ours and one of a peer's, over whatever stream there is. What it promises stands in
 * `link.ts`, with this meaning of up and down: it is up while nothing is known against the peer, with a stream or without
 * one. A stanza opens a stream; one that was closed in good order, because nothing went over it, is no outage. A stream
 * that cannot be opened, or is lost, makes it down: then the peer is tried again until it is back or nothing waits for it.
 */
export class PairLink implements XmppLink {
  readonly name: string;
  readonly ends: Ends;
  readonly #deps: PairDeps;
  readonly #log: Log;
  readonly #listener: LinkListener;
  #stream: StanzaStream | undefined;
  #isOpening = false;
  #waiting: Outgoing[] = [];
  #answers: string[] = [];
  #answerBytes = 0;
  readonly #standing: LinkStanding;
  #failures = 0;
  #upSinceMs = 0;
  #downSinceMs = 0;
  #isStopping = false;
  /** At another node. */
  #isGoingOn = false;
  #lastReason: string | undefined;
  #firstTryEnded: () => void = () => undefined;
  #drained: () => void = () => undefined;
  /** Ends the patience of `stop`. */
  #hurry: () => void = () => undefined;
  #waitingForRoom: Array<() => void> = [];
  #cancelPause: () => void = () => undefined;

  constructor(deps: PairDeps) {
    this.name = deps.name;
    this.ends = { own: deps.own, peer: deps.peer };
    this.#deps = deps;
    this.#log = deps.log.child({ link: deps.name });
    this.#standing = new LinkStanding(deps.clock);
    this.#listener = new LinkListener(this.#log);
  }

  /** The stream that stanzas go over at present. */
  get stream(): StanzaStream | undefined {
    return this.#stream;
  }

  /** Whether somebody takes what comes in: also while it is being stopped. */
  get isStarted(): boolean {
    return this.#listener.isThere && this.#standing.at !== 'stopped';
  }

  /** Bytes of answers that wait to be written. */
  get answerBytes(): number {
    return this.#answerBytes + (this.#stream?.sender.answerBytes ?? 0);
  }

  start(events: LinkEvents): Promise<void> {
    this.#listener.listen(events);
    if (!this.#deps.isWanted()) {
      this.#rest();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#firstTryEnded = resolve;
      this.#downSinceMs = this.#deps.clock.nowMs();
      this.#connect();
    });
  }

  async send(stanza: XmlElement): Promise<void> {
    if (this.#standing.at !== 'up' || this.#isStopping) throw unreachable(this.#standing.reason ?? this.#standing.at);
    const text = this.#text(stanza);
    const bytes = Buffer.byteLength(text);
    this.#log.trace(
      { stanza: stanza.name, stanzaId: stanza.attrs['id'] ?? '', jid: stanza.attrs['to'] ?? '', bytes },
      'stanza sent',
    );
    return new Promise((taken, lost) => {
      const outgoing = { text, bytes, taken, lost };
      if (this.#stream !== undefined) {
        this.#stream.send(this.ends, outgoing);
        return;
      }
      this.#waiting.push(outgoing);
      this.#open();
    });
  }

  post(stanza: XmlElement): void {
    if (this.#standing.at !== 'up') return;
    let text: string;
    try {
      text = this.#text(stanza);
    } catch (thrown) {
      this.#log.error({ error: thrown, stanza: stanza.name }, 'answer cannot be written');
      return;
    }
    if (this.#stream !== undefined) {
      this.#stream.post(this.ends, text);
    } else {
      this.#answers.push(text);
      this.#answerBytes += Buffer.byteLength(text);
      this.#open();
    }
    this.#deps.recheck(this);
  }

  /** Resolves when no more than is bearable waits to be written, at once as a rule. */
  room(): Promise<void> {
    if (this.#hasRoom()) return Promise.resolve();
    return new Promise((resolve) => this.#waitingForRoom.push(resolve));
  }

  state(): LinkState {
    return this.#standing.with((this.#stream?.sender.written ?? 0) + this.#waiting.length);
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#isStopping) {
      if (graceMs === 0) this.#hurry();
      return;
    }
    this.#isStopping = true;
    this.#cancelPause();
    this.#stream?.sender.flushNow();
    if (this.#standing.at === 'up' && this.#owes()) {
      await new Promise<void>((resolve) => {
        const cancel = this.#deps.clock.after(graceMs, resolve);
        this.#hurry = () => {
          cancel();
          resolve();
        };
        this.#drained = () => {
          if (this.#standing.at !== 'up' || !this.#owes()) this.#hurry();
        };
      });
    }
    const wasUp = this.#standing.at === 'up';
    const stream = this.#stream;
    this.#stream = undefined;
    this.#deps.release(this, stream, this.#isGoingOn);
    this.#rejectWaiting(this.#isGoingOn ? 'another node goes on with it' : 'this server stops');
    this.#become('stopped', 'stopped');
    this.#firstTryEnded();
    if (wasUp) this.#listener.tell((events) => events.onDown('stopped'));
  }

  /** As `stop`, where another node goes on: a stream over which the peer may write to us stays open for it. */
  letGo(graceMs: number): Promise<void> {
    this.#isGoingOn = true;
    return this.stop(graceMs);
  }

  /** A stream is there. */
  opened(stream: StanzaStream): void {
    if (this.#standing.at === 'stopped') {
      this.#deps.release(this, stream, this.#isGoingOn);
      return;
    }
    this.#isOpening = false;
    this.#stream = stream;
    this.#cancelPause();
    this.#lastReason = undefined;
    this.#upSinceMs = this.#deps.clock.nowMs();
    for (const text of this.#answers.splice(0)) stream.post(this.ends, text);
    this.#answerBytes = 0;
    for (const outgoing of this.#waiting.splice(0)) stream.send(this.ends, outgoing);
    this.#log.info({ peer: this.ends.peer, direction: stream.direction }, 'stream ready');
    this.#turnUp();
  }

  /** No stream could be had. */
  failed(end: { readonly reason: string; readonly isRefusal: boolean }): void {
    this.#isOpening = false;
    this.#down(end.reason, end.isRefusal);
  }

  /** The stream is over. Called before those hear of it whose stanzas were on it. */
  ended(end: StreamEnd, isRefusal: boolean, owed: number): void {
    if (this.#stream === undefined) return;
    this.#stream = undefined;
    if (this.#isStopping) {
      // Nothing is opened any more for what could not be written.
      this.#rejectWaiting(end.reason);
      this.#drained();
      return;
    }
    this.#tellRoom();
    if (end.isClean && owed === 0) {
      this.#log.debug({ peer: this.ends.peer, reason: end.reason }, 'stream closed');
      return;
    }
    this.#down(end.reason, isRefusal);
  }

  /** The peer has shown that it is there: no use in waiting any longer. */
  peerIsThere(): void {
    if (this.#standing.at !== 'down' || this.#isStopping || !this.#listener.isThere) return;
    this.#cancelPause();
    this.#connect();
  }

  /** All is confirmed, or answers have left. */
  hasSpace(): void {
    this.#drained();
    this.#tellRoom();
  }

  /** A stanza that came in for this pair. */
  received(stanza: XmlElement): void | Promise<void> {
    return this.#listener.stanza(stanza);
  }

  /** Whether anything has still to be written, or confirmed. */
  #owes(): boolean {
    return this.#waiting.length + (this.#stream?.sender.unconfirmed ?? 0) > 0 || this.answerBytes > 0;
  }

  #hasRoom(): boolean {
    return this.#standing.at !== 'up' || this.answerBytes <= this.#deps.answerBytesMax;
  }

  #tellRoom(): void {
    if (this.#waitingForRoom.length === 0 || !this.#hasRoom()) return;
    for (const go of this.#waitingForRoom.splice(0)) go();
  }

  #open(): void {
    if (this.#isOpening) return;
    this.#isOpening = true;
    this.#deps.open(this);
  }

  #connect(): void {
    this.#become('connecting', this.#standing.reason);
    this.#open();
  }

  #turnUp(): void {
    const wasUp = this.#standing.at === 'up';
    if (!wasUp) {
      this.#become('up');
      this.#listener.tell((events) => events.onUp());
    }
    this.#firstTryEnded();
  }

  /** Up without a stream: nothing is known against the peer, and nothing waits for it. */
  #rest(): void {
    this.#failures = 0;
    this.#turnUp();
  }

  #down(reason: string, isRefusal: boolean): void {
    const { clock, random } = this.#deps;
    const wasUp = this.#standing.at === 'up';
    const nowMs = clock.nowMs();
    if (wasUp) {
      this.#downSinceMs = nowMs;
      if (this.#upSinceMs > 0 && nowMs - this.#upSinceMs >= STOOD_WELL_MS) this.#failures = 0;
    }
    this.#upSinceMs = 0;
    this.#become('down', reason);
    this.#rejectWaiting(reason);
    if (wasUp) this.#listener.tell((events) => events.onDown(reason));
    this.#firstTryEnded();
    if (this.#isStopping) {
      this.#drained();
      return;
    }
    const pauseMs = reconnectPauseMs(this.#failures, isRefusal, random);
    this.#failures += 1;
    this.#tell(reason, isRefusal, wasUp, pauseMs);
    this.#cancelPause = clock.after(pauseMs, () => this.#again());
  }

  #again(): void {
    const { clock, isWanted } = this.#deps;
    if (isWanted() || clock.nowMs() - this.#downSinceMs < LOOK_FOR_MS) this.#connect();
    else this.#rest();
  }

  #rejectWaiting(reason: string): void {
    const error = unreachable(reason);
    this.#answers = [];
    this.#answerBytes = 0;
    for (const outgoing of this.#waiting.splice(0)) outgoing.lost(error);
  }

  /** Said loudly once per reason, not with every attempt. */
  #tell(reason: string, isRefusal: boolean, wasUp: boolean, pauseMs: number): void {
    const isNews = this.#lastReason !== reason;
    this.#lastReason = reason;
    const fields = { peer: this.ends.peer, reason, againInMs: pauseMs };
    if (isRefusal) this.#log[isNews ? 'error' : 'info'](fields, 'peer refused');
    else if (wasUp) this.#log.warn(fields, 'peer lost');
    else this.#log[isNews ? 'warn' : 'debug'](fields, 'peer cannot be reached');
  }

  #text(stanza: XmlElement): string {
    const { own, peer, stanzaBytesMax } = this.#deps;
    return stanzaText(stanza, { own, peer, namespace: NS.server, bytesMax: stanzaBytesMax });
  }

  #become(at: LinkState['at'], reason?: string): void {
    this.#standing.become(at, reason);
    this.#tellRoom();
  }
}
