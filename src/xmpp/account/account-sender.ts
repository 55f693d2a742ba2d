import { randomBytes } from 'node:crypto';
import { StreamPulse } from '../stream-pulse.ts';
import { TurnWrite } from '../turn-write.ts';
import { Outbox, type Outgoing } from './outbox.ts';

/** Where text goes: the stream of an account that is up. */
export type AccountWire = {
  readonly bytesWaiting: number;
  write(text: string, flushed: () => void): void;
};

export type AccountSenderOptions = {
  /** Stanzas, and bytes, that may wait for confirmation at once. */
  readonly window: number;
  readonly windowBytes: number;
  /** A ping stanza with this id, to the service. */
  readonly pingText: (id: string) => string;
  /** Asks the service what it has counted (XEP-0198, section 4). */
  readonly askText: string;
  /** Something was written or confirmed. */
  readonly onMoved: () => void;
};

/** A burst has a request for acknowledgement after so many stanzas. */
const ASK_EVERY = 64;
const SOCKET_BYTES_MAX = 262_144;

/**
 * Writes stanzas to the streams of one account and finds out which of them the service has taken: by its count of them
 * (XEP-0198), else by a ping after them.
 *
 * What was written outlives its stream for as long as the session does: `attach` to the next one writes what was missed.
 */
export class AccountSender {
  readonly #options: AccountSenderOptions;
  readonly #outbox: Outbox;
  readonly #turn = new TurnWrite(() => this.#flush(false));
  #wire: AccountWire | undefined;
  #isCounted = false;
  #pulse = new StreamPulse('', true);
  #lastAsk = '';
  #answers: Outgoing[] = [];
  #answerBytes = 0;

  constructor(options: AccountSenderOptions) {
    this.#options = options;
    this.#outbox = new Outbox({ stanzasMax: options.window, bytesMax: options.windowBytes });
  }

  /** Those that somebody waits for, written and not confirmed. */
  get unconfirmed(): number {
    return this.#outbox.unconfirmed;
  }

  /** Of answers that wait to be written. */
  get answerBytes(): number {
    return this.#answerBytes;
  }

  /** Whether the service counts stanzas. */
  get isCounted(): boolean {
    return this.#isCounted;
  }

  /** Whether anything has still to be written or confirmed. */
  get owes(): boolean {
    return this.#outbox.unconfirmed + this.#outbox.waiting > 0 || this.#answers.length > 0;
  }

  /** A session begins, with nothing of the one before. */
  begin(isCounted: boolean): void {
    this.#isCounted = isCounted;
  }

  /** There is a stream for the session: what was missed is written again. */
  attach(wire: AccountWire): void {
    this.#wire = wire;
    this.#pulse = new StreamPulse(`ping-${randomBytes(12).toString('base64url')}`, true);
    const missed = this.#outbox.missed();
    if (missed !== '') this.#write(wire, missed);
    this.#flush(missed !== '');
  }

  /** The stream is gone, and the session may go on. Answers that were not written are worth nothing any more. */
  detach(): void {
    this.#wire = undefined;
    this.#answers = [];
    this.#answerBytes = 0;
  }

  send(outgoing: Outgoing): void {
    this.#outbox.add(outgoing);
    this.#turn.soon();
  }

  /** Writes before all that waits, outside the window. */
  post(answer: Outgoing): void {
    this.#answers.push(answer);
    this.#answerBytes += answer.bytes;
    this.#turn.soon();
  }

  /** Whether this is the id of a ping of the stream. */
  isPing(id: string): boolean {
    return this.#pulse.isOurs(id);
  }

  /** The answer to a ping came, from whom it was sent to. @returns false as `acknowledged` */
  ponged(id: string): boolean {
    const handled = this.#pulse.answered(id);
    return handled === undefined || this.#confirm(handled);
  }

  /** @returns false where the service says that it has counted more than there was */
  acknowledged(handled: number): boolean {
    if (!this.#isCounted) return true;
    this.#pulse.answered(this.#lastAsk);
    return this.#confirm(handled);
  }

  /** The session goes on, or is over, and the service had counted so many of it. @returns false as `acknowledged` */
  counted(handled: number): boolean {
    return this.#outbox.acknowledge(handled);
  }

  /** @returns why the stream is dead */
  passed(ms: number, isHolding: boolean): string | undefined {
    const bytesWaiting = this.#wire?.bytesWaiting ?? 0;
    const { dead, pingDue } = this.#pulse.passed(ms, { holding: isHolding, bytesWaiting });
    if (dead === undefined && pingDue === true) this.#flush(true);
    return dead;
  }

  flushNow(): void {
    this.#flush(false);
  }

  flushSoon(): void {
    this.#turn.soon();
  }

  /** The session is over: nothing that waits was taken, as far as anybody knows. */
  rejectAll(error: Error): void {
    this.detach();
    this.#outbox.rejectAll(error);
  }

  #confirm(handled: number): boolean {
    if (!this.#outbox.acknowledge(handled)) return false;
    if (this.#outbox.unconfirmed + this.#outbox.waiting > 0) this.#turn.soon();
    this.#options.onMoved();
    return true;
  }

  #flush(askDue: boolean): void {
    const wire = this.#wire;
    if (wire === undefined) return;
    let text = '';
    if (wire.bytesWaiting < SOCKET_BYTES_MAX) {
      text = this.#takeAnswers();
      for (;;) {
        const taken = this.#outbox.take(ASK_EVERY);
        text += taken.text;
        if (taken.count < ASK_EVERY) break;
        text += this.#ask();
      }
    }
    if (askDue || (!this.#pulse.pinging && !this.#outbox.isAcknowledged)) text += this.#ask();
    if (text === '') return;
    this.#write(wire, text);
    this.#options.onMoved();
  }

  #takeAnswers(): string {
    let text = '';
    for (const answer of this.#answers.splice(0)) {
      text += answer.text;
      this.#outbox.wrote(answer);
    }
    this.#answerBytes = 0;
    return text;
  }

  #write(wire: AccountWire, text: string): void {
    const { written } = this.#outbox;
    const pulse = this.#pulse;
    wire.write(text, () => pulse.flushed(written));
  }

  #ask(): string {
    const id = this.#pulse.ping(this.#outbox.written);
    this.#lastAsk = id;
    return this.#isCounted ? this.#options.askText : this.#options.pingText(id);
  }
}
