import { parseSipMessage } from '../../src/sip/engine/parser.ts';
import { serializeRequest, serializeResponse } from '../../src/sip/engine/serializer.ts';
import { StreamFramer } from '../../src/sip/engine/stream-framer.ts';
import type { HeaderField } from '../../src/sip/message.ts';

/**
 * How many messages a second the text layer of SIP reads and writes: one MESSAGE as a phone sends it after a
 * challenge, 60 bytes of text. One JSON line; rates are the median of several runs, messages per second.
 */
const RUNS = 7;
const RUN_MS = 400;

const HEADERS: readonly HeaderField[] = [
  ['Via', 'SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-524287-1---6d9b3a2f4c5e6a71;rport'],
  ['Max-Forwards', '70'],
  ['From', '"Alice Example" <sip:alice@sip.example>;tag=a73kszlfl'],
  ['To', '<sip:bob@xmpp.example>'],
  ['Call-ID', '97159ODk1ZjM2YTlmYzQ3NTk5ZDM2MzE5ZmE2ZTJlZTI'],
  ['CSeq', '2 MESSAGE'],
  ['Contact', '<sip:alice@192.0.2.10:5060;transport=udp>'],
  ['Content-Type', 'text/plain;charset=UTF-8'],
  ['User-Agent', 'Example Phone 5.2.1'],
  ['Allow', 'INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, INFO'],
  ['Supported', 'replaces, outbound, gruu, path'],
  ['Date', 'Sat, 13 Nov 2010 23:29:00 GMT'],
  [
    'Authorization',
    'Digest username="alice", realm="sip.example", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ' +
      'uri="sip:bob@xmpp.example", response="6629fae49393a05397450978507c4ef1", algorithm=MD5, ' +
      'cnonce="0a4f113b", qop=auth, nc=00000001',
  ],
];
const BODY = Buffer.from('Neither, fair saint, if either thee dislike. And the rest.\r\n');
const REQUEST = { method: 'MESSAGE', uri: 'sip:bob@xmpp.example', headers: HEADERS, body: BODY };
const RESPONSE = { status: 202, reason: 'Accepted', headers: HEADERS.slice(0, 6) };

const bytes = serializeRequest(REQUEST);
/** Sixty-four messages in one chunk, as a busy connection gives them. */
const chunk = Buffer.concat(Array.from({ length: 64 }, () => bytes));

/** Keeps results alive, so that nothing measured can be left out. */
let sink = 0;

/** Messages per second, by the clock and by CPU time (on a machine that others use the second is the true one). */
type Rate = { readonly perSecond: number; readonly perCpuSecond: number };

function rate(step: () => number): Rate {
  const rates: Rate[] = [];
  for (let run = 0; run <= RUNS; run++) {
    const start = performance.now();
    const cpu = process.cpuUsage();
    let count = 0;
    let elapsedMs: number;
    do {
      for (let i = 0; i < 200; i++) count += step();
      elapsedMs = performance.now() - start;
    } while (elapsedMs < RUN_MS);
    const { user, system } = process.cpuUsage(cpu);
    // The first run warms up.
    if (run > 0) {
      rates.push({
        perSecond: Math.round((count * 1e3) / elapsedMs),
        perCpuSecond: Math.round((count * 1e6) / (user + system)),
      });
    }
  }
  rates.sort((a, b) => a.perCpuSecond - b.perCpuSecond);
  return rates[RUNS >> 1] ?? { perSecond: 0, perCpuSecond: 0 };
}

const result = {
  bench: 'sip-parse',
  messageBytes: bytes.length,
  parse: rate(() => {
    const message = parseSipMessage(bytes);
    if (message.kind === 'request') sink += message.headers.fields.length;
    return 1;
  }),
  serializeRequest: rate(() => {
    sink += serializeRequest(REQUEST).length;
    return 1;
  }),
  serializeResponse: rate(() => {
    sink += serializeResponse(RESPONSE).length;
    return 1;
  }),
  frame: rate(() => new StreamFramer().push(chunk).length),
  parseAndSerialize: rate(() => {
    const message = parseSipMessage(bytes);
    if (message.kind === 'request') {
      const { method, uri, headers, body } = message;
      sink += serializeRequest({ method, uri, headers: headers.fields, body }).length;
    }
    return 1;
  }),
  sink: sink > 0,
};
console.log(JSON.stringify(result));
