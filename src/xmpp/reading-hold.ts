export type ReadingBounds = { readonly inboundMax: number; readonly answersMax: number };

/** Whether a stream is to be read from: not while too much is under way, and again when enough of it is done. */
export class ReadingHold {
  readonly #bounds: ReadingBounds;
  #isHolding = false;

  constructor(bounds: ReadingBounds) {
    this.#bounds = bounds;
  }

  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** A new stream is read from. */
  forget(): void {
    this.#isHolding = false;
  }

  /** @param inbound stanzas that came in and are under way @param answers what waits to be written */
  look(inbound: number, answers: number, stream: { pause(): void; resume(): void } | undefined): void {
    const { inboundMax, answersMax } = this.#bounds;
    if (!this.#isHolding && (inbound > inboundMax || answers > answersMax)) {
      this.#isHolding = true;
      stream?.pause();
    } else if (this.#isHolding && inbound <= inboundMax / 2 && answers <= answersMax / 2) {
      this.#isHolding = false;
      stream?.resume();
    }
  }
}
