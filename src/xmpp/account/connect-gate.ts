/** Lets so many begin at once and the rest wait for their turn, in order: a service is not stormed after an outage. */
export class ConnectGate {
  readonly #atOnce: number;
  #open = 0;
  #waiting: Array<{ begin: () => void }> = [];

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /**
   * Calls `begin` when there is room, at once where there is; `leave` must follow once.
   *
   * @returns gives the place in the queue up; false where it has begun
   */
  enter(begin: () => void): () => boolean {
    if (this.#open < this.#atOnce) {
      this.#open += 1;
      begin();
      return () => false;
    }
    const waiting = { begin };
    this.#waiting.push(waiting);
    return () => {
      const at = this.#waiting.indexOf(waiting);
      if (at >= 0) this.#waiting.splice(at, 1);
      return at >= 0;
    };
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#open -= 1;
    else next.begin();
  }
}
