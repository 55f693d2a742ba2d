import { parseNameAddr } from '../header-values.ts';
import { parseSipUri, schemeOf, uriParam } from '../uri.ts';
import type { Party } from './passport.ts';

/** Characters that need no escape anywhere in a URI (RFC 3986, section 2.3). */
const UNRESERVED = /[A-Za-z0-9\-._~]/;

/**
 * One end of a request in the form in which it is signed: the URI of a From or To value (RFC 8224, sections 8.1, 8.3 and
 * 8.5). A number is what says that it is one, by `tel:` or `user=phone`; a `+` alone does not.
 *
 * @returns undefined for a value without such a URI
 */
export function partyFrom(value: string | undefined): Party | undefined {
  const text = value === undefined ? undefined : parseNameAddr(value)?.uri;
  if (text === undefined) return undefined;
  if (schemeOf(text) === 'tel') return numberFrom(text.slice(4));
  const uri = parseSipUri(text);
  if (uri?.user === undefined) return undefined;
  const kind = uriParam(uri, 'user');
  const number = typeof kind === 'string' && kind.toLowerCase() === 'phone' ? numberFrom(uri.user) : undefined;
  return number ?? { uri: `${uri.scheme}:${plainUser(uri.user)}@${uri.host}` };
}

/** Section 8.3: digits, `#` and `*` alone. */
function numberFrom(text: string): Party | undefined {
  const digits = (text.split(';', 1)[0] ?? '').replace(/[^0-9#*]/g, '');
  return digits === '' ? undefined : { tn: digits };
}

/** Section 8.5: lower case, escapes of what needs none undone, the others in capitals (RFC 3986, section 6.2.2). */
function plainUser(user: string): string {
  return user.toLowerCase().replace(/%[0-9a-f]{2}/g, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16));
    return UNRESERVED.test(character) ? character.toLowerCase() : escape.toUpperCase();
  });
}
