import type { WatcherEntry, WatcherList } from '../../cpim/presence/watcherinfo.ts';
import type { SubscriptionEvent } from './subscription-machine.ts';
import type { SubscriptionState } from './subscription.ts';
import type { StoredSubscription, Watched } from './watched.ts';

/** What brought a subscription where it is, in the words of RFC 3858, section 3. */
export function entryEventOf(event: SubscriptionEvent): WatcherEntry['event'] {
  switch (event.type) {
    case 'refreshed':
      return 'subscribe';
    case 'approved':
    case 'rejected':
      return event.type;
    case 'unsubscribed':
    case 'expired':
      return 'timeout';
    case 'gave-up':
      return 'giveup';
    case 'ended':
      return event.reason;
  }
}

/** One subscription as its owner sees it. */
export function watcherEntry(
  record: StoredSubscription,
  event: WatcherEntry['event'],
  nowMs: number,
  status: SubscriptionState['at'] = record.state.at,
): WatcherEntry {
  const { id, watcher, displayName, state, subscribedAtMs } = record;
  const expiresAtMs = state.at === 'pending' || state.at === 'active' ? state.expiresAtMs : undefined;
  return {
    id,
    watcher,
    status,
    event,
    ...(displayName === undefined ? {} : { displayName }),
    ...(expiresAtMs === undefined ? {} : { expirationSeconds: Math.max(0, Math.round((expiresAtMs - nowMs) / 1_000)) }),
    subscribedForSeconds: Math.max(0, Math.round((nowMs - subscribedAtMs) / 1_000)),
  };
}

/** What an owner is told of his watchers: all of them, or those that have changed since he was told last. */
export function watcherListFor(
  { presentity, presence }: Watched,
  changes: ReadonlyMap<string, WatcherEntry> | undefined,
  nowMs: number,
): WatcherList {
  if (changes !== undefined) {
    return { presentity, package: 'presence', state: 'partial', watchers: [...changes.values()] };
  }
  const watchers = presence
    .filter(({ record }) => record.state.at !== 'terminated')
    .map(({ record }) => watcherEntry(record, lastEventOf(record.state), nowMs));
  return { presentity, package: 'presence', state: 'full', watchers };
}

/** What brought it there, as far as the state tells. */
function lastEventOf({ at }: SubscriptionState): WatcherEntry['event'] {
  return at === 'waiting' ? 'timeout' : 'subscribe';
}
