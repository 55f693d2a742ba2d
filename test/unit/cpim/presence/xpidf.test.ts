import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentError } from '../../../../src/cpim/content-error.ts';
import { readCpimPidf } from '../../../../src/cpim/presence/cpim-pidf.ts';
import type { PresenceDocument, Show, Tuple } from '../../../../src/cpim/presence/document.ts';
import { readXpidf, writeXpidf } from '../../../../src/cpim/presence/xpidf.ts';
import { aPerson, aTuple } from '../../../support/presence-builders.ts';
import { aPresenceDocument } from '../../../support/presence-documents.ts';

const DOCTYPE = '<!DOCTYPE presence PUBLIC "-//IETF//DTD RFCxxxx XPIDF 1.0//EN" "xpidf.dtd">';

/** As Asterisk writes it for a hint. */
const hint = (status: string, substatus: string, priority = '0.800000'): string =>
  `<?xml version="1.0"?>\n${DOCTYPE}\n<presence>\n<presentity uri="sip:5001@pbx.example;method=SUBSCRIBE" />\n` +
  `<atom id="5001">\n<address uri="sip:5001@pbx.example;user=ip" priority="${priority}">\n<status status="${status}" />\n` +
  `<msnsubstatus substatus="${substatus}" />\n</address>\n</atom>\n</presence>\n`;

const ROWS: ReadonlyArray<readonly [status: string, substatus: string, tuple: Partial<Tuple>, activity?: string]> = [
  ['open', 'online', { basic: 'open' }],
  ['open', 'away', { basic: 'open', show: 'away' }, 'away'],
  ['open', 'berightback', { basic: 'open', show: 'away' }, 'away'],
  ['open', 'busy', { basic: 'open', show: 'dnd' }, 'busy'],
  ['open', 'idle', { basic: 'open', show: 'away' }],
  ['open', 'onthephone', { basic: 'open', show: 'dnd' }, 'on-the-phone'],
  ['open', 'outtolunch', { basic: 'open', show: 'away' }, 'meal'],
  ['inuse', 'onthephone', { basic: 'open', show: 'dnd' }, 'on-the-phone'],
  ['inuse', 'nonsense', { basic: 'open', show: 'dnd' }, 'busy'],
  ['closed', 'offline', { basic: 'closed' }],
  ['closed', 'busy', { basic: 'closed' }],
  ['nonsense', 'online', { basic: 'closed' }],
];
for (const [status, substatus, tuple, activity] of ROWS) {
  const out = aPresenceDocument({
    entity: 'sip:5001@pbx.example',
    tuples: [aTuple({ id: 'ID-5001', contact: { uri: 'sip:5001@pbx.example;user=ip', priority: 800 }, ...tuple })],
    persons:
      activity === undefined ? [] : [aPerson({ id: 't2', rich: { activities: { values: [{ name: activity }] } } })],
  });
  test(`XPIDF: ${status} and ${substatus}`, () => {
    assert.deepEqual(readXpidf(hint(status, substatus)), out);
  });
  test(`XPIDF under the name of CPIM-PIDF: ${status} and ${substatus}`, () => {
    assert.deepEqual(readCpimPidf(hint(status, substatus)), out);
  });
}

const LENIENT: ReadonlyArray<readonly [name: string, text: string, out: Partial<PresenceDocument>]> = [
  [
    'a decimal sign of some locale',
    hint('open', 'online', '0,5'),
    { tuples: [aTuple({ id: 'ID-5001', contact: { uri: 'sip:5001@pbx.example;user=ip', priority: 500 } })] },
  ],
  [
    'a quoted method, no XML declaration, a note, no uri',
    `<presence><presentity uri='sip:5001@pbx.example;method="SUBSCRIBE"'/><atom id='a'><address><status status='open'/><note>hi</note></address></atom></presence>`,
    { tuples: [aTuple({ id: 'a', notes: [{ text: 'hi' }] })] },
  ],
  [
    'several addresses in an atom',
    `<presence><presentity uri='sip:5001@pbx.example'/><atom id='a'><address uri='sip:x'><status status='open'/></address><address uri='sip:y'><status status='closed'/></address></atom></presence>`,
    {
      tuples: [
        aTuple({ id: 'a', contact: { uri: 'sip:x' } }),
        aTuple({ id: 't2', basic: 'closed', contact: { uri: 'sip:y' } }),
      ],
    },
  ],
];
for (const [name, text, out] of LENIENT) {
  test(`XPIDF tolerated: ${name}`, () => {
    assert.deepEqual(readXpidf(text), aPresenceDocument({ entity: 'sip:5001@pbx.example', ...out }));
  });
}

const MALFORMED: ReadonlyArray<readonly [name: string, text: string]> = [
  ['no presentity', `<presence><atom id='a'><address><status status='open'/></address></atom></presence>`],
  ['no status', `<presence><presentity uri='sip:a@b'/><atom id='a'><address uri='sip:a@b'/></atom></presence>`],
  ['one atom id twice', `<presence><presentity uri='sip:a@b'/>${`<atom id='a'><address><status status='open'/></address></atom>`.repeat(2)}</presence>`],
  ['another root', '<atom/>'],
  ['a document type with declarations in it', `<!DOCTYPE presence PUBLIC "a" "b" [<!ENTITY x "y">]><presence><presentity uri='sip:a@b'/></presence>`],
  ['a document type that is to be fetched', `<!DOCTYPE presence SYSTEM "http://x.example/x.dtd"><presence><presentity uri='sip:a@b'/></presence>`],
  ['two document types', `${DOCTYPE}${DOCTYPE}<presence><presentity uri='sip:a@b'/></presence>`],
  ['more addresses than are read', `<presence><presentity uri='sip:a@b'/><atom id='a'>${`<address><status status='open'/></address>`.repeat(129)}</atom></presence>`],
]; // prettier-ignore
for (const [name, text] of MALFORMED) {
  test(`XPIDF refused: ${name}`, () => {
    assert.throws(() => readXpidf(text), ContentError);
  });
}

test('XPIDF written: as old watchers know it', () => {
  const document = aPresenceDocument({
    tuples: [aTuple({ contact: { uri: 'sip:juliet@example.com', priority: 800 }, notes: [{ text: 'a < b' }] })],
  });
  assert.equal(
    writeXpidf(document),
    `<?xml version="1.0"?>\n${DOCTYPE}\n<presence><presentity uri="sip:juliet@example.com;method=SUBSCRIBE"/>` +
      `<atom id="t1"><address uri="sip:juliet@example.com" priority="0.8"><status status="open"/>` +
      `<msnsubstatus substatus="online"/><note>a &lt; b</note></address></atom></presence>`,
  );
});

const SUBSTATUS: ReadonlyArray<readonly [show: Show | undefined, activity: string | undefined, substatus: string]> = [
  [undefined, undefined, 'online'],
  ['chat', undefined, 'online'],
  ['away', undefined, 'away'],
  ['xa', undefined, 'away'],
  ['dnd', undefined, 'busy'],
  ['dnd', 'on-the-phone', 'onthephone'],
  ['away', 'meal', 'outtolunch'],
  [undefined, 'dinner', 'outtolunch'],
  [undefined, 'working', 'online'],
];
for (const [show, activity, substatus] of SUBSTATUS) {
  test(`XPIDF written: ${show ?? 'no show'} and ${activity ?? 'no activity'} are ${substatus}`, () => {
    const persons = activity === undefined ? [] : [aPerson({ rich: { activities: { values: [{ name: activity }] } } })];
    const document = aPresenceDocument({ tuples: [aTuple(show === undefined ? {} : { show })], persons });
    assert.ok(writeXpidf(document).includes(`<msnsubstatus substatus="${substatus}"/>`));
    assert.equal(readXpidf(writeXpidf(document)).tuples[0]?.basic, 'open');
  });
}

test('XPIDF written: somebody who is nowhere is offline, with the note of the whole', () => {
  const written = writeXpidf(aPresenceDocument({ notes: [{ text: 'gone' }] }));
  assert.deepEqual(
    readXpidf(written),
    aPresenceDocument({
      entity: 'sip:juliet@example.com',
      tuples: [
        aTuple({
          id: 'offline',
          basic: 'closed',
          contact: { uri: 'sip:juliet@example.com' },
          notes: [{ text: 'gone' }],
        }),
      ],
    }),
  );
});

const DRAFTS: ReadonlyArray<readonly [name: string, text: string, tuple: Partial<Tuple>]> = [
  ['the namespace of the drafts', `<presence xmlns='urn:ietf:params:xml:ns:cpim-pidf' entity='pres:bob@example.org'><tuple id='a'><status><basic>open</basic></status><note lang='en'>hi</note></tuple></presence>`, { notes: [{ text: 'hi', language: 'en' }] }],
  ['with a version', `<p:presence xmlns:p='urn:ietf:params:xml:ns:cpim-pidf:1.0' entity='pres:bob@example.org'><p:tuple id='a'><p:status><p:basic>open</p:basic></p:status></p:tuple></p:presence>`, {}],
  ['the namespace of RFC 3863', `<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:bob@example.org'><tuple id='a'><status><basic>open</basic></status></tuple></presence>`, {}],
  ['a presentity, a name and a value', `<presence xmlns='urn:ietf:params:xml:ns:cpim-pidf:1.0'><presentity id='pres:bob@example.org'/><tuple name='a'><status><value>open</value></status></tuple></presence>`, {}],
  ['close', `<presence xmlns='urn:ietf:params:xml:ns:cpim-pidf' entity='pres:bob@example.org'><tuple id='a'><status><basic>close</basic></status></tuple></presence>`, { basic: 'closed' }],
]; // prettier-ignore
for (const [name, text, tuple] of DRAFTS) {
  test(`CPIM-PIDF: ${name}`, () => {
    assert.deepEqual(
      readCpimPidf(text),
      aPresenceDocument({ entity: 'pres:bob@example.org', tuples: [aTuple({ id: 'a', ...tuple })] }),
    );
  });
}

test('CPIM-PIDF refused: another root', () => {
  assert.throws(() => readCpimPidf(`<x xmlns='urn:ietf:params:xml:ns:cpim-pidf' entity='pres:a@b'/>`), ContentError);
});
