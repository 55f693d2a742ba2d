import { readdirSync } from 'node:fs';

import { seededRandom } from '../support/seeded-random.ts';
import { tortureMessage } from '../vectors/rfc4475/markup.ts';
import { caseSeed } from './fuzz-run.ts';

/** Well-formed messages as clients and servers of this field send them. */
const PLAIN: readonly string[] = [
  'MESSAGE sip:bob@xmpp.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-524287-1---6d9b;rport\r\nMax-Forwards: 70\r\nFrom: "Alice" <sip:alice@sip.example>;tag=a73\r\nTo: <sip:bob@xmpp.example>\r\nCall-ID: 97159ODk1\r\nCSeq: 2 MESSAGE\r\nContent-Type: text/plain;charset=UTF-8\r\nAuthorization: Digest username="alice", realm="sip.example", nonce="dcd98b", uri="sip:bob@xmpp.example", response="6629fae49393a05397450978507c4ef1", algorithm=MD5, cnonce="0a4f113b", qop=auth, nc=00000001\r\nContent-Length: 5\r\n\r\nhello',
  'REGISTER sips:sip.example SIP/2.0\r\nv: SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bKnashds7\r\nf: <sips:bob@sip.example>;tag=a\r\nt: <sips:bob@sip.example>\r\ni: 1j9FpLxk3uxtm8tn@h\r\nCSeq: 1 REGISTER\r\nm: <sips:bob@client.example>;q=0.7;expires=3600, "x, y" <sips:bob@other.example;gr=urn:uuid:1>\r\nSupported: path, gruu\r\nPath: <sip:p1;lr>,<sip:p2;lr>\r\nl: 0\r\n\r\n',
  'SIP/2.0 202 Accepted\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1;received=192.0.2.1;rport=5060, SIP/2.0/UDP i;branch=z9hG4bK2\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x@y\r\nCSeq: 7 MESSAGE\r\nServer: x\r\nContent-Length: 0\r\n\r\n',
  'NOTIFY sip:a@192.0.2.1;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nRoute: <sip:p;lr>\r\nFrom: <sip:c@d>;tag=3\r\nTo: <sip:a@b>;tag=4\r\nCall-ID: z\r\nCSeq: 9 NOTIFY\r\nEvent: presence;id=1\r\nSubscription-State: active;expires=59\r\nSubject: folded\r\n over two lines\r\nContent-Type: application/pidf+xml\r\nContent-Length: 11\r\n\r\n<presence/>',
];

/** What broke parsers before, or could: separators, line ends, controls, halves of encodings, long runs. */
const PIECES: readonly Buffer[] = [
  '\r\n', '\n', '\r', '\r\n\r\n', '\r\n ', '\n\n', '\0', '\x01', '\x7f', '\x80', '\xff', '\xc0\x80', '\xed\xa0\x80', '\xe2\x98\x83', '\xef\xbb\xbf',
  ' ', '\t', ':', ';', ',', '"', '\\', '\\"', '<', '>', '@', '%', '%00', '%zz', '[', ']', '[::', ':::', '=', '?', '&', '/', '*', '+', '-', '.', '..',
  'SIP/2.0', 'SIP/3.0', 'INVITE ', 'sip:', 'sips:', 'tel:', 'Via: ', 'v:', 'l: 5\r\n', 'l: -1\r\n', 'Content-Length: 99999999999\r\n', 'Content-Length :\r\n 3\r\n',
  'From: <sip:evil@x>\r\n', 'To : x\r\n', 'X\0: y\r\n', ';tag=', ';tag=1;tag=', ';branch=z9hG4bK', ';rport', ';;,;,,', '65536', '4294967296', '00000000000',
  'toString: x\r\n', '__proto__: x\r\n', ';__proto__=x', 'a'.repeat(300), ' '.repeat(300), ','.repeat(300), ';a'.repeat(100), 'x: y\r\n'.repeat(300),
].map((piece) => Buffer.from(piece, 'latin1')); // prettier-ignore

function torture(document: string): Buffer[] {
  const files = readdirSync(new URL(`../vectors/${document}`, import.meta.url)).filter((file) => file.endsWith('.txt'));
  return files.sort().map((file) => tortureMessage(document, file));
}

export const SIP_CORPUS: readonly Buffer[] = [
  ...torture('rfc4475'),
  ...torture('rfc5118'),
  // Several times each: what is nearly right goes deepest.
  ...[...PLAIN, ...PLAIN, ...PLAIN, ...PLAIN].map((text) => Buffer.from(text)),
];

/** One mutated message, the same for the same seed and number. */
export function mutatedSipMessage(seed: number, number: number): Buffer {
  const random = seededRandom(caseSeed(seed, number));
  const below = (bound: number): number => Math.floor(random() * bound);
  const one = <T>(of: readonly T[]): T => of[below(of.length)] as T;
  let bytes = one(SIP_CORPUS);
  for (let times = below(5); times > 0; times--) {
    // Nearly always in the header, where there is something to break.
    const at = below((random() < 0.9 ? Math.max(bytes.indexOf('\r\n\r\n'), 1) : bytes.length) + 1);
    const before = bytes.subarray(0, at);
    const after = bytes.subarray(at);
    switch (below(7)) {
      case 0:
        bytes = Buffer.concat([before, one(PIECES), after]);
        break;
      case 1:
        bytes = Buffer.concat([before, after.subarray(1 + below(20))]);
        break;
      case 2:
        bytes = Buffer.concat([before, Buffer.of(below(256)), after.subarray(1)]);
        break;
      case 3: {
        const other = one(SIP_CORPUS);
        bytes = Buffer.concat([before, other.subarray(below(other.length))]);
        break;
      }
      case 4: {
        const from = below(bytes.length);
        bytes = Buffer.concat([before, bytes.subarray(from, from + below(80)), after]);
        break;
      }
      case 5:
        bytes = Buffer.concat([before, one(PIECES), after.subarray(1 + below(5))]);
        break;
      default:
        bytes = before;
    }
  }
  return bytes;
}
