import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SIP_LIMITS, parseSipMessage } from '../../../../src/sip/engine/parser.ts';
import type { ParsedMalformed, ParsedMessage, ParsedRequest } from '../../../../src/sip/engine/parser.ts';

/** A MESSAGE by its lines; `lines` replaces those with the same first word, an empty one takes it away. */
function aMessage(lines: Record<string, string | string[]> = {}, body = 'hi'): Buffer {
  const all: Record<string, string | string[]> = {
    start: 'MESSAGE sip:bob@b.example SIP/2.0',
    Via: 'Via: SIP/2.0/UDP h.example;branch=z9hG4bK1',
    From: 'From: <sip:alice@a.example>;tag=1',
    To: 'To: <sip:bob@b.example>',
    'Call-ID': 'Call-ID: id@h',
    CSeq: 'CSeq: 1 MESSAGE',
    'Content-Length': `Content-Length: ${Buffer.byteLength(body)}`,
    ...lines,
  };
  const written = Object.values(all)
    .flat()
    .filter((line) => line !== '')
    .map((line) => `${line}\r\n`)
    .join('');
  // One character per byte, so that a test can write any byte.
  return Buffer.concat([Buffer.from(written, 'latin1'), Buffer.from('\r\n'), Buffer.from(body)]);
}

function utf8(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function request(bytes: Buffer): ParsedRequest {
  const message = parseSipMessage(bytes);
  assert.ok(message.kind === 'request', JSON.stringify(message));
  return message;
}

function refused(message: ParsedMessage): ParsedMalformed {
  assert.ok(message.kind === 'malformed', message.kind);
  return message;
}

/** What is well-formed, however unusual. */
const ACCEPTED: ReadonlyArray<readonly [what: string, bytes: Buffer, check: (message: ParsedRequest) => void]> = [
  [
    'a plain one',
    aMessage(),
    ({ method, uri, body }) => {
      assert.deepEqual([method, uri, body.toString()], ['MESSAGE', 'sip:bob@b.example', 'hi']);
    },
  ],
  [
    'compact forms',
    aMessage({
      Via: 'v:SIP/2.0/UDP h',
      From: 'F:<sip:a@b>;tag=1',
      To: 't:<sip:c@d>',
      'Call-ID': 'i:x',
      'Content-Length': 'L:1',
      More: ['o:presence', 'u:presence', 'x:90', 'y:abc'],
    }),
    ({ headers, body }) => {
      assert.equal(headers.get('Event'), 'presence');
      assert.equal(headers.get('Allow-Events'), 'presence');
      assert.equal(headers.get('Session-Expires'), '90');
      assert.equal(headers.get('Identity'), 'abc');
      assert.equal(body.toString(), 'h');
    },
  ],
  [
    'CRLFs before the start line',
    Buffer.concat([Buffer.from('\r\n\r\n'), aMessage()]),
    ({ body }) => assert.equal(body.toString(), 'hi'),
  ],
  [
    'blanks around the colon',
    aMessage({ To: 'To \t : \t <sip:bob@b.example> \t ' }),
    ({ headers }) => assert.equal(headers.get('To'), '<sip:bob@b.example>'),
  ],
  [
    'several Via in one line, IPv6 and quotes among them',
    aMessage({ Via: 'Via: SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1;x="a,b", SIP/2.0/TCP h2;branch=y,SIP/2.0/TLS h3' }),
    ({ headers, via }) => {
      assert.deepEqual(headers.all('Via'), [
        'SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1;x="a,b"',
        'SIP/2.0/TCP h2;branch=y',
        'SIP/2.0/TLS h3',
      ]);
      assert.deepEqual([via.host, via.port], ['[::1]', 5060]);
    },
  ],
  [
    'lists of Route, Record-Route, Path and Contact, one field each',
    aMessage({
      More: [
        'Route: <sip:p1;lr>, <sip:p2;lr>',
        'record-route: <sip:p3>,<sip:p4>',
        'Path: <sip:p5>,<sip:p6>',
        'm: "a, b" <sip:c1>, <sip:c2>;q=0.1',
      ],
    }),
    ({ headers }) => {
      assert.deepEqual(headers.all('Route'), ['<sip:p1;lr>', '<sip:p2;lr>']);
      assert.deepEqual(headers.all('Record-Route'), ['<sip:p3>', '<sip:p4>']);
      assert.deepEqual(headers.all('Path'), ['<sip:p5>', '<sip:p6>']);
      assert.deepEqual(headers.all('Contact'), ['"a, b" <sip:c1>', '<sip:c2>;q=0.1']);
    },
  ],
  [
    'other lists stay as they came',
    aMessage({ More: 'Accept: text/plain, message/cpim' }),
    ({ headers }) => assert.deepEqual(headers.all('Accept'), ['text/plain, message/cpim']),
  ],
  [
    'folds, with blanks and empty lines in them',
    aMessage({ More: 'Subject: one \r\n\t two\r\n \r\n three' }),
    ({ headers }) => assert.equal(headers.get('Subject'), 'one two three'),
  ],
  [
    'a fold in Content-Length',
    aMessage({ 'Content-Length': 'Content-Length:\r\n 1' }),
    ({ body }) => assert.equal(body.toString(), 'h'),
  ],
  ['an empty value', aMessage({ More: 'Subject:' }), ({ headers }) => assert.equal(headers.get('Subject'), '')],
  [
    'UTF-8',
    aMessage({ From: utf8('From: "Мария 💬" <sip:a@b>;tag=1'), More: utf8('Subject: \ufeffпривет') }),
    ({ headers, from }) => {
      assert.equal(from.display, 'Мария 💬');
      assert.equal(headers.get('Subject'), '\ufeffпривет');
    },
  ],
  [
    'latin1 where it names nobody',
    aMessage({ More: 'Subject: caf\xe9' }),
    ({ headers }) => assert.equal(headers.get('Subject'), 'café'),
  ],
  [
    'a version in small letters',
    aMessage({ start: 'MESSAGE sip:bob@b.example sip/2.0' }),
    ({ method }) => assert.equal(method, 'MESSAGE'),
  ],
  [
    'the same Content-Length twice',
    aMessage({ More: ['l: 2', 'Content-Length: 002'] }),
    ({ headers }) => assert.deepEqual(headers.all('Content-Length'), ['2']),
  ],
  [
    'no Content-Length: the rest is the body',
    aMessage({ 'Content-Length': '' }, 'all of it\r\n\r\nand more'),
    ({ body }) => assert.equal(body.toString(), 'all of it\r\n\r\nand more'),
  ],
  [
    'no Max-Forwards, no From tag, no branch',
    aMessage({ From: 'From: sip:a@b', Via: 'Via: SIP/2.0/UDP h' }),
    ({ from }) => assert.equal(from.params.size, 0),
  ],
  [
    'a body of any bytes',
    Buffer.concat([aMessage({ 'Content-Length': 'Content-Length: 4' }, ''), Buffer.from([0, 0xff, 0x0a, 0x0d, 1])]),
    ({ body }) => assert.deepEqual([...body], [0, 0xff, 0x0a, 0x0d]),
  ],
  [
    'control characters as quoted pairs',
    aMessage({ To: 'To: "\\\x00\\\x07\\\x7f" <sip:a@b>' }),
    ({ to }) => assert.equal(to.display, '\0\x07\x7f'),
  ],
  [
    '70 Via values',
    aMessage({ Via: Array.from({ length: 70 }, (_, i) => `Via: SIP/2.0/UDP h${i}`) }),
    ({ headers }) => assert.equal(headers.all('Via').length, 70),
  ],
  [
    'a Request-URI of another scheme',
    aMessage({ start: 'MESSAGE im:bob@b.example SIP/2.0' }),
    ({ uri }) => assert.equal(uri, 'im:bob@b.example'),
  ],
  [
    'From and To of other schemes',
    aMessage({ From: 'From: <tel:+1>;tag=1', To: 'To: <im:a@b>' }),
    ({ to }) => assert.equal(to.uri, 'im:a@b'),
  ],
];

for (const [what, bytes, check] of ACCEPTED) test(`parser: accepts ${what}`, () => check(request(bytes)));

/** What is refused with 400 unless a status says otherwise; each is still answerable. */
const REFUSED: ReadonlyArray<readonly [what: string, bytes: Buffer, status?: number]> = [
  // names and lines: what one reader believes to be a field, another does not (CVE-2020-28361, AST chan_sip)
  ['a name with NUL before the colon', aMessage({ More: 'P-Asserted-Identity\0: <sip:x@y>' })],
  ['a name with a control character before the colon', aMessage({ More: 'P-Asserted-Identity\x1f: <sip:x@y>' })],
  ['a name with a no-break space before the colon', aMessage({ More: 'To\xa0: <sip:x@y>' })],
  ['a name with a vertical tab', aMessage({ More: 'To\x0b: <sip:x@y>' })],
  ['a fold between name and colon', aMessage({ More: 'Subject\r\n : x' })],
  ['a blank within a name', aMessage({ More: 'Sub ject: x' })],
  ['a name that is empty', aMessage({ More: ': x' })],
  ['a line without a colon', aMessage({ More: 'Subject' })],
  ['a first header line that is folded', aMessage({ start: 'MESSAGE sip:bob@b.example SIP/2.0\r\n Subject: x' }), 0],
  ['a non-ASCII name', aMessage({ More: utf8('Тема: x') })],
  // line ends (CVE-2023-51764 and its kin)
  ['a bare LF in a value', aMessage({ More: 'Subject: x\nP-Asserted-Identity: <sip:x@y>' })],
  ['a bare CR in a value', aMessage({ More: 'Subject: x\rP-Asserted-Identity: <sip:x@y>' })],
  ['a bare LF that ends the header', aMessage({ More: 'Subject: x\n\nINVITE sip:x SIP/2.0' })],
  ['a bare CR before CRLF', aMessage({ More: 'Subject: x\r' })],
  ['a quoted bare LF', aMessage({ From: 'From: "\\\n" <sip:a@b>;tag=1' })],
  // control characters
  ['NUL in a value', aMessage({ More: 'Subject: a\0b' })],
  ['NUL in an unquoted display name', aMessage({ From: 'From: a\0b <sip:a@b>;tag=1' })],
  ['NUL in a quoted display name without its backslash', aMessage({ From: 'From: "a\0b" <sip:a@b>;tag=1' })],
  ['NUL in a URI', aMessage({ From: 'From: <sip:a\0@b>;tag=1' })],
  ['DEL in a value', aMessage({ More: 'Subject: \x7f' })],
  // UTF-8 (CVE-2022-25235 and its kin)
  ['bytes that are no UTF-8 in From', aMessage({ From: 'From: "\xff" <sip:a@b>;tag=1' })],
  ['an overlong form in To', aMessage({ To: 'To: "\xc0\xaf" <sip:a@b>' })],
  ['half a surrogate pair in Contact', aMessage({ More: 'Contact: "\xed\xa0\x80" <sip:a@b>' })],
  ['a non-ASCII URI', aMessage({ From: utf8('From: <sip:ä@b>;tag=1') })],
  ['a non-ASCII Call-ID', aMessage({ 'Call-ID': utf8('Call-ID: ä') })],
  // what must be there once
  ['two From', aMessage({ More: 'f: <sip:x@y>;tag=2' })],
  ['two equal From', aMessage({ More: 'From: <sip:alice@a.example>;tag=1' })],
  ['two To', aMessage({ More: 't: <sip:x@y>' })],
  ['two Call-ID', aMessage({ More: 'i: x' })],
  ['two CSeq', aMessage({ More: 'cseq: 1 MESSAGE' })],
  ['two Max-Forwards', aMessage({ More: ['Max-Forwards: 70', 'max-forwards: 70'] })],
  ['two Content-Type', aMessage({ More: ['Content-Type: text/plain', 'c: text/plain'] })],
  ['two Expires', aMessage({ More: ['Expires: 1', 'Expires: 1'] })],
  ['two Event', aMessage({ More: ['Event: presence', 'o: presence'] })],
  ['two different Content-Length', aMessage({ More: 'l: 1' })],
  ['two Content-Length, the second no number', aMessage({ More: 'l: x' })],
  ['a list in From', aMessage({ From: 'From: <sip:a@b>;tag=1, <sip:c@d>;tag=2' })],
  ['no Via', aMessage({ Via: '' })],
  ['no From', aMessage({ From: '' })],
  ['no To', aMessage({ To: '' })],
  ['no Call-ID', aMessage({ 'Call-ID': '' })],
  ['no CSeq', aMessage({ CSeq: '' })],
  ['an empty Call-ID', aMessage({ 'Call-ID': 'Call-ID:' })],
  ['a blank in Call-ID', aMessage({ 'Call-ID': 'Call-ID: a b' })],
  // values
  ['an empty Via between two', aMessage({ Via: 'Via: SIP/2.0/UDP h,,SIP/2.0/UDP i' })],
  ['a comma after Via', aMessage({ Via: 'Via: SIP/2.0/UDP h,' })],
  ['a branch without a value', aMessage({ Via: 'Via: SIP/2.0/UDP h;branch' })],
  ['a branch of the cookie alone, in other capitals', aMessage({ Via: 'Via: SIP/2.0/UDP h;branch=Z9HG4BK' })],
  ['two branches', aMessage({ Via: 'Via: SIP/2.0/UDP h;branch=a;branch=b' })],
  ['a tag without a value', aMessage({ From: 'From: <sip:a@b>;tag' })],
  ['an empty tag in quotes', aMessage({ From: 'From: <sip:a@b>;tag=""' })],
  ['a second, empty To tag', aMessage({ To: 'To: <sip:a@b>;tag=1;tag=' })],
  ['a sip: URI in From that is none', aMessage({ From: 'From: <sip:a@b@c>;tag=1' })],
  ['a sip: URI in To without a host', aMessage({ To: 'To: <sip:>' })],
  ['a SIPS: URI in To that is none', aMessage({ To: 'To: <SIPS:a@>' })],
  ['an open quote in Contact', aMessage({ More: 'Contact: "a <sip:b@c>, <sip:d@e>' })],
  ['another method in CSeq', aMessage({ CSeq: 'CSeq: 1 INVITE' })],
  ['another method in CSeq, by its capitals', aMessage({ CSeq: 'CSeq: 1 message' })],
  ['another method in CSeq of an unknown one', aMessage({ start: 'NEW sip:b SIP/2.0' }), 501],
  // length
  ['a Content-Length of one byte too many', aMessage({ 'Content-Length': 'Content-Length: 3' })],
  ['a Content-Length with a sign', aMessage({ 'Content-Length': 'Content-Length: +2' })],
  ['a Content-Length in hexadecimal', aMessage({ 'Content-Length': 'Content-Length: 0x2' })],
  ['a Content-Length with a fraction', aMessage({ 'Content-Length': 'Content-Length: 2.0' })],
  ['a Content-Length with a list', aMessage({ 'Content-Length': 'Content-Length: 2, 2' })],
  ['a Content-Length in two pieces', aMessage({ 'Content-Length': 'Content-Length: 0\r\n 2' })],
  ['an empty Content-Length', aMessage({ 'Content-Length': 'Content-Length:' })],
  ['a Content-Length beyond 2^53', aMessage({ 'Content-Length': 'Content-Length: 99999999999999999999' })],
  // the request line
  ['a tab in the request line', aMessage({ start: 'MESSAGE sip:a\t@b SIP/2.0' })],
  ['two blanks in the request line', aMessage({ start: 'MESSAGE  sip:a@b SIP/2.0' })],
  ['a request line without a URI', aMessage({ start: 'MESSAGE SIP/2.0' })],
  ['a Request-URI without a scheme', aMessage({ start: 'MESSAGE bob@b SIP/2.0' })],
  ['a Request-URI in quotes', aMessage({ start: 'MESSAGE "sip:a@b" SIP/2.0' })],
  ['a version without a number', aMessage({ start: 'MESSAGE sip:a@b SIP/two' })],
  ['a version with more after it', aMessage({ start: 'MESSAGE sip:a@b SIP/2.0.1' })],
  ['version 3.0', aMessage({ start: 'MESSAGE sip:a@b SIP/3.0' }), 505],
  ['version 2.1', aMessage({ start: 'MESSAGE sip:a@b SIP/2.1' }), 505],
  ['version 02.0', aMessage({ start: 'MESSAGE sip:a@b SIP/02.0' }), 505],
  // limits
  ['71 Via values', aMessage({ Via: Array.from({ length: 71 }, (_, i) => `Via: SIP/2.0/UDP h${i}`) })],
  [
    '71 Via values in one line',
    aMessage({ Via: `Via: ${Array.from({ length: 71 }, (_, i) => `SIP/2.0/UDP h${i}`).join()}` }),
  ],
  ['129 values in a Route', aMessage({ More: `Route: ${Array.from({ length: 129 }, () => '<sip:a>').join()}` })],
  ['257 header fields', aMessage({ More: Array.from({ length: 251 }, (_, i) => `X-${i}: y`) })],
  [
    '257 header fields after splitting',
    aMessage({
      More: Array.from({ length: 3 }, () => `Route: ${Array.from({ length: 100 }, () => '<sip:a>').join()}`),
    }),
  ],
  ['a header of more than 32 KiB', aMessage({ More: `Subject: ${'x'.repeat(33_000)}` }), 513],
  ['a message of more than 65,535 bytes', aMessage({}, 'x'.repeat(65_535)), 513],
];

for (const [what, bytes, status = 400] of REFUSED) {
  test(`parser: refuses ${what}`, () => {
    const message = refused(parseSipMessage(bytes));
    if (status === 0) {
      // The start line itself cannot be trusted: there is nobody to answer.
      assert.equal(message.request, undefined);
      return;
    }
    assert.equal(message.status, status, message.reason);
    assert.ok(message.request !== undefined, 'a request can be answered');
    for (const [name, value] of message.request.headers.fields) {
      assert.doesNotMatch(name, /[\r\n\0: ]/);
      assert.doesNotMatch(value, /[\r\n]/, 'what is echoed divides no lines');
    }
  });
}

/** What is neither request nor response: dropped. */
const NOISE: ReadonlyArray<readonly [what: string, bytes: Buffer]> = [
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['zero bytes', Buffer.alloc(4)],
  ['STUN', Buffer.from('000100002112a442000000000000000000000000', 'hex')],
  ['a line end and a half', Buffer.from('\r\n\r')],
  ['a letter', Buffer.from('x')],
  ['no line end', Buffer.from('MESSAGE sip:a@b SIP/2.0')],
  ['a status line in two lines', Buffer.from('SIP/2.0 200\r\n OK\r\n\r\n')],
  ['a start line with a bare LF', Buffer.from('MESSAGE sip:a@b SIP/2.0\nVia: x\r\n\r\n')],
  ['a start line with NUL', Buffer.from('MESSAGE\0 sip:a@b SIP/2.0\r\n\r\n')],
  ['a non-ASCII method', Buffer.from('MÉSSAGE sip:a@b SIP/2.0\r\n\r\n')],
];

for (const [what, bytes] of NOISE) {
  test(`parser: ${what} is malformed and answered to nobody`, () => {
    assert.equal(refused(parseSipMessage(bytes)).request, undefined);
  });
}

for (const text of ['', '\r\n', '\r\n\r\n', '\r\n\r\n\r\n']) {
  test(`parser: ${JSON.stringify(text)} is a keep-alive`, () => {
    assert.deepEqual(parseSipMessage(Buffer.from(text)), { kind: 'keep-alive' });
  });
}

test('parser: a header without its empty line is refused, and can be answered', () => {
  const bytes = aMessage({ 'Content-Length': '' }, '');
  const message = refused(parseSipMessage(bytes.subarray(0, -2)));
  assert.deepEqual([message.status, message.request?.headers.get('Call-ID')], [400, 'id@h']);
});

test('parser: the fields of a refused request that are sound are there for the answer', () => {
  const { request: read } = refused(
    parseSipMessage(aMessage({ More: 'Subject: a\nFrom: <sip:evil@x>', CSeq: 'CSeq: 1 BYE' })),
  );
  assert.deepEqual(
    read?.headers.fields.map(([name]) => name),
    ['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Content-Length'],
  );
});

const STATUS_LINES: ReadonlyArray<readonly [line: string, status: number | undefined, reason?: string]> = [
  ['SIP/2.0 200 OK', 200, 'OK'],
  ['sip/2.0 200 OK', 200, 'OK'],
  ['SIP/2.0 100 ', 100, ''],
  ['SIP/2.0 100', 100, ''],
  ['SIP/2.0 699 x  y ', 699, 'x  y '],
  [utf8('SIP/2.0 404 не найдено'), 404, 'не найдено'],
  ['SIP/2.0 404 caf\xe9', 404, 'café'],
  ['SIP/2.0 099 x', undefined],
  ['SIP/2.0 700 x', undefined],
  ['SIP/2.0 20 x', undefined],
  ['SIP/2.0 2000 x', undefined],
  ['SIP/2.0 200x', undefined],
  ['SIP/2.0  200 x', undefined],
  ['SIP/2.0 -20 x', undefined],
  ['SIP/3.0 200 OK', undefined],
  ['SIP/2.0', undefined],
  ['SIP/2.0 ', undefined],
];

for (const [line, status, reason] of STATUS_LINES) {
  test(`parser: status line ${JSON.stringify(line)} is ${status ?? 'refused'}`, () => {
    const message = parseSipMessage(aMessage({ start: line }));
    if (status === undefined) assert.equal(refused(message).request, undefined);
    else {
      assert.ok(message.kind === 'response', JSON.stringify(message));
      assert.deepEqual([message.status, message.reason], [status, reason]);
    }
  });
}

test('parser: a response without a To tag, and with another method in CSeq than any request, is read', () => {
  const message = parseSipMessage(aMessage({ start: 'SIP/2.0 202 Accepted' }));
  assert.ok(message.kind === 'response');
  assert.deepEqual([message.to.params.size, message.cseq.method], [0, 'MESSAGE']);
});

test('parser: limits are those given', () => {
  const limits = { ...SIP_LIMITS, messageBytesMax: 200_000 };
  assert.equal(parseSipMessage(aMessage({}, 'x'.repeat(100_000)), limits).kind, 'request');
  assert.equal(refused(parseSipMessage(aMessage(), { ...SIP_LIMITS, headerCountMax: 3 })).status, 400);
  assert.equal(refused(parseSipMessage(aMessage(), { ...SIP_LIMITS, headerBytesMax: 60 })).status, 513);
});

test('parser: a quarter of a megabyte of any one thing is judged at once, even where the limits let it in', () => {
  const roomy = { ...SIP_LIMITS, messageBytesMax: 1 << 20, headerBytesMax: 1 << 20 };
  const started = process.cpuUsage();
  const parts = [
    'x',
    ' ',
    '\t',
    '\r\n ',
    '\r\n \r\n\t',
    ',',
    '"',
    '\\',
    ';',
    'x:\r\n',
    '\r\nx',
    'Via: a,',
    '\n',
    '\0',
    '\xff',
    '\r',
  ];
  for (const part of parts) {
    for (const start of [
      '',
      'MESSAGE sip:b SIP/2.0\r\n',
      'MESSAGE sip:b SIP/2.0\r\nVia: ',
      'MESSAGE sip:b SIP/2.0\r\nx',
      'SIP/2.0 200 ',
    ]) {
      const bytes = Buffer.from(start + part.repeat(Math.floor(250_000 / part.length)) + '\r\n\r\n', 'latin1');
      parseSipMessage(bytes);
      parseSipMessage(bytes, roomy);
    }
  }
  // Together less than a second; a single one that is quadratic takes longer than this.
  assert.ok(process.cpuUsage(started).user < 10_000_000, 'ten seconds of CPU time');
});
