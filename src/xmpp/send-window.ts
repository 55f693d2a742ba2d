/** A stanza on its way out: its text, and whom to tell. */
export type Outgoing = {
  readonly text: string;
  readonly bytes: number;
  readonly taken: () => void;
  readonly lost: (error: Error) => void;
};

/**
 * What was given to one stream and is not yet known to be taken, in order: first the written ones, at most
 * `stanzasMax` and `bytesMax` of them, then those that wait for room. A stanza larger than `bytesMax` goes alone.
 */
export class SendWindow {
  readonly #stanzasMax: number;
  readonly #bytesMax: number;
  #entries: Outgoing[] = [];
  /** Index of the first written one, and of the first that waits. */
  #first = 0;
  #next = 0;
  #bytes = 0;
  #written = 0;

  constructor(bounds: { readonly stanzasMax: number; readonly bytesMax: number }) {
    this.#stanzasMax = bounds.stanzasMax;
    this.#bytesMax = bounds.bytesMax;
  }

  get unconfirmed(): number {
    return this.#next - this.#first;
  }

  get waiting(): number {
    return this.#entries.length - this.#next;
  }

  /** How many were ever written; what `confirm` counts in. */
  get written(): number {
    return this.#written;
  }

  add(outgoing: Outgoing): void {
    this.#entries.push(outgoing);
  }

  /** Text of what may be written now, at most `max` stanzas, which then count as written; empty when there is none. */
  take(max: number): string {
    let text = '';
    for (let taken = 0; taken < max && this.unconfirmed < this.#stanzasMax; taken += 1) {
      const outgoing = this.#entries[this.#next];
      if (outgoing === undefined) break;
      if (this.unconfirmed > 0 && this.#bytes + outgoing.bytes > this.#bytesMax) break;
      text += outgoing.text;
      this.#bytes += outgoing.bytes;
      this.#next += 1;
      this.#written += 1;
    }
    return text;
  }

  /** The first `count` ever written are taken. */
  confirm(count: number): void {
    const confirmed = this.#written - this.unconfirmed;
    const until = this.#first + Math.min(count, this.#written) - confirmed;
    while (this.#first < until) {
      const outgoing = this.#entries[this.#first];
      if (outgoing === undefined) break;
      this.#first += 1;
      this.#bytes -= outgoing.bytes;
      outgoing.taken();
    }
    // Confirmed stanzas are let go soon: they may be large.
    if (this.#first === this.#entries.length || (this.#first > 64 && this.#first * 2 > this.#entries.length)) {
      this.#entries = this.#entries.slice(this.#first);
      this.#next -= this.#first;
      this.#first = 0;
    }
  }

  /** What is written and not confirmed is to be written once more, on the stream that goes on for a lost one. */
  rewind(): void {
    this.#written -= this.unconfirmed;
    this.#next = this.#first;
    this.#bytes = 0;
  }

  /** Tells everybody in order, and is empty before the first of them hears of it. */
  rejectAll(error: Error): void {
    const rest = this.#entries.slice(this.#first);
    this.#entries = [];
    this.#first = 0;
    this.#next = 0;
    this.#bytes = 0;
    for (const outgoing of rest) outgoing.lost(error);
  }
}
