import { GatewayError } from '../core/errors.ts';
import type { HopId, QueueBounds } from '../core/ports.ts';

/** What a sender is told to wait when there is no room. */
const RETRY_AFTER_SECONDS = 60;

/** Counts entries in total, per hop and per owner, and says no when there would be too many. */
export class QueueCounts {
  readonly #bounds: QueueBounds;
  readonly #perHop = new Map<HopId, number>();
  readonly #perOwner = new Map<string, number>();
  #total = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  /** @throws GatewayError 'queue-full', naming the bound, and then counts nothing */
  take(hop: HopId, owner: string): void {
    const ofHop = this.#perHop.get(hop) ?? 0;
    const ofOwner = this.#perOwner.get(owner) ?? 0;
    if (this.#total >= this.#bounds.total) throw full('in total', this.#bounds.total);
    if (ofHop >= this.#bounds.perHop) throw full(`for ${hop}`, this.#bounds.perHop);
    if (ofOwner >= this.#bounds.perOwner) throw full(`of ${owner}`, this.#bounds.perOwner);
    this.count(hop, owner);
  }

  /** Counts one that is there already, whatever the bounds say. */
  count(hop: HopId, owner: string): void {
    this.#total += 1;
    this.#perHop.set(hop, (this.#perHop.get(hop) ?? 0) + 1);
    this.#perOwner.set(owner, (this.#perOwner.get(owner) ?? 0) + 1);
  }

  giveBack(hop: HopId, owner: string): void {
    this.#total -= 1;
    lessOne(this.#perHop, hop);
    lessOne(this.#perOwner, owner);
  }

  perHop(): Record<string, number> {
    return Object.fromEntries(this.#perHop);
  }
}

function lessOne<K>(counts: Map<K, number>, key: K): void {
  const left = (counts.get(key) ?? 0) - 1;
  if (left > 0) counts.set(key, left);
  else counts.delete(key);
}

function full(what: string, max: number): GatewayError {
  return new GatewayError('queue-full', `the queue holds ${max} entries ${what}`, {
    details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
  });
}
