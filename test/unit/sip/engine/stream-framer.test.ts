import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseSipMessage } from '../../../../src/sip/engine/parser.ts';
import { STREAM_LIMITS, StreamFramer } from '../../../../src/sip/engine/stream-framer.ts';
import type { StreamFrame } from '../../../../src/sip/engine/stream-framer.ts';

/** A MESSAGE with this body; `length` is the line or lines that say how long it is. */
function aMessage(body = 'hi', length = `Content-Length: ${Buffer.byteLength(body)}`): string {
  return (
    'MESSAGE sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n' +
    `To: <sip:b@b>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n${length}\r\n\r\n${body}`
  );
}

function shown(frames: readonly StreamFrame[]): string[] {
  return frames.map((frame) => (typeof frame === 'string' ? frame : frame.toString()));
}

/** What the framer gives out for bytes pushed in pieces of `size`. */
function framed(bytes: Buffer, size: number): string[] {
  const framer = new StreamFramer();
  const frames: StreamFrame[] = [];
  for (let at = 0; at < bytes.length; at += size) frames.push(...framer.push(bytes.subarray(at, at + size)));
  assert.equal(framer.pendingBytes, 0);
  return shown(frames);
}

const ONE = aMessage();
const EMPTY = aMessage('');
const LONG = aMessage('Ж\r\n\r\nContent-Length: 99\r\n\r\n\0'.repeat(20));

const STREAMS: ReadonlyArray<readonly [what: string, text: string, frames: readonly string[]]> = [
  ['one message', ONE, [ONE]],
  ['three messages in a row', ONE + LONG + EMPTY, [ONE, LONG, EMPTY]],
  ['a ping', '\r\n\r\n', ['ping']],
  ['a pong', '\r\n', ['pong']],
  ['two pings', '\r\n\r\n\r\n\r\n', ['ping', 'ping']],
  ['a ping before a message', `\r\n\r\n${ONE}`, ['ping', ONE]],
  ['a line end before a message', `\r\n${ONE}`, ['pong', ONE]],
  ['a ping between messages', `${ONE}\r\n\r\n${ONE}\r\n${ONE}`, [ONE, 'ping', ONE, 'pong', ONE]],
  ['a compact length', aMessage('hi', 'l:2'), [aMessage('hi', 'l:2')]],
  ['a compact length in capitals', aMessage('hi', 'L \t: \t2 '), [aMessage('hi', 'L \t: \t2 ')]],
  ['a folded length', aMessage('hi', 'Content-Length :\r\n\t\r\n 2'), [aMessage('hi', 'Content-Length :\r\n\t\r\n 2')]],
  [
    'the same length twice',
    aMessage('hi', 'l: 2\r\nCONTENT-LENGTH: 02'),
    [aMessage('hi', 'l: 2\r\nCONTENT-LENGTH: 02')],
  ],
  [
    'names that begin like it',
    aMessage('hi', 'Content-Lengths: 9\r\nLx: 9\r\nl: 2\r\nContent: 9\r\nSubject:\r\n l: 9'),
    [aMessage('hi', 'Content-Lengths: 9\r\nLx: 9\r\nl: 2\r\nContent: 9\r\nSubject:\r\n l: 9')],
  ],
];

for (const [what, text, frames] of STREAMS) {
  for (const size of [1, 2, 3, 7, 64, 1 << 20]) {
    test(`framer: ${what}, in pieces of ${size}`, () => {
      // How a ping arrives decides whether its first half is taken for a pong: it is a ping in the end.
      const cut = framed(Buffer.from(text), size).filter((frame) => frame !== 'pong');
      assert.deepEqual(
        cut,
        frames.filter((frame) => frame !== 'pong'),
      );
    });
  }
  test(`framer: ${what}, in one piece, keep-alives and all`, () => {
    assert.deepEqual(framed(Buffer.from(text), text.length * 2), frames);
  });
}

test('framer: what it cuts out has the body the parser finds', () => {
  const tricky = 'Ж\r\n\r\nContent-Length: 99\r\n\r\n\0';
  for (const [text, body] of [
    [ONE, 'hi'],
    [EMPTY, ''],
    [aMessage(tricky), tricky],
    [aMessage('hi', 'Content-Length :\r\n\t\r\n 2'), 'hi'],
    [aMessage('hi', 'l: 2\r\nSubject: x\r\n l: 9'), 'hi'],
  ] as const) {
    const [frame] = new StreamFramer().push(Buffer.from(text + ONE));
    assert.ok(Buffer.isBuffer(frame));
    const message = parseSipMessage(frame);
    assert.ok(message.kind === 'request');
    assert.equal(message.body.toString(), body);
  }
});

test('framer: a lone line end is a pong at once, and a second one makes it a ping', () => {
  const framer = new StreamFramer();
  assert.deepEqual(framer.push(Buffer.from('\r')), []);
  assert.deepEqual(framer.push(Buffer.from('\n')), ['pong']);
  assert.deepEqual(framer.push(Buffer.from('\r\n')), ['ping']);
  assert.deepEqual(framer.push(Buffer.from('\r\n')), ['pong']);
  assert.deepEqual(shown(framer.push(Buffer.from(ONE))), [ONE]);
  assert.deepEqual(framer.push(Buffer.from('\r\n')), ['pong'], 'the message between them parted the two');
});

test('framer: frames stay as they are when more is pushed', () => {
  const framer = new StreamFramer();
  const first = framer.push(Buffer.from(ONE + ONE.slice(0, 50)));
  const second = framer.push(Buffer.from(ONE.slice(50) + ONE.slice(0, 99)));
  framer.push(Buffer.from(ONE.slice(99) + LONG));
  assert.deepEqual(shown([...first, ...second]), [ONE, ONE]);
});

test('framer: tells how much of an unfinished message it holds', () => {
  const framer = new StreamFramer();
  framer.push(Buffer.from(ONE + ONE.slice(0, 77)));
  assert.equal(framer.pendingBytes, 77);
  assert.equal(framer.pending.toString(), ONE.slice(0, 77));
});

const FAULTS: ReadonlyArray<readonly [what: string, text: string, code?: string]> = [
  ['no length', aMessage('', 'Subject: x')],
  ['an empty length', aMessage('', 'Content-Length:')],
  ['a negative length', aMessage('hi', 'Content-Length: -2')],
  ['a length with a plus', aMessage('hi', 'Content-Length: +2')],
  ['a length in words', aMessage('hi', 'Content-Length: five')],
  ['a length in hexadecimal', aMessage('hi', 'Content-Length: 0x2')],
  ['a length with an exponent', aMessage('hi', 'Content-Length: 1e1')],
  ['a length with a list', aMessage('hi', 'Content-Length: 2, 2')],
  ['a length in two folded pieces', aMessage('hi', 'Content-Length: 1\r\n 2')],
  ['two lengths', aMessage('hi', 'Content-Length: 2\r\nContent-Length: 3')],
  ['two lengths, one compact', aMessage('hi', 'l: 2\r\nContent-Length: 3')],
  ['two lengths, one no number', aMessage('hi', 'Content-Length: 2\r\nl: x')],
  ['a length beyond 2^53', aMessage('hi', 'Content-Length: 99999999999999999999')],
  ['a huge length', aMessage('hi', 'Content-Length: 1048577'), 'content-too-large'],
  ['a bare LF in the header', aMessage('hi', 'Subject: x\nContent-Length: 2')],
  ['a bare CR in the header', aMessage('hi', 'Subject: x\rContent-Length: 2')],
  ['a bare CR before CRLF', aMessage('hi', 'Content-Length: 2\r')],
  ['LF LF for the end of the header', 'MESSAGE sip:a SIP/2.0\nContent-Length: 0\n\n'],
  ['CRLF CR and no LF', 'MESSAGE sip:a SIP/2.0\r\nl: 0\r\n\rx'],
  ['a bare LF before the message', `\n${ONE}`],
  ['a bare CR before the message', `\r${ONE}`],
  ['a header that never ends', `MESSAGE sip:a SIP/2.0\r\n${'x: y\r\n'.repeat(6_000)}`, 'content-too-large'],
  ['a line that never ends', 'x'.repeat(40_000), 'content-too-large'],
  ['a fold that never ends', `MESSAGE sip:a SIP/2.0\r\nx:${'\r\n '.repeat(12_000)}`, 'content-too-large'],
];

for (const [what, text, code = 'request-malformed'] of FAULTS) {
  for (const size of [1, 5, 1 << 20]) {
    test(`framer: ${what} is a fault for good, in pieces of ${size}`, () => {
      const framer = new StreamFramer();
      const bytes = Buffer.from(text);
      assert.throws(
        () => {
          for (let at = 0; at < bytes.length; at += size) framer.push(bytes.subarray(at, at + size));
        },
        { name: 'GatewayError', code },
      );
      assert.equal(framer.fault?.code, code);
      assert.throws(() => framer.push(Buffer.from(ONE)), { code });
    });
  }
}

test('framer: messages before a fault are given out, then it is told', () => {
  const framer = new StreamFramer();
  assert.deepEqual(shown(framer.push(Buffer.from(`${ONE}${LONG}\nGET /`))), [ONE, LONG]);
  assert.equal(framer.fault?.code, 'request-malformed');
  assert.equal(framer.pending.toString(), '\nGET /');
  assert.throws(() => framer.push(Buffer.from(ONE)), { code: 'request-malformed' });
});

test('framer: the limits are those given, and reached exactly', () => {
  const text = aMessage('x'.repeat(100));
  const headerBytes = text.indexOf('\r\n\r\n') + 2;
  const exact = new StreamFramer({ headerBytesMax: headerBytes, bodyBytesMax: 100 });
  assert.deepEqual(shown(exact.push(Buffer.from(text))), [text]);
  assert.throws(() => new StreamFramer({ ...STREAM_LIMITS, headerBytesMax: headerBytes - 9 }).push(Buffer.from(text)), {
    code: 'content-too-large',
  });
  assert.throws(() => new StreamFramer({ ...STREAM_LIMITS, bodyBytesMax: 99 }).push(Buffer.from(text)), {
    code: 'content-too-large',
  });
});

test('framer: ten thousand pipelined messages in one chunk, and a megabyte byte by byte, take no time', () => {
  const started = process.cpuUsage();
  const many = Buffer.from(ONE.repeat(10_000));
  assert.equal(new StreamFramer().push(many).length, 10_000);
  const large = Buffer.from(aMessage('x'.repeat(1_000_000)));
  const framer = new StreamFramer();
  let count = 0;
  for (let at = 0; at < large.length; at++) count += framer.push(large.subarray(at, at + 1)).length;
  assert.equal(count, 1);
  // A fraction of a second; anything quadratic takes minutes.
  assert.ok(process.cpuUsage(started).user < 10_000_000, 'ten seconds of CPU time');
});
