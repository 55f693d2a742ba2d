import { GatewayError } from './errors.ts';
import type { Clock } from './ports.ts';
import { RecentMap } from './recent-map.ts';

export type Rate = {
  /** In the long run. */
  readonly perSecond: number;
  /** At once after a rest. */
  readonly burst: number;
};

type Bucket = { tokens: number; atMs: number };

const BUCKETS_MAX = 50_000;

/**
 * A token bucket per key. The table is bounded: a bucket that is full again is forgotten, which is no change, and over
 * the bound those that were used longest ago.
 */
export class RateTable {
  readonly #rate: Rate;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #buckets: RecentMap<Bucket>;

  constructor(rate: Rate, clock: Pick<Clock, 'nowMs'>, max = BUCKETS_MAX) {
    this.#rate = rate;
    this.#clock = clock;
    this.#buckets = new RecentMap({ keepMs: Math.ceil((rate.burst / rate.perSecond) * 1_000) + 1, max });
  }

  /** Takes one token. @throws GatewayError 'rate-exceeded' with `retryAfterSeconds` when there is none. */
  take(key: string): void {
    const { perSecond, burst } = this.#rate;
    const nowMs = this.#clock.nowMs();
    const bucket = this.#buckets.get(key, nowMs) ?? { tokens: burst, atMs: nowMs };
    this.#buckets.set(key, bucket, nowMs);
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
}
