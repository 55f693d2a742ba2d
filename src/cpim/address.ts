import { domainInCanonicalForm } from './domain.ts';
import { hexPair } from './hex.ts';
import { DOMAIN_BYTES_MAX, LOCALPART_BYTES_MAX } from './limits.ts';
import { decodeUtf8 } from './utf8.ts';
import { isWellFormed } from './well-formed.ts';

declare const brand: unique symbol;

/**
 * An address of the abstract model, the one form in which the core knows anybody: what follows the scheme of an `im:`
 * URI (RFC 3860, section 3.2), in canonical form. `localpart@domain`, or a domain alone.
 *
 * Canonical: in the localpart everything but `A-Z a-z 0-9 - . _ ~ ! $ * + =` is `%HH` of its UTF-8, upper case; its
 * case is as sent. The domain is in A-labels, lower case, or an IPv4 address, or an IPv6 address in brackets.
 * Two addresses with the same text are the same; for look-ups of users see `addressKey`.
 */
export type Address = string & { readonly [brand]: 'Address' };

/** Whether a localpart stands in the canonical form as it is. */
const BARE = /^[A-Za-z0-9\-._~!$*+=]+$/;
/** As BARE, and what `addressKey` would leave alone. */
const BARE_KEY = /^[a-z0-9\-._~!$*+=]+@/;
/** What no localpart holds: C0, DEL and C1 controls, and what XML cannot write (MAPPING: legal in none of the three). */
const NEVER = /[\u0000-\u001F\u007F-\u009F\uFFFE\uFFFF]/;
/** What must not stand in the text form unescaped: it would hide a scheme, a display name or a second address. */
const NEVER_RAW = /[ "<>:@]/;
/** Full-width and half-width forms, which a JID maps to the ordinary ones (RFC 8265, section 3.3.1). */
const WIDTH_FORMS = /[\uFF01-\uFFEE]/g;

/** For each byte, how the canonical form writes it. */
const WRITTEN = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  return BARE.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});

/**
 * Reads the text form of an address: canonical, or with escapes and Unicode that the canonical form would write
 * otherwise (`f%c3%bc@Sip.Example`, `fü@sip.example`). A scheme, a resource, a port or a display name is refused.
 *
 * @returns the canonical address, or undefined when `text` is none; never throws.
 */
export function parseAddress(text: string): Address | undefined {
  // Three characters per escaped byte, and what a domain may have; looked at before anything else.
  if (text.length > 3 * LOCALPART_BYTES_MAX + 1 + 4 * DOMAIN_BYTES_MAX) return undefined;
  const at = text.indexOf('@');
  if (at < 0) return addressFrom(undefined, text);
  const raw = text.slice(0, at);
  if (NEVER_RAW.test(raw)) return undefined;
  const localpart = percentDecoded(raw);
  return localpart === undefined ? undefined : addressFrom(localpart, text.slice(at + 1));
}

/**
 * Makes an address of a decoded localpart and a domain. No localpart gives the address of the domain itself; an empty
 * one is no address. Bounds: 1,023 bytes of UTF-8 and 255 bytes.
 *
 * @returns undefined when either part is not legal; never throws.
 */
export function addressFrom(localpart: string | undefined, domain: string): Address | undefined {
  const host = domainInCanonicalForm(domain);
  if (host === undefined) return undefined;
  if (localpart === undefined) return host as Address;
  if (localpart === '' || localpart.length > LOCALPART_BYTES_MAX) return undefined;
  if (BARE.test(localpart)) return `${localpart}@${host}` as Address;
  if (NEVER.test(localpart) || !isWellFormed(localpart)) return undefined;
  if (Buffer.byteLength(localpart, 'utf8') > LOCALPART_BYTES_MAX) return undefined;
  return `${percentEncoded(localpart)}@${host}` as Address;
}

/** The decoded localpart, or undefined for the address of a domain. */
export function localpartOf(address: Address): string | undefined {
  const at = address.indexOf('@');
  if (at < 0) return undefined;
  const raw = address.slice(0, at);
  return raw.includes('%') ? decodeURIComponent(raw) : raw;
}

/** The domain, in canonical form. */
export function domainOf(address: Address): string {
  return address.slice(address.indexOf('@') + 1);
}

/**
 * The key under which a user is looked up: as the address, with the localpart in one width, lower case and NFC, because
 * XMPP sees no difference between such forms (RFC 7622, section 3.3; RFC 8265, section 3.3). Idempotent.
 */
export function addressKey(address: Address): string {
  if (BARE_KEY.test(address)) return address;
  const localpart = localpartOf(address);
  if (localpart === undefined) return address;
  const folded = localpart
    .replace(WIDTH_FORMS, (form) => form.normalize('NFKC'))
    .toLowerCase()
    .normalize('NFC');
  return `${BARE.test(folded) ? folded : percentEncoded(folded)}@${domainOf(address)}`;
}

function percentEncoded(localpart: string): string {
  let out = '';
  for (const byte of Buffer.from(localpart, 'utf8')) out += WRITTEN[byte] ?? '';
  return out;
}

/** Undoes %HH, upper or lower case; undefined for a percent sign that begins none, and for what is no UTF-8 then. */
function percentDecoded(raw: string): string | undefined {
  if (!raw.includes('%')) return raw;
  if (!isWellFormed(raw)) return undefined;
  const from = Buffer.from(raw, 'utf8');
  const to = Buffer.allocUnsafe(from.length);
  let length = 0;
  for (let at = 0; at < from.length; at += 1) {
    let byte = from[at] ?? 0;
    if (byte === 0x25) {
      byte = hexPair(from[at + 1], from[at + 2]);
      if (byte < 0) return undefined;
      at += 2;
    }
    to[length] = byte;
    length += 1;
  }
  return decodeUtf8(to.subarray(0, length));
}
