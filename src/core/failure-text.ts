import type { ErrorCode } from './errors.ts';

/**
 * What a sender is told about a message that was accepted and could not be delivered: why, and what he can do.
 *
 * Whole sentences that follow "Your message could not be delivered."; nothing internal is named.
 */
export const FAILURE_TEXT = {
  'request-malformed':
    'The other side could not read it. Please send it again; if it fails again, tell your administrator.',
  'request-unexpected': 'The other side did not expect it now. Please send it again.',
  'address-malformed': 'The other side does not accept this address. Please check how it is spelt.',
  'scheme-unsupported': 'It was to travel encrypted all the way, which is not possible to this address.',
  'content-malformed': 'Its content could not be read. Please send it again as plain text.',
  'content-unsupported': 'The other side does not take this kind of content. Please send it as plain text.',
  'content-too-large': 'It is too large for the other side. Please send it in shorter parts.',
  'extension-unsupported': 'The other side lacks a feature that the message asks for.',
  'feature-unsupported': 'The other side does not take messages of this kind.',
  'hops-exhausted': 'It went through too many servers. Please tell your administrator.',
  'loop-detected': 'It went round in a circle between servers. Please tell your administrator.',
  'interval-too-brief': 'The other side asks for a longer interval.',
  'event-unsupported': 'The other side does not offer to watch this.',
  'precondition-failed': 'It has changed or ended meanwhile. Please send it whole again.',
  'dialog-unknown': 'The other side does not know what this belongs to. Please begin anew.',
  'sender-unauthenticated': 'The other side wants a proof of who you are that this server cannot give.',
  'sender-forbidden': 'The other side does not let you send to this address.',
  'registration-required': 'The other side takes messages from registered users only.',
  'subscription-required': 'The recipient takes messages only from contacts he has approved.',
  'rate-exceeded': 'Too many messages were sent in a short time. Please wait and send it again.',
  'recipient-unknown': 'There is no such recipient. Please check the address.',
  'recipient-gone': 'The recipient is no longer reachable at this address.',
  'recipient-moved': 'The recipient has moved to another address.',
  'recipient-redirected': 'The recipient is to be reached at another address.',
  'recipient-unavailable': 'The recipient is not available. Please try again later.',
  'recipient-refused': 'The recipient did not take it.',
  'not-acceptable': 'The other side did not accept it in this form.',
  'not-allowed': 'The other side does not allow it.',
  'policy-violated': 'It is against the rules of the other side.',
  conflict: 'It conflicts with something the other side has already.',
  'peer-unknown': "This server has no connection to the recipient's domain.",
  'peer-not-found': "The recipient's domain cannot be found. Please check the address.",
  'peer-unreachable': "The recipient's server cannot be reached. Please try again later.",
  'peer-timeout': "The recipient's server did not answer. Please try again later.",
  'peer-failed': "The recipient's server had a failure. Please try again later.",
  'peer-undefined': "The recipient's server refused it without saying why.",
  'service-refused': "The recipient's server does not offer this service to you.",
  'lifetime-over': 'It could not be delivered in the time it was kept for. Please send it again if it still matters.',
  'queue-full': 'Too many messages are waiting already. Please try again later.',
  'store-unavailable': 'This server could not store it. Please try again later.',
  'shutting-down': 'This server is about to stop. Please try again later.',
  internal: 'This server failed on it. Please tell your administrator.',
} as const satisfies Record<ErrorCode, string>;

/** The words for a code; for one that this version does not know, those for a refusal without a reason. */
export function failureText(code: string): string {
  return Object.hasOwn(FAILURE_TEXT, code) ? FAILURE_TEXT[code as ErrorCode] : FAILURE_TEXT['peer-undefined'];
}
