import { parseAddress } from '../../cpim/address.ts';
import type { Pair } from '../../core/presence/subscription.ts';
import type { KnownResource } from './known-resources.ts';
import type { PepState } from './map-pep.ts';

/**
 * What is durable about one of our users and the XMPP contact whose presence he has asked for; the key of the record is
 * the pair key.
 */
export type UpstreamRecord = Pair & {
  readonly link: string;
  /**
   * `asked`: `subscribe` is sent again with every link that comes up, until the contact's side has answered.
   * `active`: the contact has allowed it. `ending`: `unsubscribe` is owed.
   */
  readonly permission: 'asked' | 'active' | 'ending';
  /** Whether one of the user's devices is there to see it. */
  readonly isWatched: boolean;
  /** What the contact let him know last. */
  readonly resources: readonly KnownResource[];
  readonly pep: PepState;
  /** Since when it could not be asked for, ms since the epoch. */
  readonly failedSinceMs?: number;
};

/** A record as it was found; undefined where it is none, or belongs to no addresses. */
export function upstreamRecordFrom(value: unknown): UpstreamRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const record = value as Partial<Record<keyof UpstreamRecord, unknown>>;
  const { watcher, presentity, link, permission, isWatched, resources, pep } = record;
  if (typeof watcher !== 'string' || typeof presentity !== 'string' || typeof link !== 'string') return undefined;
  if (permission !== 'asked' && permission !== 'active' && permission !== 'ending') return undefined;
  if (parseAddress(watcher) === undefined || parseAddress(presentity) === undefined) return undefined;
  const whole = value as UpstreamRecord;
  return {
    ...whole,
    isWatched: isWatched === true,
    resources: Array.isArray(resources) ? whole.resources : [],
    pep: typeof pep === 'object' && pep !== null ? whole.pep : {},
  };
}
