import { addressFrom, type Address } from '../cpim/address.ts';

/** `+` and at most 15 digits, the first of them no zero (ITU-T E.164). */
const GLOBAL = /^\+[1-9][0-9]{2,14}$/;
/** RFC 3966, section 3: `visual-separator`. */
const SEPARATORS = /[-.() ]/g;
const LENGTH_MAX = 64;

declare const brand: unique symbol;

/** A telephone number that means the same everywhere: `+15551234567`, no separators. */
export type PhoneNumber = string & { readonly [brand]: 'PhoneNumber' };

/**
 * Reads a global number (RFC 3966, section 5.1.4), visual separators left out.
 *
 * @returns undefined for local numbers, extensions, letters, and anything that is too short or too long to be one
 */
export function parsePhoneNumber(text: string): PhoneNumber | undefined {
  if (text.length > LENGTH_MAX || !text.startsWith('+')) return undefined;
  const bare = text.replace(SEPARATORS, '');
  return GLOBAL.test(bare) ? (bare as PhoneNumber) : undefined;
}

/** A number as an address at a domain (RFC 3261, section 19.1.6): `+15551234@sip.example`. */
export function addressOfNumber(number: PhoneNumber, domain: string): Address | undefined {
  return addressFrom(number, domain);
}
