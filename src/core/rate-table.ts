import { GatewayError } from './errors.ts';
import type { Clock } from './ports.ts';

export type Rate = {
  /** In the long run. */
  readonly perSecond: number;
  /** At once after a rest. */
  readonly burst: number;
};

type Bucket = { tokens: number; atMs: number };

const BUCKETS_MAX = 50_000;

/**
 * A token bucket per key. The table is bounded: over the bound the key that was made first is forgotten, which for a
 * key that has rested is no change.
 */
export class RateTable {
  readonly #rate: Rate;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #max: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: Rate, clock: Pick<Clock, 'nowMs'>, max = BUCKETS_MAX) {
    this.#rate = rate;
    this.#clock = clock;
    this.#max = max;
  }

  /** Takes one token. @throws GatewayError 'rate-exceeded' with `retryAfterSeconds` when there is none. */
  take(key: string): void {
    const { perSecond, burst } = this.#rate;
    const nowMs = this.#clock.nowMs();
    const bucket = this.#buckets.get(key) ?? this.#add(key, nowMs);
    // A wall clock that jumped back gives nothing and takes nothing.
    const restedMs = Math.max(0, nowMs - bucket.atMs);
    bucket.tokens = Math.min(burst, bucket.tokens + (restedMs * perSecond) / 1_000);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) {
      const retryAfterSeconds = Math.max(1, Math.ceil((1 - bucket.tokens) / perSecond));
      throw new GatewayError('rate-exceeded', 'too many in too short a time', { details: { retryAfterSeconds } });
    }
    bucket.tokens -= 1;
  }

  get size(): number {
    return this.#buckets.size;
  }

  #add(key: string, nowMs: number): Bucket {
    const bucket = { tokens: this.#rate.burst, atMs: nowMs };
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#max) {
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    }
    return bucket;
  }
}
