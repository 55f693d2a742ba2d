import { GatewayError } from '../../core/errors.ts';
import { childOf, textOf, type XmlElement } from '../../cpim/xml.ts';

/** XEP-0059. */
const PAGING_NAMESPACE = 'http://jabber.org/protocol/rsm';

/** Without a wish as to how many. */
const PAGE = 100;
const PAGE_MAX = 500;

/** One of a list, with the name by which a page says where it ends; unique in it. */
export type Listed = { readonly key: string; readonly element: XmlElement };

/**
 * The part of a list that a query asks for (XEP-0059): all of it where it is short and the query asks for no part.
 *
 * @returns the elements of the part, and after them what it says of itself
 * @throws GatewayError 'recipient-unknown' for a place that is in the list no more (section 2.5), 'request-malformed'
 */
export function page(query: XmlElement, list: readonly Listed[]): XmlElement[] {
  const wish = childOf(query, 'set', PAGING_NAMESPACE);
  if (wish === undefined && list.length <= PAGE) return list.map(({ element }) => element);
  const max = Math.min(numberIn(wish, 'max') ?? PAGE, PAGE_MAX);
  const [from, to] = rangeOf(wish, list, max);
  const part = list.slice(from, to);
  return [...part.map(({ element }) => element), pageElement(part, from, list.length)];
}

function rangeOf(wish: XmlElement | undefined, list: readonly Listed[], max: number): readonly [number, number] {
  const index = numberIn(wish, 'index');
  if (index !== undefined) {
    if (index > list.length) throw new GatewayError('recipient-unknown', 'page behind the end of the list');
    return [index, index + max];
  }
  const after = textIn(wish, 'after');
  if (after !== undefined) {
    const from = placeOf(list, after) + 1;
    return [from, from + max];
  }
  const before = textIn(wish, 'before');
  if (before === undefined) return [0, max];
  // An empty one asks for the last page.
  const to = before === '' ? list.length : placeOf(list, before);
  return [Math.max(0, to - max), to];
}

function placeOf(list: readonly Listed[], key: string): number {
  const at = list.findIndex((one) => one.key === key);
  if (at < 0) throw new GatewayError('recipient-unknown', 'page after what is in the list no more');
  return at;
}

function pageElement(part: readonly Listed[], from: number, count: number): XmlElement {
  const children: XmlElement[] = [];
  const [first, last] = [part[0], part.at(-1)];
  if (first !== undefined && last !== undefined) {
    children.push({ name: 'first', attrs: { index: String(from) }, children: [first.key] });
    children.push({ name: 'last', attrs: {}, children: [last.key] });
  }
  children.push({ name: 'count', attrs: {}, children: [String(count)] });
  return { name: 'set', attrs: { xmlns: PAGING_NAMESPACE }, children };
}

function textIn(wish: XmlElement | undefined, name: string): string | undefined {
  const child = wish === undefined ? undefined : childOf(wish, name);
  return child === undefined ? undefined : textOf(child).trim();
}

function numberIn(wish: XmlElement | undefined, name: string): number | undefined {
  const text = textIn(wish, name);
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,9}$/.test(text)) throw new GatewayError('request-malformed', `${name} of a page is no number`);
  return Number(text);
}
