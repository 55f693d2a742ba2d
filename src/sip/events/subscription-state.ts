import { TOKEN, parseDigits, skipBlanks, skipClass } from '../characters.ts';
import { parseParams } from '../header-values.ts';
import type { TerminatedReason } from './subscriber-states.ts';

/** What a NOTIFY says of its subscription (RFC 6665, section 8.2.3). */
export type SubscriptionStateValue =
  | { readonly state: 'pending' | 'active'; readonly expiresSeconds?: number }
  | { readonly state: 'terminated'; readonly reason: TerminatedReason; readonly retryAfterSeconds?: number };

/** A year is what `invariant` is advised to say (RFC 6665, section 4.1.3); nobody needs more. */
const RETRY_AFTER_SECONDS_MAX = 31_536_000;
/** A longer time is refreshed sooner than it would have to be. */
const EXPIRES_SECONDS_MAX = 604_800;

const REASONS: ReadonlyMap<string, TerminatedReason> = new Map(
  (['deactivated', 'probation', 'rejected', 'timeout', 'giveup', 'noresource', 'invariant'] as const).map((reason) => [
    reason,
    reason,
  ]),
);

/**
 * Reads a Subscription-State value. A time that is no number counts for nothing, one out of bounds for the bound.
 *
 * @returns undefined for what is none, and for states of other specifications
 */
export function parseSubscriptionState(value: string): SubscriptionStateValue | undefined {
  const start = skipBlanks(value, 0);
  const end = skipClass(value, start, TOKEN);
  const params = parseParams(value.slice(end));
  if (params === undefined) return undefined;
  const state = value.slice(start, end).toLowerCase();
  switch (state) {
    case 'pending':
    case 'active': {
      const expiresSeconds = secondsFrom(params.get('expires'), EXPIRES_SECONDS_MAX);
      return expiresSeconds === undefined ? { state } : { state, expiresSeconds };
    }
    case 'terminated': {
      const name = params.get('reason');
      const reason = REASONS.get(typeof name === 'string' ? name.toLowerCase() : '') ?? 'other';
      const retryAfterSeconds = secondsFrom(params.get('retry-after'), RETRY_AFTER_SECONDS_MAX);
      return retryAfterSeconds === undefined ? { state, reason } : { state, reason, retryAfterSeconds };
    }
    default:
      return undefined;
  }
}

function secondsFrom(text: string | true | undefined, max: number): number | undefined {
  if (typeof text !== 'string') return undefined;
  const seconds = parseDigits(text, Number.MAX_SAFE_INTEGER);
  return seconds === undefined ? undefined : Math.min(seconds, max);
}
