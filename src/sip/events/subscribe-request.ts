import type { UpstreamRoute } from '../../core/presence/subscription.ts';
import { parseDigits } from '../characters.ts';
import { parseNameAddr, parseRetryAfter } from '../header-values.ts';
import type { SipOutgoing, SipResponse } from '../message.ts';
import { namesExpectedOf } from '../next-hop.ts';
import { requestInDialog, type Dialog } from './dialog.ts';
import type { AnswerEvent } from './subscriber-states.ts';

/** The way to the domain of a presentity. */
export type SipRoute = Extract<UpstreamRoute, { kind: 'sip' }>;

/** Documents that are read when a NOTIFY brings them: what Accept says, and a 415. */
export const READABLE_DOCUMENTS: readonly string[] = ['application/pidf+xml', 'application/cpim-pidf+xml'];
const ACCEPT = READABLE_DOCUMENTS.join(', ');

/** A longer time is refreshed sooner than it would have to be; seconds. */
const EXPIRES_SECONDS_MAX = 604_800;

export type SubscribeParts = {
  readonly route: SipRoute;
  /** The URI of our Contact, without brackets. */
  readonly contact: string;
  /** 0: no more, or once only. */
  readonly seconds: number;
};

/**
 * Writes a SUBSCRIBE (RFC 6665, section 4.1.2; RFC 3856, section 6) that opens a dialog, or within one, with the number
 * that was taken for it.
 *
 * It goes by the routes that the dialog has; without any through the configured next hop, also within the dialog: a
 * presence server behind it may not be reachable from here in any other way.
 */
export function subscribeRequest(dialog: Dialog, { route, contact, seconds }: SubscribeParts): SipOutgoing {
  const outgoing = requestInDialog(dialog, {
    method: 'SUBSCRIBE',
    cseq: dialog.localCseq,
    headers: [
      ['Contact', `<${contact}>`],
      ['Event', 'presence'],
      ['Accept', ACCEPT],
      ['Expires', String(seconds)],
    ],
  });
  const [firstRoute] = dialog.routeSet;
  const through = firstRoute === undefined ? route.nextHop : parseNameAddr(firstRoute)?.uri;
  return {
    ...outgoing,
    ...(firstRoute === undefined && through !== undefined ? { nextHop: { uri: through } } : {}),
    expectNames: namesExpectedOf(route.domain, through ?? outgoing.uri),
  };
}

/** What becomes of the pair: RFC 8048, section 5.2.2 for 403, 489, 603, 423 and 481, RFC 6665 for all others. */
export function eventFromAnswer({ status, headers }: SipResponse): AnswerEvent {
  if (status < 300) {
    const seconds = parseDigits(headers.get('Expires') ?? '', Number.MAX_SAFE_INTEGER);
    return {
      type: 'accepted',
      ...(seconds === undefined ? {} : { seconds: Math.min(seconds, EXPIRES_SECONDS_MAX) }),
      ...(status === 204 ? { isQuiet: true } : {}),
    };
  }
  switch (status) {
    case 401:
    case 403:
    case 407:
    case 489:
    case 603:
      return { type: 'forbidden' };
    case 404:
    case 604:
      return { type: 'not-found' };
    case 481:
      return { type: 'gone' };
    case 423: {
      const minSeconds = parseDigits(headers.get('Min-Expires') ?? '', Number.MAX_SAFE_INTEGER);
      return minSeconds === undefined ? { type: 'failed' } : { type: 'too-brief', minSeconds };
    }
    // RFC 6665, section 4.1.2.2, without those above.
    case 405:
    case 410:
    case 416:
    case 480:
    case 482:
    case 483:
    case 484:
    case 485:
    case 501:
      return { type: 'refused', ...retryAfter(headers.get('Retry-After')) };
    default:
      return { type: 'failed', ...retryAfter(headers.get('Retry-After')) };
  }
}

function retryAfter(value: string | undefined): { retryAfterMs?: number } {
  const seconds = parseRetryAfter(value ?? '');
  return seconds === undefined ? {} : { retryAfterMs: seconds * 1_000 };
}
