import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Capabilities } from '../../../../src/cpim/presence/capabilities.ts';
import type { Tuple } from '../../../../src/cpim/presence/document.ts';
import { readPidf, writePidf } from '../../../../src/cpim/presence/pidf.ts';
import { aPresenceDocument } from '../../../support/presence-documents.ts';

const CAPS = 'urn:ietf:params:xml:ns:pidf:caps';

function tupleWith(inside: string): Tuple | undefined {
  const text =
    `<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:p='urn:ietf:params:xml:ns:pidf' xmlns:c='${CAPS}' xmlns:x='urn:x' ` +
    `entity='pres:a@b'><tuple id='t1'><status><basic>open</basic></status>${inside}</tuple></presence>`;
  return readPidf(text).tuples[0];
}
const element = (name: string, children: string[] = []) => ({ name, attrs: { 'xmlns:c': CAPS }, children });
const foreign = { name: 'x:y', attrs: { 'xmlns:x': 'urn:x' }, children: [] };

const ROWS: ReadonlyArray<readonly [name: string, inside: string, capabilities: Capabilities]> = [
  ['nothing', '', {}],
  ['booleans', '<c:audio>1</c:audio><c:isfocus> true </c:isfocus><c:automata>0</c:automata>', { audio: true, isFocus: true, automata: false }],
  ['a boolean that is none', '<c:audio>yes</c:audio>', { unknown: [element('c:audio', ['yes'])] }],
  ['a boolean twice', '<c:audio>true</c:audio><c:audio>false</c:audio>', { audio: true, unknown: [element('c:audio', ['false'])] }],
  ['an empty list', '<c:methods/>', { methods: {} }],
  ['an empty side of a list', '<c:methods><c:supported/></c:methods>', { methods: {} }],
  [
    'names in the order of the schema, those it does not know last',
    '<c:methods><c:supported><c:FOO/><c:PUBLISH/><c:ACK/></c:supported></c:methods>',
    { methods: { supported: ['ACK', 'PUBLISH', 'FOO'] } },
  ],
  [
    'names of other namespaces',
    '<c:actor><c:notsupported><x:y/><c:principal/></c:notsupported></c:actor>',
    { actor: { notSupported: ['principal'], unknownNotSupported: [foreign] } },
  ],
  ['a side that is not known', '<c:actor><c:perhaps/></c:actor>', { unknown: [{ ...element('c:actor'), children: [{ name: 'c:perhaps', attrs: {}, children: [] }] }] }],
  ['schemes', '<c:schemes><c:supported><c:s>sip</c:s><c:s> im </c:s></c:supported></c:schemes>', { schemes: { supported: ['sip', 'im'] } }],
  [
    'priorities, with the spelling of the schema',
    `<c:priority><c:supported><c:higherhan minvalue='5'/><c:equals value='2'/></c:supported><c:notsupported><c:range minvalue='1' maxvalue='4'/></c:notsupported></c:priority>`,
    { priority: { supported: [{ min: 2, max: 2 }, { min: 5 }], notSupported: [{ min: 1, max: 4 }] } },
  ],
  ['what is of another namespace', '<x:y/>', { unknown: [foreign] }],
]; // prettier-ignore
for (const [name, inside, capabilities] of ROWS) {
  test(`capabilities: ${name}`, () => {
    const tuple = tupleWith(`<c:servcaps>${inside}</c:servcaps>`);
    assert.deepEqual(tuple?.capabilities, capabilities);
    const document = aPresenceDocument({ tuples: [tuple] });
    // Prefixes are those of RFC 5196 where the root declares them, so elements that are kept have two.
    const again = readPidf(writePidf(document));
    assert.deepEqual(again, document);
  });
}

test('capabilities: what must be understood and is not leaves them all as they stand (RFC 3863, section 4.2.3)', () => {
  const tuple = tupleWith(`<c:servcaps><c:audio>true</c:audio><x:y p:mustUnderstand='1'/></c:servcaps>`);
  assert.equal(tuple?.capabilities, undefined);
  assert.deepEqual(
    tuple?.extensions.map(({ name }) => name),
    ['c:servcaps'],
  );
});

test('capabilities: a second servcaps is kept', () => {
  const tuple = tupleWith('<c:servcaps/><c:servcaps><c:audio>true</c:audio></c:servcaps>');
  assert.deepEqual(tuple?.capabilities, {});
  assert.equal(tuple.extensions.length, 1);
});
