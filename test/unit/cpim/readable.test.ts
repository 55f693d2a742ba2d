import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentError } from '../../../src/cpim/content-error.ts';
import type { Content } from '../../../src/cpim/content.ts';
import { contentFromBytes } from '../../../src/cpim/content.ts';
import { type Readable, readableFromContent } from '../../../src/cpim/readable.ts';

const utf8 = (text: string | readonly string[]): Buffer =>
  Buffer.from(typeof text === 'string' ? text : text.join('\r\n'), 'utf8');
const content = (type: string, body: Buffer | string | readonly string[]): Content =>
  contentFromBytes(type, Buffer.isBuffer(body) ? body : utf8(body));

const CPIM = [
  'From: Mallory <im:mallory@evil.example>',
  'To: <im:juliet@example.com>',
  'DateTime: 2000-12-13T13:40:00-08:00',
  'Subject: rain',
  'Subject:;lang=fr la pluie',
  '',
  'Content-Type: text/plain; charset=utf-8',
  'Content-Language: en-GB, de',
  '',
  'It rains.\r\n',
];
const CPIM_READ: Readable = {
  text: 'It rains.',
  subjects: [{ text: 'rain' }, { text: 'la pluie', language: 'fr' }],
  sentAtMs: 976_743_600_000,
  language: 'en-GB',
};

const multipart = (kind: string, ...parts: ReadonlyArray<readonly string[]>): Content =>
  content(`multipart/${kind};boundary=next`, [
    'preamble',
    ...parts.flatMap((part) => ['--next', ...part]),
    '--next--',
    'epilogue',
  ]);
const PLAIN = ['Content-Type: text/plain', '', 'plain'];
const HTML = ['Content-Type: text/html', '', '<b>html</b>'];
const IMAGE = ['Content-Type: image/png', 'Content-Transfer-Encoding: base64', '', 'iVBORw0KGgo='];
const SIGNATURE = ['Content-Type: application/pkcs7-signature', '', '(signature stuff)'];

const READ: ReadonlyArray<readonly [name: string, content: Content, readable: Readable]> = [
  ['text', content('text/plain', 'a'), { text: 'a' }],
  ['CRLF becomes LF', content('text/plain', 'a\r\nb\r\n\r\nc'), { text: 'a\nb\n\nc' }],
  ['one CRLF at the end goes', content('text/plain', 'a\r\n\r\n'), { text: 'a\n' }],
  ['LF at the end stays', content('text/plain', 'a\n'), { text: 'a\n' }],
  ['CRLF alone', content('text/plain', '\r\n'), { text: '' }],
  ['empty', content('text/plain', ''), { text: '' }],
  ['byte order mark', content('text/plain;charset=utf-8', '\uFEFFa'), { text: 'a' }],
  ['ISO-8859-1', content('text/plain;charset=ISO-8859-1', Buffer.from('f\xFC\r\n', 'latin1')), { text: 'f\u00FC' }],
  ['KOI8-R', content('text/plain;charset=koi8-r', Buffer.from([0xd0, 0xd2])), { text: '\u043F\u0440' }],
  ['Shift_JIS', content('text/plain;charset=shift_jis', Buffer.from([0x82, 0xa0])), { text: '\u3042' }],
  ['GB18030', content('text/plain;charset=gb18030', Buffer.from([0xc4, 0xe3])), { text: '\u4F60' }],
  [
    'UTF-16, little end first by its mark',
    content('text/plain;charset=utf-16', Buffer.from('\uFEFFa\r\n', 'utf16le')),
    { text: 'a' },
  ],
  ['UTF-16 without mark', content('text/plain;charset=UTF-16', Buffer.from([0, 0x61])), { text: 'a' }],
  ['HTML', content('text/html', '<p>a<br>b</p>\r\n'), { text: 'a\nb' }],
  [
    'HTML in ISO-8859-1',
    content('text/html;charset=iso-8859-1', Buffer.from('<b>\xFC</b>', 'latin1')),
    { text: '\u00FC' },
  ],
  ['message/cpim', content('message/cpim', CPIM), CPIM_READ],
  ['Message/CPIM', content('Message/CPIM', CPIM), CPIM_READ],
  [
    'message/cpim with HTML in base64',
    content('message/cpim', [
      'From: <im:a@b.example>',
      '',
      'Content-Type: text/html',
      'Content-Transfer-Encoding: BASE64',
      '',
      Buffer.from('<i>x</i>').toString('base64'),
    ]),
    { text: 'x' },
  ],
  [
    'message/cpim in message/cpim',
    content('message/cpim', [
      'From: <im:relay@b.example>',
      'Subject: outer',
      '',
      'Content-Type: message/cpim',
      '',
      ...CPIM,
    ]),
    CPIM_READ,
  ],
  [
    'subject with line ends',
    content('message/cpim', ['Subject: a\\r\\nb\\u0000c', '', 'Content-Type: text/plain', '', 'x']),
    { text: 'x', subjects: [{ text: 'a b c' }] },
  ],
  ['multipart/mixed', multipart('mixed', IMAGE, PLAIN, HTML), { text: 'plain' }],
  ['multipart/mixed takes the first text', multipart('mixed', HTML, PLAIN), { text: 'html' }],
  ['multipart/alternative prefers plain', multipart('alternative', PLAIN, HTML), { text: 'plain' }],
  ['multipart/alternative, plain last', multipart('alternative', HTML, PLAIN), { text: 'plain' }],
  ['multipart/alternative without plain', multipart('alternative', IMAGE, HTML), { text: 'html' }],
  ['multipart/related', multipart('related', HTML, IMAGE), { text: 'html' }],
  ['multipart/signed', multipart('signed', PLAIN, SIGNATURE), { text: 'plain' }],
  [
    'multipart/signed with message/cpim (RFC 3862, section 5.2)',
    multipart('signed', ['Content-Type: Message/CPIM', '', ...CPIM], SIGNATURE),
    CPIM_READ,
  ],
  ['part without type is text', multipart('mixed', ['', 'bare']), { text: 'bare' }],
  [
    'attachment passed over',
    multipart('mixed', ['Content-Type: text/plain', 'Content-Disposition: attachment; filename=x', '', 'file'], PLAIN),
    { text: 'plain' },
  ],
  ['malformed part passed over', multipart('mixed', ['Content-Type text/plain', '', 'bad'], PLAIN), { text: 'plain' }],
  ['language of a part', multipart('mixed', ['Content-Language: he', ...PLAIN]), { text: 'plain', language: 'he' }],
  [
    'quoted-printable',
    multipart('mixed', [
      'Content-Type: text/plain;charset=utf-8',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'f=C3=BC soft=',
      ' break=20 ',
      'x=zz=',
    ]),
    { text: 'f\u00FC soft break \nx=zz' },
  ],
  [
    'multipart in multipart',
    content('multipart/mixed;boundary=a', [
      '--a',
      'Content-Type: multipart/alternative; boundary="a b"',
      '',
      '--a b',
      ...HTML,
      '--a b',
      ...PLAIN,
      '--a b--',
      '--a--',
    ]),
    { text: 'plain' },
  ],
  [
    'bare LF line ends',
    content('multipart/mixed;boundary=x', '--x\nContent-Type: text/plain\n\na\n--x--\n'),
    { text: 'a' },
  ],
  ['no closing delimiter', content('multipart/mixed;boundary=x', '--x\r\n\r\na'), { text: 'a' }],
  ['blanks behind a delimiter', content('multipart/mixed;boundary=x', '--x \t\r\n\r\na\r\n--x--'), { text: 'a' }],
  [
    'a delimiter is one at the start of a line only',
    content('multipart/mixed;boundary=x', '--x\r\n\r\na--x\r\n--xy\r\n--x--'),
    { text: 'a--x\n--xy' },
  ],
  ['empty part', content('multipart/mixed;boundary=x', '--x\r\n\r\n\r\n--x--'), { text: '' }],
];
for (const [name, given, readable] of READ) {
  test(`readable: ${name}`, () => {
    assert.deepEqual(readableFromContent(given), readable);
  });
}

const cpimOf = (...headers: string[]): Content =>
  content('message/cpim', [...headers, '', 'Content-Type: text/plain', '', 'x']);
const deep = (levels: number): string[] =>
  levels === 0
    ? PLAIN
    : [`Content-Type: multipart/mixed; boundary=b${levels}`, '', `--b${levels}`, ...deep(levels - 1), `--b${levels}--`];
const wrapped = (levels: number): string[] =>
  levels === 0 ? PLAIN : ['Content-Type: message/cpim', '', 'From: <im:a@b.example>', '', ...wrapped(levels - 1)];

const REFUSED: ReadonlyArray<readonly [name: string, content: Content, kind: ContentError['kind'], feature?: string]> =
  [
    ['image', content('image/png', 'x'), 'unsupported'],
    ['composing notice', content('application/im-iscomposing+xml', '<isComposing/>'), 'unsupported'],
    ['receipt', content('message/imdn+xml', '<imdn/>'), 'unsupported'],
    [
      'receipt in message/cpim',
      content('message/cpim', ['From: <im:a@b.example>', '', 'Content-Type: message/imdn+xml', '', '<imdn/>']),
      'unsupported',
    ],
    ['XML', content('text/xml', '<a/>'), 'unsupported'],
    ['unknown charset', content('text/plain;charset=x-klingon', 'x'), 'unsupported'],
    ['UTF-7', content('text/plain;charset=utf-7', 'x'), 'unsupported'],
    ['invalid UTF-8', content('text/plain', Buffer.from([0xff])), 'malformed'],
    [
      'invalid UTF-8 that calls itself US-ASCII',
      content('text/plain;charset=us-ascii', Buffer.from([0xff])),
      'malformed',
    ],
    ['invalid Shift_JIS', content('text/plain;charset=shift_jis', Buffer.from([0x82])), 'malformed'],
    ['invalid UTF-8 in HTML', content('text/html', Buffer.from([0xff])), 'malformed'],
    ['no type', content('', 'x'), 'malformed'],
    ['unreadable type', content('text', 'x'), 'malformed'],
    ['malformed message/cpim', content('message/cpim', 'x'), 'malformed'],
    ['unknown feature required', cpimOf('NS: f <urn:f>', 'Require: f.Vital'), 'malformed', 'f.Vital'],
    ['unknown header required', cpimOf('Require: Subject,X-Vital'), 'malformed', 'X-Vital'],
    ['message/cpim three times', content('message/cpim', wrapped(3).slice(2)), 'unsupported'],
    [
      'unknown transfer encoding',
      multipart('mixed', ['Content-Transfer-Encoding: x-uuencode', ...PLAIN]),
      'unsupported',
    ],
    ['compressed part', multipart('mixed', ['Content-Encoding: deflate', ...PLAIN]), 'unsupported'],
    ['multipart without text', multipart('mixed', IMAGE), 'unsupported'],
    [
      'multipart with a malformed text only',
      multipart('mixed', IMAGE, ['Content-Type text/plain', '', 'x']),
      'malformed',
    ],
    ['signed image with text for a signature', multipart('signed', IMAGE, PLAIN), 'unsupported'],
    ['multipart without boundary', content('multipart/mixed', '--x\r\n\r\na\r\n--x--'), 'malformed'],
    ['multipart with an empty boundary', content('multipart/mixed;boundary=""', '--\r\n\r\na'), 'malformed'],
    ['multipart with a boundary of 71', content(`multipart/mixed;boundary=${'x'.repeat(71)}`, 'x'), 'malformed'],
    ['multipart without parts', content('multipart/mixed;boundary=x', 'text'), 'malformed'],
    ['multipart closed at once', content('multipart/mixed;boundary=x', '--x--'), 'malformed'],
    ['65 parts', multipart('mixed', ...Array.from({ length: 65 }, () => IMAGE)), 'malformed'],
    ['multipart five deep', content('multipart/mixed;boundary=b5', deep(5).slice(2)), 'unsupported'],
  ];
for (const [name, given, kind, feature] of REFUSED) {
  test(`readable refused as ${kind}: ${name}`, () => {
    assert.throws(
      () => readableFromContent(given),
      (thrown) => thrown instanceof ContentError && thrown.kind === kind && thrown.feature === feature,
    );
  });
}

test('readable: multipart four deep and message/cpim twice', () => {
  assert.deepEqual(readableFromContent(content('multipart/mixed;boundary=b4', deep(4).slice(2))), { text: 'plain' });
  assert.deepEqual(readableFromContent(content('message/cpim', wrapped(2).slice(2))), { text: 'plain' });
});

const MANY = 200_000;
const HOSTILE: ReadonlyArray<readonly [name: string, content: Content]> = [
  ['delimiters', content('multipart/mixed;boundary=x', '--x\r\n'.repeat(MANY))],
  ['near delimiters', content('multipart/mixed;boundary=x', `--x\r\n\r\n${'--x '.repeat(MANY)}`)],
  ['a boundary of dashes', content(`multipart/mixed;boundary=${'-'.repeat(70)}`, '-'.repeat(2 * MANY))],
  ['blanks behind delimiters', content('multipart/mixed;boundary=x', `\n--x${' '.repeat(MANY)}y`.repeat(4))],
  [
    'MIME fields',
    multipart(
      'mixed',
      Array.from({ length: MANY }, () => 'a: b'),
    ),
  ],
  ['folded lines', multipart('mixed', ['a: b', ...Array.from({ length: MANY }, () => ' b')])],
  [
    'soft breaks that are none',
    multipart('mixed', ['Content-Transfer-Encoding: quoted-printable', '', '= '.repeat(MANY)]),
  ],
  [
    'blanks in quoted-printable',
    multipart('mixed', ['Content-Transfer-Encoding: quoted-printable', '', ' '.repeat(2 * MANY)]),
  ],
  ['headers', content('message/cpim', 'a: b\r\n'.repeat(MANY))],
  ['backslashes in a subject', cpimOf(`Subject: ${'\\'.repeat(2 * MANY)}`)],
  ['parameters', cpimOf(`Subject:${';a=b'.repeat(MANY)} x`)],
  ['parameters that never end', cpimOf(`Subject:${';a="'.repeat(MANY)} x`)],
  ['brackets in From', cpimOf(`From: ${'<'.repeat(2 * MANY)}`)],
  ['blanks in From', cpimOf(`From: ${' '.repeat(2 * MANY)}x`)],
  ['quotes in From', cpimOf(`From: ${'"\\'.repeat(MANY)}`)],
  ['words in From', cpimOf(`From: ${'a '.repeat(MANY)}<im:a@b.example`)],
  ['commas in Require', cpimOf(`Require: ${','.repeat(2 * MANY)}`)],
  ['CRs', content('text/plain', '\r'.repeat(2 * MANY))],
];
for (const [name, given] of HOSTILE) {
  test(`readable takes its time in proportion: ${name}`, () => {
    const start = process.cpuUsage();
    try {
      readableFromContent(given);
    } catch (thrown) {
      assert.ok(thrown instanceof ContentError, String(thrown));
    }
    const { user } = process.cpuUsage(start);
    // Some milliseconds when it is one pass; minutes when each start is looked at to the end.
    assert.ok(user < 1_500_000, `${user} microseconds of CPU`);
  });
}
