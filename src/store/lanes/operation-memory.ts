import type { LiveEntry } from './lane.ts';

/**
 * How much of the operations is kept in memory. Over the budget, an operation whose turn is not now is forgotten and
 * read from the medium when it is; what is needed now is never refused.
 */
export class OperationMemory {
  readonly #max: number;
  #size = 0;

  /** @param max in characters of the operations' text, which is about half of what they take in memory */
  constructor(max: number) {
    this.#max = max;
  }

  count(entry: LiveEntry): void {
    if (entry.operation !== undefined) this.#size += entry.size;
  }

  forget(entry: LiveEntry): void {
    if (entry.operation === undefined) return;
    entry.operation = undefined;
    this.#size -= entry.size;
  }

  forgetIfMany(entry: LiveEntry): void {
    if (this.#size > this.#max) this.forget(entry);
  }
}
