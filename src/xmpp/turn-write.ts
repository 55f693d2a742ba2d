/** Everything given in one turn of the event loop leaves in one write. */
export class TurnWrite {
  readonly #write: () => void;
  #isDue = false;

  constructor(write: () => void) {
    this.#write = write;
  }

  soon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#write();
    });
  }
}
