/** Lets what is done about one thing be done one after the other, in the order of the calls; others go on beside it. */
export class Turns {
  /** The last one of each key: the next starts when it has ended. */
  readonly #last = new Map<string, Promise<unknown>>();

  /**
   * Runs `action` when those before it with the same key have ended, however they ended; at once, within the call,
   * where there is none.
   *
   * @returns as the action does, and rejects as it does
   */
  async run<T>(key: string, action: () => Promise<T> | T): Promise<T> {
    const before = this.#last.get(key);
    const mine = before === undefined ? action() : before.then(action, action);
    // Done already: nobody needs to wait for it.
    if (!(mine instanceof Promise)) return mine;
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
