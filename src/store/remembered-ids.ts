/** Ids as the queue remembers them: 64 bits of a hash under a secret seed. */
export type IdHash = { readonly high: number; readonly low: number };

/** Generations a remembered time is divided into: an id is remembered for between 4/4 and 5/4 of that time. */
const GENERATIONS = 4;
const FIRST_CAPACITY = 1_024;

/**
 * Ids that left the queue a short while ago, so that a repeated request is recognised.
 *
 * At 6,000 messages per second and 15 minutes these are millions: each takes 8 bytes of a table, and time drops them by
 * the generation. Two of ten million ids share a hash with a chance of about one in 400,000, and nobody can look for
 * such a pair without the seed. Over `max` the oldest generation goes early.
 */
export class RememberedIds {
  readonly #seedHigh: number;
  readonly #seedLow: number;
  readonly #spanMs: number;
  readonly #maxPerGeneration: number;
  #generations: Array<{ readonly startMs: number; readonly hashes: HashTable }> = [];

  /** @param seed two random numbers of 32 bits, the same as long as stored hashes are to be understood */
  constructor(seed: readonly [number, number], rememberSeconds: number, max: number) {
    [this.#seedHigh, this.#seedLow] = seed;
    this.#spanMs = Math.max(1, Math.ceil((rememberSeconds * 1_000) / GENERATIONS));
    this.#maxPerGeneration = Math.max(1, Math.floor(max / (GENERATIONS + 1)));
  }

  hash(id: string): IdHash {
    // Two multiply-and-xor hashes over the same pass, finished as in MurmurHash3.
    let high = this.#seedHigh ^ id.length;
    let low = this.#seedLow ^ id.length;
    for (let at = 0; at < id.length; at += 1) {
      const unit = id.charCodeAt(at);
      high = Math.imul(high ^ unit, 0x9e3779b1);
      low = Math.imul(low ^ unit, 0x5f356495);
      high ^= low >>> 15;
    }
    return { high: finished(high ^ (low >>> 3)), low: finished(low ^ (high >>> 7)) };
  }

  add(hash: IdHash, nowMs: number): void {
    this.#newest(nowMs).add(hash.high, hash.low);
  }

  has(hash: IdHash, nowMs: number): boolean {
    for (const { startMs, hashes } of this.#generations) {
      if (this.#isOver(startMs, nowMs)) continue;
      if (hashes.has(hash.high, hash.low)) return true;
    }
    return false;
  }

  #newest(nowMs: number): HashTable {
    const last = this.#generations[this.#generations.length - 1];
    const isFull = last !== undefined && last.hashes.size >= this.#maxPerGeneration;
    // Also when the wall clock went back: times within one generation must not be older than its start.
    if (last !== undefined && !isFull && nowMs >= last.startMs && nowMs - last.startMs < this.#spanMs) {
      return last.hashes;
    }
    const hashes = new HashTable();
    this.#generations.push({ startMs: nowMs, hashes });
    this.#generations = this.#generations
      .filter(({ startMs }) => !this.#isOver(startMs, nowMs))
      .slice(-(GENERATIONS + 1));
    return hashes;
  }

  #isOver(startMs: number, nowMs: number): boolean {
    return nowMs - startMs >= this.#spanMs * (GENERATIONS + 1);
  }
}

/** A set of pairs of 32-bit numbers, open addressing, 8 bytes each at a load of at most two thirds. */
class HashTable {
  size = 0;
  #slots = new Uint32Array(FIRST_CAPACITY * 2);
  #capacity = FIRST_CAPACITY;

  has(high: number, low: number): boolean {
    const at = this.#find(high, low || 1);
    return this.#slots[at + 1] !== 0;
  }

  add(high: number, low: number): void {
    if ((this.size + 1) * 3 > this.#capacity * 2) this.#grow();
    // 0 marks a free slot; the one hash in 2^32 that ends in 0 shares with the one that ends in 1.
    const at = this.#find(high, low || 1);
    if (this.#slots[at + 1] !== 0) return;
    this.#slots[at] = high;
    this.#slots[at + 1] = low || 1;
    this.size += 1;
  }

  /** Index of the pair, or of the free slot where it belongs. */
  #find(high: number, low: number): number {
    const mask = this.#capacity - 1;
    for (let slot = (high ^ low) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * 2;
      const found = this.#slots[at + 1];
      if (found === 0 || (found === low && this.#slots[at] === high)) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#capacity *= 2;
    this.#slots = new Uint32Array(this.#capacity * 2);
    for (let at = 0; at < old.length; at += 2) {
      const low = old[at + 1] ?? 0;
      if (low === 0) continue;
      const free = this.#find(old[at] ?? 0, low);
      this.#slots[free] = old[at] ?? 0;
      this.#slots[free + 1] = low;
    }
  }
}

/** The finishing steps of MurmurHash3: every bit of the input moves every bit of the result. Unsigned. */
function finished(bits: number): number {
  let mixed = bits;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
