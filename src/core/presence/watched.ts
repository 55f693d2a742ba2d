import type { Address } from '../../cpim/address.ts';
import type { PresenceDocument } from '../../cpim/presence/document.ts';
import type { WatcherEntry } from '../../cpim/presence/watcherinfo.ts';
import type { Telling } from './fan-out.ts';
import type { NotifyBody, Pair, Subscription, UpstreamRoute } from './subscription.ts';

/** A subscription as it is stored. */
export type StoredSubscription = Subscription & {
  /** When it was made or refreshed last: what is younger than a transaction may not have been told before a crash. */
  readonly refreshedAtMs: number;
};

/** What a watcher of a user of ours may see: everything, all but where he is, or that of one who is away. */
export type View = 'all' | 'no-location' | 'closed';

/** One subscription in memory. */
export class Watching implements Telling {
  isDue = false;
  isUrgent = false;
  isUnderWay = false;
  isQueued = false;
  isHeld = false;
  isPausing = false;
  notBeforeMs = 0;
  timedAtMs = 0;
  repeatAtMs = 0;
  readonly watched: Watched;
  /** Where it stands among those of its presentity. */
  at = -1;
  view: View = 'all';
  /** Counts among those of its presentity that have something to be told. */
  isOpen = false;
  /** Whether the watcher is there to see it; matters where a presentity elsewhere is watched for him. */
  isThere = true;
  /** Durable: nothing is told before that. */
  isStored = false;
  /** When the due list looks at it; 0: never. */
  dueAtMs = 0;
  /** To be said in the next notification, beside the state. */
  says: 'nothing' | 'deactivated' | 'suppressed' | 'whole' = 'nothing';
  /** Of `presence.winfo`: what has changed since the last word; undefined: all of it must be said. */
  changes: Map<string, WatcherEntry> | undefined;
  #record: StoredSubscription;

  constructor(record: StoredSubscription, watched: Watched) {
    this.#record = record;
    this.watched = watched;
  }

  get record(): StoredSubscription {
    return this.#record;
  }

  set record(record: StoredSubscription) {
    if (this.at >= 0) this.watched.undecided += Number(isUndecided(record)) - Number(isUndecided(this.#record));
    this.#record = record;
  }

  isLive(): boolean {
    const { at } = this.record.state;
    return at === 'pending' || at === 'active';
  }
}

/**
 * Somebody who is watched: a user of ours by everybody who watches him, or a presentity elsewhere by one watcher, since
 * there each watcher may see something else.
 */
export class Watched {
  /** Address key of a user of ours, pair key otherwise. */
  readonly key: string;
  readonly presentity: Address;
  /** Absent for a user of ours. */
  readonly upstream: { readonly pair: Pair; readonly route: UpstreamRoute } | undefined;
  /** Subscriptions to his presence. */
  readonly presence: Watching[] = [];
  /** Subscriptions to the list of his watchers. */
  readonly winfo: Watching[] = [];
  /** How many of them have something to be told. */
  open = 0;
  /** How many subscriptions to his presence wait for a word of his. */
  undecided = 0;
  /** A document of him has been reported since this process began; of one who is elsewhere. */
  isKnown = false;
  /** Marked in the store as not told everywhere. */
  isUnsettled = false;
  #bodies: { readonly document: PresenceDocument; readonly byView: Partial<Record<View, NotifyBody>> } | undefined;

  constructor(key: string, presentity: Address, upstream: Watched['upstream']) {
    this.key = key;
    this.presentity = presentity;
    this.upstream = upstream;
  }

  get isEmpty(): boolean {
    return this.presence.length === 0 && this.winfo.length === 0;
  }

  add(watching: Watching): void {
    const list = this.#listOf(watching);
    watching.at = list.length;
    list.push(watching);
    this.undecided += Number(isUndecided(watching.record));
  }

  /** Its place is taken by the last one: no walk, however many there are. */
  remove(watching: Watching): void {
    const list = this.#listOf(watching);
    const last = list.pop();
    if (last !== undefined && last !== watching) {
      list[watching.at] = last;
      last.at = watching.at;
    }
    watching.at = -1;
    this.undecided -= Number(isUndecided(watching.record));
  }

  /** The body of a view, one object for all who may see the same. `documentOf` is asked once for each view. */
  body(document: PresenceDocument, view: View, documentOf: () => PresenceDocument): NotifyBody {
    if (this.#bodies?.document !== document) this.#bodies = { document, byView: {} };
    const { byView } = this.#bodies;
    return (byView[view] ??= { kind: 'presence', document: documentOf() });
  }

  #listOf(watching: Watching): Watching[] {
    return watching.record.package === 'presence' ? this.presence : this.winfo;
  }
}

function isUndecided({ package: event, state }: StoredSubscription): boolean {
  return event === 'presence' && (state.at === 'pending' || state.at === 'waiting');
}
