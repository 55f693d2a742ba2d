/**
 * Every way in which this server says no, in terms of neither protocol.
 *
 * `sip/status.ts` and `xmpp/stanza-error.ts` each hold one answer per code and one code per answer of a peer; a new
 * code does not compile until both have a row. The set is as fine as RFC 7247, section 7 needs it: a SIP status that
 * becomes a code and then a stanza error gives the condition of that section's table, and the reverse.
 */
export const ERROR_CODES = [
  // what was sent to us
  'request-malformed',
  'request-unexpected',
  'address-malformed',
  'scheme-unsupported',
  'content-malformed',
  'content-unsupported',
  'content-too-large',
  'extension-unsupported',
  'feature-unsupported',
  'hops-exhausted',
  'loop-detected',
  'interval-too-brief',
  'event-unsupported',
  'precondition-failed',
  'dialog-unknown',
  // who sent it
  'sender-unauthenticated',
  'sender-forbidden',
  'registration-required',
  'subscription-required',
  'rate-exceeded',
  // for whom
  'recipient-unknown',
  'recipient-gone',
  'recipient-moved',
  'recipient-redirected',
  'recipient-unavailable',
  'recipient-refused',
  'not-acceptable',
  'not-allowed',
  'policy-violated',
  'conflict',
  // the way there
  'peer-unknown',
  'peer-not-found',
  'peer-unreachable',
  'peer-timeout',
  'peer-failed',
  'peer-undefined',
  'service-refused',
  'lifetime-over',
  // ourselves
  'queue-full',
  'store-unavailable',
  'shutting-down',
  'internal',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Codes after which the same attempt, made later, may succeed. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set([
  'recipient-unavailable',
  'rate-exceeded',
  'peer-unreachable',
  'peer-timeout',
  'peer-failed',
  'queue-full',
  'store-unavailable',
  'shutting-down',
]);

/** What travels with a code to whoever is told. All of it is safe to put on the wire, after escaping. */
export type ErrorDetails = {
  /** The SIP status a peer answered with, handed on unchanged where the one who asked speaks SIP too. */
  readonly status?: number;
  /** What the far side said in its own words. */
  readonly text?: string;
  /** Where else to go: address of a moved or redirected recipient. */
  readonly alternative?: string;
  /** The error speaks for every instance of the recipient, not for one (RFC 7247, section 7.1: bare JID). */
  readonly wholeUser?: boolean;
  readonly retryAfterSeconds?: number;
  /** Largest acceptable body, bytes. */
  readonly sizeMax?: number;
  /** Media types that the far side takes instead: its Accept, free of control characters. */
  readonly accept?: string;
  /** Shortest acceptable registration or subscription: Min-Expires (RFC 3261, section 20.23). */
  readonly minExpiresSeconds?: number;
};

/**
 * The one error class that crosses module borders.
 *
 * `message` is for the operator's log and may name internals; nothing of it is ever put on the wire. What a peer sees
 * is chosen by `code` (and `details`), in `sip/status.ts` and `xmpp/stanza-error.ts`.
 */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GatewayError';
    this.code = code;
    this.details = options.details ?? {};
  }

  /** Whether the same attempt, made later, may succeed. The delivery service retries these and no others. */
  get transient(): boolean {
    return TRANSIENT.has(this.code);
  }

  /** Gives any thrown value a code: ours pass through, all others are 'internal'. */
  static of(thrown: unknown): GatewayError {
    if (thrown instanceof GatewayError) return thrown;
    return new GatewayError('internal', thrown instanceof Error ? thrown.message : 'unexpected failure', {
      cause: thrown,
    });
  }
}
