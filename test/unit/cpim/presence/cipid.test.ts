import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContactCard, Person } from '../../../../src/cpim/presence/document.ts';
import { readPidf, writePidf } from '../../../../src/cpim/presence/pidf.ts';
import { aPresenceDocument } from '../../../support/presence-documents.ts';

function personWith(inside: string): Person | undefined {
  const text =
    `<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' ` +
    `xmlns:c='urn:ietf:params:xml:ns:pidf:cipid' entity='pres:a@b'><dm:person id='p1'>${inside}</dm:person></presence>`;
  return readPidf(text).persons[0];
}

const ROWS: ReadonlyArray<readonly [name: string, inside: string, card: ContactCard | undefined, kept: number]> = [
  ['a URI over several lines', '<c:icon>\n  http://example.com/i\n</c:icon>', { icon: 'http://example.com/i' }, 0],
  ['an empty element', '<c:map/>', undefined, 1],
  ['a name that is not known', '<c:vcard>x</c:vcard>', undefined, 1],
  ['a second element of one name', '<c:card>urn:a</c:card><c:card>urn:b</c:card>', { card: 'urn:a' }, 1],
  [
    'names in two languages (RFC 4482, section 3.2)',
    `<c:display-name xml:lang='it'>Giulietta</c:display-name><c:display-name xml:lang='en'>Juliet</c:display-name>`,
    { displayName: 'Giulietta', displayNameLanguage: 'it' },
    1,
  ],
];
for (const [name, inside, card, kept] of ROWS) {
  test(`contact card: ${name}`, () => {
    const person = personWith(inside);
    assert.ok(person !== undefined);
    assert.deepEqual(person.card, card);
    assert.equal(person.extensions.length, kept);
    const document = aPresenceDocument({ persons: [person] });
    assert.deepEqual(readPidf(writePidf(document)), document);
  });
}
