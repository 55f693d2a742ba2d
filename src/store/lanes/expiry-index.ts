import type { LiveEntry } from './lane.ts';

/** Finer than the minute that the queue promises, coarse enough that a week is a few ten thousand buckets. */
const BUCKET_MS = 15_000;

/** Finds entries whose lifetime is over, in time proportional to their number: buckets of 15 s. */
export class ExpiryIndex {
  readonly #buckets = new Map<number, Set<LiveEntry>>();
  /** Buckets up to this one have been emptied; nothing is put there any more. */
  #emptied: number;

  constructor(nowMs: number) {
    this.#emptied = Math.floor(nowMs / BUCKET_MS) - 1;
  }

  /** Also for one that was taken and is still there: it comes again with the next take. */
  add(entry: LiveEntry): void {
    if (entry.bucket !== -1) this.remove(entry);
    // Rounded up: an entry is not handed out before its time.
    const bucket = Math.max(Math.ceil(entry.expiresAtMs / BUCKET_MS), this.#emptied + 1);
    let entries = this.#buckets.get(bucket);
    if (entries === undefined) this.#buckets.set(bucket, (entries = new Set()));
    entries.add(entry);
    entry.bucket = bucket;
  }

  remove(entry: LiveEntry): void {
    const entries = this.#buckets.get(entry.bucket);
    if (entries?.delete(entry) === true && entries.size === 0) this.#buckets.delete(entry.bucket);
    entry.bucket = -1;
  }

  /** Takes out all whose lifetime is over. */
  take(nowMs: number): LiveEntry[] {
    const until = Math.floor(nowMs / BUCKET_MS);
    const taken: LiveEntry[] = [];
    if (until <= this.#emptied) return taken;
    // After a jump of the clock there may be more buckets between than exist.
    const numbers =
      until - this.#emptied > this.#buckets.size
        ? [...this.#buckets.keys()].filter((bucket) => bucket <= until).sort((a, b) => a - b)
        : Array.from({ length: until - this.#emptied }, (_, n) => this.#emptied + 1 + n);
    for (const number of numbers) {
      for (const entry of this.#buckets.get(number) ?? []) {
        entry.bucket = -1;
        taken.push(entry);
      }
      this.#buckets.delete(number);
    }
    this.#emptied = until;
    return taken;
  }
}
