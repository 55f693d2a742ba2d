import { type Address, parseAddress } from '../../src/cpim/address.ts';
import type { WatcherEntry, WatcherList } from '../../src/cpim/presence/watcherinfo.ts';

const address = (text: string): Address => parseAddress(text) ?? (text as Address);
const list = (state: WatcherList['state'], watchers: readonly WatcherEntry[]): WatcherList => ({
  presentity: address('juliet@example.com'),
  package: 'presence',
  state,
  watchers,
});
const STATUSES = ['pending', 'active', 'waiting', 'terminated'] as const;
const EVENTS = [
  'subscribe', 'approved', 'deactivated', 'probation', 'rejected', 'timeout', 'giveup', 'noresource',
] as const; // prettier-ignore

/** Watcher lists that use, between them, all there is. */
export const aWatcherList = {
  empty: list('full', []),
  'every status and event': list(
    'full',
    STATUSES.flatMap((status) =>
      EVENTS.map((event) => ({ id: `${status}-${event}`, watcher: address('romeo@example.net'), status, event })),
    ),
  ),
  'every attribute': list('partial', [
    {
      id: `a.Z-9!%*_+\`'~`,
      watcher: address('f%C3%BC%26@example.net'),
      status: 'active',
      event: 'approved',
      displayName: 'Mr. "Subscriber" <&>',
      expirationSeconds: 0,
      subscribedForSeconds: 509,
    },
  ]),
} as const satisfies Record<string, WatcherList>;
