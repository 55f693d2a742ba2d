/** What those are shown who may not see everything. */
import { addressKey, type Address } from '../../cpim/address.ts';
import type { ContactCard, PresenceDocument, Tuple } from '../../cpim/presence/document.ts';
import { CIPID } from '../../cpim/presence/namespaces.ts';
import { childIn, type Scope } from '../../cpim/presence/scope.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { OUTSIDE } from './element-names.ts';

/**
 * The document of a user who is not there: one service, closed. Whoever is blocked politely sees the same, always, so
 * that nothing gives the block away (RFC 3856, section 6.6.2); it depends on nothing but the user, whichever way his
 * address is spelled.
 */
export function closedDocument(presentity: Address): PresenceDocument {
  const key = addressKey(presentity);
  const tuple: Tuple = {
    id: 'offline',
    basic: 'closed',
    rich: {},
    notes: [],
    extensions: [],
    statusExtensions: [],
    contact: { uri: `sip:${key}` },
    deviceIds: [],
  };
  return { entity: `pres:${key}`, tuples: [tuple], persons: [], devices: [], notes: [], extensions: [] };
}

/** PIDF-LO (RFC 4119, section 2.2) with its civic addresses and usage rules. */
const GEOPRIV = 'urn:ietf:params:xml:ns:pidf:geopriv10';
/** Its coordinates, where they stand outside it (RFC 5491, section 5), and shapes. */
const GML = 'http://www.opengis.net/';
/** XEP-0080. */
const GEOLOC = 'http://jabber.org/protocol/geoloc';

/**
 * The document without what says where the presentity is: location objects (RFC 4119) wherever they are, and the map of
 * a contact card, which is a map of that (RFC 4482, section 3.5). The same object when there is none.
 *
 * What kind of place it is (RFC 4480, section 3.7) says no more than a note does, and stays.
 */
export function withoutLocation(document: PresenceDocument): PresenceDocument {
  return dataWithout(document) as PresenceDocument;
}

/** Looks through all of the document, since elements that are not understood stand in many places. */
function dataWithout(data: unknown): unknown {
  if (typeof data !== 'object' || data === null) return data;
  if (Array.isArray(data)) return mapped(data as readonly unknown[], dataWithout);
  if (isElement(data)) return elementWithout(data, OUTSIDE);
  let left = data as Record<string, unknown>;
  for (const [key, value] of Object.entries(data)) {
    const valueLeft: unknown = key === 'card' ? cardWithout(value as Card) : dataWithout(value);
    if (valueLeft !== value) left = { ...left, [key]: valueLeft };
  }
  return left;
}

/** A contact card, or the reference to one within it. */
type Card = ContactCard | string;

function cardWithout(card: Card): Card {
  if (typeof card === 'string' || card.map === undefined) return card;
  return Object.fromEntries(Object.entries(card).filter(([key]) => key !== 'map'));
}

function isElement(data: object): data is XmlElement {
  return 'name' in data && 'attrs' in data && 'children' in data;
}

function elementWithout(element: XmlElement, around: Scope): XmlElement | undefined {
  const { namespace, local, scope } = childIn(around, element);
  if (namespace.startsWith(GEOPRIV) || namespace.startsWith(GML) || namespace === GEOLOC) return undefined;
  if (namespace === CIPID && local === 'map') return undefined;
  const children = mapped(element.children, (child) =>
    typeof child === 'string' ? child : elementWithout(child, scope),
  );
  return children === element.children ? element : { ...element, children };
}

/** Each item as `map` leaves it, without those it leaves nothing of; the same array when all are left as they were. */
function mapped<T>(items: readonly T[], map: (item: T) => T | undefined): readonly T[] {
  let kept: T[] | undefined;
  items.forEach((item, at) => {
    const left = map(item);
    if (left !== item) kept ??= items.slice(0, at);
    if (left !== undefined) kept?.push(left);
  });
  return kept ?? items;
}
