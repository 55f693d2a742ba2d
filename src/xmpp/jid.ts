import { domainToUnicode } from 'node:url';
import { domainInCanonicalForm } from '../cpim/domain.ts';

/**
 * A Jabber address taken apart and prepared (RFC 7622). Two addresses are the same when all three parts are equal.
 *
 * `local`: lower case, NFC, escapes of XEP-0106 left as they are. `domain`: A-labels in lower case. `resource`: as sent,
 * in NFC.
 */
export type Jid = { readonly local?: string; readonly domain: string; readonly resource?: string };

/** RFC 7622, sections 3.3 and 3.4: bytes of UTF-8 of a localpart and of a resourcepart. */
const PART_BYTES_MAX = 1023;

/**
 * Reads an address: resource after the first slash, localpart before the first `@` of what is left.
 *
 * Prepared as RFC 7622 asks, with these liberties: the Bidi rule and the contextual rules of PRECIS are not applied
 * (characters they would allow are refused), and unassigned code points are judged by this runtime's Unicode tables.
 *
 * @returns undefined when it is no address; never throws.
 */
export function parseJid(text: string): Jid | undefined {
  const slash = text.indexOf('/');
  const bare = slash < 0 ? text : text.slice(0, slash);
  const at = bare.indexOf('@');
  const domain = domainOf(at < 0 ? bare : bare.slice(at + 1));
  if (domain === undefined) return undefined;
  const local = at < 0 ? undefined : preparedLocal(bare.slice(0, at));
  if (at >= 0 && local === undefined) return undefined;
  const resource = slash < 0 ? undefined : preparedResource(text.slice(slash + 1));
  if (slash >= 0 && resource === undefined) return undefined;
  if (local === undefined) return resource === undefined ? { domain } : { domain, resource };
  return resource === undefined ? { local, domain } : { local, domain, resource };
}

/** The address as it goes on the wire: the domain in U-labels, which is how XMPP servers know themselves. */
export function formatJid(jid: Jid): string {
  const domain = jid.domain.includes('xn--') ? unicodeDomain(jid.domain) : jid.domain;
  const bare = jid.local === undefined ? domain : `${jid.local}@${domain}`;
  return jid.resource === undefined ? bare : `${bare}/${jid.resource}`;
}

/** The same address without its resource. */
export function bareJid(jid: Jid): Jid {
  return jid.local === undefined ? { domain: jid.domain } : { local: jid.local, domain: jid.domain };
}

/**
 * Prepares a localpart (RFC 7622, section 3.3: UsernameCaseMapped, less the characters that section takes away).
 *
 * @returns undefined when it cannot be one.
 */
export function preparedLocal(text: string): string | undefined {
  if (text === '' || text.length > PART_BYTES_MAX) return undefined;
  const kind = asciiKind(text);
  if (kind === 'bad') return undefined;
  if (kind === 'plain') return text;
  if (kind === 'upper') return text.toLowerCase();
  // RFC 8265, section 3.3: width, then case, then normalization.
  const mapped = text.replace(WIDE, (wide) => wide.normalize('NFKC')).toLowerCase();
  const prepared = mapped.normalize('NFC');
  for (const character of prepared) {
    if (character.charCodeAt(0) < 0x80 ? !isLocalAscii(character.charCodeAt(0)) : !isIdentifier(character)) {
      return undefined;
    }
  }
  return Buffer.byteLength(prepared) <= PART_BYTES_MAX ? prepared : undefined;
}

/**
 * Prepares a resourcepart (RFC 7622, section 3.4: OpaqueString).
 *
 * @returns undefined when it cannot be one.
 */
export function preparedResource(text: string): string | undefined {
  if (text === '' || text.length > PART_BYTES_MAX) return undefined;
  if (isPrintableAscii(text)) return text;
  const prepared = text.replace(OTHER_SPACE, ' ').normalize('NFC');
  if (NOT_FREEFORM.test(prepared)) return undefined;
  return Buffer.byteLength(prepared) <= PART_BYTES_MAX ? prepared : undefined;
}

const WIDE = /[\uFF01-\uFFEE]/gu;
const OTHER_SPACE = /[\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]/gu;
/** Controls, format characters that change how text reads, private and unassigned ones, halves of pairs. */
const NOT_FREEFORM = /[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u2028\u2029\u202A-\u202E\u2066-\u2069\uFEFF]/u;
/** RFC 8264, section 9.1: LetterDigits. */
const LETTER_DIGIT = /^[\p{Ll}\p{Lo}\p{Lm}\p{Nd}\p{Mn}\p{Mc}]$/u;

/** IdentifierClass without ASCII (RFC 8264, section 4.2): letters and digits that are not compatibility forms. */
function isIdentifier(character: string): boolean {
  return LETTER_DIGIT.test(character) && character.normalize('NFKC') === character;
}

/** Printable ASCII without `"` `&` `'` `/` `:` `<` `>` `@` (RFC 7622, section 3.3.1) and without space. */
function isLocalAscii(code: number): boolean {
  if (code <= 0x20 || code >= 0x7f) return false;
  switch (code) {
    case 0x22:
    case 0x26:
    case 0x27:
    case 0x2f:
    case 0x3a:
    case 0x3c:
    case 0x3e:
    case 0x40:
      return false;
    default:
      return true;
  }
}

/** Looks at each character once and says what must be done to a localpart. */
function asciiKind(text: string): 'plain' | 'upper' | 'unicode' | 'bad' {
  let upper = false;
  let unicode = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code >= 0x61 && code <= 0x7a) continue;
    if (code >= 0x80) unicode = true;
    else if (!isLocalAscii(code)) return 'bad';
    else if (code >= 0x41 && code <= 0x5a) upper = true;
  }
  if (unicode) return 'unicode';
  return upper ? 'upper' : 'plain';
}

function isPrintableAscii(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}

/** Domains in use are few and come again with every stanza. */
const DOMAINS_REMEMBERED = 1000;
const canonical = new Map<string, string>();
const unicode = new Map<string, string>();

function domainOf(text: string): string | undefined {
  const known = canonical.get(text);
  if (known !== undefined) return known;
  const domain = domainInCanonicalForm(text);
  if (domain !== undefined) remember(canonical, text, domain);
  return domain;
}

function unicodeDomain(domain: string): string {
  const known = unicode.get(domain);
  if (known !== undefined) return known;
  const readable = domainToUnicode(domain);
  const written = readable === '' ? domain : readable;
  remember(unicode, domain, written);
  return written;
}

function remember(table: Map<string, string>, key: string, value: string): void {
  if (table.size >= DOMAINS_REMEMBERED) table.clear();
  table.set(key, value);
}
