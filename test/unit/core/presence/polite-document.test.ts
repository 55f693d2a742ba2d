import assert from 'node:assert/strict';
import test from 'node:test';
import { closedDocument, withoutLocation } from '../../../../src/core/presence/polite-document.ts';
import type { PresenceDocument } from '../../../../src/cpim/presence/document.ts';
import type { XmlElement } from '../../../../src/cpim/xml.ts';
import { anAddress } from '../../../support/builders.ts';
import { aDevice, aDocument, aPerson, aTuple } from '../../../support/presence-builders.ts';

test('the closed document says that the user is not there, and nothing else', () => {
  assert.deepEqual(closedDocument(anAddress('alice@sip.example')), {
    entity: 'pres:alice@sip.example',
    tuples: [
      {
        id: 'offline',
        basic: 'closed',
        rich: {},
        notes: [],
        extensions: [],
        statusExtensions: [],
        contact: { uri: 'sip:alice@sip.example' },
        deviceIds: [],
      },
    ],
    persons: [],
    devices: [],
    notes: [],
    extensions: [],
  });
});

test('the closed document is the same however the watcher spells the address', () => {
  assert.deepEqual(closedDocument(anAddress('Alice@SIP.example')), closedDocument(anAddress('alice@sip.example')));
});

const GP = 'urn:ietf:params:xml:ns:pidf:geopriv10';
const element = (name: string, attrs: Record<string, string>, children: XmlElement['children'] = []): XmlElement => ({
  name,
  attrs,
  children,
});
const geopriv = element('gp:geopriv', { 'xmlns:gp': GP }, [
  element('gp:location-info', {}, [element('cl:civicAddress', { 'xmlns:cl': `${GP}:civicLoc` }, ['AU'])]),
]);
const civic = element('civicAddress', { xmlns: `${GP}:civicAddr` });
const point = element('gml:Point', { 'xmlns:gml': 'http://www.opengis.net/gml' });
const geoloc = element('geoloc', { xmlns: 'http://jabber.org/protocol/geoloc' });
const map = element('c:map', { 'xmlns:c': 'urn:ietf:params:xml:ns:pidf:cipid' }, ['http://map']);
const other = element('x:other', { 'xmlns:x': 'urn:x' }, ['text']);
const wrapped = (inside: readonly XmlElement[]): XmlElement =>
  element('x:w', { 'xmlns:x': 'urn:x', 'xmlns:g': GP }, ['before', ...inside, 'after']);
/** Named by prefixes that are declared further out, or anew. */
const inherited = element('g:geopriv', {}, []);
const rebound = element('g:geopriv', { 'xmlns:g': 'urn:harmless' }, []);

const ROWS: ReadonlyArray<
  readonly [where: string, build: (elements: readonly XmlElement[]) => Partial<PresenceDocument>]
> = [
  ['a document', (extensions) => ({ extensions })],
  ['a tuple', (extensions) => ({ tuples: [aTuple({ extensions }), aTuple({ id: 't2' })] })],
  ['a status', (statusExtensions) => ({ tuples: [aTuple(), aTuple({ id: 't2', statusExtensions })] })],
  ['a person', (extensions) => ({ persons: [aPerson({ extensions })] })],
  ['a device', (extensions) => ({ devices: [aDevice({ extensions })] })],
  ['capabilities of a tuple', (unknown) => ({ tuples: [aTuple({ capabilities: { unknown } })] })],
  ['capabilities of a device', (unknown) => ({ devices: [aDevice({ capabilities: { unknown } })] })],
  ['an activity', (unknown) => ({ persons: [aPerson({ rich: { activities: { values: [], unknown } } })] })],
];
for (const [where, build] of ROWS) {
  test(`location is taken out of ${where}`, () => {
    const all = [geopriv, other, civic, point, wrapped([geopriv, other]), geoloc, map];
    assert.deepEqual(withoutLocation(aDocument(build(all))), aDocument(build([other, wrapped([other])])));
  });

  test(`what is no location stays in ${where}, and the document is the same object`, () => {
    const document = aDocument(build([other, wrapped([other, rebound])]));
    assert.equal(withoutLocation(document), document);
  });
}

test('location is known by its namespace, wherever that is declared', () => {
  const document = aDocument({ extensions: [wrapped([inherited, rebound])] });
  assert.deepEqual(withoutLocation(document).extensions, [wrapped([rebound])]);
});

test('the map of a contact card is a location, its other parts are none', () => {
  const rest = { card: 'http://card', displayName: 'Alice' };
  const card = { ...rest, map: 'http://map' };
  const document = aDocument({ tuples: [aTuple({ card })], persons: [aPerson({ card })] });
  assert.deepEqual(
    withoutLocation(document),
    aDocument({ tuples: [aTuple({ card: rest })], persons: [aPerson({ card: rest })] }),
  );
  const plain = aDocument({ persons: [aPerson({ card: rest })] });
  assert.equal(withoutLocation(plain), plain);
});

test('what kind of place it is stays', () => {
  const rich = { placeType: { values: [{ name: 'office' }] }, placeIs: { audio: 'noisy' } };
  const document = aDocument({ persons: [aPerson({ rich })] });
  assert.equal(withoutLocation(document), document);
});
