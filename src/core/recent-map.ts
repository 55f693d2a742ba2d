type Kept<V> = { readonly atMs: number; readonly value: V };

/**
 * A map that forgets: what is older than `keepMs`, and the older half when it holds `max` entries.
 *
 * Two maps, of which the older is dropped as a whole: taking single entries from the front of one large Map costs a
 * walk over everything that was taken from it before.
 */
export class RecentMap<V> {
  readonly #keepMs: number;
  readonly #halfMax: number;
  #young = new Map<string, Kept<V>>();
  #old = new Map<string, Kept<V>>();
  #youngSinceMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly keepMs: number; readonly max: number }) {
    this.#keepMs = options.keepMs;
    this.#halfMax = Math.max(1, Math.floor(options.max / 2));
  }

  /** At most `max`, which is 2 or more. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  set(key: string, value: V, nowMs: number): void {
    // A clock that jumped back must not make a generation eternal.
    const isAged = Math.abs(nowMs - this.#youngSinceMs) >= this.#keepMs;
    if (isAged || this.#young.size >= this.#halfMax) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngSinceMs = nowMs;
    }
    this.#old.delete(key);
    this.#young.set(key, { atMs: nowMs, value });
  }

  get(key: string, nowMs: number): V | undefined {
    const kept = this.#young.get(key) ?? this.#old.get(key);
    return kept === undefined || nowMs - kept.atMs >= this.#keepMs ? undefined : kept.value;
  }

  delete(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }
}
