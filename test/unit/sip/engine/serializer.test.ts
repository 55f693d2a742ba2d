import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseSipMessage } from '../../../../src/sip/engine/parser.ts';
import { serializeRequest, serializeResponse } from '../../../../src/sip/engine/serializer.ts';
import type { HeaderField } from '../../../../src/sip/message.ts';
import { loadVectors } from '../../../support/vectors.ts';
import { tortureMessage } from '../../../vectors/rfc4475/markup.ts';

const HEADERS: readonly HeaderField[] = [
  ['Via', 'SIP/2.0/UDP h;branch=z9hG4bK1'],
  ['From', '<sip:a@b>;tag=1'],
  ['To', '<sip:b@b>'],
  ['Call-ID', 'x'],
  ['CSeq', '1 MESSAGE'],
];

function aRequest(changes: {
  method?: string;
  uri?: string;
  headers?: readonly HeaderField[];
  body?: Uint8Array;
}): Buffer {
  return serializeRequest({ method: 'MESSAGE', uri: 'sip:b@b', headers: HEADERS, ...changes });
}

test('serializer: a request, byte for byte', () => {
  const bytes = aRequest({
    headers: [
      ['v', 'SIP/2.0/UDP h'],
      ['l', '7'],
      ['X-Thing', 'ö'],
      ['s', ''],
    ],
    body: Buffer.from('Ж'),
  });
  assert.equal(
    bytes.toString(),
    'MESSAGE sip:b@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nX-Thing: ö\r\nSubject: \r\nContent-Length: 2\r\n\r\nЖ',
  );
});

test('serializer: a response, byte for byte', () => {
  const bytes = serializeResponse({ status: 404, reason: 'не найдено', headers: [['i', 'x']] });
  assert.equal(bytes.toString(), 'SIP/2.0 404 не найдено\r\nCall-ID: x\r\nContent-Length: 0\r\n\r\n');
});

test('serializer: a body of all bytes comes back', () => {
  const body = Uint8Array.from({ length: 256 }, (_, i) => i);
  const message = parseSipMessage(aRequest({ body }));
  assert.ok(message.kind === 'request');
  assert.deepEqual([...message.body], [...body]);
});

test('serializer: a NUL quoted in To is echoed, since a request with it is well-formed', () => {
  const to = '"\\\0" <sip:b@b>';
  const message = parseSipMessage(
    serializeResponse({
      status: 501,
      reason: 'x',
      headers: [...HEADERS.filter(([name]) => name !== 'To'), ['To', to]],
    }),
  );
  assert.ok(message.kind === 'response');
  assert.equal(message.headers.get('To'), to);
});

const EVIL = [
  'a\r\nVia: x',
  'a\nb',
  'a\rb',
  'a\0b',
  '\r\n\r\nINVITE sip:x SIP/2.0',
  'a\r\n b',
  '"\\\r\\\n"',
  '"\\\n"',
  '"\0"',
  '"\\\\\0"',
];

for (const value of EVIL) {
  test(`serializer: ${JSON.stringify(value)} is refused wherever it stands`, () => {
    const refused = { name: 'GatewayError', code: 'internal' };
    assert.throws(() => aRequest({ headers: [...HEADERS, ['Subject', value]] }), refused);
    assert.throws(() => aRequest({ headers: [...HEADERS, [value, 'x']] }), refused);
    assert.throws(() => aRequest({ method: value }), refused);
    assert.throws(() => aRequest({ uri: value }), refused);
    assert.throws(() => serializeResponse({ status: 200, reason: value, headers: HEADERS }), refused);
    assert.throws(() => serializeResponse({ status: 200, reason: 'OK', headers: [['Subject', value]] }), refused);
  });
}

for (const uri of ['', ' ', 'sip:a b', '<sip:a@b>', 'sip:ä@b', 'sip:a@b SIP/2.0', 'sip:"a"@b', 'sip:a\t@b']) {
  test(`serializer: ${JSON.stringify(uri)} is refused as Request-URI`, () => {
    assert.throws(() => aRequest({ uri }), { code: 'internal' });
  });
}

for (const name of ['', ' ', 'a b', 'a:', ':', 'ä', 'Via ', 'a\t']) {
  test(`serializer: ${JSON.stringify(name)} is refused as header name`, () => {
    assert.throws(() => aRequest({ headers: [[name, 'x']] }), { code: 'internal' });
  });
}

for (const status of [0, 99, 700, 200.5, Number.NaN, -1]) {
  test(`serializer: ${status} is refused as status`, () => {
    assert.throws(() => serializeResponse({ status, reason: '', headers: [] }), { code: 'internal' });
  });
}

for (const { id, in: from, out } of loadVectors<{ file: string }, { verdict: string }>('rfc4475/messages')) {
  if (out.verdict === 'malformed') continue;
  test(`serializer: ${id} written and read again is the same message`, () => {
    const message = parseSipMessage(tortureMessage('rfc4475', from.file));
    assert.ok(message.kind === 'request' || message.kind === 'response');
    const headers = message.headers.fields;
    const bytes =
      message.kind === 'request'
        ? serializeRequest({ method: message.method, uri: message.uri, headers, body: message.body })
        : serializeResponse({ status: message.status, reason: message.reason, headers, body: message.body });
    const again = parseSipMessage(bytes);
    assert.ok(again.kind === message.kind);
    const withoutLength = (fields: readonly HeaderField[]): HeaderField[] =>
      fields.filter(([name]) => name !== 'Content-Length');
    assert.deepEqual(withoutLength(again.headers.fields), withoutLength(headers));
    assert.deepEqual({ ...again, headers: undefined }, { ...message, headers: undefined });
  });
}
