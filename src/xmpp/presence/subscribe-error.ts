import type { EndReason } from '../../core/presence/subscription.ts';
import type { Condition } from '../stanza-error.ts';

/**
 * What an error in answer to `subscribe` means to the SIP watcher; `wait`: nobody has decided, ask again later.
 *
 * `service-unavailable` decides nothing: servers say so for users who do not exist and for such whose server is not ready.
 */
const MEANINGS = {
  'bad-request': 'rejected',
  conflict: 'wait',
  'feature-not-implemented': 'rejected',
  forbidden: 'rejected',
  gone: 'noresource',
  'internal-server-error': 'wait',
  'item-not-found': 'noresource',
  'jid-malformed': 'noresource',
  'not-acceptable': 'rejected',
  'not-allowed': 'rejected',
  'not-authorized': 'rejected',
  'policy-violation': 'rejected',
  'recipient-unavailable': 'wait',
  redirect: 'noresource',
  'registration-required': 'rejected',
  'remote-server-not-found': 'wait',
  'remote-server-timeout': 'wait',
  'resource-constraint': 'wait',
  'service-unavailable': 'wait',
  'subscription-required': 'rejected',
  'undefined-condition': 'wait',
  'unexpected-request': 'wait',
} as const satisfies Record<Condition, EndReason | 'wait'>;

export type SubscribeErrorMeaning = (typeof MEANINGS)[Condition];

export function meaningOfSubscribeError(condition: Condition): SubscribeErrorMeaning {
  return MEANINGS[condition];
}
