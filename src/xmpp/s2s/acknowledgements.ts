/** Counters of stream management wrap here (XEP-0198, section 4). */
const WRAP = 2 ** 32;

/**
 * What both sides have taken on one stream, in the counters of XEP-0198. They begin when stream management is turned on,
 * and go on where a lost stream is taken up again.
 */
export class Acknowledgements {
  #received = 0;
  /** Stanzas of ours that the far side has said it took; does not wrap. */
  #taken = 0;

  /** The `h` that we tell: stanzas taken from the far side. */
  get received(): number {
    return this.#received % WRAP;
  }

  /** A stanza came in and is ours to deal with. */
  count(): void {
    this.#received += 1;
  }

  /**
   * The far side has told its `h`.
   *
   * @param written stanzas ever written since the counters began
   * @returns how many of them are taken, from the beginning; undefined where it says that it took more than there were
   */
  told(h: number, written: number): number | undefined {
    const more = (h - (this.#taken % WRAP) + WRAP) % WRAP;
    if (this.#taken + more > written) return undefined;
    this.#taken += more;
    return this.#taken;
  }
}
