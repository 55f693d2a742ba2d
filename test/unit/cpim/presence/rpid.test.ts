import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Person, RichPresence } from '../../../../src/cpim/presence/document.ts';
import { readPidf, writePidf } from '../../../../src/cpim/presence/pidf.ts';
import { aPerson, aTuple } from '../../../support/presence-builders.ts';
import { aPresenceDocument } from '../../../support/presence-documents.ts';
import { loadVectors } from '../../../support/vectors.ts';

const RPID = 'urn:ietf:params:xml:ns:pidf:rpid';

/** The person of a document with this in it. */
function personWith(inside: string): Person | undefined {
  const text =
    `<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:r='${RPID}' ` +
    `xmlns:x='urn:x' xmlns:lt='urn:ietf:params:xml:ns:location-type' entity='pres:a@b'><dm:person id='p1'>${inside}</dm:person></presence>`;
  return readPidf(text).persons[0];
}
const written = (rich: RichPresence): string => writePidf(aPresenceDocument({ persons: [aPerson({ rich })] }));

for (const vector of loadVectors<string[], RichPresence>('rfc4480/elements')) {
  test(`RPID: ${vector.id} (${vector.source})`, () => {
    const person = personWith(vector.in.join('\n'));
    assert.deepEqual(person?.rich, vector.out);
    assert.deepEqual(person.extensions, []);
    assert.deepEqual(readPidf(written(vector.out)).persons[0]?.rich, vector.out);
  });
}

const READ: ReadonlyArray<readonly [name: string, inside: string, rich: RichPresence]> = [
  ['lunch is a meal', '<r:activities><r:lunch/><r:away/></r:activities>', { activities: { values: [{ name: 'meal' }, { name: 'away' }] } }],
  ['lunch and meal are one', '<r:activities><r:lunch/><r:meal/></r:activities>', { activities: { values: [{ name: 'meal' }] } }],
  ['unknown beside another one says nothing', '<r:activities><r:unknown/><r:away/></r:activities>', { activities: { values: [{ name: 'away' }] } }],
  ['a mood without a mood is unknown', '<r:mood/>', { mood: { values: [{ name: 'unknown' }] } }],
  ['a place type without one is another one', '<r:place-type/>', { placeType: { values: [{ name: 'other', text: '' }] } }],
  [
    'other in several languages',
    `<r:activities><r:other xml:lang='en'>sighing</r:other><r:other xml:lang='cs'>vzdychání</r:other></r:activities>`,
    { activities: { values: [{ name: 'other', text: 'sighing', language: 'en' }, { name: 'other', text: 'vzdychání', language: 'cs' }] } },
  ],
  [
    'a value of another namespace',
    `<r:mood><x:wistful a='1'/></r:mood>`,
    { mood: { values: [], unknown: [{ name: 'x:wistful', attrs: { 'xmlns:x': 'urn:x', a: '1' }, children: [] }] } },
  ],
  ['the order of privacy is that of the schema', '<r:privacy><r:video/><r:audio/></r:privacy>', { privacy: { values: [{ name: 'audio' }, { name: 'video' }] } }],
  ['a sphere as text', '<r:sphere> work </r:sphere>', { sphere: { values: [{ name: 'work' }] } }],
  ['a class over several lines', '<r:class> a\n  b </r:class>', { class: 'a b' }],
  ['times that are none, an id that is none', `<r:mood id='1' from='now' until='2005-13-01T00:00:00Z'><r:sad/></r:mood>`, { mood: { values: [{ name: 'sad' }] } }],
  ['a relationship has no times', `<r:relationship from='2005-10-27T16:49:29Z' id='a'><r:self/></r:relationship>`, { relationship: { values: [{ name: 'self' }] } }],
  ['no offset at all', '<r:time-offset>-0</r:time-offset>', { timeOffset: { minutes: 0 } }],
  ['a threshold that is none', `<r:user-input idle-threshold='0' last-input='never'>active</r:user-input>`, { userInput: { state: 'active' } }],
]; // prettier-ignore
for (const [name, inside, rich] of READ) {
  test(`RPID read: ${name}`, () => {
    const person = personWith(inside);
    assert.deepEqual(person?.rich, rich);
    assert.deepEqual(person.extensions, []);
    assert.deepEqual(readPidf(written(rich)).persons[0]?.rich, rich);
  });
}

/** What is kept as it stands, and what is read beside it. */
const KEPT: ReadonlyArray<readonly [name: string, inside: string, rich: RichPresence]> = [
  ['an element that RPID does not have', '<r:idle/>', {}],
  ['a user input that is neither active nor idle', '<r:user-input>asleep</r:user-input>', {}],
  ['an offset that is no number', '<r:time-offset>noon</r:time-offset>', {}],
  ['a status icon without URI', '<r:status-icon/>', {}],
  [
    'a second element, for another time (RFC 4480, section 3.1)',
    '<r:sphere><r:work/></r:sphere><r:sphere><r:home/></r:sphere>',
    { sphere: { values: [{ name: 'work' }] } },
  ],
];
for (const [name, inside, rich] of KEPT) {
  test(`RPID kept: ${name}`, () => {
    const person = personWith(inside);
    assert.deepEqual(person?.rich, rich);
    assert.equal(person.extensions.length, 1);
    const document = aPresenceDocument({ persons: [person] });
    assert.deepEqual(readPidf(writePidf(document)), document);
  });
}

test('RPID kept: a place that is heard in a way of its own', () => {
  const person = personWith(
    '<r:place-is><r:audio><x:echo/></r:audio><r:video><r:dark/></r:video><x:smell/></r:place-is>',
  );
  assert.equal(person?.rich.placeIs?.video, 'dark');
  assert.equal(person.rich.placeIs.audio, undefined);
  assert.deepEqual(
    person.rich.placeIs.unknown?.map(({ name }) => name),
    ['r:audio', 'x:smell'],
  );
  const document = aPresenceDocument({ persons: [person] });
  assert.equal(writePidf(readPidf(writePidf(document))), writePidf(document));
});

test('RPID written: lunch as a meal, which the schema knows (RFC 4480, section 5.1)', () => {
  assert.match(
    written({ activities: { values: [{ name: 'lunch' }] } }),
    /<rpid:activities><rpid:meal\/><\/rpid:activities>/,
  );
});

test('RPID written: on a tuple and in a status that was read, as a child of the tuple', () => {
  const document = aPresenceDocument({ tuples: [aTuple({ rich: { class: 'x' } })] });
  assert.match(writePidf(document), /<\/status><rpid:class>x<\/rpid:class><\/tuple>/);
});
