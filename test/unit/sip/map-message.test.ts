import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { contentFromBytes } from '../../../src/cpim/content.ts';
import { noticeFrom } from '../../support/imdn-in.ts';
import type { FailureReport, InstantMessage } from '../../../src/cpim/operation.ts';
import type { ErrorCode } from '../../../src/core/errors.ts';
import { SipHeaderList } from '../../../src/sip/headers.ts';
import { serializeRequest } from '../../../src/sip/engine/serializer.ts';
import { parseNameAddr } from '../../../src/sip/header-values.ts';
import { entityFromUriText } from '../../../src/sip/map-address.ts';
import {
  messageFromRequest,
  outgoingFromDisposition,
  outgoingFromMessage,
  outgoingFromReport,
  reportText,
} from '../../../src/sip/map-message.ts';
import type { HeaderField, SipOutgoing, SipRequest } from '../../../src/sip/message.ts';
import { aMessage, anAddress, aReport } from '../../support/builders.ts';
import { aRequest, requestFromBytes, type RequestParts } from '../../support/sip-request.ts';
import { loadVectors } from '../../support/vectors.ts';

const NOW = 1_700_000_000_000;
const DATE = 'Tue, 14 Nov 2023 22:13:20 GMT';

function read(request: SipRequest, bodyBytesMax = 100_000): InstantMessage {
  const from = parseNameAddr(request.headers.get('From') ?? '')!;
  return messageFromRequest(request, { sender: entityFromUriText(from.uri, from.params), nowMs: NOW, bodyBytesMax });
}

function reading(parts: RequestParts): InstantMessage {
  return read(aRequest({ body: 'hello', ...parts }));
}

for (const vector of loadVectors<readonly string[], Partial<InstantMessage>>('rfc7572/message-from-sip')) {
  test(`message from SIP: ${vector.id} (${vector.source})`, () => {
    const { op, id, acceptedAtMs, ...rest } = read(requestFromBytes(Buffer.from(vector.in.join('\r\n'))));
    assert.deepEqual(rest, vector.out);
    assert.equal(op, 'message');
    assert.equal(acceptedAtMs, NOW);
    assert.match(id, /^s[A-Za-z0-9_-]{31}$/);
  });
}

type ToSip = { readonly message: InstantMessage; readonly sequence: number };
for (const vector of loadVectors<ToSip, readonly string[]>('rfc7572/message-to-sip')) {
  test(`message to SIP: ${vector.id} (${vector.source})`, () => {
    const { message, sequence } = vector.in;
    const outgoing = outgoingFromMessage(message, { uri: `sip:${message.destination.address}`, sequence, nowMs: 0 });
    assert.equal(serializeRequest(outgoing).toString(), vector.out.join('\r\n'));
  });
}

type Rows = ReadonlyArray<readonly [name: string, parts: RequestParts, part: Partial<InstantMessage>]>;
const READ: Rows = [
  ['hops are Max-Forwards', { headers: [['Max-Forwards', '5']] }, { hops: 5 }],
  ['hops start at 70', { headers: [['Max-Forwards', '']] }, { hops: 70 }],
  [
    'sips in the Request-URI',
    { uri: 'sips:juliet@xmpp.example' },
    { secure: true, destination: { address: anAddress('juliet@xmpp.example') } },
  ],
  ['sips in To', { to: '<sips:juliet@xmpp.example>' }, { secure: true }],
  [
    'the Request-URI says for whom, not To',
    { to: '<sip:other@xmpp.example>' },
    { destination: { address: anAddress('juliet@xmpp.example') } },
  ],
  [
    'an instance in the Request-URI',
    { uri: 'sip:juliet@xmpp.example;gr=balcony' },
    { destination: { address: anAddress('juliet@xmpp.example'), instance: 'balcony' } },
  ],
  ['Date', { headers: [['Date', 'Tue, 14 Nov 2023 22:00:00 GMT']] }, { sentAtMs: NOW - 800_000 }],
  ['Date of a clock that runs ahead', { headers: [['Date', 'Tue, 14 Nov 2023 23:00:00 GMT']] }, { sentAtMs: NOW }],
  ['Expires alone counts from arrival', { headers: [['Expires', '60']] }, { expiresAtMs: NOW + 60_000 }],
  [
    'Expires counts from Date',
    {
      headers: [
        ['Expires', '1000'],
        ['Date', 'Tue, 14 Nov 2023 22:00:00 GMT'],
      ],
    },
    { expiresAtMs: NOW + 200_000 },
  ],
  [
    'Expires with a Date ahead counts from arrival',
    {
      headers: [
        ['Expires', '60'],
        ['Date', 'Tue, 14 Nov 2023 23:00:00 GMT'],
      ],
    },
    { expiresAtMs: NOW + 60_000 },
  ],
  ['Expires 0 is one attempt', { headers: [['Expires', '0']] }, { expiresAtMs: NOW + 32_000 }],
  [
    'text in UTF-8',
    { body: 'été 😀', headers: [['Content-Type', 'text/plain; charset=utf-8']] },
    { content: { type: 'text/plain; charset=utf-8', text: 'été 😀' } },
  ],
  [
    'text in another charset stays bytes',
    { body: Buffer.from('\xe9t\xe9', 'latin1'), headers: [['Content-Type', 'text/plain;charset=iso-8859-1']] },
    {
      content: { type: 'text/plain;charset=iso-8859-1', base64: Buffer.from('\xe9t\xe9', 'latin1').toString('base64') },
    },
  ],
  [
    'another type stays bytes',
    { body: 'From: <im:x@y>\r\n\r\n', headers: [['Content-Type', 'Message/CPIM']] },
    { content: { type: 'Message/CPIM', base64: Buffer.from('From: <im:x@y>\r\n\r\n').toString('base64') } },
  ],
  [
    'deflate',
    { body: deflateSync('hello'), headers: [['Content-Encoding', 'deflate']] },
    { content: { type: 'text/plain', text: 'hello' } },
  ],
  [
    'deflate without its wrapping',
    { body: deflateRawSync('hello'), headers: [['Content-Encoding', 'deflate']] },
    { content: { type: 'text/plain', text: 'hello' } },
  ],
  [
    'gzip',
    { body: gzipSync('hello'), headers: [['Content-Encoding', 'GZIP']] },
    { content: { type: 'text/plain', text: 'hello' } },
  ],
  ['identity', { headers: [['Content-Encoding', 'identity']] }, { content: { type: 'text/plain', text: 'hello' } }],
  [
    'the compact forms',
    {
      headers: [
        ['c', 'text/plain'],
        ['Content-Type', ''],
        ['s', 'Hi'],
      ],
    },
    { subjects: [{ text: 'Hi' }], content: { type: 'text/plain', text: 'hello' } },
  ],
  [
    'end-to-end fields',
    {
      headers: [
        ['Priority', 'urgent'],
        ['P-Asserted-Identity', '<sip:x@y.example>'],
        ['Route', '<sip:z.example>'],
        ['X-Own', '1'],
        ['MIME-Version', '1.0'],
      ],
    },
    {
      extras: [
        ['Priority', 'urgent'],
        ['MIME-Version', '1.0'],
      ],
    },
  ],
];
for (const [name, parts, part] of READ) {
  test(`message from SIP: ${name}`, () => {
    const message = reading(parts);
    assert.deepEqual({ ...message, ...part }, message);
  });
}

const ABSENT: ReadonlyArray<readonly [name: string, parts: RequestParts, key: keyof InstantMessage]> = [
  ['an empty Subject is none', { headers: [['Subject', '']] }, 'subjects'],
  ['a language that is none', { headers: [['Content-Language', 'no/such']] }, 'language'],
  ['a Date that is none', { headers: [['Date', 'yesterday']] }, 'sentAtMs'],
  ['an Expires that is none', { headers: [['Expires', '-1']] }, 'expiresAtMs'],
  ['nothing to carry', {}, 'extras'],
  ['an overlong field to carry', { headers: [['Organization', 'x'.repeat(513)]] }, 'extras'],
  ['sip', {}, 'secure'],
];
for (const [name, parts, key] of ABSENT) {
  test(`message from SIP: ${name}: no ${key}`, () => assert.ok(!(key in reading(parts))));
}

const REFUSED: ReadonlyArray<readonly [name: string, parts: RequestParts, code: ErrorCode]> = [
  ['a body without a type', { headers: [['Content-Type', '']] }, 'content-malformed'],
  ['a body with a type that is none', { headers: [['Content-Type', 'text']] }, 'content-malformed'],
  ['an unknown coding', { headers: [['Content-Encoding', 'br']] }, 'content-unsupported'],
  ['two codings', { headers: [['Content-Encoding', 'gzip, deflate']] }, 'content-unsupported'],
  ['a body that is not in its coding', { headers: [['Content-Encoding', 'gzip']] }, 'content-malformed'],
  [
    'a body that ends too early',
    { body: deflateSync('hello').subarray(0, -5), headers: [['Content-Encoding', 'deflate']] },
    'content-malformed',
  ],
  [
    'a body that unfolds without end',
    { body: gzipSync(Buffer.alloc(50_000_000)), headers: [['Content-Encoding', 'gzip']] },
    'content-too-large',
  ],
  ['a recipient with NUL', { uri: 'sip:juliet%00@xmpp.example' }, 'address-malformed'],
  ['a recipient who is a number', { uri: 'sip:+1555@xmpp.example;user=phone' }, 'scheme-unsupported'],
];
for (const [name, parts, code] of REFUSED) {
  test(`message from SIP refused: ${name}`, () => assert.throws(() => reading(parts), { code }));
}

test('message from SIP: the id is the same for every copy of a request', () => {
  const copy = {
    headers: [
      ['Via', 'SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKother'],
      ['Max-Forwards', '69'],
    ] as HeaderField[],
  };
  assert.equal(reading({}).id, reading(copy).id);
  assert.equal(reading({}).id, reading({ from: '"Romeo" <sip:romeo@sip.example>;tag=f1' }).id);
  const signed: RequestParts = { headers: [['Authorization', 'Digest nonce="n", nc=00000001']] };
  assert.equal(reading(signed).id, reading({ headers: [...signed.headers!, ...copy.headers] }).id);
});

const OTHERS: ReadonlyArray<readonly [name: string, parts: RequestParts]> = [
  ['sender', { from: '<sip:romeo2@sip.example>;tag=f1' }],
  ['tag', { from: '<sip:romeo@sip.example>;tag=f2' }],
  ['recipient', { uri: 'sip:juliet2@xmpp.example' }],
  ['Call-ID', { callId: 'call-2' }],
  ['CSeq', { cseq: 2 }],
  ['Call-ID and CSeq that run together otherwise', { callId: 'call-11', cseq: 1 }],
  ['body', { body: 'hello!' }],
  ['use of a nonce', { headers: [['Authorization', 'Digest nonce="n", nc=00000002']] }],
];
for (const [name, parts] of OTHERS) {
  test(`message from SIP: another ${name}, another id`, () => assert.notEqual(reading(parts).id, reading({}).id));
}

function written(message: InstantMessage, nowMs = NOW): SipOutgoing & { readonly list: SipHeaderList } {
  const outgoing = outgoingFromMessage(message, { uri: 'sip:bob@192.0.2.1', sequence: 5, nowMs });
  serializeRequest(outgoing);
  return { ...outgoing, list: new SipHeaderList(outgoing.headers) };
}

const WRITTEN: ReadonlyArray<
  readonly [name: string, message: InstantMessage, header: string, value: string | undefined, nowMs?: number]
> = [
  ['fresh: no Date', aMessage(), 'Date', undefined, NOW + 10_000],
  ['deferred: when it was accepted', aMessage(), 'Date', DATE, NOW + 10_001],
  ['when it was written', aMessage({ sentAtMs: NOW - 800_000 }), 'Date', 'Tue, 14 Nov 2023 22:00:00 GMT'],
  ['life left, from now', aMessage({ expiresAtMs: NOW + 60_000 }), 'Expires', '55', NOW + 5_000],
  ['life left, from Date', aMessage({ expiresAtMs: NOW + 60_000 }), 'Expires', '60', NOW + 20_000],
  ['no life given', aMessage(), 'Expires', undefined],
  ['hops are never raised', aMessage({ hops: 12 }), 'Max-Forwards', '12'],
  ['XMPP counts from 70 here', aMessage({ hops: 110 }), 'Max-Forwards', '70'],
  ['no Contact (RFC 3428, section 4)', aMessage(), 'Contact', undefined],
  ['sips all the way', aMessage({ secure: true }), 'From', '<sips:alice@sip.example>;tag=m1'],
  ['a language that is none', aMessage({ language: 'x\r\ny' }), 'Content-Language', undefined],
  ['a subject on one line', aMessage({ subjects: [{ text: ' a\r\nX-Evil: 1\u2028b ' }] }), 'Subject', 'a X-Evil: 1 b'],
  ['a subject of blanks', aMessage({ subjects: [{ text: '\r\n' }] }), 'Subject', undefined],
  ['what came along', aMessage({ extras: [['Priority', 'urgent']] }), 'Priority', 'urgent'],
  ['the thread', aMessage({ thread: 't-1@x' }), 'Call-ID', 't-1@x'],
  ['the sequence', aMessage(), 'CSeq', '5 MESSAGE'],
];
for (const [name, message, header, value, nowMs] of WRITTEN) {
  test(`message to SIP: ${name}`, () => assert.equal(written(message, nowMs).list.get(header), value));
}

test('message to SIP: message/cpim goes through byte for byte', () => {
  const body = Buffer.from('From: <im:a@b>\r\n\r\nContent-type: text/plain\r\n\r\n\xe9\0\n', 'latin1');
  const message = reading({ body, headers: [['Content-Type', 'message/cpim']] });
  assert.deepEqual(Buffer.from(written(message).body!), body);
});

test('message to SIP and back: what the model carries comes back', () => {
  const before = aMessage({
    from: 'tsch%C3%BCss@xmpp.example',
    to: 'o%27malley@sip.example',
    text: 'Grüße 😀\nשלום',
    thread: 'a thread with blanks',
    subjects: [{ text: 'Betreff: ü' }],
    language: 'de',
    sentAtMs: NOW - 800_000,
    expiresAtMs: NOW + 3_600_000,
    hops: 60,
    content: { type: 'text/plain;charset=UTF-8', text: 'Grüße 😀\nשלום' },
  });
  const outgoing = outgoingFromMessage(before, { uri: "sip:o'malley@sip.example", sequence: 5, nowMs: NOW });
  const headers: HeaderField[] = [['Via', 'SIP/2.0/TCP x.example;branch=z9hG4bK1'], ...outgoing.headers];
  const after = read(requestFromBytes(serializeRequest({ ...outgoing, headers })));
  assert.deepEqual(after, { ...before, id: after.id });
});

function report(parts: Partial<FailureReport> = {}): FailureReport {
  return aReport({
    thread: 'call-9',
    about: { id: 'm1', subject: 'Balcony', excerpt: 'Neither, fair saint' },
    ...parts,
  });
}

test('report to SIP: a message in words from the postmaster', () => {
  const postmaster = { address: anAddress('postmaster@sip.example') };
  const outgoing = outgoingFromReport(report(), postmaster, { uri: 'sip:alice@192.0.2.1', sequence: 6, nowMs: NOW });
  const list = new SipHeaderList(outgoing.headers);
  assert.equal(list.get('From'), '<sip:postmaster@sip.example>;tag=r-m1');
  assert.equal(list.get('To'), '<sip:alice@sip.example>');
  assert.equal(list.get('Call-ID'), 'call-9');
  assert.equal(list.get('CSeq'), '6 MESSAGE');
  assert.equal(list.get('Content-Type'), 'text/plain;charset=UTF-8');
  assert.equal(
    Buffer.from(outgoing.body!).toString(),
    [
      'Your message to juliet@xmpp.example could not be delivered. There is no such recipient. Please check the address.',
      'Subject of the message: Balcony',
      'The message began: Neither, fair saint',
    ].join('\n'),
  );
  serializeRequest(outgoing);
});

test('report to SIP: what the far side said', () => {
  const text = reportText(report({ code: 'sender-forbidden', text: 'Block list', about: { id: 'm1' } }));
  assert.match(text, /does not let you send to this address\.\nThe other side said: Block list$/);
});

test('report to SIP: where the recipient is now', () => {
  const text = reportText(report({ code: 'recipient-moved', alternative: 'xmpp:juliet@new.example' }));
  assert.match(text, /has moved to another address\.\nThe other address: xmpp:juliet@new\.example\n/);
});

test('report to SIP: a code of a later version still says something', () => {
  assert.match(
    reportText(report({ code: 'no-such-code' })),
    /^Your message to juliet@xmpp\.example could not be delivered\. \S/,
  );
});

test('a word about a message is a notification in message/cpim, from whom it was for', () => {
  const { source, destination } = aReport();
  const about = { as: 'imdn', id: '34jk324j', dateTime: '2008-04-04T12:16:49-05:00' } as const;
  const parts = { id: 'd-m1', source, destination, acceptedAtMs: NOW, expiresAtMs: NOW + 1, about };
  const target = { uri: 'sip:alice@192.0.2.1', sequence: 3, nowMs: NOW, isPhone: true };
  const outgoing = outgoingFromDisposition({ op: 'disposition', ...parts, status: 'displayed' }, target);
  const headers = new SipHeaderList(outgoing.headers);
  assert.equal(headers.get('From'), '<sip:juliet@xmpp.example>;tag=d-m1');
  assert.equal(headers.get('To'), '<sip:alice@sip.example>');
  assert.equal(headers.get('Call-ID'), 'd-m1@interpres');
  const content = contentFromBytes(headers.get('Content-Type') ?? '', outgoing.body ?? new Uint8Array());
  assert.deepEqual(noticeFrom(content), { messageId: '34jk324j', status: 'displayed' });
});

test('a message of which a phone may tell has its name as Call-ID, and its id as tag', () => {
  const target = { uri: 'sip:alice@192.0.2.1', sequence: 3, nowMs: NOW, isPhone: true, name: 'm1.sealed' };
  const headers = new SipHeaderList(outgoingFromMessage(aMessage({ thread: 't' }), target).headers);
  assert.equal(headers.get('Call-ID'), 'm1.sealed@interpres');
  assert.match(headers.get('From') ?? '', /;tag=m1$/);
});
