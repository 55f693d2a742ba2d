import { GatewayError, type ErrorCode, type ErrorDetails } from '../core/errors.ts';
import { contactUriFrom } from './map-address.ts';

type SipStatus = {
  readonly status: number;
  /** Where the error speaks for every instance of the recipient (RFC 7247, section 7.1: about a bare JID). */
  readonly wholeUser?: number;
};

/**
 * What a SIP peer is told for each failure (RFC 7247, section 7.1; MAPPING sections 2.1 and 13 E).
 *
 * Never 408, which RFC 4320 forbids for these methods; 401 and 407 only together with a challenge, which is no failure
 * and not in here; 503 only where we ourselves ask for patience, never for the state of somebody behind us.
 */
export const SIP_STATUS = {
  'request-malformed': { status: 400 },
  'request-unexpected': { status: 400 },
  'address-malformed': { status: 400 },
  'scheme-unsupported': { status: 416 },
  'content-malformed': { status: 400 },
  'content-unsupported': { status: 415 },
  'content-too-large': { status: 413 },
  'extension-unsupported': { status: 420 },
  'feature-unsupported': { status: 405, wholeUser: 501 },
  'hops-exhausted': { status: 483 },
  'loop-detected': { status: 482 },
  'interval-too-brief': { status: 423 },
  'event-unsupported': { status: 489 },
  'precondition-failed': { status: 412 },
  'dialog-unknown': { status: 481 },
  'sender-unauthenticated': { status: 403 },
  'sender-forbidden': { status: 403, wholeUser: 603 },
  'registration-required': { status: 403 },
  'subscription-required': { status: 400 },
  'rate-exceeded': { status: 503 },
  'recipient-unknown': { status: 404, wholeUser: 604 },
  'recipient-gone': { status: 410 },
  'recipient-moved': { status: 301 },
  'recipient-redirected': { status: 302 },
  'recipient-unavailable': { status: 480, wholeUser: 600 },
  'recipient-refused': { status: 603 },
  'not-acceptable': { status: 406, wholeUser: 606 },
  'not-allowed': { status: 403 },
  'policy-violated': { status: 403 },
  conflict: { status: 400 },
  'peer-unknown': { status: 403 },
  'peer-not-found': { status: 404 },
  // Not 502, which would tell the sender's server that a later attempt is in vain.
  'peer-unreachable': { status: 504 },
  'peer-timeout': { status: 504 },
  'peer-failed': { status: 500 },
  'peer-undefined': { status: 400 },
  'service-refused': { status: 403 },
  // Not 480 nor 504: whoever repeats it would repeat it in vain.
  'lifetime-over': { status: 403 },
  'queue-full': { status: 503 },
  'store-unavailable': { status: 503 },
  'shutting-down': { status: 503 },
  internal: { status: 500 },
} as const satisfies Record<ErrorCode, SipStatus>;

/** Statuses of a peer that are not handed on: they mean something only between him and us, or RFC 4320 forbids them. */
const NOT_HANDED_ON: ReadonlySet<number> = new Set([401, 407, 408, 503]);

/** The status that answers a request for this error; a peer's own 4xx, 5xx or 6xx is handed on where it may be. */
export function statusFromError(error: GatewayError): number {
  const { status, wholeUser, alternative } = error.details;
  if (status !== undefined && status >= 400 && status <= 699 && !NOT_HANDED_ON.has(status)) return status;
  // 301 and 302 without an address to go to leave the sender with nothing.
  if (error.code === 'recipient-moved' || error.code === 'recipient-redirected') {
    const isKnown = alternative !== undefined && contactUriFrom(alternative) !== undefined;
    const otherwise = error.code === 'recipient-moved' ? 'recipient-gone' : 'recipient-unavailable';
    if (!isKnown) return SIP_STATUS[otherwise].status;
  }
  const row: SipStatus = SIP_STATUS[error.code];
  return wholeUser === true ? (row.wholeUser ?? row.status) : row.status;
}

/** What a status means; statuses that are not here mean what their class does. */
const CODES: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [301, 'recipient-moved'],
  [380, 'not-acceptable'],
  [401, 'sender-unauthenticated'],
  [403, 'sender-forbidden'],
  [404, 'recipient-unknown'],
  [405, 'feature-unsupported'],
  [406, 'not-acceptable'],
  [407, 'registration-required'],
  [408, 'peer-timeout'],
  [410, 'recipient-gone'],
  [413, 'content-too-large'],
  [414, 'policy-violated'],
  [415, 'content-unsupported'],
  [416, 'scheme-unsupported'],
  [420, 'extension-unsupported'],
  [421, 'not-acceptable'],
  [423, 'interval-too-brief'],
  [430, 'recipient-unavailable'],
  [439, 'extension-unsupported'],
  [440, 'policy-violated'],
  [480, 'recipient-unavailable'],
  [481, 'recipient-unknown'],
  [482, 'loop-detected'],
  [483, 'hops-exhausted'],
  [484, 'recipient-unknown'],
  [485, 'recipient-unknown'],
  [486, 'recipient-unavailable'],
  [487, 'recipient-unavailable'],
  [488, 'not-acceptable'],
  [489, 'policy-violated'],
  [491, 'request-unexpected'],
  [501, 'feature-unsupported'],
  [502, 'peer-not-found'],
  [504, 'peer-timeout'],
  [505, 'not-acceptable'],
  [513, 'content-too-large'],
  [600, 'recipient-unavailable'],
  [604, 'recipient-unknown'],
  [606, 'not-acceptable'],
]);

/**
 * What a final response that is no success means to us (RFC 7247, section 7.2).
 *
 * Which of them a later attempt may turn into a success follows from the code (`GatewayError.transient`): 408, 430,
 * 480, 486, 487, 504, 600 (nobody there now) and 500, 503 and the 5xx without a meaning of their own (something broke
 * there); all others say what the same request will meet again.
 */
export function codeFromStatus(status: number): ErrorCode {
  const code = CODES.get(status);
  if (code !== undefined) return code;
  if (status < 400) return 'recipient-redirected';
  if (status < 500) return 'request-malformed';
  if (status < 600) return 'peer-failed';
  return 'recipient-refused';
}

/** The error that a peer's final response amounts to: its code, and the status for a sender who speaks SIP too. */
export function errorFromStatus(status: number, message: string, details: ErrorDetails = {}): GatewayError {
  return new GatewayError(codeFromStatus(status), message, {
    details: { ...details, status, ...(status >= 600 ? { wholeUser: true } : {}) },
  });
}
