import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PresenceDocument, RpidValues } from '../../../../src/cpim/presence/document.ts';
import { writePidf } from '../../../../src/cpim/presence/pidf.ts';
import { readCpimPidf } from '../../../../src/cpim/presence/cpim-pidf.ts';
import { tupleIdFromInstance } from '../../../../src/cpim/presence/instance-ids.ts';
import { writeWatcherInfo } from '../../../../src/cpim/presence/watcherinfo.ts';
import { needs } from '../../../support/peers.ts';
import { aPerson, aTuple } from '../../../support/presence-builders.ts';
import { aPresenceDocument, FULL_DOCUMENT } from '../../../support/presence-documents.ts';
import { loadVectors } from '../../../support/vectors.ts';
import { aWatcherList } from '../../../support/watcher-lists.ts';
import { schemaFaults } from '../../../support/xmllint.ts';

/** What we write is valid against the schemas that the RFCs print. */
const options = needs('xmllint');

const ACTIVITIES =
  'appointment away breakfast busy dinner holiday in-transit looking-for-work lunch meal meeting on-the-phone ' +
  'performance permanent-absence playing presentation shopping sleeping spectator steering travel tv vacation working worship';
const MOODS =
  'afraid amazed angry annoyed anxious ashamed bored brave calm cold confused contented cranky curious depressed ' +
  'disappointed disgusted distracted embarrassed excited flirtatious frustrated grumpy guilty happy hot humbled humiliated ' +
  'hungry hurt impressed in_awe in_love indignant interested invincible jealous lonely mean moody nervous neutral offended ' +
  'playful proud relieved remorseful restless sad sarcastic serious shocked shy sick sleepy stressed surprised thirsty worried';
const all = (names: string): RpidValues => ({ values: names.split(' ').map((name) => ({ name })) });
const each = (names: string): RpidValues[] => names.split(' ').map((name) => ({ values: [{ name }] }));

/** Each value of each element, as few documents as will do: a person holds one of each. */
function everyValue(): PresenceDocument {
  const spheres = each('home work unknown');
  const persons = [
    { activities: all(ACTIVITIES), mood: all(MOODS) },
    { activities: all('unknown'), mood: all('unknown'), placeType: { values: [{ name: 'other', text: 'x' }] } },
    { activities: { values: [] }, mood: { values: [] }, placeType: { values: [] }, privacy: { values: [] } },
    {
      privacy: all('video text audio'),
      sphere: { values: [] },
      relationship: { values: [] },
      serviceClass: { values: [] },
    },
    ...spheres.map((sphere) => ({ sphere })),
    ...each('assistant associate family friend other self supervisor unknown').map((relationship) => ({
      relationship,
    })),
    ...each('courier electronic freight in-person postal unknown').map((serviceClass) => ({ serviceClass })),
    ...['noisy', 'ok', 'quiet', 'unknown'].map((audio) => ({ placeIs: { audio } })),
    ...['toobright', 'ok', 'dark', 'unknown'].map((video) => ({ placeIs: { video } })),
    ...['uncomfortable', 'inappropriate', 'ok', 'unknown'].map((text) => ({ placeIs: { text } })),
  ];
  return aPresenceDocument({ persons: persons.map((rich, at) => aPerson({ id: `p${at}`, rich })) });
}

const INSTANCES = [
  'balcony',
  '',
  'my phone',
  'a_b',
  '1',
  'Büro',
  'телефон',
  '電話',
  '\u{1F4F1}',
  '\u00D7\u0301',
  'a:b/c"<>&',
];
const rich = { activities: { id: 'x', values: [{ name: 'away' }] } };
const WRITTEN: ReadonlyArray<readonly [name: string, document: PresenceDocument]> = [
  ['every part of the model', FULL_DOCUMENT],
  ['every value of RPID', everyValue()],
  ['nothing', aPresenceDocument()],
  ['tuple ids of all kinds of instances', aPresenceDocument({ tuples: INSTANCES.map((instance) => aTuple({ id: tupleIdFromInstance(instance) })) })],
  ['ids of RPID that occur twice', aPresenceDocument({ persons: [aPerson({ rich }), aPerson({ id: 'p2', rich })] })],
  ['languages that are none', aPresenceDocument({ notes: [{ text: 'x', language: 'not a tag' }, { text: 'y', language: '' }] })],
  ['times that cannot be written', aPresenceDocument({ tuples: [aTuple({ timestampMs: -1e15 }), aTuple({ id: 'b', timestampMs: NaN })] })],
  ['priorities that cannot be written', aPresenceDocument({ tuples: [aTuple({ contact: { uri: 'sip:a@b', priority: 1001 } })] })],
  ['every priority of a contact', aPresenceDocument({ tuples: [0, 1, 7, 15, 102, 500, 992, 999, 1000].map((priority) => aTuple({ id: `t${priority}`, contact: { uri: 'sip:a@b', priority } })) })],
  ['a document of the drafts', readCpimPidf(`<presence xmlns='urn:ietf:params:xml:ns:cpim-pidf' entity='sip:a@b'><tuple id='1'><status><basic>open</basic></status></tuple></presence>`)],
]; // prettier-ignore
for (const [name, document] of WRITTEN) {
  test(`valid against the schemas: ${name}`, options, () => {
    assert.deepEqual(schemaFaults(writePidf(document), 'presence'), []);
  });
}

for (const rfc of ['rfc3863', 'rfc4479', 'rfc4480', 'rfc4482', 'rfc5196', 'rfc8048', 'rfc3922']) {
  for (const vector of loadVectors<string[], PresenceDocument>(`${rfc}/documents`)) {
    test(`valid against the schemas: ${vector.id} (${vector.source})`, options, () => {
      const faults = schemaFaults(writePidf(vector.out), 'presence');
      // RFC 4480, section 4 has a sphere with a name, for which its own schema has no room.
      const known = vector.id === 'all-elements' ? /^-:2: element sphere: .* Character content / : undefined;
      assert.deepEqual(
        faults.filter((fault) => known?.test(fault) !== true),
        [],
      );
    });
  }
}

for (const [name, list] of Object.entries(aWatcherList)) {
  test(`valid against the schema: watcher information, ${name}`, options, () => {
    assert.deepEqual(schemaFaults(writeWatcherInfo(list, 2_147_483_647), 'watcherinfo'), []);
  });
}

const INVALID: ReadonlyArray<readonly [name: string, break_: (xml: string) => string]> = [
  ['order of a tuple', (xml) => xml.replace(/(<status>.*?<\/status>)(<dm:deviceID>.*?<\/dm:deviceID>)/, '$2$1')],
  ['a basic status', (xml) => xml.replace('<basic>open<', '<basic>ajar<')],
  ['an activity', (xml) => xml.replace('<rpid:travel/>', '<rpid:rest/>')],
  ['a capability', (xml) => xml.replace('<caps:audio>true<', '<caps:audio>perhaps<')],
  ['an id that occurs twice', (xml) => xml.replace('id="p2"', 'id="p1"')],
];
for (const [name, broken] of INVALID) {
  test(`the schemas are looked at: ${name}`, options, () => {
    const xml = broken(writePidf(FULL_DOCUMENT));
    assert.notEqual(xml, writePidf(FULL_DOCUMENT));
    assert.notDeepEqual(schemaFaults(xml, 'presence'), []);
  });
}
