import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml, writeXml } from '../../../../src/cpim/xml.ts';
import type { Person, PresenceDocument, Tuple } from '../../../../src/cpim/presence/document.ts';
import {
  documentFromResources,
  presenceChanges,
  presencesFromDocument,
  type ResourcePresence,
  type TuplePresence,
} from '../../../../src/xmpp/presence/map-presence.ts';
import { presenceChildren } from '../../../../src/xmpp/presence/presence-content.ts';
import { presenceElement, type PresenceStanza, readStanza } from '../../../../src/xmpp/stanza.ts';
import { anAddress } from '../../../support/builders.ts';
import { aDocument, aTuple } from '../../../support/xmpp-presence-world.ts';

const AT_MS = 1_700_000_000_000;

/** As it would stand on the wire: `resource type children`. */
function texts(presences: readonly TuplePresence[]): string[] {
  return presences.map(({ resource, isAvailable, content }) =>
    `${resource === '' ? '-' : resource} ${isAvailable ? 'available' : 'unavailable'} ${presenceChildren(content).map(writeXml).join('')}`.trimEnd(),
  );
}

const person = (activity: string, parts: Partial<Person> = {}): Person => ({
  id: 'p',
  rich: { activities: { values: [{ name: activity }] } },
  notes: [],
  extensions: [],
  ...parts,
});

const TO_XMPP: ReadonlyArray<readonly [what: string, document: PresenceDocument, out: readonly string[]]> = [
  ['open', aDocument([aTuple()]), ['phone available']],
  ['closed', aDocument([aTuple({ basic: 'closed' })]), ['phone unavailable']],
  ['an id without prefix (RFC 3922, section 5.1.1)', aDocument([aTuple({ id: 'desk' })]), ['desk available']],
  ['an id that is encoded', aDocument([aTuple({ id: 'ID-my_x20phone' })]), ['my phone available']],
  [
    'two ids for one instance',
    aDocument([aTuple({ id: 'ID-a' }), aTuple({ id: 'a', basic: 'closed' })]),
    ['a available'],
  ],
  [
    'two ids for one instance, the other way round',
    aDocument([aTuple({ id: 'a' }), aTuple({ id: 'ID-a', basic: 'closed' })]),
    ['a available', 'ID-a unavailable'],
  ],
  [
    'several tuples (RFC 3922, section 6.3.1)',
    aDocument([aTuple(), aTuple({ id: 'ID-desk', basic: 'closed' })]),
    ['phone available', 'desk unavailable'],
  ],
  ['show', aDocument([aTuple({ show: 'dnd' })]), ['phone available <show>dnd</show>']],
  ['no show for who is not there', aDocument([aTuple({ basic: 'closed', show: 'dnd' })]), ['phone unavailable']],
  [
    'show before the activities of the tuple',
    aDocument([aTuple({ show: 'chat', rich: { activities: { values: [{ name: 'busy' }] } } })]),
    ['phone available <show>chat</show>'],
  ],
  [
    'activities of the tuple before those of the person',
    aDocument([aTuple({ rich: { activities: { values: [{ name: 'sleeping' }] } } })], { persons: [person('busy')] }),
    ['phone available <show>xa</show>'],
  ],
  [
    'activities of the person',
    aDocument([aTuple()], { persons: [person('meeting')] }),
    ['phone available <show>dnd</show>'],
  ],
  [
    'the activity that leaves him least available',
    aDocument([aTuple()], {
      persons: [{ ...person('away'), rich: { activities: { values: [{ name: 'meal' }, { name: 'on-the-phone' }] } } }],
    }),
    ['phone available <show>dnd</show>'],
  ],
  [
    'notes in languages',
    aDocument([
      aTuple({
        notes: [
          { text: 'Away', language: 'en' },
          { text: 'Pryč', language: 'cs' },
        ],
      }),
    ]),
    ['phone available <status xml:lang="en">Away</status><status xml:lang="cs">Pryč</status>'],
  ],
  [
    'two notes of one language: the first',
    aDocument([
      aTuple({ notes: [{ text: 'a' }, { text: 'b' }, { text: 'c', language: 'EN' }, { text: 'd', language: 'en' }] }),
    ]),
    ['phone available <status>a</status><status xml:lang="EN">c</status>'],
  ],
  [
    'a note with what is no language',
    aDocument([aTuple({ notes: [{ text: 'a', language: 'x y"' }] })]),
    ['phone available <status>a</status>'],
  ],
  [
    'a blank note',
    aDocument([aTuple({ notes: [{ text: ' \n' }] })], { notes: [{ text: 'd' }] }),
    ['phone available <status>d</status>'],
  ],
  [
    'notes of the tuple before those of the document',
    aDocument([aTuple({ notes: [{ text: 't' }] })], { notes: [{ text: 'd' }] }),
    ['phone available <status>t</status>'],
  ],
  [
    'notes of the document for a tuple without any (RFC 3922, section 5.2.11)',
    aDocument([aTuple(), aTuple({ id: 'ID-b', notes: [{ text: 't' }] })], {
      notes: [{ text: 'd' }],
      persons: [person('other', { notes: [{ text: 'p' }] })],
    }),
    ['phone available <status>d</status>', 'b available <status>t</status>'],
  ],
  [
    'notes of the person at last',
    aDocument([aTuple()], { persons: [person('other', { notes: [{ text: 'p' }] })] }),
    ['phone available <status>p</status>'],
  ],
  [
    'notes of his activities when there are no others',
    aDocument([aTuple()], {
      persons: [person('x', { rich: { activities: { values: [{ name: 'other' }], notes: [{ text: 'a' }] } } })],
    }),
    ['phone available <status>a</status>'],
  ],
  [
    'a note for who is not there',
    aDocument([aTuple({ basic: 'closed', notes: [{ text: 'Gone' }] })]),
    ['phone unavailable <status>Gone</status>'],
  ],
  ...(
    [
      [0, 0],
      [7, 1],
      [15, 2],
      [102, 13],
      [992, 126],
      [1000, 127],
    ] as const
  ).map(
    ([thousandths, priority]) =>
      [
        `priority ${thousandths / 1000} (RFC 8048, section 6.2, note 6)`,
        aDocument([aTuple({ contact: { uri: 'sip:romeo@sip.example', priority: thousandths } })]),
        [`phone available <priority>${priority}</priority>`],
      ] as const,
  ),
  [
    'a contact without priority (its URI is not passed)',
    aDocument([aTuple({ contact: { uri: 'sip:romeo@192.0.2.1' } })]),
    ['phone available'],
  ],
  [
    'idle',
    aDocument([aTuple({ rich: { userInput: { state: 'idle', lastInputMs: AT_MS } } })]),
    ['phone available <idle xmlns="urn:xmpp:idle:1" since="2023-11-14T22:13:20Z"/>'],
  ],
  [
    'the person idle',
    aDocument([aTuple()], {
      persons: [person('other', { rich: { userInput: { state: 'idle', lastInputMs: AT_MS } } })],
    }),
    ['phone available <idle xmlns="urn:xmpp:idle:1" since="2023-11-14T22:13:20Z"/>'],
  ],
  [
    'a service in use of a person who is idle',
    aDocument([aTuple({ rich: { userInput: { state: 'active' } } })], {
      persons: [person('other', { rich: { userInput: { state: 'idle', lastInputMs: AT_MS } } })],
    }),
    ['phone available'],
  ],
  ['idle without a time', aDocument([aTuple({ rich: { userInput: { state: 'idle' } } })]), ['phone available']],
  ['no basic status', aDocument([without(aTuple())]), []],
  ['no basic status, a show', aDocument([without(aTuple({ show: 'away' }))]), ['phone available <show>away</show>']],
  [
    'no basic status, an activity of its own',
    aDocument([without(aTuple({ rich: { activities: { values: [{ name: 'working' }] } } }))]),
    ['phone available'],
  ],
  ['no basic status, an activity of the person', aDocument([without(aTuple())], { persons: [person('busy')] }), []],
  ['no tuple (RFC 3922, section 6.3.2)', aDocument([]), ['- unavailable']],
  ['no tuple, an activity', aDocument([], { persons: [person('busy')] }), ['- available <show>dnd</show>']],
  ['notes alone (RFC 3922, section 5.2.11)', aDocument([], { notes: [{ text: 'd' }] }), []],
  [
    'notes of the person alone',
    aDocument([], { persons: [{ id: 'p', rich: {}, notes: [{ text: 'p' }], extensions: [] }] }),
    [],
  ],
];

function without(tuple: Tuple): Tuple {
  const { basic, ...rest } = tuple;
  assert.equal(basic, 'open');
  return rest;
}

for (const [what, document, out] of TO_XMPP) {
  test(`presence to XMPP: ${what}`, () => assert.deepEqual(texts(presencesFromDocument(document)), out));
}

const ACTIVITY_SHOWS: ReadonlyArray<readonly [show: string | undefined, activities: readonly string[]]> = [
  ['dnd', ['busy', 'meeting', 'on-the-phone', 'performance', 'presentation', 'steering', 'appointment']],
  ['away', ['away', 'breakfast', 'lunch', 'dinner', 'meal', 'in-transit', 'shopping', 'travel', 'tv', 'spectator', 'playing']],
  ['xa', ['holiday', 'permanent-absence', 'sleeping', 'vacation', 'worship']],
  [undefined, ['working', 'looking-for-work', 'other', 'unknown', '__proto__']],
]; // prettier-ignore
for (const [show, activities] of ACTIVITY_SHOWS) {
  for (const activity of activities) {
    test(`presence to XMPP: activity ${activity} is show ${show ?? 'none'}`, () => {
      const [presence] = presencesFromDocument(aDocument([aTuple()], { persons: [person(activity)] }));
      assert.equal(presence?.content.show, show);
    });
  }
}

const CHANGES: ReadonlyArray<
  readonly [what: string, before: PresenceDocument | undefined, after: PresenceDocument, out: readonly string[]]
> = [
  ['the first document', undefined, aDocument([aTuple()]), ['phone available']],
  ['nothing', aDocument([aTuple()]), aDocument([aTuple()]), []],
  ['a time alone', aDocument([aTuple()]), aDocument([aTuple({ timestampMs: AT_MS })]), []],
  [
    'one of two',
    aDocument([aTuple(), aTuple({ id: 'ID-b' })]),
    aDocument([aTuple(), aTuple({ id: 'ID-b', show: 'away' })]),
    ['b available <show>away</show>'],
  ],
  [
    'a tuple that is gone (RFC 3856, section 6.8)',
    aDocument([aTuple(), aTuple({ id: 'ID-b' })]),
    aDocument([aTuple()]),
    ['b unavailable'],
  ],
  [
    'what is gone before what is new',
    aDocument([aTuple()]),
    aDocument([aTuple({ id: 'ID-b' })]),
    ['phone unavailable', 'b available'],
  ],
  [
    'a closed tuple that is gone: nothing',
    aDocument([aTuple(), aTuple({ id: 'ID-b', basic: 'closed' })]),
    aDocument([aTuple()]),
    [],
  ],
  ['open to closed', aDocument([aTuple()]), aDocument([aTuple({ basic: 'closed' })]), ['phone unavailable']],
  [
    'a note in another language',
    aDocument([aTuple({ notes: [{ text: 'x', language: 'en' }] })]),
    aDocument([aTuple({ notes: [{ text: 'x', language: 'cs' }] })]),
    ['phone available <status xml:lang="cs">x</status>'],
  ],
  ['tuples to notes alone', aDocument([aTuple()]), aDocument([], { notes: [{ text: 'x' }] }), ['phone unavailable']],
  ['the bare JID to a tuple', aDocument([], { persons: [person('busy')] }), aDocument([aTuple()]), ['- unavailable', 'phone available']],
]; // prettier-ignore
for (const [what, before, after, out] of CHANGES) {
  test(`presence changes: ${what}`, () => assert.deepEqual(texts(presenceChanges(before, after)), out));
}

const resource = (parts: Partial<ResourcePresence> = {}): ResourcePresence => ({
  resource: 'balcony',
  isAvailable: true,
  atMs: AT_MS,
  statuses: [],
  ...parts,
});
const JULIET = anAddress('juliet@xmpp.example');

const TO_PIDF: ReadonlyArray<readonly [what: string, resource: ResourcePresence, tuple: Partial<Tuple>]> = [
  ['available', resource(), { id: 'ID-balcony', basic: 'open' }],
  ['unavailable', resource({ isAvailable: false }), { basic: 'closed' }],
  ['the bare JID', resource({ resource: '' }), { id: 'account' }],
  ['a resource that no XML ID holds', resource({ resource: 'my phone' }), { id: 'ID-my_x20phone' }],
  ['show', resource({ show: 'xa' }), { show: 'xa' }],
  [
    'status in languages',
    resource({ statuses: [{ text: 'a', language: 'en' }, { text: 'b' }] }),
    { notes: [{ text: 'a', language: 'en' }, { text: 'b' }] },
  ],
  ['priority 0', resource({ priority: 0 }), { contact: { uri: 'sip:juliet@xmpp.example', priority: 0 } }],
  ['priority 13', resource({ priority: 13 }), { contact: { uri: 'sip:juliet@xmpp.example', priority: 102 } }],
  ['priority 127', resource({ priority: 127 }), { contact: { uri: 'sip:juliet@xmpp.example', priority: 1000 } }],
  ['a negative priority: none', resource({ priority: -1 }), { contact: { uri: 'sip:juliet@xmpp.example' } }],
  ['idle', resource({ idleSinceMs: AT_MS }), { rich: { userInput: { state: 'idle', lastInputMs: AT_MS } } }],
  ['the time', resource(), { timestampMs: AT_MS }],
];
for (const [what, given, expected] of TO_PIDF) {
  test(`presence to PIDF: ${what}`, () => {
    const [tuple] = documentFromResources(JULIET, [given]).tuples;
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(tuple?.[key as keyof Tuple], value);
  });
}

test('presence to PIDF: one document with a tuple for each resource, of the user as pres:', () => {
  const document = documentFromResources(JULIET, [resource(), resource({ resource: 'chamber', isAvailable: false })]);
  assert.equal(document.entity, 'pres:juliet@xmpp.example');
  assert.deepEqual(
    document.tuples.map(({ id, basic }) => `${id} ${basic}`),
    ['ID-balcony open', 'ID-chamber closed'],
  );
});

for (const [show, activity] of [['away', 'away'], ['xa', 'away'], ['dnd', 'busy'], ['chat', undefined], [undefined, undefined]] as const) {
  test(`presence to PIDF: show ${show ?? 'none'} is activity ${activity ?? 'none'} of the person`, () => {
    const { persons, tuples } = documentFromResources(JULIET, [resource(show === undefined ? {} : { show })]);
    assert.deepEqual(persons[0]?.rich.activities?.values, activity === undefined ? undefined : [{ name: activity }]);
    assert.equal(tuples[0]?.rich.activities, undefined);
  });
} // prettier-ignore

test('presence to PIDF: the resource of the highest priority speaks for the person', () => {
  const resources = [
    resource({ resource: 'a', show: 'away', priority: 1 }),
    resource({ resource: 'b', show: 'dnd', priority: 5 }),
    resource({ resource: 'c', show: 'xa', priority: 9, isAvailable: false }),
  ];
  assert.deepEqual(documentFromResources(JULIET, resources).persons[0]?.rich.activities?.values, [{ name: 'busy' }]);
});

test('presence to PIDF: an activity of the user stands before the one that his show gives', () => {
  const pep = { activities: { values: [{ name: 'meeting' }], notes: [{ text: 'standup' }] }, nick: 'Jule' };
  const [person] = documentFromResources(JULIET, [resource({ show: 'dnd' })], pep).persons;
  assert.deepEqual(person?.rich.activities, {
    values: [{ name: 'meeting' }, { name: 'busy' }],
    notes: [{ text: 'standup' }],
  });
  assert.deepEqual(person.card, { displayName: 'Jule' });
});

/** From one user's stanza through a document to a stanza of another: what comes out equal. */
const ROUND_TRIPS: readonly string[] = [
  `<presence from='a@x.example/r' to='b@y.example'/>`,
  `<presence from='a@x.example/r' to='b@y.example' type='unavailable'><status>bye</status></presence>`,
  `<presence from='a@x.example/my phone_1/x' to='b@y.example'><show>xa</show></presence>`,
  `<presence from='a@x.example/r' to='b@y.example'><show>chat</show><status xml:lang='en'>Hi</status><status xml:lang='cs'>Ahoj 😀</status><priority>126</priority><idle xmlns='urn:xmpp:idle:1' since='2023-11-14T20:00:00Z'/></presence>`,
  ...[0, 1, 2, 13, 63, 64, 126, 127].map(
    (priority) => `<presence from='a@x.example/r' to='b@y.example'><priority>${priority}</priority></presence>`,
  ),
];
for (const xml of ROUND_TRIPS) {
  test(`presence round trip: ${xml}`, () => {
    const stanza = readStanza(readXml(xml)) as PresenceStanza;
    const { resource: name } = stanza.from;
    const document = documentFromResources(JULIET, [
      {
        resource: name ?? '',
        isAvailable: stanza.type === 'available',
        atMs: AT_MS,
        statuses: stanza.statuses,
        ...(stanza.show === undefined ? {} : { show: stanza.show }),
        ...(stanza.priority === undefined ? {} : { priority: stanza.priority }),
        ...(stanza.idleSinceMs === undefined ? {} : { idleSinceMs: stanza.idleSinceMs }),
      },
    ]);
    const [out] = presencesFromDocument(document);
    const back = presenceElement(
      { from: { ...stanza.from, resource: out!.resource }, to: stanza.to },
      out!.isAvailable ? 'available' : 'unavailable',
      presenceChildren(out!.content),
    );
    const type = stanza.type as Parameters<typeof presenceElement>[1];
    assert.deepEqual(back, presenceElement(stanza, type, presenceChildren(stanza)));
  });
}

test('presence to XMPP: no more stanzas than a user can have services, whatever the document holds', () => {
  const tuples = Array.from({ length: 5_000 }, (_, number) => aTuple({ id: `ID-${number}` }));
  assert.equal(presencesFromDocument(aDocument(tuples)).length, 32);
});

test('presence to XMPP: a note of a megabyte is cut, not between the halves of a pair', () => {
  const [presence] = presencesFromDocument(aDocument([aTuple({ notes: [{ text: `x${'😀'.repeat(500_000)}` }] })]));
  const { text } = presence!.content.statuses[0]!;
  assert.equal(text.length, 1_023);
  assert.equal(text.endsWith('😀'), true);
});
