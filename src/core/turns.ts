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
    return this.runNow(key, action);
  }

  /** As `run`, but what needs no waiting makes none: returns and throws within the call what the action does then. */
  runNow<T>(key: string, action: () => Promise<T> | T): Promise<T> | T {
    const before = this.#last.get(key);
    const mine = before === undefined ? action() : before.then(action, action);
    if (!(mine instanceof Promise)) return mine;
    this.#last.set(key, mine);
    const ended = (): void => {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    };
    mine.then(ended, ended);
    return mine;
  }
}
