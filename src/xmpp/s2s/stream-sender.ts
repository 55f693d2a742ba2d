import { randomBytes } from 'node:crypto';
import { writeXml } from '../../cpim/xml.ts';
import { type Outgoing, SendWindow } from '../send-window.ts';
import { StreamPulse } from '../stream-pulse.ts';
import { TurnWrite } from '../turn-write.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { NS, plain } from './stream-elements.ts';

export type SenderLimits = {
  /** Stanzas, and bytes, that may wait for confirmation at once. */
  readonly window: number;
  readonly windowBytes: number;
};

/** Where text goes. */
export type SenderWire = {
  readonly bytesWaiting: number;
  write(text: string, flushed: () => void): void;
};

/** What a peer was found to do with pings, kept from stream to stream. */
export type PingHabit = { readonly answers: boolean; readonly isMute: boolean };

/** A burst has a question after so many stanzas, so that a slow server is seen to go on. */
const ASK_EVERY = 128;
/** Over this much unsent in the socket nothing more is given to it, bytes. */
const SOCKET_BYTES_MAX = 1_048_576;
/** An answer to a ping may need a stream of the peer's own to us: found by DNS, negotiated, proved. */
const MUTE_MS = 15_000;
const ASK = writeXml(plain('r', NS.sm));

/**
 * Writes stanzas to one stream and finds out which of them were taken: by acknowledgements where both sides have stream
 * management, else by a ping after them whose answer may come over any stream of the peer's.
 *
 * A stream that may be taken up again keeps its sender: `detach`, then `resume` on the new connection.
 */
export class StreamSender {
  readonly #window: SendWindow;
  readonly #pingText: (id: string) => string;
  readonly #run: string | undefined;
  readonly #onSpace: () => void;
  readonly #counted = new Acknowledgements();
  /** Written before the counters began, and so in none of them. */
  #uncounted = 0;
  /** Answers are counted by the far side too: how many left since the counters began, how many of them are taken, and the
   * places of the others among all that was counted. */
  #posted = 0;
  #postedTaken = 0;
  #postedAt: number[] = [];
  #pulse: StreamPulse;
  #isManaged = false;
  #asked = '';
  #wire: SenderWire | undefined;
  #answers: string[] = [];
  #answerBytes = 0;
  readonly #turn = new TurnWrite(() => this.#flush(false));

  /** @param pingText a ping stanza with this id, to the peer of the newest stanza; `onSpace`: answers have left, or all is
   * confirmed; `run`: this node among others, which its pings carry, because an answer may come to any of them */
  constructor(
    limits: SenderLimits,
    habit: PingHabit,
    pingText: (id: string) => string,
    onSpace: () => void,
    run?: string,
  ) {
    this.#window = new SendWindow({ stanzasMax: limits.window, bytesMax: limits.windowBytes });
    this.#pingText = pingText;
    this.#run = run;
    this.#onSpace = onSpace;
    this.#pulse = new StreamPulse(pingPrefix(this.#run), habit.answers, habit.isMute, MUTE_MS);
  }

  get unconfirmed(): number {
    return this.#window.unconfirmed + this.#window.waiting;
  }

  /** Written and not yet known to be taken. */
  get written(): number {
    return this.#window.unconfirmed;
  }

  /** Of answers that wait to be written. */
  get answerBytes(): number {
    return this.#answerBytes;
  }

  get habit(): PingHabit {
    return this.#isManaged
      ? { answers: false, isMute: false }
      : { answers: this.#pulse.answers, isMute: this.#pulse.isMute };
  }

  get isManaged(): boolean {
    return this.#isManaged;
  }

  /** The `h` of what came in. */
  get received(): number {
    return this.#counted.received;
  }

  /** What begins the ids of this stream's pings. */
  isPing(id: string): boolean {
    return this.#pulse.isOurs(id);
  }

  attach(wire: SenderWire): void {
    this.#wire = wire;
    this.flushSoon();
  }

  /** Acknowledgements are on, in both directions, from here. */
  manage(): void {
    this.#isManaged = true;
    this.#uncounted = this.#window.written;
    this.#pulse = new StreamPulse(pingPrefix(this.#run), true);
  }

  /** The stream is lost and may be taken up again. Answers that were not written are worth nothing any more. */
  detach(): void {
    this.#wire = undefined;
    this.#dropAnswers();
  }

  /** The lost stream goes on here; the far side says what it had taken. @returns false where that cannot be */
  resume(wire: SenderWire, taken: number): boolean {
    if (!this.acknowledged(taken)) return false;
    this.#window.rewind();
    this.#posted = this.#postedTaken;
    this.#postedAt = [];
    this.#asked = '';
    this.#pulse = new StreamPulse(pingPrefix(this.#run), true);
    this.attach(wire);
    return true;
  }

  send(outgoing: Outgoing): void {
    this.#window.add(outgoing);
    this.flushSoon();
  }

  /** Writes outside the window and unconfirmed. */
  post(text: string): void {
    this.#answers.push(text);
    this.#answerBytes += Buffer.byteLength(text);
    this.flushSoon();
  }

  count(): void {
    if (this.#isManaged) this.#counted.count();
  }

  /** The answer to a ping came, from whom it was sent to. */
  ponged(id: string): void {
    const confirmed = this.#pulse.answered(id);
    if (confirmed !== undefined && !this.#isManaged) this.#confirmed(confirmed);
  }

  /** @returns false where the far side says that it took more than there was */
  acknowledged(h: number): boolean {
    const taken = this.#counted.told(h, this.#writtenCounted());
    if (taken === undefined) return false;
    if (this.#asked !== '') this.#pulse.answered(this.#asked);
    this.#asked = '';
    while (this.#postedAt.length > 0 && (this.#postedAt[0] ?? 0) <= taken) {
      this.#postedAt.shift();
      this.#postedTaken += 1;
    }
    this.#confirmed(this.#uncounted + taken - this.#postedTaken);
    return true;
  }

  /** @returns why the stream is dead; whether its peer has just been found to answer no pings */
  passed(ms: number, isHolding: boolean): { readonly dead?: string; readonly mute?: true } {
    const { dead, mute, pingDue, confirmed } = this.#pulse.passed(ms, {
      holding: isHolding,
      bytesWaiting: this.#wire?.bytesWaiting ?? 0,
    });
    if (dead !== undefined) return { dead };
    if (confirmed !== undefined && !this.#isManaged) this.#confirmed(confirmed);
    if (pingDue === true) this.#flush(true);
    return mute === true ? { mute } : {};
  }

  /** Writes what may be written without waiting for the end of the turn: the stream is about to be closed. */
  flushNow(): void {
    this.#flush(false);
  }

  flushSoon(): void {
    this.#turn.soon();
  }

  /** The stream is over: nothing that waits was taken, as far as anybody knows. */
  rejectAll(error: Error): void {
    this.#wire = undefined;
    this.#dropAnswers();
    this.#window.rejectAll(error);
  }

  #confirmed(count: number): void {
    this.#window.confirm(count);
    if (this.#window.unconfirmed + this.#window.waiting > 0) this.flushSoon();
    else this.#onSpace();
  }

  #flush(askDue: boolean): void {
    const wire = this.#wire;
    if (wire === undefined) return;
    let text = '';
    if (wire.bytesWaiting < SOCKET_BYTES_MAX) {
      text = this.#takeAnswers();
      for (;;) {
        const before = this.#window.written;
        text += this.#window.take(ASK_EVERY);
        if (this.#window.written - before < ASK_EVERY) break;
        text += this.#ask();
      }
    }
    if (askDue || (!this.#pulse.pinging && this.#window.unconfirmed > 0)) text += this.#ask();
    if (text === '') return;
    const { written } = this.#window;
    const pulse = this.#pulse;
    wire.write(text, () => pulse.flushed(written));
  }

  #takeAnswers(): string {
    if (this.#answers.length === 0) return '';
    const text = this.#answers.join('');
    if (this.#isManaged) {
      const first = this.#writtenCounted() + 1;
      this.#postedAt.push(...this.#answers.map((_, n) => first + n));
      this.#posted += this.#answers.length;
    }
    this.#dropAnswers();
    this.#onSpace();
    return text;
  }

  #dropAnswers(): void {
    this.#answers = [];
    this.#answerBytes = 0;
  }

  #writtenCounted(): number {
    return this.#window.written - this.#uncounted + this.#posted;
  }

  #ask(): string {
    const id = this.#pulse.ping(this.#window.written);
    if (!this.#isManaged) return this.#pingText(id);
    this.#asked = id;
    return ASK;
  }
}

/** Unguessable, so that nobody else can confirm anything. */
function pingPrefix(run?: string): string {
  return `ping-${run === undefined ? '' : `${run}.`}${randomBytes(12).toString('base64url')}`;
}

/** The node that has sent the ping with this id; '' where it was the only one, undefined where this is no such id. */
export function runOfPing(id: string): string | undefined {
  const found = /^ping-(?:([\w-]{1,32})\.)?[\w-]+$/.exec(id);
  return found === null ? undefined : (found[1] ?? '');
}
