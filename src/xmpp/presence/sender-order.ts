/** Does things one after another for each sender, and side by side for different ones. */
export class SenderOrder {
  readonly #last = new Map<string, Promise<void>>();

  /**
   * Runs `action` when what came before from this sender has settled; at once where nothing is under way, so that what
   * needs no waiting makes none.
   */
  run(sender: string, action: () => Promise<void> | void): Promise<void> | void {
    const before = this.#last.get(sender);
    if (before === undefined) {
      const done = action();
      if (done !== undefined) this.#keep(sender, done);
      return done;
    }
    const done = before.then(action);
    this.#keep(sender, done);
    return done;
  }

  #keep(sender: string, done: Promise<void>): void {
    // What failed is told to whoever waits for it; the next one goes on all the same.
    const settled = done.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(sender, settled);
    void settled.then(() => {
      if (this.#last.get(sender) === settled) this.#last.delete(sender);
    });
  }
}
