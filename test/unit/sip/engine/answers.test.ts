import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answerBytes, answerToMalformed, foreignField, viaToldItsSource } from '../../../../src/sip/engine/answers.ts';
import { parseSipMessage } from '../../../../src/sip/engine/parser.ts';
import { reasonPhrase } from '../../../../src/sip/engine/reason-phrases.ts';
import { TokenSource } from '../../../../src/sip/engine/tokens.ts';
import { parseVia } from '../../../../src/sip/header-values.ts';
import type { SipFlow } from '../../../../src/sip/message.ts';
import { rawRequest } from '../../../support/raw-sip.ts';

const FLOW: SipFlow = {
  transport: 'udp',
  localAddress: '192.0.2.1',
  localPort: 5060,
  remoteAddress: '192.0.2.9',
  remotePort: 40_000,
  id: 'f',
};
const STYLE = { tokens: new TokenSource(), serverName: undefined };

const vias: ReadonlyArray<readonly [string, string, string, Partial<SipFlow>?]> = [
  ['from where it says', 'SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKa', 'SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKa'],
  [
    'from elsewhere',
    'SIP/2.0/UDP pc.example;branch=z9hG4bKa',
    'SIP/2.0/UDP pc.example;branch=z9hG4bKa;received=192.0.2.9',
  ],
  [
    'rport asks for both, even from where it says',
    'SIP/2.0/UDP 192.0.2.9;rport;branch=z9hG4bKa',
    'SIP/2.0/UDP 192.0.2.9;rport=40000;branch=z9hG4bKa;received=192.0.2.9',
  ],
  [
    'rport at the end, in capitals, with blanks',
    'SIP/2.0/UDP pc.example ; branch=z9hG4bKa ; RPORT',
    'SIP/2.0/UDP pc.example ; branch=z9hG4bKa ;rport=40000;received=192.0.2.9',
  ],
  [
    'a parameter whose name begins like rport is left alone',
    'SIP/2.0/UDP pc.example;rportx=1;rport;branch=z9hG4bKa',
    'SIP/2.0/UDP pc.example;rportx=1;rport=40000;branch=z9hG4bKa;received=192.0.2.9',
  ],
  [
    'what the client claims about itself is replaced',
    'SIP/2.0/UDP pc.example;received=198.51.100.1;rport=1;branch=z9hG4bKa',
    'SIP/2.0/UDP pc.example;received=192.0.2.9;rport=40000;branch=z9hG4bKa',
  ],
  [
    'a quoted value that looks like rport',
    'SIP/2.0/UDP pc.example;x=";rport";rport;branch=z9hG4bKa',
    'SIP/2.0/UDP pc.example;x=";rport";rport=40000;branch=z9hG4bKa;received=192.0.2.9',
  ],
  [
    'IPv6 in another spelling is the same',
    'SIP/2.0/UDP [2001:DB8:0::1];branch=z9hG4bKa',
    'SIP/2.0/UDP [2001:DB8:0::1];branch=z9hG4bKa',
    { remoteAddress: '2001:db8::1' },
  ],
  [
    'IPv6 in received has no brackets',
    'SIP/2.0/UDP pc.example;branch=z9hG4bKa',
    'SIP/2.0/UDP pc.example;branch=z9hG4bKa;received=2001:db8::1',
    { remoteAddress: '2001:db8::1' },
  ],
];
for (const [what, text, want, flow] of vias) {
  test(`top Via: ${what}`, () => {
    assert.equal(viaToldItsSource(text, parseVia(text)!, { ...FLOW, ...flow }), want);
  });
}

test('answers: a body, fields of the handler and its own reason', () => {
  const request = parseSipMessage(rawRequest());
  assert.equal(request.kind, 'request');
  const reply = { status: 299, reason: 'Fine by me', headers: [['X-A', '1'] as const], body: Buffer.from([0, 255]) };
  const bytes = answerBytes(request, FLOW, reply, { ...STYLE, serverName: 'S/1' });
  const text = bytes.toString('latin1');
  assert.ok(text.startsWith('SIP/2.0 299 Fine by me\r\nVia: '));
  assert.ok(text.includes('\r\nServer: S/1\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n\0\xff'));
});

test('answers: two answers of two requests have different tags', () => {
  const tags = [rawRequest(), rawRequest()].map((bytes) => {
    const request = parseSipMessage(bytes);
    assert.equal(request.kind, 'request');
    return /\r\nTo: [^\r]*;tag=(\w+)/.exec(answerBytes(request, FLOW, { status: 200 }, STYLE).toString())?.[1];
  });
  assert.equal(new Set(tags).size, 2);
  for (const tag of tags) assert.match(tag ?? '', /^[0-9a-f]{24}$/);
});

const malformed: ReadonlyArray<readonly [string, Buffer, number | undefined]> = [
  ['a request with a broken From', rawRequest({ from: '<<>' }), 400],
  ['a request of another version', Buffer.from(rawRequest().toString().replace('SIP/2.0\r', 'SIP/7.0\r')), 505],
  ['an ACK', rawRequest({ method: 'ACK', from: '<<>' }), undefined],
  [
    'a request without Via',
    Buffer.from(
      rawRequest()
        .toString()
        .replace(/\r\nVia: [^\r]*/, ''),
    ),
    undefined,
  ],
  [
    'a response',
    Buffer.from(
      rawRequest()
        .toString()
        .replace(/^[^\r]*/, 'SIP/2.0 2000 OK'),
    ),
    undefined,
  ],
];
for (const [what, bytes, status] of malformed) {
  test(`answers: ${what} is answered ${status ?? 'not at all'}`, () => {
    const parsed = parseSipMessage(bytes);
    assert.equal(parsed.kind, 'malformed');
    const answer = answerToMalformed(parsed, FLOW, STYLE);
    if (status === undefined) assert.equal(answer, undefined);
    else assert.ok(answer?.bytes.toString().startsWith(`SIP/2.0 ${status} `));
  });
}

test('answers: fields of the engine are found in any capitals', () => {
  assert.equal(
    foreignField([
      ['Subject', 'x'],
      ['call-ID', 'y'],
    ]),
    'call-ID',
  );
  assert.equal(foreignField([['Subject', 'x']]), undefined);
});

for (const [status, phrase] of [
  [200, 'OK'],
  [202, 'Accepted'],
  [299, 'OK'],
  [489, 'Bad Event'],
  [499, 'Bad Request'],
  [699, 'Decline'],
] as const) {
  test(`reason phrase: ${status} is ${phrase}`, () => {
    assert.equal(reasonPhrase(status), phrase);
  });
}

test('tokens: 96 bits each, and no two alike', () => {
  const tokens = new TokenSource();
  const drawn = Array.from({ length: 2_000 }, () => tokens.token());
  assert.equal(new Set(drawn).size, drawn.length);
  for (const token of drawn) assert.match(token, /^[0-9a-f]{24}$/);
  assert.match(tokens.branch(), /^z9hG4bK[0-9a-f]{24}$/);
});
