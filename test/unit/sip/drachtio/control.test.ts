import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ControlFrameReader, controlMessage, frameOf } from '../../../../src/sip/drachtio/control-frame.ts';
import { flowUri, formatFlowId, parseFlowId } from '../../../../src/sip/drachtio/flow-id.ts';
import { listenerFor, parseHostPorts } from '../../../../src/sip/drachtio/host-ports.ts';
import { refusalError } from '../../../../src/sip/drachtio/refusal.ts';
import { mapReply } from '../../../../src/sip/drachtio/reply.ts';
import { parseSipMessage, type ParsedRequest } from '../../../../src/sip/engine/parser.ts';
import type { SipReply } from '../../../../src/sip/message.ts';
import { rawRequest } from '../../../support/raw-sip.ts';

function read(reader: ControlFrameReader, ...chunks: ReadonlyArray<string | Buffer>) {
  const frames: Array<readonly [string, boolean]> = [];
  let isSound = true;
  for (const chunk of chunks) {
    isSound = reader.push(Buffer.from(chunk), (payload, isCut) => frames.push([payload.toString(), isCut]));
    if (!isSound) break;
  }
  return { frames, isSound };
}

test('drachtio frame: whatever the pieces it comes in, and however many come at once', () => {
  const bytes = Buffer.concat(['a|ping', '', 'b|sip\r\nx', 'ü'].map((text) => frameOf(Buffer.from(text))));
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
    assert.deepEqual(
      read(new ControlFrameReader(100), ...chunks).frames.map(([text]) => text),
      ['a|ping', '', 'b|sip\r\nx', 'ü'],
    );
  }
});

for (const junk of ['GET / HTTP/1.1\r\n', '#', '-1#x', ' 3#abc', '1e3#', '123456789#', 'abcdefghijk']) {
  test(`drachtio frame: ${JSON.stringify(junk)} is no control connection`, () => {
    assert.equal(read(new ControlFrameReader(100), junk).isSound, false);
  });
}

test('drachtio frame: of one that is too large the head is handed up, the rest is passed over', () => {
  const large = frameOf(Buffer.alloc(200_000, 'x'));
  const { frames, isSound } = read(
    new ControlFrameReader(1_000),
    large.subarray(0, 70_000),
    large.subarray(70_000),
    '2#ok',
  );
  assert.ok(isSound);
  assert.deepEqual(
    frames.map(([text, isCut]) => [text.length, isCut]),
    [
      [65_536, true],
      [2, false],
    ],
  );
});

test('drachtio frame: fields and message are one character per byte', () => {
  assert.deepEqual(controlMessage(Buffer.from('1|sip|network\r\nSIP/2.0 200 OK\r\n\r\nü')), {
    fields: ['1', 'sip', 'network'],
    text: 'SIP/2.0 200 OK\r\n\r\nÃ¼',
  });
  assert.deepEqual(controlMessage(Buffer.from('1|response|2|OK|pong')).fields, ['1', 'response', '2', 'OK', 'pong']);
});

test('drachtio flow: its id holds all there is to know, and is nothing to another engine', () => {
  const flow = { server: 'edge.example:9022', protocol: 'tcp', address: '2001:db8::1', port: 5060 };
  assert.deepEqual(parseFlowId(formatFlowId(flow)), flow);
  assert.equal(flowUri(flow), 'sip:[2001:db8::1]:5060;transport=tcp');
  for (const id of ['udp,127.0.0.1,5060,127.0.0.1,5061', 'drachtio,a,tcp,x y,1', 'drachtio,a,sctp,1.2.3.4,1']) {
    assert.equal(parseFlowId(id), undefined, id);
  }
  for (const id of ['drachtio,a,tcp,1.2.3.4,0', 'drachtio,%,tcp,1.2.3.4,1', 'drachtio,a,tcp,1.2.3.4,1,2', '']) {
    assert.equal(parseFlowId(id), undefined, id);
  }
});

test('drachtio host ports: what is announced is where a far end of that family finds us', () => {
  const listeners = parseHostPorts(
    'udp/127.0.0.1:5060,tcp/192.0.2.1:5060,tls/[2001:DB8::1]:5061,sctp/192.0.2.1:5060,tcp/x y:1,udp/192.0.2.1:70000,',
  );
  assert.deepEqual(listeners, [
    { transport: 'tcp', address: '192.0.2.1', port: 5060 },
    { transport: 'tls', address: '2001:db8::1', port: 5061 },
    { transport: 'udp', address: '127.0.0.1', port: 5060 },
  ]);
  assert.equal(listenerFor(listeners, 'udp', '127.0.0.5'), '127.0.0.1:5060');
  assert.equal(listenerFor(listeners, 'udp', '192.0.2.7'), undefined);
  assert.equal(listenerFor(listeners, 'tcp', '127.0.0.1'), '192.0.2.1:5060');
  assert.equal(listenerFor(listeners, 'tcp', '2001:db8::9'), undefined);
  assert.equal(listenerFor(listeners, 'tls', '2001:db8::9'), '[2001:db8::1]:5061');
});

test('drachtio refusal: what the server says is a code, and what is not known may pass', () => {
  const codes = [
    'can not send request to myself',
    'invalid request-uri: MESSAGE x SIP/2.0',
    'requested protocol/transport not available',
    'missing content-type',
    'too large for the control connection',
    'something new',
  ].map((text) => refusalError(text).code);
  assert.deepEqual(codes, [
    'loop-detected',
    'address-malformed',
    'peer-unreachable',
    'internal',
    'content-too-large',
    'peer-failed',
  ]);
});

const REQUEST = parseSipMessage(rawRequest()) as ParsedRequest;

test('drachtio answer: two challenges stay two fields, and the tag goes where the library looks for it', () => {
  const reply = mapReply(
    {
      status: 401,
      toTag: 't1',
      headers: [
        ['WWW-Authenticate', 'Digest a'],
        ['WWW-Authenticate', 'Digest b'],
      ],
    },
    REQUEST,
    'Interpres/1',
  );
  assert.deepEqual(reply, {
    status: 401,
    reason: 'Unauthorized',
    headers: {
      Server: 'Interpres/1',
      'WWW-Authenticate': 'Digest a\r\nWWW-Authenticate: Digest b',
      To: '<sip:tag>;tag=t1',
    },
  });
});

const NO_ANSWERS: ReadonlyArray<readonly [what: string, reply: SipReply]> = [
  ['what only the engine may set', { status: 200, headers: [['Via', 'x']] }],
  ['a provisional status', { status: 100 }],
  ['a tag that is none', { status: 200, toTag: 'a;b=c' }],
  ['a NUL', { status: 200, headers: [['Subject', '"\\\0"']] }],
  ['a line end', { status: 200, reason: 'a\r\nb' }],
  ['a body that is no text', { status: 200, headers: [['Content-Type', 'x/y']], body: Buffer.from([0xff]) }],
  ['more than the server takes', { status: 200, headers: [['Content-Type', 'x/y']], body: Buffer.alloc(12_000, 'x') }],
];
for (const [what, reply] of NO_ANSWERS) {
  test(`drachtio answer: one with ${what} is none`, () => {
    assert.throws(() => mapReply(reply, REQUEST, undefined));
  });
}
