import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentError } from '../../../../src/cpim/content-error.ts';
import type { PresenceDocument } from '../../../../src/cpim/presence/document.ts';
import { readPidf, writePidf } from '../../../../src/cpim/presence/pidf.ts';
import { readXml } from '../../../../src/cpim/xml.ts';
import { aPerson, aTuple } from '../../../support/presence-builders.ts';
import { aPresenceDocument, FULL_DOCUMENT } from '../../../support/presence-documents.ts';
import { loadVectors } from '../../../support/vectors.ts';

const PIDF = 'urn:ietf:params:xml:ns:pidf';
const NAMESPACES =
  `xmlns='${PIDF}' xmlns:dm='${PIDF}:data-model' xmlns:rpid='${PIDF}:rpid' xmlns:c='${PIDF}:cipid' ` +
  `xmlns:caps='${PIDF}:caps' xmlns:x='urn:example:x'`;

/** A document around this. */
const presence = (inside: string, attrs = ''): string =>
  `<presence ${NAMESPACES} entity='pres:a@b.example'${attrs}>${inside}</presence>`;
const tuple = (inside: string, id = 't1'): string => `<tuple id='${id}'>${inside}</tuple>`;
const OPEN = '<status><basic>open</basic></status>';

const DOCUMENTS = ['rfc3863', 'rfc4479', 'rfc4480', 'rfc4482', 'rfc5196', 'rfc8048', 'rfc3922'];
for (const rfc of DOCUMENTS) {
  for (const vector of loadVectors<string[], PresenceDocument>(`${rfc}/documents`)) {
    test(`PIDF: ${vector.id} (${vector.source})`, () => {
      const read = readPidf(vector.in.join('\n'));
      assert.deepEqual(read, vector.out);
      assert.deepEqual(JSON.parse(JSON.stringify(read)), read);
    });
    test(`PIDF written and read again: ${vector.id} (${vector.source})`, () => {
      const written = writePidf(vector.out);
      assert.deepEqual(readPidf(written), vector.out);
      assert.equal(writePidf(readPidf(written)), written);
    });
  }
}

for (const vector of loadVectors<string, string>('rfc3863/malformed')) {
  test(`PIDF refused: ${vector.id} (${vector.source})`, () => {
    assert.throws(
      () => readPidf(vector.in),
      (thrown) =>
        thrown instanceof ContentError && thrown.kind === 'malformed' && thrown.message.startsWith(vector.out),
    );
  });
}

/** What clients write that no schema allows, and what is made of it. */
const TOLERATED: ReadonlyArray<readonly [name: string, text: string, out: Partial<PresenceDocument>]> = [
  [
    'a person before the tuple, activities without one (baresip)',
    presence(
      `<dm:person id='p4159'><rpid:activities/></dm:person>${tuple(`${OPEN}<contact>sip:a@b.example</contact>`)}`,
    ),
    {
      persons: [aPerson({ id: 'p4159', rich: { activities: { values: [] } } })],
      tuples: [aTuple({ id: 't1', contact: { uri: 'sip:a@b.example' } })],
    },
  ],
  [
    'a timestamp and a note before the contact, the status last',
    presence(
      tuple(`<timestamp>2005-10-27T16:49:29Z</timestamp><note>n</note><contact>sip:a@b.example</contact>${OPEN}`),
    ),
    {
      tuples: [
        aTuple({
          id: 't1',
          contact: { uri: 'sip:a@b.example' },
          notes: [{ text: 'n' }],
          timestampMs: 1_130_431_769_000,
        }),
      ],
    },
  ],
  [
    'a note before the tuples',
    presence(`<note>n</note>${tuple(OPEN)}`),
    { notes: [{ text: 'n' }], tuples: [aTuple({ id: 't1' })] },
  ],
  [
    'notes and timestamps in the namespace of the other',
    presence(
      tuple(`${OPEN}<dm:note>n</dm:note><dm:timestamp>2005-10-27T16:49:29Z</dm:timestamp>`) +
        `<dm:person id='p1'><note>m</note></dm:person>`,
    ),
    {
      tuples: [aTuple({ id: 't1', notes: [{ text: 'n' }], timestampMs: 1_130_431_769_000 })],
      persons: [aPerson({ notes: [{ text: 'm' }] })],
    },
  ],
  [
    'activities in the status',
    presence(tuple('<status><basic>open</basic><rpid:activities><rpid:away/></rpid:activities></status>')),
    { tuples: [aTuple({ id: 't1', rich: { activities: { values: [{ name: 'away' }] } } })] },
  ],
  [
    'blanks and capitals in basic',
    presence(tuple('<status><basic> Open\n</basic></status>')),
    { tuples: [aTuple({ id: 't1' })] },
  ],
  [
    'a status with nothing in it',
    presence(tuple('<status/>')),
    {
      tuples: [{ id: 't1', statusExtensions: [], deviceIds: [], rich: {}, notes: [], extensions: [] }],
    },
  ],
  [
    'empty notes and an empty contact',
    presence(tuple(`${OPEN}<contact> </contact><note/>`)),
    { tuples: [aTuple({ id: 't1' })] },
  ],
  [
    'a priority that is none (RFC 3863, section 4.1.5)',
    presence(tuple(`${OPEN}<contact priority='1.5'>sip:a@b.example</contact>`)),
    { tuples: [aTuple({ id: 't1', contact: { uri: 'sip:a@b.example' } })] },
  ],
  [
    'a time that is none',
    presence(tuple(`${OPEN}<timestamp>yesterday</timestamp>`)),
    { tuples: [aTuple({ id: 't1' })] },
  ],
  [
    'a show that is none, and one that is',
    presence(
      tuple(
        `<status><basic>open</basic><show xmlns='jabber:client'>sulking</show><show xmlns='jabber:client'>xa</show></status>`,
      ),
    ),
    {
      tuples: [
        aTuple({
          id: 't1',
          show: 'xa',
          statusExtensions: [{ name: 'show', attrs: { xmlns: 'jabber:client' }, children: ['sulking'] }],
        }),
      ],
    },
  ],
  [
    'unknown elements of PIDF, of the data model in a person, and of no namespace: ignored (RFC 3863, section 4.2.3)',
    presence(
      `<what/><y xmlns=''/>${tuple(`${OPEN}<what/><y xmlns=''/>`)}<dm:person id='p1'><dm:what/><what/><y xmlns=''/></dm:person>`,
    ),
    { tuples: [aTuple({ id: 't1' })], persons: [aPerson()] },
  ],
  [
    'languages of what is around a note (XML 1.0, section 2.12)',
    presence(
      `<tuple id='t1' xml:lang='fr'>${OPEN}<note>a</note><note xml:lang='cs'>b</note><note xml:lang=''>c</note></tuple><note>d</note>`,
      ` xml:lang='de'`,
    ),
    {
      tuples: [
        aTuple({
          id: 't1',
          notes: [{ text: 'a', language: 'fr' }, { text: 'b', language: 'cs' }, { text: 'c' }],
        }),
      ],
      notes: [{ text: 'd', language: 'de' }],
    },
  ],
];
for (const [name, text, out] of TOLERATED) {
  test(`PIDF tolerated: ${name}`, () => {
    assert.deepEqual(readPidf(text), aPresenceDocument({ entity: 'pres:a@b.example', ...out }));
    const written = writePidf(readPidf(text));
    assert.equal(writePidf(readPidf(written)), written);
  });
}

test('PIDF: every part of the model is written and read again equal', () => {
  const written = writePidf(FULL_DOCUMENT);
  assert.deepEqual(readPidf(written), FULL_DOCUMENT);
  assert.deepEqual(readPidf(writePidf(JSON.parse(JSON.stringify(FULL_DOCUMENT)) as PresenceDocument)), FULL_DOCUMENT);
});

test('PIDF: the same document gives the same bytes, whatever order its properties have', () => {
  const shuffled = aPresenceDocument({
    ...Object.fromEntries(Object.entries(FULL_DOCUMENT).reverse()),
    tuples: FULL_DOCUMENT.tuples.map((one) => Object.fromEntries(Object.entries(one).reverse()) as typeof one),
  });
  assert.equal(writePidf(shuffled), writePidf(FULL_DOCUMENT));
});

test('PIDF written: order of a tuple (RFC 3863, section 4.1.2), of a device (RFC 4479, section 5.1.2) and of the whole', () => {
  const root = readXml(writePidf(FULL_DOCUMENT).replace(/^.*\n/, ''));
  const names = (element: unknown): string[] =>
    (element as typeof root).children.flatMap((child) => (typeof child === 'string' ? [] : [child.name]));
  assert.deepEqual(names(root), ['tuple', 'tuple', 'note', 'dm:person', 'dm:person', 'dm:device', 'loc:all']);
  const [first] = root.children;
  const order = names(first);
  assert.equal(order[0], 'status');
  assert.deepEqual(order.slice(-5), ['contact', 'note', 'note', 'note', 'timestamp']);
  assert.deepEqual(names(root.children[5]).slice(-3), ['dm:deviceID', 'dm:note', 'dm:timestamp']);
});

test('PIDF written: what is declared at the root is what is used, once each', () => {
  const written = writePidf(FULL_DOCUMENT);
  const declared = [...written.matchAll(/ xmlns(:[a-z]+)?="/g)].map((match) => match[1] ?? '');
  const prefixed = declared.filter((prefix) => prefix !== '');
  assert.equal(new Set(prefixed).size, prefixed.length);
  assert.deepEqual(prefixed, [':dm', ':rpid', ':c', ':lt', ':caps', ':loc', ':m', ':a', ':g']);
  assert.match(
    writePidf(aPresenceDocument()),
    /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="[^"]+"\/>$/,
  );
});

test('PIDF: an element that is not known survives, wherever its prefixes were declared', () => {
  const text =
    `<p:presence xmlns:p='${PIDF}' xmlns:o='urn:outer' xmlns:t='urn:types' xmlns='urn:default' ` +
    `xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' entity='pres:a@b.example' xml:lang='cs'>` +
    `<p:tuple id='t1' xmlns:q='urn:inner'><p:status><p:basic>open</p:basic></p:status>` +
    `<o:a q:b='1' xsi:type='t:kind'>x<c/><o:d xmlns:o='urn:other'/></o:a></p:tuple></p:presence>`;
  const document = readPidf(text);
  assert.deepEqual(document.tuples[0]?.extensions, [
    {
      name: 'o:a',
      attrs: {
        'xmlns:o': 'urn:outer',
        'xmlns:q': 'urn:inner',
        'xmlns:xsi': 'http://www.w3.org/2001/XMLSchema-instance',
        'xmlns:t': 'urn:types',
        xmlns: 'urn:default',
        'q:b': '1',
        'xsi:type': 't:kind',
        'xml:lang': 'cs',
      },
      children: [
        'x',
        { name: 'c', attrs: {}, children: [] },
        { name: 'o:d', attrs: { 'xmlns:o': 'urn:other' }, children: [] },
      ],
    },
  ]);
  assert.deepEqual(readPidf(writePidf(document)), document);
});

test('PIDF: one prefix for two namespaces, one of them ours', () => {
  const element = (prefix: string, namespace: string) => ({
    name: `${prefix}:e`,
    attrs: { [`xmlns:${prefix}`]: namespace },
    children: [],
  });
  const document = aPresenceDocument({
    tuples: [
      aTuple({
        extensions: [element('a', 'urn:1'), element('a', 'urn:2'), element('dm', 'urn:3')],
        deviceIds: ['urn:d'],
      }),
    ],
  });
  assert.deepEqual(readPidf(writePidf(document)), document);
});

const DEMANDS: ReadonlyArray<readonly [name: string, inside: string, isRead: boolean]> = [
  ['an unknown value', `<rpid:away/><x:y/>`, true],
  ['an unknown value that must be understood', `<rpid:away/><x:y p:mustUnderstand='1'/>`, false],
  ['true', `<rpid:away/><x:y p:mustUnderstand='true'/>`, false],
  ['one that need not be', `<rpid:away/><x:y p:mustUnderstand='0'/>`, true],
  ['one inside of what is ignored anyway', `<rpid:away/><x:y><x:z p:mustUnderstand='1'/></x:y>`, true],
  ['an attribute of another namespace', `<rpid:away/><x:y x:mustUnderstand='1'/>`, true],
  ['a known value that must be understood', `<rpid:away p:mustUnderstand='1'/>`, true],
];
for (const [name, inside, isRead] of DEMANDS) {
  test(`PIDF mustUnderstand: ${name} (RFC 3863, section 4.2.3)`, () => {
    const text = presence(
      `${tuple(OPEN)}<dm:person id='p1'><rpid:activities>${inside}</rpid:activities></dm:person>`,
      ` xmlns:p='${PIDF}'`,
    );
    const document = readPidf(text);
    const [person] = document.persons;
    assert.equal(person?.rich.activities !== undefined, isRead);
    // Ignored does not mean lost.
    assert.equal(person?.extensions.length, isRead ? 0 : 1);
    assert.equal(document.tuples[0]?.basic, 'open');
    assert.deepEqual(readPidf(writePidf(document)), document);
  });
}

const LENIENT: ReadonlyArray<readonly [name: string, inside: string, ids: readonly string[]]> = [
  ['an extension as an id (Asterisk)', tuple(OPEN, '5001'), ['ID-5001']],
  ['a resource as an id (RFC 3922, section 5.1.1)', tuple(OPEN, 'my phone'), ['ID-my_x20phone']],
  ['no id', `<tuple>${OPEN}</tuple><tuple>${OPEN}</tuple>`, ['t1', 't2']],
  ['a name', `<tuple name='im'>${OPEN}</tuple>`, ['im']],
];
for (const [name, inside, ids] of LENIENT) {
  test(`PIDF read leniently: ${name}`, () => {
    const text = presence(inside);
    assert.throws(() => readPidf(text), ContentError);
    const document = readPidf(text, { lenient: true });
    assert.deepEqual(
      document.tuples.map(({ id }) => id),
      ids,
    );
    assert.deepEqual(readPidf(writePidf(document)), document);
  });
}

const many = (count: number, one: (at: number) => string): string =>
  Array.from({ length: count }, (_, at) => one(at)).join('');
/** As many as are read, and one more. */
const BOUNDS: ReadonlyArray<readonly [name: string, max: number, text: (count: number) => string]> = [
  ['tuples', 128, (count) => presence(many(count, (at) => tuple(OPEN, `t${at}`)))],
  ['persons', 128, (count) => presence(many(count, (at) => `<dm:person id='p${at}'/>`))],
  ['devices', 128, (count) => presence(many(count, (at) => `<dm:device id='d${at}'><dm:deviceID>u:${at}</dm:deviceID></dm:device>`))],
  ['notes', 32, (count) => presence(many(count, () => '<note>n</note>'))],
  ['notes of a tuple', 32, (count) => presence(tuple(OPEN + many(count, () => '<note>n</note>')))],
  ['elements that are not known', 256, (count) => presence(many(count, () => '<x:y/>'))],
  ['device ids', 128, (count) => presence(tuple(OPEN + many(count, () => '<dm:deviceID>u:1</dm:deviceID>')))],
  [
    'values',
    128,
    (count) =>
      presence(`<dm:person id='p'><rpid:activities>${many(count, () => '<rpid:other>x</rpid:other>')}</rpid:activities></dm:person>`),
  ],
  [
    'names in a list',
    128,
    (count) =>
      presence(
        tuple(
          `${OPEN}<caps:servcaps><caps:methods><caps:supported>${many(count, (at) => `<caps:M${at}/>`)}</caps:supported></caps:methods></caps:servcaps>`,
        ),
      ),
  ],
  ['an id', 4096, (count) => presence(tuple(OPEN, 'i'.repeat(count)))],
  ['depth', 30, (count) => presence('<x:y>'.repeat(count) + '</x:y>'.repeat(count))],
  ['bytes', 131_072, (count) => {
    const empty = presence('<note></note>');
    return presence(`<note>${'n'.repeat(count - empty.length)}</note>`);
  }],
]; // prettier-ignore
for (const [name, max, text] of BOUNDS) {
  test(`PIDF bounds: ${name}`, () => {
    assert.doesNotThrow(() => readPidf(text(max)));
    // The root and the element itself stand above what is counted as depth.
    assert.throws(() => readPidf(text(name === 'depth' ? max + 2 : max + 1)), ContentError);
  });
}

test('PIDF bounds: what is kept does not grow without end', () => {
  const namespace = `urn:${'n'.repeat(60_000)}`;
  const text = presence(
    many(200, () => '<y:z/>'),
    ` xmlns:y='${namespace}'`,
  );
  assert.throws(() => readPidf(text), { name: 'ContentError', message: /namespaces grow over the size limit/ });
});

test('PIDF bounds: what is read can be written and read again, with as many attributes as an element may have', () => {
  const attrs = many(62, (at) => ` a${at}='x'`);
  const document = readPidf(presence(`<x:y${attrs}/>`));
  assert.deepEqual(readPidf(writePidf(document)), document);
  const prefixes = many(50, (at) => ` xmlns:p${at}='urn:${at}'`);
  const wide = readPidf(
    `<presence xmlns='${PIDF}' entity='pres:a@b'${prefixes}>${many(50, (at) => `<p${at}:e/>`)}</presence>`,
  );
  assert.deepEqual(readPidf(writePidf(wide)), wide);
});

const NOT_WRITTEN: ReadonlyArray<readonly [name: string, document: PresenceDocument]> = [
  ['no entity', aPresenceDocument({ entity: '' })],
  ['an id that is no XML ID', aPresenceDocument({ tuples: [aTuple({ id: '5001' })] })],
  ['two tuples with one id', aPresenceDocument({ tuples: [aTuple(), aTuple()] })],
  [
    'a tuple and a person with one id',
    aPresenceDocument({ tuples: [aTuple({ id: 'a' })], persons: [aPerson({ id: 'a' })] }),
  ],
];
for (const [name, document] of NOT_WRITTEN) {
  test(`PIDF not written: ${name}`, () => {
    assert.throws(() => writePidf(document), { name: 'ContentError', kind: 'malformed' });
  });
}

test('PIDF written: an id of RPID that is taken is left out', () => {
  const rich = {
    activities: { id: 't1', values: [{ name: 'away' }] },
    mood: { id: 'm', values: [{ name: 'sad' }] },
  };
  const document = aPresenceDocument({ tuples: [aTuple()], persons: [aPerson({ rich }), aPerson({ id: 'p2', rich })] });
  const read = readPidf(writePidf(document));
  assert.deepEqual(
    read.persons.map(({ rich: one }) => [one.activities?.id, one.mood?.id]),
    [
      [undefined, 'm'],
      [undefined, undefined],
    ],
  );
});
