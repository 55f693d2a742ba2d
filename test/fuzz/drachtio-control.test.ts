import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';

import { frameOf } from '../../src/sip/drachtio/control-frame.ts';
import { createDrachtioStack } from '../../src/sip/stack-drachtio.ts';
import { systemClock } from '../../src/system-clock.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { rawRequest } from '../support/raw-sip.ts';
import { until } from '../support/until.ts';
import { caseNumbers, FuzzRun } from './fuzz-run.ts';

/**
 * What a drachtio server sends, broken in every way within its frames: no exception, no word of the library's on standard
 * error, and whatever comes next is served on the same connection.
 */
const run = new FuzzRun({ seed: 20261126, cases: 400 });

const OK =
  'SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\n\r\n';
const request = () => rawRequest({ body: 'hello' }).toString('latin1');
const FRAMES: ReadonlyArray<() => string> = [
  () => `1|sip|network|300|udp|127.0.0.1|5999|10:00:00.000000|t1||127.0.0.1|5060|\r\n${request()}`,
  () =>
    `1|sip|network|300|tcp|127.0.0.1|5999|10:00:00.000000|t2|c;from-tag=1|\r\n${rawRequest({ method: 'NOTIFY' }).toString('latin1')}`,
  () =>
    `1|sip|network|300|udp|127.0.0.1|5999|10:00:00.000000|t3||127.0.0.1|5060|\r\n${rawRequest({ method: 'INVITE' }).toString('latin1')}`,
  () =>
    `1|sip|network|300|udp|127.0.0.1|5999|10:00:00.000000|t3|\r\n${rawRequest({ method: 'CANCEL' }).toString('latin1')}`,
  () => `1|sip|network|300|udp|127.0.0.1|5999|10:00:00.000000|t4|d|\r\n${OK}`,
  () =>
    `1|sip|application|300|udp|127.0.0.1|5999|10:00:00.000000|unsolicited|d|\r\n${rawRequest({ method: 'BYE' }).toString('latin1')}`,
  () => '1|response|2|OK|pong',
  () => `1|response|2|OK|application|300|udp|127.0.0.1|5060|10:00:00.000000|t9|Msg sent:|\r\n${request()}`,
  () => `1|cdr:attempt|network|10:00:00.000000\r\n${request()}`,
  () => '1|what is this',
];

/** What mutations have found. */
const FOUND: readonly string[] = [
  `1|sip|network|300|udp|127.0.0.1|5999|10:00:00.000000|t5||127.0.0.1|5060|\r\n\r\n\r\n${request()}`,
  `1|sip|network|300|udp|127.0.0.1|5999|10:00:00.000000|t6||127.0\r.0.1|5060|\r\n${request()}`,
];

function broken(text: string, below: (bound: number) => number): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  switch (below(7)) {
    case 0:
      return bytes.subarray(0, below(bytes.length + 1));
    case 1:
      bytes[below(bytes.length)] = below(256);
      return bytes;
    case 2: {
      const fields = text.split('|');
      fields.splice(
        below(fields.length),
        below(3),
        ...Array.from({ length: below(3) }, () => ['', 'sip', 'x'.repeat(below(99))][below(3)]!),
      );
      return Buffer.from(fields.join('|'), 'latin1');
    }
    case 3: {
      const lines = text.split('\r\n');
      lines.splice(
        below(lines.length),
        below(4),
        ...Array.from({ length: below(3) }, () => [' folded', ': x', 'X', 'l: -1', '\0', 'To: <<'][below(6)]!),
      );
      return Buffer.from(lines.join('\r\n'), 'latin1');
    }
    case 4: {
      const at = below(bytes.length);
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(['\r\n', '\n', '|', '\u0000', '\u00ff\u00fe', '#'][below(6)]!),
        bytes.subarray(at),
      ]);
    }
    case 5:
      return Buffer.concat([bytes, bytes.subarray(below(bytes.length))]);
    default:
      return bytes;
  }
}

test(`drachtio control connection: ${run.title}`, async (t) => {
  const complaints: unknown[][] = [];
  t.mock.method(console, 'error', (...words: unknown[]) => void complaints.push(words));
  const sockets = new Set<Socket>();
  let answered = '';
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    socket.on('data', (bytes) => {
      const text = bytes.toString('latin1');
      answered += text;
      for (const [, id] of text.matchAll(/#([^|]+)\|(?:authenticate|route|ping)/g)) {
        socket.write(frameOf(Buffer.from(`0|response|${id}|OK|udp/127.0.0.1:5060|v0.9.10|udp/127.0.0.1:5060`)));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const log = new LogRecorder();
  const { port } = server.address() as AddressInfo;
  const stack = createDrachtioStack({
    servers: [{ host: '127.0.0.1', port, secret: 'x y', tags: [] }],
    clock: systemClock,
    random: () => 0,
    log,
  });
  await stack.start(async () => ({ status: 200 }));
  for (const number of run.numbers()) {
    const below = caseNumbers(run.seed, number);
    const found = FOUND[number];
    const frame = found === undefined ? broken(FRAMES[below(FRAMES.length)]!(), below) : Buffer.from(found, 'latin1');
    const id = `good${number}`;
    const good = rawRequest({ callId: id }).toString('latin1');
    const next = `1|sip|network|300|udp|127.0.0.1|5999|10:00:00.0|${id}||127.0.0.1|5060|\r\n${good}`;
    try {
      for (const socket of sockets) socket.write(Buffer.concat([frameOf(frame), frameOf(Buffer.from(next, 'latin1'))]));
      const isServed = () => answered.includes(`|sip|${id}|`);
      await until(isServed, { what: 'an answer to the next request', withinMs: 3_000, everyMs: 1 });
    } catch (thrown) {
      throw run.fault(number, JSON.stringify(frame.toString('latin1')), thrown);
    }
    answered = answered.slice(-2_000);
  }
  assert.equal(sockets.size, 1);
  const stopped = stack.stop(0);
  for (const socket of sockets) socket.destroy();
  server.close();
  await stopped;
  assert.deepEqual(complaints, []);
  assert.deepEqual(log.at('error'), []);
});
