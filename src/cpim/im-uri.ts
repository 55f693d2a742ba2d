import { type Address, parseAddress } from './address.ts';

/** The two URI schemes of the abstract services: messages (RFC 3860) and presence (RFC 3859). */
export type ImScheme = 'im' | 'pres';

/**
 * Reads an `im:` or `pres:` URI (RFC 3860, section 3.2 and appendix A; RFC 3859, appendix A). The scheme is
 * case-insensitive; `?headers` are dropped; the localpart may be escaped by the list of RFC 7247, section 6.5 or by that
 * of RFC 3922, section 3.2, which leaves `?` bare: a `?` before the `@` with no `=` between them belongs to the name.
 *
 * @returns undefined for another scheme or for what is no address (an empty one included); never throws.
 */
export function parseImUri(text: string): { readonly scheme: ImScheme; readonly address: Address } | undefined {
  const colon = text.indexOf(':');
  if (colon < 2 || colon > 4) return undefined;
  const scheme = text.slice(0, colon).toLowerCase();
  if (scheme !== 'im' && scheme !== 'pres') return undefined;
  const address = parseAddress(withoutHeaders(text.slice(colon + 1)));
  return address === undefined ? undefined : { scheme, address };
}

/**
 * Writes the address as an `im:` or `pres:` URI. The canonical form of an address is that of the URI already, but for
 * dots that no dot-atom has (at either end, or two in a row); those are written `%2E`, which is equal to a dot.
 */
export function formatImUri(address: Address, scheme: ImScheme): string {
  const at = address.indexOf('@');
  if (at < 0) return `${scheme}:${address}`;
  const localpart = address.slice(0, at).replace(/^\.|\.$|\.(?=\.)/g, '%2E');
  return `${scheme}:${localpart}${address.slice(at)}`;
}

/** The address without the headers; see `parseImUri` for what a `?` is. */
function withoutHeaders(rest: string): string {
  const mark = rest.indexOf('?');
  if (mark < 0) return rest;
  const at = rest.indexOf('@');
  if (at < mark) return rest.slice(0, mark);
  if (rest.slice(mark, at).includes('=')) return rest.slice(0, mark);
  const later = rest.indexOf('?', at);
  return later < 0 ? rest : rest.slice(0, later);
}
