import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentError } from '../../../src/cpim/content-error.ts';
import { type CpimAddress, escapeHeader, unescapeHeader } from '../../../src/cpim/cpim-header.ts';
import {
  type CpimMessage,
  type CpimParts,
  missingFeature,
  parseMessageCpim,
  writeMessageCpim,
} from '../../../src/cpim/message-cpim.ts';
import type { LocalizedText } from '../../../src/cpim/operation.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { loadVectors } from '../../support/vectors.ts';

/** Lines, which CRLF joins, or the whole as it is. */
type Text = string | readonly string[];
type Outline = {
  from?: CpimAddress;
  to: readonly CpimAddress[];
  cc: readonly CpimAddress[];
  sentAtMs?: number;
  subjects: readonly LocalizedText[];
  required: ReadonlyArray<string | null>;
  type: string;
  body: string;
};

const bytes = (text: Text): Uint8Array => Buffer.from(typeof text === 'string' ? text : text.join('\r\n'), 'utf8');

function outline(message: CpimMessage): Outline {
  return {
    ...(message.from === undefined ? {} : { from: message.from }),
    to: message.to,
    cc: message.cc,
    ...(message.sentAtMs === undefined ? {} : { sentAtMs: message.sentAtMs }),
    subjects: message.subjects,
    required: message.required.map(({ id }) => id ?? null),
    type: message.type,
    body: Buffer.from(message.part.body).toString('utf8'),
  };
}

for (const vector of loadVectors<Text, Outline>('rfc3862/messages')) {
  test(`message/cpim: ${vector.id} (${vector.source})`, () => {
    assert.deepEqual(outline(parseMessageCpim(bytes(vector.in))), vector.out);
  });
}

for (const vector of loadVectors<Text, 'malformed'>('rfc3862/malformed')) {
  test(`message/cpim refused: ${vector.id} (${vector.source})`, () => {
    assert.throws(
      () => parseMessageCpim(bytes(vector.in)),
      (thrown) => thrown instanceof ContentError && thrown.kind === vector.out && thrown.message !== '',
    );
  });
}

test('message/cpim refused: invalid UTF-8 in a header (RFC 3862, section 3)', () => {
  const text = Buffer.from('Subject: f\xFC\r\n\r\nContent-Type: text/plain\r\n\r\nx', 'latin1');
  assert.throws(() => parseMessageCpim(text), { name: 'ContentError', kind: 'malformed' });
});

test('message/cpim: the content is kept byte for byte', () => {
  const body = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const whole = Buffer.concat([bytes(['From: <im:a@b.example>', '', 'Content-Type: image/png', '', '']), body]);
  assert.deepEqual(Buffer.from(parseMessageCpim(whole).part.body), body);
});

for (const vector of loadVectors<string, string>('rfc3862/unescape')) {
  test(`message/cpim escapes read: ${vector.id} (${vector.source})`, () => {
    assert.equal(unescapeHeader(vector.in), vector.out);
  });
}
for (const vector of loadVectors<string, string>('rfc3862/escape')) {
  test(`message/cpim escapes written: ${vector.id} (${vector.source})`, () => {
    assert.equal(escapeHeader(vector.in), vector.out);
    assert.equal(unescapeHeader(vector.out), vector.in);
  });
}

const REQUIRED: ReadonlyArray<readonly [name: string, headers: readonly string[], missing: string | undefined]> = [
  ['nothing', [], undefined],
  ['base headers', ['Require: From,Subject'], undefined],
  ['an unknown header', ['Require: Subject', 'Require: X-Secret'], 'X-Secret'],
  ['a feature of a namespace', ['NS: f <urn:f>', 'Require: f.y'], 'f.y'],
  ['an unbound prefix', ['Require: g.y'], 'g.y'],
  ['a demand behind a new default namespace', ['NS: <urn:f>', 'Require: y'], 'y'],
  ['a base name behind a new default namespace', ['NS: <urn:f>', 'Require: Subject'], 'Subject'],
];
for (const [name, headers, missing] of REQUIRED) {
  test(`message/cpim Require: ${name} (RFC 3862, section 3.5)`, () => {
    const message = parseMessageCpim(bytes([...headers, '', 'Content-Type: text/plain', '', 'x']));
    assert.equal(missingFeature(message)?.written, missing);
  });
}

test('message/cpim Require: what the caller understands is not missing', () => {
  const message = parseMessageCpim(bytes(['NS: f <urn:f:>', 'Require: f.y', '', 'Content-Type: text/plain', '', 'x']));
  assert.equal(missingFeature(message, new Set(['urn:f:y'])), undefined);
});

test('message/cpim written: every part (RFC 3862, section 2)', () => {
  const text = Buffer.from(
    writeMessageCpim({
      from: { name: 'MR SANDERS', uri: 'im:piglet@100akerwood.com' },
      to: [{ name: 'Donkey, Depressed "D"', uri: 'im:eeyore@100akerwood.com' }, { uri: 'im:pooh@100akerwood.com' }],
      cc: [{ uri: 'im:tigger@100akerwood.com' }],
      sentAtMs: 976_743_600_000,
      subjects: [{ text: 'the weather' }, { text: 'beau\ttemps ', language: 'fr' }],
      namespaces: [{ prefix: 'f', uri: 'urn:f' }],
      require: ['f.a', 'Subject'],
      extensions: [['f.a', 'x\\y']],
      type: 'text/plain;charset=UTF-8',
      contentId: '1@foo.com',
      body: Buffer.from('Hello'),
    }),
  ).toString('utf8');
  assert.equal(
    text,
    [
      'From: MR SANDERS <im:piglet@100akerwood.com>',
      'To: "Donkey, Depressed \\"D\\"" <im:eeyore@100akerwood.com>',
      'To: <im:pooh@100akerwood.com>',
      'cc: <im:tigger@100akerwood.com>',
      'DateTime: 2000-12-13T21:40:00Z',
      'Subject: the weather',
      'Subject:;lang=fr beau\\ttemps',
      'NS: f <urn:f>',
      'Require: f.a,Subject',
      'f.a: x\\\\y',
      '',
      'Content-Type: text/plain;charset=UTF-8',
      'Content-ID: <1@foo.com>',
      '',
      'Hello',
    ].join('\r\n'),
  );
});

const HOSTILE: ReadonlyArray<readonly [name: string, parts: Partial<CpimParts>]> = [
  ['name', { from: { name: 'x\r\nTo: <im:evil@b.example>', uri: 'im:a@b.example' } }],
  ['address', { from: { uri: 'im:a@b.example>\r\nTo: <im:evil@b.example' } }],
  ['subject', { subjects: [{ text: 'x\r\nTo: <im:evil@b.example>' }] }],
  ['language', { subjects: [{ text: 'x', language: 'de\r\nTo: <im:evil@b.example>' }] }],
  ['type', { type: 'text/plain\r\n\r\nTo: <im:evil@b.example>' }],
  ['content id', { contentId: 'x>\r\n\r\nTo: <im:evil@b.example>' }],
];
for (const [name, parts] of HOSTILE) {
  test(`message/cpim written: the ${name} cannot add a line`, () => {
    const written = writeMessageCpim({ to: [], type: 'text/plain', body: Buffer.from('x'), ...parts });
    const message = parseMessageCpim(written);
    assert.deepEqual(message.to, []);
    assert.equal(Buffer.from(message.part.body).toString(), 'x');
  });
}
for (const [name, parts] of [
  ['extension name', { extensions: [['a b', 'x']] }],
  ['required name', { require: ['a\r\nb'] }],
  ['prefix', { namespaces: [{ prefix: 'a.b ', uri: 'urn:x' }] }],
] as ReadonlyArray<readonly [string, Partial<CpimParts>]>) {
  test(`message/cpim written: an illegal ${name} is refused`, () => {
    assert.throws(() => writeMessageCpim({ to: [], type: 'text/plain', body: Buffer.from('x'), ...parts }), {
      name: 'ContentError',
    });
  });
}

test('message/cpim: 2,000 names and subjects of any text come back as written (seed 3862)', () => {
  const random = seededRandom(3862);
  const aText = (): string => {
    let text = '';
    for (let length = 1 + Math.floor(random() * 10); length > 0; length -= 1) {
      const code = Math.floor(random() * (random() < 0.7 ? 0x80 : 0x11000));
      if (code < 0xd800 || code > 0xdfff) text += String.fromCodePoint(code);
    }
    return `${text}.`;
  };
  for (let round = 0; round < 2000; round += 1) {
    const from = { name: aText(), uri: 'im:a@b.example' };
    const subjects = [{ text: aText() }, { text: aText(), language: 'en-GB' }];
    const message = parseMessageCpim(
      writeMessageCpim({ from, to: [from], subjects, type: 'text/plain', body: Buffer.from(from.name) }),
    );
    assert.deepEqual(message.from, from);
    assert.deepEqual(message.to, [from]);
    assert.deepEqual(message.subjects, subjects);
    assert.equal(Buffer.from(message.part.body).toString('utf8'), from.name);
  }
});
