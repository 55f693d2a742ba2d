/** Lets a bounded number through at once; the others wait in the order they came. */
export class Turnstile {
  readonly #max: number;
  #inside = 0;
  #waiting: Array<() => void> = [];
  /** Where in `#waiting` the one stands who waits longest: taking from the front of a long array costs its length. */
  #first = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Enters at once where there is room. @returns undefined then, else a promise that resolves inside. */
  enter(): Promise<void> | undefined {
    if (this.#inside < this.#max) {
      this.#inside += 1;
      return undefined;
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Gives the place to the one who waits longest. */
  leave(): void {
    const next = this.#waiting[this.#first];
    if (next === undefined) {
      this.#inside -= 1;
      return;
    }
    this.#first += 1;
    if (this.#first === this.#waiting.length || this.#first > 10_000) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    next();
  }
}
