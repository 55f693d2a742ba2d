/** Watcher information (RFC 3857, RFC 3858). */
import type { Address } from '../address.ts';

/** One watcher as the owner sees him (RFC 3858, section 3.3). */
export type WatcherEntry = {
  /** Of the subscription; unique in the list. */
  readonly id: string;
  readonly watcher: Address;
  readonly status: 'pending' | 'active' | 'waiting' | 'terminated';
  /** What brought it there. */
  readonly event:
    'subscribe' | 'approved' | 'deactivated' | 'probation' | 'rejected' | 'timeout' | 'giveup' | 'noresource';
  readonly displayName?: string;
  /** Seconds left. */
  readonly expirationSeconds?: number;
  readonly subscribedForSeconds?: number;
};

export type WatcherList = {
  readonly presentity: Address;
  readonly package: 'presence';
  /** `full`: all there are; `partial`: those that have changed since the last one. */
  readonly state: 'full' | 'partial';
  readonly watchers: readonly WatcherEntry[];
};
