import { addressKey, type Address } from '../../cpim/address.ts';
import { pairKey, type Lease, type Pair, type UpstreamRoute } from './subscription.ts';
import { Watched, Watching, type StoredSubscription } from './watched.ts';

/** How somebody's presence is had: `local` is kept here. */
export type PresenceRoute = { readonly kind: 'local' } | UpstreamRoute;

/** The subscriptions in memory, found by id, by whom they watch, and by whose they are. */
export class SubscriptionTable {
  readonly #byId = new Map<string, Watching>();
  /** Users of ours by address key, pairs with a presentity elsewhere by pair key. */
  readonly #watched = new Map<string, Watched>();
  readonly #onLinks = new Map<string, Watching>();
  readonly #perWatcher = new Map<string, number>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): Watching | undefined {
    return this.#byId.get(id);
  }

  /** Whether it is still there: it may have ended while something was waited for. */
  has(watching: Watching): boolean {
    return this.#byId.get(watching.record.id) === watching;
  }

  onLink(via: Lease['via'], pair: Pair): Watching | undefined {
    return this.#onLinks.get(linkKey(via, pair));
  }

  countOf(watcher: Address): number {
    return this.#perWatcher.get(addressKey(watcher)) ?? 0;
  }

  /** By address key for a user of ours, by pair key for a presentity elsewhere. */
  watched(key: string): Watched | undefined {
    return this.#watched.get(key);
  }

  all(): Iterable<Watched> {
    return this.#watched.values();
  }

  /** Finds or makes whoever is watched; `isNew` says which. */
  watchedOf(
    { watcher, presentity }: Pair,
    route: PresenceRoute,
  ): { readonly watched: Watched; readonly isNew: boolean } {
    const isLocal = route.kind === 'local';
    const key = isLocal ? addressKey(presentity) : pairKey({ watcher, presentity });
    const known = this.#watched.get(key);
    if (known !== undefined) return { watched: known, isNew: false };
    const watched = new Watched(key, presentity, isLocal ? undefined : { pair: { watcher, presentity }, route });
    this.#watched.set(key, watched);
    return { watched, isNew: true };
  }

  add(record: StoredSubscription, watched: Watched): Watching {
    const watching = new Watching(record, watched);
    watched.add(watching);
    this.#byId.set(record.id, watching);
    const watcherKey = addressKey(record.watcher);
    this.#perWatcher.set(watcherKey, (this.#perWatcher.get(watcherKey) ?? 0) + 1);
    const { lease } = record;
    if (lease !== undefined && lease.via !== 'sip') this.#onLinks.set(linkKey(lease.via, record), watching);
    return watching;
  }

  /** Takes out one that it has. */
  remove(watching: Watching): void {
    const { record, watched } = watching;
    this.#byId.delete(record.id);
    watched.remove(watching);
    const watcherKey = addressKey(record.watcher);
    const left = (this.#perWatcher.get(watcherKey) ?? 1) - 1;
    if (left === 0) this.#perWatcher.delete(watcherKey);
    else this.#perWatcher.set(watcherKey, left);
    this.unlink(watching);
  }

  /** Its lease is gone, and the watcher may take another one over the same way. */
  unlink(watching: Watching): void {
    const { lease } = watching.record;
    if (lease === undefined || lease.via === 'sip') return;
    const key = linkKey(lease.via, watching.record);
    if (this.#onLinks.get(key) === watching) this.#onLinks.delete(key);
  }

  /** Forgets whoever is watched by nobody any more; says whether he was. */
  release(watched: Watched): boolean {
    if (!watched.isEmpty || this.#watched.get(watched.key) !== watched) return false;
    return this.#watched.delete(watched.key);
  }
}

function linkKey(via: Lease['via'], pair: Pair): string {
  return `${via}\n${pairKey(pair)}`;
}
