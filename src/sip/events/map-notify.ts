import type { Pace } from '../../core/presence/pace.ts';
import type { Notification } from '../../core/presence/subscription.ts';
import type { HeaderField } from '../message.ts';
import { formatEvent, paceParams } from './event-header.ts';
import { bytesOfBody, etagOf } from './presence-bodies.ts';
import type { SipLease } from './subscription-lease.ts';

/** How late the first NOTIFY may be for the whole time to be named; ms. */
const A_MOMENT_MS = 100;

/** Fields and body of a NOTIFY beside what the dialog gives it. */
export type NotifyParts = { readonly headers: readonly HeaderField[]; readonly body?: Uint8Array };

/**
 * Writes a notification as the content of a NOTIFY (RFC 6665, section 4.2.2; RFC 5839, section 6.2). Pure.
 *
 * @param cseq its number; a watcher list gets its version from it (RFC 3858, section 3): the first is 0, and none is
 *   ever used twice, also after a restart. Numbers are left out where a NOTIFY failed or had no list; the next list must
 *   be a full one then, or the watcher asks for it.
 */
export function notifyParts(notification: Notification, lease: SipLease, cseq: number, nowMs: number): NotifyParts {
  const { subscription, body, isBodySuppressed } = notification;
  const etag = etagOf(body, lease.format);
  const headers: HeaderField[] = [
    ['Contact', `<${lease.contact}>`],
    ['Event', formatEvent(subscription.package, lease.eventId)],
    ['Subscription-State', subscriptionState(notification.state, nowMs, subscription.pace)],
  ];
  if (etag !== undefined) headers.push(['SIP-ETag', etag]);
  if (body === undefined || isBodySuppressed === true) return { headers };
  headers.push(['Content-Type', lease.format]);
  return { headers, body: bytesOfBody(body, lease.format, cseq - 1) };
}

/**
 * The value of Subscription-State; `expires` is never more than what is left, but for a moment. Rates that a
 * watcher asked for are said back as they were adopted (RFC 6446, section 5.2).
 */
export function subscriptionState(state: Notification['state'], nowMs: number, pace?: Pace): string {
  if (state.at === 'terminated') {
    const { reason, retryAfterSeconds } = state;
    return retryAfterSeconds === undefined
      ? `terminated;reason=${reason}`
      : `terminated;reason=${reason};retry-after=${Math.ceil(retryAfterSeconds)}`;
  }
  // Only a lease over a link has no end.
  if (state.expiresAtMs === undefined) return state.at;
  const rates = pace === undefined ? '' : paceParams(pace);
  return `${state.at};expires=${secondsLeft(state.expiresAtMs - nowMs)}${rates}`;
}

/**
 * A phone that sets its refresh by each NOTIFY (baresip 1.0: at 90 % of it) would come too late by what a short rest is
 * rounded up. What was granted a moment ago is not yet less than the 200 has said.
 */
function secondsLeft(leftMs: number): number {
  return leftMs <= 0 ? 0 : Math.max(1, Math.floor((leftMs + A_MOMENT_MS) / 1_000));
}

/** What an answer to a NOTIFY says about the subscription. */
export type Verdict =
  | 'told'
  /** The subscription must be removed, or nobody will ever take its notifications. */
  | 'gone'
  /** As silence: a proxy has waited in vain. */
  | 'unanswered'
  /** This notification was refused; a later one may not be. */
  | 'refused';

/** RFC 6665, section 4.2.2, and 482 to 485 within its range. */
const GONE: ReadonlySet<number> = new Set([404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604]);
/** Asks for credentials that this server does not have. */
const ASKS_PROOF: ReadonlySet<number> = new Set([401, 407]);

/**
 * What a final status means for a subscription (RFC 6665, section 4.2.2). Statuses that it does not name concern one
 * transaction (RFC 5057): the subscription stays, for as long as the caller has patience.
 */
export function verdictOf(status: number): Verdict {
  if (status < 300) return 'told';
  if (GONE.has(status) || ASKS_PROOF.has(status)) return 'gone';
  return status === 408 ? 'unanswered' : 'refused';
}
