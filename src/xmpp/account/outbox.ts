/** A stanza on its way out over an account. */
export type Outgoing = {
  readonly text: string;
  readonly bytes: number;
  /** Whom to tell; absent for what is worth nothing once the session is gone. */
  readonly taken?: () => void;
  readonly lost?: (error: Error) => void;
};

const COUNT_END = 2 ** 32;

/**
 * What was given to one session and is not yet known to be taken, in order. Every stanza that was written is kept until
 * the service has counted it, so that a session that goes on after a break goes on with the first that was missed
 * (XEP-0198, section 5).
 */
export class Outbox {
  readonly #stanzasMax: number;
  readonly #bytesMax: number;
  /** Written and not acknowledged, oldest first. */
  #written: Outgoing[] = [];
  #waiting: Outgoing[] = [];
  /** How many of `#written` somebody waits for, and the bytes of all of them. */
  #unconfirmed = 0;
  #bytes = 0;
  /** How many were ever written and acknowledged in this session. */
  #acknowledged = 0;

  constructor(bounds: { readonly stanzasMax: number; readonly bytesMax: number }) {
    this.#stanzasMax = bounds.stanzasMax;
    this.#bytesMax = bounds.bytesMax;
  }

  /** Those that somebody waits for, written and not acknowledged. */
  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** All of the session, answers included. */
  get written(): number {
    return this.#acknowledged + this.#written.length;
  }

  get isAcknowledged(): boolean {
    return this.#written.length === 0;
  }

  /** In order, when there is room for it. */
  add(outgoing: Outgoing): void {
    this.#waiting.push(outgoing);
  }

  /** Written at once, outside all bounds. */
  wrote(outgoing: Outgoing): void {
    this.#written.push(outgoing);
    this.#bytes += outgoing.bytes;
    if (outgoing.taken !== undefined) this.#unconfirmed += 1;
  }

  /** Text of what may be written now, at most `max` stanzas, which then count as written; empty when there is none. */
  take(max: number): { readonly text: string; readonly count: number } {
    let text = '';
    let count = 0;
    while (count < max && count < this.#waiting.length && this.#unconfirmed < this.#stanzasMax) {
      const outgoing = this.#waiting[count];
      if (outgoing === undefined) break;
      if (this.#unconfirmed > 0 && this.#bytes + outgoing.bytes > this.#bytesMax) break;
      text += outgoing.text;
      this.wrote(outgoing);
      count += 1;
    }
    if (count > 0) this.#waiting = this.#waiting.slice(count);
    return { text, count };
  }

  /**
   * The far side has handled so many stanzas of the session, counted modulo 2^32 (XEP-0198, section 4).
   *
   * @returns false where that is more than were written: the two do not speak of the same session
   */
  acknowledge(count: number): boolean {
    const more = (((count - this.#acknowledged) % COUNT_END) + COUNT_END) % COUNT_END;
    if (more > this.#written.length) return more > COUNT_END / 2;
    const taken = this.#written.splice(0, more);
    this.#acknowledged += more;
    for (const { bytes, taken: isWaited } of taken) {
      this.#bytes -= bytes;
      if (isWaited !== undefined) this.#unconfirmed -= 1;
    }
    for (const outgoing of taken) outgoing.taken?.();
    return true;
  }

  /** What must be written again in the same session. */
  missed(): string {
    return this.#written.map(({ text }) => text).join('');
  }

  /** A new session begins, or none: tells everybody in order, and is empty before the first of them hears of it. */
  rejectAll(error: Error): void {
    const rest = [...this.#written, ...this.#waiting];
    this.#written = [];
    this.#waiting = [];
    this.#unconfirmed = 0;
    this.#bytes = 0;
    this.#acknowledged = 0;
    for (const outgoing of rest) outgoing.lost?.(error);
  }
}

/**
 * The stanzas that came in within one session, and how many of them have been handled: what the service is told, so that
 * it gives up none before it is in our store. They may be done in another order than they came.
 */
export class InboundCount {
  #received = 0;
  #handled = 0;
  readonly #done = new Set<number>();

  get received(): number {
    return this.#received;
  }

  /** The first so many are handled, modulo 2^32. */
  get handled(): number {
    return this.#handled % COUNT_END;
  }

  get isSettled(): boolean {
    return this.#handled === this.#received;
  }

  /** @returns its number, for `done` */
  begin(): number {
    this.#received += 1;
    return this.#received;
  }

  done(number: number): void {
    this.#done.add(number);
    while (this.#done.delete(this.#handled + 1)) this.#handled += 1;
  }
}
