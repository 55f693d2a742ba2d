import type { Random } from '../../core/ports.ts';

/** Why a service does not let an account in, as it is kept and shown. */
export type Refusal = {
  /** The condition of RFC 6120, section 6.5, or ours. */
  readonly condition: string;
  /** In words: what the service said, and what to do about it. */
  readonly reason: string;
};

/** What the end of a stream means for the next try. */
export type LoginOutcome =
  /** After a short pause that grows. */
  | { readonly kind: 'again' }
  /** The service, or its administrator, must change something first: tried again now and then. */
  | { readonly kind: 'slowly'; readonly remedy: string }
  /** Trying once more would not help, and may lock the account: not before its user has changed something. */
  | { readonly kind: 'never'; readonly refusal: Refusal };

type End = { readonly step?: string; readonly condition?: string; readonly reason: string };

/** What the user of the account must mend. */
const STOPS: Readonly<Record<string, string>> = {
  'not-authorized': 'the password is not the one that the service has for this account: give it the right one',
  'account-disabled': 'the service has disabled this account: let it be enabled, then give the password again',
  'credentials-expired': 'the password has expired: change it at the service, then give the new one here',
  'invalid-authzid':
    'the service does not let this account in under its own name: remove it, and add it as it is spelt there',
  'malformed-request': 'the service does not understand how we log in: tell its operator, then give the password again',
};

const SLOW: Readonly<Record<string, string>> = {
  'no-mechanism': 'let the service offer SCRAM, or allow `allowPlain` in this link',
  'mechanism-too-weak': 'the service wants another way to log in than it offers: tell its operator',
  'encryption-required': 'the service wants encryption that it does not offer: tell its operator',
  'host-unknown': 'the service does not serve this domain any more: remove the account, or correct the link',
  'host-gone': 'the service does not serve this domain any more: remove the account, or correct the link',
  conflict: 'another session holds the resource of this account: end it',
  'policy-violation': 'the service finds that too much is asked of it: see its rules',
  'resource-constraint': 'the service has no room for another session: end one of the account, or ask its operator',
  'not-allowed': 'the service allows the account no further session: end another one',
};

const SLOW_STEPS: ReadonlySet<string> = new Set(['tls', 'bind']);
const TLS_REMEDY = 'the service must have a certificate for its domain that `ca` of this link, or this system, trusts';
const BIND_REMEDY = 'end another session of the account at the service';

/** Pure and total: whatever ended the stream, there is one thing to do next. */
export function outcomeOf({ step, condition = '', reason }: End): LoginOutcome {
  if (step === 'sasl' || (step === 'bind' && condition === 'not-authorized')) {
    const remedy = Object.hasOwn(STOPS, condition) ? STOPS[condition] : undefined;
    if (remedy !== undefined) return { kind: 'never', refusal: { condition, reason: `${reason}; ${remedy}` } };
  }
  const slow = Object.hasOwn(SLOW, condition) ? SLOW[condition] : undefined;
  if (slow !== undefined && step !== undefined) return { kind: 'slowly', remedy: slow };
  if (step !== undefined && SLOW_STEPS.has(step))
    return { kind: 'slowly', remedy: step === 'tls' ? TLS_REMEDY : BIND_REMEDY };
  return { kind: 'again' };
}

const FIRST_MS = 1_000;
const LONGEST_MS = 20_000;
const SLOW_FIRST_MS = 30_000;
const SLOW_LONGEST_MS = 600_000;

/**
 * How long to wait before the next try: half of it fixed, half by chance. First 0.5 to 1 s, doubling to 10 to 20 s, for
 * a service has many accounts and many servers like this one; where it refuses, 15 to 30 s, doubling to 5 to 10 minutes.
 *
 * @param failures tries and short-lived streams since the account last stood well
 */
export function accountPauseMs(failures: number, isSlow: boolean, random: Random): number {
  const [first, longest] = isSlow ? [SLOW_FIRST_MS, SLOW_LONGEST_MS] : [FIRST_MS, LONGEST_MS];
  return Math.round(Math.min(longest, first * 2 ** Math.min(failures, 10)) * (0.5 + 0.5 * random()));
}
