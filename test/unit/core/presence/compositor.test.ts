import assert from 'node:assert/strict';
import test from 'node:test';
import { compose, type CompositionInput, type Contribution } from '../../../../src/core/presence/compositor.ts';
import { closedDocument } from '../../../../src/core/presence/polite-document.ts';
import type { PresenceDocument, Tuple } from '../../../../src/cpim/presence/document.ts';
import type { XmlElement } from '../../../../src/cpim/xml.ts';
import { aBinding, anAddress } from '../../../support/builders.ts';
import { aDevice, aDocument, aPerson, aTuple } from '../../../support/presence-builders.ts';

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;
const ALICE = anAddress('Alice@sip.example');
const POLICY = { registrations: 'fallback', staleAfterSeconds: 7_200 } as const;

/** A publication of so many minutes ago. */
function published(number: number, minutesAgo: number, parts: Partial<PresenceDocument>): Contribution {
  return { number, changedAtMs: NOW - minutesAgo * 60_000, document: aDocument({ tuples: [], ...parts }) };
}

function composed(publications: readonly Contribution[], more: Partial<CompositionInput> = {}): PresenceDocument {
  return compose({ presentity: ALICE, publications, bindings: [], policy: POLICY, nowMs: NOW, ...more }).document;
}

const note = (text: string, language?: string) => ({ text, ...(language === undefined ? {} : { language }) });
const extension = (name: string, namespace: string, text = ''): XmlElement => ({
  name,
  attrs: { [name.includes(':') ? `xmlns:${name.slice(0, name.indexOf(':'))}` : 'xmlns']: namespace },
  children: text === '' ? [] : [text],
});
const texts = (elements: readonly XmlElement[]): unknown[] => elements.map(({ children }) => children[0]);
const ids = (list: ReadonlyArray<{ readonly id: string }>): string[] => list.map(({ id }) => id);
const RPID = 'urn:ietf:params:xml:ns:pidf:rpid';

test('composition: one document comes out as it went in', () => {
  const document = aDocument({
    entity: 'pres:Alice@sip.example',
    tuples: [
      aTuple({ show: 'dnd', notes: [note('busy', 'en')], extensions: [extension('x:a', 'urn:x')] }),
      aTuple({ id: 't2' }),
    ],
    persons: [aPerson({ rich: { activities: { id: 'a1', values: [{ name: 'busy' }] } }, card: { icon: 'http://i' } })],
    devices: [aDevice({ notes: [note('phone')], timestampMs: NOW })],
    notes: [note('hello')],
    extensions: [extension('x:b', 'urn:x')],
  });
  assert.deepEqual(composed([{ number: 1, changedAtMs: NOW, document }]), document);
});

test('composition: the entity is the address of the presentity, whatever was published', () => {
  const document = aDocument({ entity: 'sip:alice@192.0.2.1' });
  assert.equal(composed([{ number: 1, changedAtMs: NOW, document }]).entity, 'pres:Alice@sip.example');
});

test('composition: services stay apart, oldest publication first', () => {
  const document = composed([
    published(2, 1, { tuples: [aTuple({ id: 'b' }), aTuple({ id: 'a' })] }),
    published(1, 0, { tuples: [aTuple({ id: 'c', basic: 'closed' })] }),
  ]);
  assert.deepEqual(document.tuples, [aTuple({ id: 'c', basic: 'closed' }), aTuple({ id: 'b' }), aTuple({ id: 'a' })]);
});

const TUPLE_IDS: ReadonlyArray<
  readonly [
    name: string,
    given: ReadonlyArray<readonly [number: number, ids: readonly string[]]>,
    out: readonly string[],
  ]
> = [
  [
    'ids that are unique stay',
    [
      [1, ['a']],
      [2, ['b', 'c']],
    ],
    ['a', 'b', 'c'],
  ],
  [
    'the elder keeps an id, the younger gets its number',
    [
      [1, ['a']],
      [2, ['a']],
    ],
    ['a', 'a-2'],
  ],
  [
    'whichever was heard of last',
    [
      [7, ['a']],
      [3, ['a']],
    ],
    ['a', 'a-7'],
  ],
  [
    'three of them',
    [
      [1, ['a']],
      [2, ['a']],
      [9, ['a']],
    ],
    ['a', 'a-2', 'a-9'],
  ],
  [
    'an id that is made is unique too',
    [
      [1, ['a', 'a-2']],
      [2, ['a']],
    ],
    ['a', 'a-2', 'a-2-2'],
  ],
  ['one id twice in one document', [[1, ['a', 'a']]], ['a', 'a-1']],
];
for (const [name, given, out] of TUPLE_IDS) {
  test(`composition: ids: ${name}`, () => {
    const publications = given.map(([number, tupleIds], at) =>
      published(number, at, { tuples: tupleIds.map((id) => aTuple({ id })) }),
    );
    assert.deepEqual(ids(composed(publications).tuples), out);
  });
}

test('composition: ids stay what they are when a publication is put anew', () => {
  const before = [1, 2].map((number) => published(number, 10, { tuples: [aTuple({ id: 'a' })] }));
  const after = [published(1, 0, { tuples: [aTuple({ id: 'a', show: 'away' })] }), ...before.slice(1)];
  assert.deepEqual(ids(composed(after).tuples), ids(composed(before).tuples));
});

test('composition: every id is there once, among services, persons, devices and their rich presence', () => {
  const busy = { activities: { id: 'x', values: [{ name: 'busy' }] }, mood: { id: 'm', values: [{ name: 'happy' }] } };
  const kept = { ...extension('r:activities', RPID), attrs: { 'xmlns:r': RPID, id: 'x' } };
  const { tuples, persons, devices } = composed([
    published(1, 5, { tuples: [aTuple({ id: 'x' })], persons: [aPerson({ id: 'x', rich: busy, extensions: [kept] })] }),
    published(2, 0, { devices: [aDevice({ id: 'x', rich: { statusIcon: { id: 'm', uri: 'http://i' } } })] }),
  ]);
  assert.deepEqual([ids(tuples), ids(persons), ids(devices)], [['x'], ['x-1'], ['x-2']]);
  const rich = { ...busy, activities: { values: [{ name: 'busy' }] } };
  assert.deepEqual(persons, [aPerson({ id: 'x-1', rich, extensions: [extension('r:activities', RPID)] })]);
  assert.deepEqual(devices[0]?.rich, { statusIcon: { uri: 'http://i' } });
});

const OLD = published(1, 60, {
  persons: [
    aPerson({
      id: 'old',
      rich: { activities: { values: [{ name: 'working' }] }, mood: { values: [{ name: 'happy' }] }, class: 'work' },
      card: { icon: 'http://old/icon', homepage: 'http://old', displayName: 'Alice', displayNameLanguage: 'en' },
      notes: [note('old', 'en'), note('alt', 'de')],
      timestampMs: NOW - 60 * 60_000,
      extensions: [extension('x:one', 'urn:x', 'old'), extension('y', 'urn:y', 'old')],
    }),
  ],
  notes: [note('old document')],
  extensions: [extension('x:doc', 'urn:x', 'old')],
});
const NEW = published(2, 5, {
  persons: [
    aPerson({
      id: 'new',
      rich: { activities: { values: [{ name: 'meeting' }] } },
      card: { icon: 'http://new/icon', displayName: 'Alicja' },
      extensions: [extension('z:one', 'urn:x', 'new'), extension('z:one', 'urn:x', 'newer')],
    }),
  ],
  extensions: [extension('x:two', 'urn:x', 'new')],
});
for (const [name, publications] of [
  ['given in order', [OLD, NEW]],
  ['given the other way round', [NEW, OLD]],
] as const) {
  test(`composition: of two persons the newer has its say about each element, ${name}`, () => {
    const { persons, notes, extensions } = composed(publications);
    assert.deepEqual(persons, [
      {
        id: 'old',
        rich: { activities: { values: [{ name: 'meeting' }] }, mood: { values: [{ name: 'happy' }] }, class: 'work' },
        card: { icon: 'http://new/icon', homepage: 'http://old', displayName: 'Alicja' },
        notes: [note('old', 'en'), note('alt', 'de')],
        extensions: [
          extension('z:one', 'urn:x', 'new'),
          extension('z:one', 'urn:x', 'newer'),
          extension('y', 'urn:y', 'old'),
        ],
      },
    ]);
    assert.deepEqual(notes, [note('old document')]);
    assert.deepEqual(texts(extensions), ['new', 'old']);
  });
}

test('composition: newer is what came later, not what says so', () => {
  const { persons } = composed([
    published(1, 60, { persons: [aPerson({ rich: { class: 'ahead' }, timestampMs: NOW + HOUR })] }),
    published(2, 5, { persons: [aPerson({ rich: { class: 'late' }, timestampMs: NOW - 100 * HOUR })] }),
  ]);
  assert.equal(persons[0]?.rich.class, 'late');
});

test('composition: of persons in one document the one with the later time has its say, else the first', () => {
  const persons = (timestamps: ReadonlyArray<number | undefined>) =>
    composed([
      published(1, 0, {
        persons: timestamps.map((timestampMs, at) =>
          aPerson({ id: `p${at}`, rich: { class: `c${at}` }, ...(timestampMs === undefined ? {} : { timestampMs }) }),
        ),
      }),
    ]).persons;
  assert.deepEqual(
    persons([NOW - 5, NOW - 1, NOW - 9]).map(({ id, rich }) => [id, rich.class]),
    [['p0', 'c1']],
  );
  assert.deepEqual(
    persons([undefined, undefined]).map(({ id, rich }) => [id, rich.class]),
    [['p0', 'c0']],
  );
});

test('composition: of two publications of one moment the one with the higher number is newer', () => {
  const two = [1, 2].map((number) => published(number, 5, { persons: [aPerson({ rich: { class: `c${number}` } })] }));
  assert.equal(composed(two).persons[0]?.rich.class, 'c2');
});

test('composition: what is kept of an element goes with the newest that has the element', () => {
  const kept = (text: string) => extension('rpid:activities', RPID, text);
  const { persons } = composed([
    published(1, 60, {
      persons: [aPerson({ rich: { activities: { values: [{ name: 'working' }] } }, extensions: [kept('later, old')] })],
    }),
    published(2, 5, { persons: [aPerson({ rich: { activities: { values: [{ name: 'meeting' }] } } })] }),
  ]);
  assert.deepEqual([persons[0]?.rich.activities, persons[0]?.extensions], [{ values: [{ name: 'meeting' }] }, []]);
});

test('composition: devices of one id become one, others stay apart', () => {
  const other = aDevice({ id: 'd9', deviceId: 'urn:x-mac:other' });
  const { devices } = composed([
    published(1, 60, {
      devices: [
        aDevice({
          id: 'd1',
          rich: { class: 'old', userInput: { state: 'active' } },
          notes: [note('desk')],
          timestampMs: NOW - HOUR,
        }),
        other,
      ],
    }),
    published(2, 5, { devices: [aDevice({ id: 'd7', rich: { class: 'new' }, timestampMs: NOW - 5 })] }),
  ]);
  assert.deepEqual(devices, [
    aDevice({
      id: 'd1',
      rich: { class: 'new', userInput: { state: 'active' } },
      notes: [note('desk')],
      timestampMs: NOW - 5,
    }),
    other,
  ]);
});

const STALE: ReadonlyArray<
  readonly [
    name: string,
    tuple: Partial<Tuple>,
    minutesAgo: number,
    lastInputMs: number | undefined,
    afterSeconds?: number,
  ]
> = [
  ['young', {}, 119, undefined],
  ['old', {}, 120, NOW - 2 * HOUR],
  ['old, and never stale', {}, 100_000, undefined, 0],
  ['young by its own time, old by the publication', { timestampMs: NOW - 60_000 }, 130, NOW - 130 * 60_000],
  ['old by its own clock, which may be wrong', { timestampMs: NOW - 3 * HOUR }, 5, undefined],
  ['ahead of us', { timestampMs: NOW + HOUR }, 5, undefined],
  ['old and closed', { basic: 'closed' }, 500, undefined],
];
for (const [name, tuple, minutesAgo, lastInputMs, staleAfterSeconds] of STALE) {
  test(`composition: a service that is ${name} is ${lastInputMs === undefined ? 'not ' : ''}marked`, () => {
    const given = aTuple(tuple);
    const { tuples } = composed([published(1, minutesAgo, { tuples: [given] })], {
      policy: { ...POLICY, ...(staleAfterSeconds === undefined ? {} : { staleAfterSeconds }) },
    });
    const expected = lastInputMs === undefined ? {} : { userInput: { state: 'idle', lastInputMs } };
    assert.deepEqual(tuples, [{ ...given, rich: expected }]);
  });
}

test('composition: a service or device that speaks of input itself is believed, however old', () => {
  const rich = { userInput: { state: 'active' } } as const;
  const { tuples, devices } = composed([
    published(1, 10_000, { tuples: [aTuple({ rich })], devices: [aDevice({ rich })] }),
  ]);
  assert.deepEqual([tuples[0]?.rich, devices[0]?.rich], [rich, rich]);
});

test('composition: an old device is marked, by the newest that spoke of it', () => {
  const { devices } = composed([
    published(1, 500, { devices: [aDevice({ rich: { class: 'old' } })] }),
    published(2, 130, { devices: [aDevice()] }),
  ]);
  assert.deepEqual(devices[0]?.rich, { class: 'old', userInput: { state: 'idle', lastInputMs: NOW - 130 * 60_000 } });
});

const TIMES: ReadonlyArray<
  readonly [
    name: string,
    fromMs: number | undefined,
    untilMs: number | undefined,
    isIn: boolean,
    next: number | undefined,
  ]
> = [
  ['always valid', undefined, undefined, true, undefined],
  ['valid since before', NOW - 1, undefined, true, undefined],
  ['valid from this moment', NOW, undefined, true, undefined],
  ['valid later', NOW + 5, undefined, false, NOW + 5],
  ['valid until later', undefined, NOW + 5, true, NOW + 5],
  ['valid until this moment', undefined, NOW, false, undefined],
  ['over', NOW - 10, NOW - 5, false, undefined],
  ['valid now', NOW - 10, NOW + 5, true, NOW + 5],
  ['valid later for a while', NOW + 5, NOW + 10, false, NOW + 5],
  ['never valid', NOW + 10, NOW + 5, false, NOW + 5],
];
for (const [name, fromMs, untilMs, isIn, next] of TIMES) {
  const times = { ...(fromMs === undefined ? {} : { fromMs }), ...(untilMs === undefined ? {} : { untilMs }) };
  test(`composition: rich presence that is ${name} is ${isIn ? 'in' : 'out'}`, () => {
    const activities = { values: [{ name: 'meeting' }], ...times };
    const person = aPerson({ rich: { class: 'work', activities } });
    const { document, validUntilMs } = compose({
      presentity: ALICE,
      publications: [published(1, 0, { tuples: [aTuple()], persons: [person] })],
      bindings: [],
      policy: { registrations: 'never', staleAfterSeconds: 0 },
      nowMs: NOW,
    });
    assert.deepEqual(document.persons[0]?.rich, isIn ? { class: 'work', activities } : { class: 'work' });
    assert.equal(validUntilMs, next);
  });

  test(`composition: a second element that is ${name} is ${isIn ? 'in' : 'out'}`, () => {
    const attrs: Record<string, string> = { 'xmlns:r': RPID };
    if (fromMs !== undefined) attrs['from'] = new Date(fromMs).toISOString();
    if (untilMs !== undefined) attrs['until'] = new Date(untilMs).toISOString();
    const other = {
      ...extension('x:activities', 'urn:x'),
      attrs: { 'xmlns:x': 'urn:x', until: '1970-01-01T00:00:00Z' },
    };
    const second = { ...extension('r:activities', RPID), attrs };
    const { document, validUntilMs } = compose({
      presentity: ALICE,
      publications: [published(1, 0, { tuples: [aTuple({ extensions: [other, second] })] })],
      bindings: [],
      policy: { registrations: 'never', staleAfterSeconds: 0 },
      nowMs: NOW,
    });
    assert.deepEqual(document.tuples[0]?.extensions, isIn ? [other, second] : [other]);
    assert.equal(validUntilMs, next);
  });
}

test('composition: what the newer person does not mean now leaves the word to the older one', () => {
  const { persons } = composed([
    published(1, 60, { persons: [aPerson({ rich: { activities: { values: [{ name: 'working' }] } } })] }),
    published(2, 5, {
      persons: [aPerson({ rich: { activities: { values: [{ name: 'meeting' }], fromMs: NOW + HOUR } } })],
    }),
  ]);
  assert.deepEqual(persons[0]?.rich.activities, { values: [{ name: 'working' }] });
});

const PHONE = aBinding({ contact: 'sip:alice@192.0.2.1', instance: '<urn:uuid:1>', q: 700, expiresAtMs: NOW + HOUR });
const TABLET = aBinding({ contact: 'sip:alice@192.0.2.2:5070', q: 300, expiresAtMs: NOW + 2 * HOUR });
const GONE = aBinding({ contact: 'sip:alice@192.0.2.3', expiresAtMs: NOW });
const SOFT = published(1, 5, { tuples: [aTuple({ id: 'soft' })] });
const MOOD = published(1, 5, { persons: [aPerson({ rich: { mood: { values: [{ name: 'happy' }] } } })] });

const REGISTERED: ReadonlyArray<
  readonly [
    name: string,
    publications: readonly Contribution[],
    bindings: ReadonlyArray<typeof PHONE>,
    registrations: 'fallback' | 'always' | 'never',
    priorities: ReadonlyArray<number | undefined>,
    validForMs: number | undefined,
  ]
> = [
  ['two phones', [], [PHONE, TABLET], 'fallback', [700, 300], HOUR],
  ['one of them over', [], [TABLET, GONE], 'fallback', [300], 2 * HOUR],
  ['a phone beside what is published, as fallback', [SOFT], [PHONE], 'fallback', [undefined], undefined],
  ['a phone beside what is published, always', [SOFT], [PHONE], 'always', [undefined, 700], HOUR],
  ['a phone beside what is published, never', [SOFT], [PHONE], 'never', [undefined], undefined],
  ['a phone beside a mood that is published', [MOOD], [PHONE], 'fallback', [700], HOUR],
];
for (const [name, publications, bindings, registrations, priorities, validForMs] of REGISTERED) {
  test(`composition: registrations: ${name}`, () => {
    for (const given of [bindings, bindings.toReversed()]) {
      const { document, validUntilMs } = compose({
        presentity: ALICE,
        publications,
        bindings: given,
        policy: { registrations, staleAfterSeconds: 0 },
        nowMs: NOW,
      });
      assert.ok(document.tuples.every(({ basic }) => basic === 'open'));
      assert.deepEqual(document.tuples.map(({ contact }) => contact?.priority).sort(), [...priorities].sort());
      assert.equal(validUntilMs, validForMs === undefined ? undefined : NOW + validForMs);
    }
  });
}

test('composition: a registered phone is one service, to be reached by the address of record and not by its own', () => {
  const document = composed([], { bindings: [PHONE, TABLET] });
  assert.ok(!JSON.stringify(document).includes('192.0.2.'));
  assert.deepEqual(
    document.tuples.map(({ contact }) => contact?.uri),
    ['sip:Alice@sip.example', 'sip:Alice@sip.example'],
  );
  for (const { id } of document.tuples) assert.match(id, /^phone-[0-9a-f]{6}$/);
});

test('composition: the service of a phone has one id however it registers again', () => {
  const idOf = (parts: Partial<typeof PHONE>) => composed([], { bindings: [{ ...PHONE, ...parts }] }).tuples[0]?.id;
  assert.equal(idOf({ contact: 'sip:alice@198.51.100.9', q: 1, callId: 'other' }), idOf({}));
  assert.notEqual(idOf({ instance: '<urn:uuid:2>' }), idOf({}));
  const idWithout = ({ contact, callId }: { contact: string; callId: string }) =>
    composed([], { bindings: [aBinding({ contact, callId, expiresAtMs: NOW + HOUR })] }).tuples[0]?.id;
  assert.equal(idWithout({ contact: 'sip:a@h', callId: '1' }), idWithout({ contact: 'sip:a@h', callId: '2' }));
  assert.notEqual(idWithout({ contact: 'sip:a@h', callId: '1' }), idWithout({ contact: 'sip:b@h', callId: '1' }));
});

test('composition: as many phones of one user as a document may have services have ids of their own', () => {
  const bindings = Array.from({ length: 128 }, (_, n) => aBinding({ contact: `sip:a@h:${n}`, expiresAtMs: NOW + 1 }));
  assert.equal(new Set(ids(composed([], { bindings }).tuples)).size, 128);
});

test('composition: of more services and devices than a document may have the youngest are shown', () => {
  const many = (number: number): Contribution =>
    published(number, 0, {
      tuples: Array.from({ length: 100 }, (_, n) => aTuple({ id: `t${number}-${n}` })),
      devices: Array.from({ length: 100 }, (_, n) =>
        aDevice({ id: `d${number}-${n}`, deviceId: `urn:x:${number}:${n}` }),
      ),
    });
  const { tuples, devices } = composed([many(1), many(2)]);
  assert.deepEqual([tuples.length, devices.length], [128, 128]);
  assert.deepEqual([tuples[0]?.id, tuples.at(-1)?.id], ['t1-72', 't2-99']);
});

const AWAY: ReadonlyArray<
  readonly [name: string, more: Partial<CompositionInput>, publications: readonly Contribution[]]
> = [
  ['nothing is known', {}, []],
  ['the phone is gone', { bindings: [GONE] }, []],
  ['registrations do not count', { bindings: [PHONE], policy: { ...POLICY, registrations: 'never' } }, []],
  ['an empty document was published', {}, [published(1, 0, {})]],
];
for (const [name, more, publications] of AWAY) {
  test(`composition: a user of whom ${name} is as one who is shown to those who are blocked politely`, () => {
    assert.deepEqual(composed(publications, more), closedDocument(ALICE));
  });
}

test('composition: a user of whom only a mood is known has one closed service', () => {
  const { tuples, persons } = composed([MOOD]);
  assert.deepEqual(tuples, closedDocument(ALICE).tuples);
  assert.equal(persons.length, 1);
});
