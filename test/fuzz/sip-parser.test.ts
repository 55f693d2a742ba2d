import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { SIP_LIMITS, parseSipMessage } from '../../src/sip/engine/parser.ts';
import type { ParsedMessage } from '../../src/sip/engine/parser.ts';
import { serializeRequest, serializeResponse } from '../../src/sip/engine/serializer.ts';
import { StreamFramer } from '../../src/sip/engine/stream-framer.ts';
import {
  formatNameAddr,
  formatVia,
  parseAuthParams,
  parseCSeq,
  parseNameAddr,
  parseNameAddrList,
  parseParams,
  parseSipDate,
  parseVia,
  splitList,
} from '../../src/sip/header-values.ts';
import type { HeaderField } from '../../src/sip/message.ts';
import { decodedUser, formatSipUri, parseSipUri, sameSipUri } from '../../src/sip/uri.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { FuzzRun } from './fuzz-run.ts';
import { mutatedSipMessage } from './sip-corpus.ts';

/** Mutated SIP messages through parser, framer, value parsers and serializer. */
const RUN = new FuzzRun({ seed: 4475, cases: 20_000 });

/** Growth of the heap over a run that is no leak, bytes: what the engine itself still compiles and keeps. */
const GROWTH_BYTES_MAX = 8 * 1024 * 1024;

/** For what was written by us: long names and a Content-Length need more room than a message at its limit has. */
const ROOMY = { ...SIP_LIMITS, headerBytesMax: 1 << 20, messageBytesMax: 1 << 20, headerCountMax: 257 };

function checkValues(fields: readonly HeaderField[]): void {
  for (const [name, value] of fields) {
    assert.doesNotMatch(name, /[^\w.!%*+`'~-]/, 'a name is a token');
    assert.doesNotMatch(value, /[\r\n]/, 'a value divides no lines');
    splitList(value);
    parseParams(value);
    parseCSeq(value);
    parseAuthParams(value);
    parseSipDate(value);
    parseNameAddrList(value);
    // Quoted controls are the one thing that is not written back as it came.
    const isPlain = !/[\0-\x08\x0b-\x1f\x7f]/.test(value);
    const via = parseVia(value);
    if (via !== undefined && isPlain) assert.deepEqual(parseVia(formatVia(via)), via);
    const address = parseNameAddr(value);
    if (address === undefined) continue;
    if (isPlain) assert.deepEqual(parseNameAddr(formatNameAddr(address)), address);
    const uri = parseSipUri(address.uri);
    if (uri === undefined) continue;
    assert.ok(sameSipUri(uri, uri));
    assert.deepEqual(parseSipUri(formatSipUri(uri)), uri);
    assert.doesNotMatch(decodedUser(uri) ?? '', /[\0-\x1f\x7f]/);
  }
}

/** What was accepted can be written, and then says the same. */
function checkRoundTrip(message: Extract<ParsedMessage, { kind: 'request' | 'response' }>): void {
  const { body } = message;
  const headers = message.headers.fields;
  const bytes =
    message.kind === 'request'
      ? serializeRequest({ method: message.method, uri: message.uri, headers, body })
      : serializeResponse({ status: message.status, reason: message.reason, headers, body });
  const again = parseSipMessage(bytes, ROOMY);
  assert.ok(again.kind === message.kind, JSON.stringify(again));
  assert.ok(again.body.equals(body));
  const others = (fields: readonly HeaderField[]): HeaderField[] =>
    fields.filter(([name]) => name !== 'Content-Length');
  assert.deepEqual(others(again.headers.fields), others(headers));
  assert.deepEqual(
    [again.via, again.from, again.to, again.cseq],
    [message.via, message.from, message.to, message.cseq],
  );
}

type Framed = { readonly messages: readonly Buffer[]; readonly pings: number; readonly isBroken: boolean };

function framed(bytes: Buffer, pieceLength: () => number): Framed {
  const framer = new StreamFramer();
  const messages: Buffer[] = [];
  let pings = 0;
  for (let at = 0; at < bytes.length && framer.fault === undefined;) {
    const end = Math.min(at + pieceLength(), bytes.length);
    try {
      for (const frame of framer.push(bytes.subarray(at, end))) {
        if (frame === 'ping') pings++;
        else if (frame !== 'pong') messages.push(frame);
      }
    } catch (error) {
      assert.equal(error, framer.fault);
    }
    at = end;
  }
  return { messages, pings, isBroken: framer.fault !== undefined };
}

/** However a stream is cut up, it says the same; and the parser finds each message to end where the framer does. */
function checkFraming(bytes: Buffer, number: number): void {
  const random = seededRandom(number);
  const stream = Buffer.concat([bytes, mutatedSipMessage(RUN.seed, number + 1)]);
  const whole = framed(stream, () => stream.length);
  const pieces = framed(stream, () => 1 + Math.floor(random() * 60));
  assert.deepEqual(pieces, whole);
  for (const message of whole.messages) {
    const parsed = parseSipMessage(message);
    if (parsed.kind !== 'request' && parsed.kind !== 'response') continue;
    assert.equal(message.indexOf('\r\n\r\n') + 4 + parsed.body.length, message.length);
  }
}

/** Runs a case; what it breaks is thrown. */
function check(number: number): ParsedMessage['kind'] {
  const bytes = mutatedSipMessage(RUN.seed, number);
  const message = parseSipMessage(bytes);
  switch (message.kind) {
    case 'request':
    case 'response':
      checkValues(message.headers.fields);
      checkRoundTrip(message);
      break;
    case 'malformed':
      assert.ok([400, 501, 505, 513].includes(message.status));
      if (message.request !== undefined) {
        checkValues(message.request.headers.fields);
        // The answer copies these: they must be fit to be written.
        serializeResponse({ status: message.status, reason: 'x', headers: message.request.headers.fields });
      }
      break;
    case 'keep-alive':
      assert.ok(bytes.every((byte) => byte === 0x0d || byte === 0x0a));
  }
  checkFraming(bytes, number);
  return message.kind;
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

test(`SIP messages: ${RUN.title}, each with one of the documented results`, () => {
  const seen: Record<string, number> = {};
  let before = 0;
  const warm = Math.floor(RUN.cases / 4);
  for (const number of RUN.numbers()) {
    if (number === warm && RUN.only === undefined) before = heapBytes();
    try {
      const kind = check(number);
      seen[kind] = (seen[kind] ?? 0) + 1;
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw RUN.fault(number, what, error);
    }
  }
  if (RUN.only !== undefined) return;
  assert.ok(heapBytes() - before < GROWTH_BYTES_MAX, 'memory grows with the number of messages');
  // A mutation that leaves nothing well-formed, or everything, tests nothing.
  assert.ok((seen['request'] ?? 0) > RUN.cases / 20 && (seen['malformed'] ?? 0) > RUN.cases / 20, JSON.stringify(seen));
});
