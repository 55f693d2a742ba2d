import type { LocalPresence } from './local-presence.ts';
import { DueList, LOOK_MS } from '../due-list.ts';
import { GatewayError } from '../errors.ts';
import type { Clock, Records } from '../ports.ts';
import type { Pair } from './subscription.ts';
import type { SubscriptionEvent } from './subscription-machine.ts';
import { SubscriptionTable, type PresenceRoute } from './subscription-table.ts';
import type { StoredSubscription, Watched, Watching } from './watched.ts';

export type SubscriptionRegisterDeps = {
  readonly records: Records<StoredSubscription>;
  readonly local: Pick<LocalPresence, 'watch' | 'unwatch'>;
  /** How long a watcher is kept for the owner to decide. */
  readonly waitingMs: number;
  readonly clock: Clock;
  /** The time of one is over. */
  readonly ended: (watching: Watching, event: SubscriptionEvent) => void;
};

/** The subscriptions in memory and in the store, and the one due list of their ends. */
export class SubscriptionRegister {
  readonly table = new SubscriptionTable();
  readonly #deps: SubscriptionRegisterDeps;
  readonly #due: DueList<Watching>;

  constructor(deps: SubscriptionRegisterDeps) {
    this.#deps = deps;
    this.#due = new DueList(deps.clock, LOOK_MS, (watching) => this.#looked(watching));
  }

  stop(): void {
    this.#due.stop();
  }

  /** Finds or makes whoever is watched; see to it that he is released where nobody comes to watch him. */
  watchedOf(pair: Pair, route: PresenceRoute): Watched {
    const { watched, isNew } = this.table.watchedOf(pair, route);
    if (isNew && watched.upstream === undefined) this.#deps.local.watch(watched.key);
    return watched;
  }

  release(watched: Watched): void {
    if (this.table.release(watched) && watched.upstream === undefined) this.#deps.local.unwatch(watched.key);
  }

  /** Takes a record of an earlier process into memory. */
  restore(record: StoredSubscription, route: PresenceRoute): Watching {
    const watching = this.table.add(record, this.watchedOf(record, route));
    watching.isStored = true;
    this.arm(watching);
    return watching;
  }

  /**
   * Makes a subscription durable. It is found in memory from the call on, so that nobody makes it twice.
   *
   * @param besides what must be stored with it
   * @throws GatewayError 'store-unavailable'; then nothing of it is left.
   */
  async store(watching: Watching, besides?: Promise<void>): Promise<void> {
    const { records } = this.#deps;
    const { record } = watching;
    try {
      await Promise.all([records.put(record.id, record), besides]);
    } catch (thrown) {
      this.remove(watching);
      throw GatewayError.of(thrown);
    }
    watching.isStored = true;
    this.arm(watching);
  }

  save(watching: Watching): Promise<void> {
    return this.#deps.records.put(watching.record.id, watching.record);
  }

  saveLater(watching: Watching): void {
    this.#deps.records.putLater(watching.record.id, watching.record);
  }

  /** Its watcher is gone; the rest is kept for the owner to decide. */
  keepWaiting(watching: Watching): void {
    this.table.unlink(watching);
    watching.record = withoutLease(watching.record);
    this.saveLater(watching);
    this.arm(watching);
  }

  remove(watching: Watching): void {
    if (!this.table.has(watching)) return;
    this.#deps.records.removeLater(watching.record.id);
    this.table.remove(watching);
    this.release(watching.watched);
  }

  /** One entry in the due list for each, however often it is put off. */
  arm(watching: Watching): void {
    const atMs = this.#endOf(watching);
    if (atMs === undefined || (watching.dueAtMs !== 0 && watching.dueAtMs <= atMs)) return;
    watching.dueAtMs = atMs;
    this.#due.add(atMs, watching);
  }

  #looked(watching: Watching): void {
    if (!this.table.has(watching)) return;
    watching.dueAtMs = 0;
    const endsAtMs = this.#endOf(watching);
    if (endsAtMs === undefined) return;
    if (endsAtMs > this.#deps.clock.nowMs()) this.arm(watching);
    else this.#deps.ended(watching, { type: watching.record.state.at === 'waiting' ? 'gave-up' : 'expired' });
  }

  #endOf({ record: { state, subscribedAtMs } }: Watching): number | undefined {
    if (state.at === 'waiting') return subscribedAtMs + this.#deps.waitingMs;
    return state.at === 'terminated' ? undefined : state.expiresAtMs;
  }
}

function withoutLease(record: StoredSubscription): StoredSubscription {
  const { lease, ...rest } = record;
  return lease === undefined ? record : rest;
}
