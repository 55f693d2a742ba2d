import { XmlStreamReader } from '../../src/cpim/xml.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { mutatedSipMessage } from './sip-corpus.ts';

/** What a case sends, and how. `isTrusted`: from an address whose users are believed. */
export type ServerCase =
  | { readonly kind: 'udp' | 'tcp'; readonly isTrusted: boolean; readonly bytes: Buffer }
  /** `breaks`: no XML stream goes on after it. */
  | { readonly kind: 'stanza'; readonly text: string; readonly breaks: boolean };

const CPIM =
  'From: MR SANDERS <im:piglet@100akerwood.example>\r\nTo: Depressed Donkey <im:eeyore@100akerwood.example>\r\nDateTime: 2000-12-13T13:40:00-08:00\r\nSubject: the weather\r\nNS: MyFeatures <mid:MessageFeatures@id.example>\r\n\r\nContent-Type: text/plain; charset=utf-8\r\nContent-ID: <1@x>\r\n\r\nGrüße 😀';
const MULTIPART =
  '--b\r\nContent-Type: text/html;charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+aDwvYj4=\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n';

/** Requests that a believed sender gets accepted, so that mutations go all the way. */
const REQUESTS: readonly string[] = [
  message('sip:juliet@xmpp.example', 'text/plain;charset=UTF-8', 'hello 😀'),
  message('sip:juliet@xmpp.example', 'message/cpim', CPIM),
  message('sip:juliet@xmpp.example', 'multipart/alternative;boundary=b', MULTIPART),
  message('sip:o%27malley@xmpp.example;gr=balcony', 'text/html', '<p>a &amp; b<br>&#x1F600;</p><script>x</script>'),
  message('sip:bob@sip.example', 'text/plain', 'to a phone'),
  message('sip:erin@core.example', 'application/im-iscomposing+xml', '<isComposing><state>idle</state></isComposing>'),
  message('sip:paul@partner.example', 'text/plain;charset=iso-8859-1', 'to a peer'),
  message('sip:juliet@xmpp.example', 'text/plain\r\nContent-Encoding: gzip', '\x1f\x8b\b\0\0\0\0\0\0\x03'),
  request('REGISTER', 'sip:sip.example', 'sip:erin@sip.example', ['Contact: <sip:erin@127.0.0.67:9>;q=0.5;expires=60, <sip:erin@127.0.0.67:PORT>;+sip.instance="<urn:uuid:1>"', 'Expires: 300'], ''),
  request('REGISTER', 'sip:core.example', 'sip:erin@core.example', ['Contact: <sip:erin@127.0.0.67:PORT;transport=tcp>'], ''),
  request('REGISTER', 'sip:sip.example', 'sip:erin@sip.example', ['Contact: *', 'Expires: 0'], ''),
  request('OPTIONS', 'sip:sip.example', 'sip:sip.example', ['Accept: application/sdp'], ''),
  request('INVITE', 'sip:bob@sip.example', 'sip:bob@sip.example', ['Contact: <sip:zoe@127.0.0.67>', 'Content-Type: application/sdp'], 'v=0\r\n'),
  request('CANCEL', 'sip:bob@sip.example', 'sip:bob@sip.example', [], ''),
  request('SUBSCRIBE', 'sip:bob@sip.example', 'sip:bob@sip.example', ['Event: presence', 'Accept: application/pidf+xml', 'Expires: 0'], ''),
].flatMap((text) => [text, text]); // prettier-ignore

function message(uri: string, type: string, body: string): string {
  return request(
    'MESSAGE',
    uri,
    uri,
    ['Subject: s', 'Content-Language: en', 'Expires: 30', `Content-Type: ${type}`],
    body,
  );
}

/** A trusted domain has most senders; NUMBER makes each request one of its own. */
function request(method: string, uri: string, to: string, lines: readonly string[], body: string): string {
  return [
    `${method} ${uri} SIP/2.0`,
    'Via: SIP/2.0/UDP 127.0.0.67:PORT;rport;branch=z9hG4bKNUMBER',
    'Max-Forwards: 70',
    'From: "Zoe" <sip:zoe@sip.example>;tag=NUMBER',
    `To: <${to}>`,
    'Call-ID: NUMBER@fuzz.example',
    `CSeq: 1 ${method}`,
    'P-Asserted-Identity: <sip:zoe@sip.example>',
    'Authorization: Digest username="alice", realm="sip.example", nonce="n", uri="sip:x@y", response="0", algorithm=MD5',
    ...lines,
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');
}

const NAMED = `from='juliet@xmpp.example/balcony' to='bob@sip.xmpp.example'`;
const STANZAS: readonly string[] = [
  `<message ${NAMED} id='NUMBER' type='chat' xml:lang='en'><subject>s</subject><body>Art thou not Romeo?</body><thread>t</thread><origin-id xmlns='urn:xmpp:sid:0' id='oNUMBER'/><delay xmlns='urn:xmpp:delay' from='xmpp.example' stamp='2023-11-14T20:00:00Z'/></message>`,
  `<message from='o\\27malley@xmpp.example' to='erin\\40b@sip.xmpp.example' id='NUMBER'><body xml:lang='cs'>Nic z obého 😀</body><body>x</body></message>`,
  `<message ${NAMED} id='NUMBER' type='error'><body>x</body><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone></error></message>`,
  `<iq from='juliet@xmpp.example/balcony' to='sip.xmpp.example' id='NUMBER' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>`,
  `<iq from='xmpp.example' to='sip.xmpp.example' id='NUMBER' type='get'><ping xmlns='urn:xmpp:ping'/></iq>`,
  `<iq from='sip.xmpp.example' to='sip.xmpp.example' id='ping-x' type='result'/>`,
  `<presence ${NAMED} type='subscribe' id='NUMBER'><status>x</status></presence>`,
  `<message ${NAMED}><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message ${NAMED}><body>x</body></message></forwarded></sent></message>`,
];

const SIP_PIECES: readonly string[] = ['\r\n', '\n', '\0', '\x01', '\xff', '\xed\xa0\x80', ' ', ':', ';', ',', '"', '\\', '<', '>', '@', '%', '%00', '%0d%0a', '[::1]', '=', '?', 'sip:', 'sips:', 'tel:', ';tag=', ';lr', ';maddr=127.0.0.1', ';transport=tls', ';gr=', '4294967296', '-1', '__proto__', 'a'.repeat(1_500), '\r\n\r\n', 'Content-Type: ', '--b', 'charset=utf-16', '&#0;', '<!DOCTYPE x>', '\x1b[2J']; // prettier-ignore
const XML_PIECES: readonly string[] = ['&amp;', '&#x1F600;', '&#x9b;', '&#13;', '<![CDATA[<b>]]>', '\u202e', '\u009b', '\uffff', '@', '/', '\\20', '\\5c', 'xn--', '[::1]', '"', '<x/>', '<body>b</body>', "xmlns=''", 'sip.example', 'sip.xmpp.example', 'partner.example', '%00', ' ', 'é', '__proto__', 'a'.repeat(2_000), '&nope;', '<', '<!--', '\u0000', '<!DOCTYPE a>']; // prettier-ignore

type Random = { below(bound: number): number; one<T>(of: readonly T[]): T };

function randomOf(seed: number): Random {
  const random = seededRandom(seed);
  const below = (bound: number): number => Math.floor(random() * bound);
  return { below, one: (of) => of[below(of.length)]! };
}

function mutated(text: string, pieces: readonly string[], others: readonly string[], random: Random): string {
  let out = text;
  for (let times = random.below(4); times > 0; times -= 1) {
    const at = random.below(out.length + 1);
    const from = random.below(out.length);
    switch (random.below(6)) {
      case 0:
        out = out.slice(0, at) + random.one(pieces) + out.slice(at);
        break;
      case 1:
        out = out.slice(0, at) + out.slice(at + 1 + random.below(20));
        break;
      case 2:
        out = out.slice(0, at) + String.fromCharCode(random.below(256)) + out.slice(at + 1);
        break;
      case 3:
        out = out.slice(0, at) + out.slice(from, from + random.below(80)) + out.slice(at);
        break;
      case 4:
        out = out.slice(0, at) + random.one(pieces) + out.slice(at + random.below(12));
        break;
      default: {
        const other = random.one(others);
        out = out.slice(0, at) + other.slice(random.below(other.length));
      }
    }
  }
  return out;
}

/** The case of a seed and number; always the same. `port` is where the sender answers. */
export function serverCase(seed: number, number: number, port: number): ServerCase {
  const random = randomOf((seed * 1_000_003 + number) >>> 0);
  const named = (text: string): string => text.replaceAll('NUMBER', `n${seed}x${number}`).replaceAll('PORT', `${port}`);
  const kind = random.below(10);
  if (kind < 3) {
    const text = mutated(named(random.one(STANZAS)), XML_PIECES, STANZAS, random);
    return { kind: 'stanza', text, breaks: !goesOn(text) };
  }
  const isTrusted = random.below(3) > 0;
  const transport = kind < 8 ? 'udp' : 'tcp';
  if (random.below(3) === 0) {
    // Nothing of a test leaves the machine.
    const text = mutatedSipMessage(seed, number).toString('latin1').replaceAll('192.0.2.', '127.0.0.');
    return { kind: transport, isTrusted, bytes: Buffer.from(text, 'latin1') };
  }
  const text = Buffer.from(named(random.one(REQUESTS))).toString('latin1');
  return { kind: transport, isTrusted, bytes: Buffer.from(mutated(text, SIP_PIECES, REQUESTS, random), 'latin1') };
}

/** A mutated answer to a request of the server's. */
export function mutatedAnswer(answer: string, seed: number): string {
  const random = randomOf(seed);
  const status = random.one([
    '200 OK',
    '202 Accepted',
    '200 OK',
    '404 x',
    '415 x',
    '503 x',
    '486 x',
    '302 x',
    '999 x',
    '100 x',
  ]);
  const text = answer.replace(/^SIP\/2\.0 .*/, `SIP/2.0 ${status}`);
  return random.below(3) === 0 ? mutated(text, SIP_PIECES, [answer], random) : text;
}

/** Whether what comes after this text on a stream is read as it was meant. */
function goesOn(text: string): boolean {
  const names: string[] = [];
  let faults = 0;
  const reader = new XmlStreamReader({
    onOpen: () => undefined,
    onElement: ({ name }) => void names.push(name),
    onClose: () => void (faults += 1),
    onError: () => void (faults += 1),
  });
  reader.write(`<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>`);
  reader.write(`${Buffer.from(text).toString()}<probe/>`);
  return faults === 0 && names.at(-1) === 'probe' && !text.includes('<stream:');
}
