import { XmlStreamReader } from '../../src/cpim/xml.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { caseSeed } from './fuzz-run.ts';
import { mutatedSipMessage } from './sip-corpus.ts';

/** Where a test puts in what the server has given out: a dialog (`CALL from-tag to-tag`), an entity-tag, an id of an iq. */
export const MARKS = {
  call: 'DIALOGCALL',
  fromTag: 'DIALOGFROM',
  toTag: 'DIALOGTO',
  etag: 'GIVENETAG',
  iq: 'GIVENIQ',
} as const;

/** What a case sends, and how. `isTrusted`: from an address whose users are believed. */
export type ServerCase =
  | { readonly kind: 'udp' | 'tcp'; readonly isTrusted: boolean; readonly bytes: Buffer }
  /** `breaks`: no XML stream goes on after it. */
  | { readonly kind: 'stanza'; readonly text: string; readonly breaks: boolean };

const CPIM =
  'From: MR SANDERS <im:piglet@100akerwood.example>\r\nTo: Depressed Donkey <im:eeyore@100akerwood.example>\r\nDateTime: 2000-12-13T13:40:00-08:00\r\nSubject: the weather\r\nNS: MyFeatures <mid:MessageFeatures@id.example>\r\n\r\nContent-Type: text/plain; charset=utf-8\r\nContent-ID: <1@x>\r\n\r\nGrüße 😀';
const MULTIPART =
  '--b\r\nContent-Type: text/html;charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+aDwvYj4=\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n';

const RICH =
  '<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" xmlns:lt="urn:ietf:params:xml:ns:location-type" xmlns:c="urn:ietf:params:xml:ns:pidf:cipid" entity="pres:zoe@sip.example"><tuple id="bs35r9"><status><basic>open</basic></status><rpid:relationship><rpid:self/></rpid:relationship><rpid:user-input idle-threshold="600" last-input="2023-11-14T19:00:00Z">idle</rpid:user-input><contact priority="0.8">im:zoe@sip.example</contact><note xml:lang="en">Don\'t disturb</note><note xml:lang="cs">Ruš\u{1F600}</note><timestamp>2023-11-14T20:00:00Z</timestamp></tuple><note>all</note><dm:person id="p1"><rpid:activities from="2023-11-14T19:00:00Z" until="2033-11-14T19:00:00Z"><rpid:note>far</rpid:note><rpid:away/><rpid:meeting/></rpid:activities><rpid:mood><rpid:angry/><rpid:other>x</rpid:other></rpid:mood><rpid:place-type><lt:residence/></rpid:place-type><rpid:sphere>bowling</rpid:sphere><rpid:status-icon>http://icons.example/1.gif</rpid:status-icon><rpid:time-offset>-300</rpid:time-offset><c:display-name>Zoe</c:display-name><dm:note>n</dm:note></dm:person><dm:device id="d1"><rpid:user-input>active</rpid:user-input><dm:deviceID>urn:device:0003ba4811e3</dm:deviceID></dm:device><x:y xmlns:x="urn:x" z="1"><x:w/></x:y></presence>';
const XPIDF =
  '<?xml version="1.0"?><!DOCTYPE presence PUBLIC "-//IETF//DTD RFCxxxx XPIDF 1.0//EN" "xpidf.dtd"><presence><presentity uri="sip:zoe@sip.example;method=SUBSCRIBE"/><atom id="1"><address uri="sip:zoe@127.0.0.67;user=ip" priority="0.8"><status status="open"/><msnsubstatus substatus="online"/></address></atom></presence>';

const CONTACT = 'Contact: <sip:zoe@127.0.0.67:PORT>';
const WATCH = ['Event: presence', 'Accept: application/pidf+xml', CONTACT, 'Expires: 90'];
const PUBLISH = ['Event: presence', 'Expires: 90', 'Content-Type: application/pidf+xml'];

/** Presence that is accepted, or goes as far as a dialog that there is. */
const PRESENCE: readonly string[] = [
  request('SUBSCRIBE', 'sip:bob@sip.example', 'sip:bob@sip.example', WATCH, ''),
  request('SUBSCRIBE', 'sip:zoe@sip.example', 'sip:zoe@sip.example', WATCH, ''),
  request('SUBSCRIBE', 'sip:juliet@xmpp.example', 'sip:juliet@xmpp.example', WATCH, ''),
  request('SUBSCRIBE', 'sip:paul@partner.example', 'sip:paul@partner.example', WATCH, ''),
  request('SUBSCRIBE', 'sip:NUMBER@partner.example', 'sip:NUMBER@partner.example', WATCH, ''),
  request('SUBSCRIBE', 'sip:NUMBER@xmpp.example', 'sip:NUMBER@xmpp.example', WATCH, ''),
  request('SUBSCRIBE', 'sip:erin@sip.example', 'sip:erin@sip.example', ['Event: presence;id=7', 'Accept: application/xpidf+xml, */*;q=0.1', CONTACT, 'Suppress-If-Match: *', 'Record-Route: <sip:127.0.0.67:PORT;lr>', 'Expires: 90'], ''),
  request('SUBSCRIBE', 'sip:zoe@sip.example', 'sip:zoe@sip.example', ['Event: presence.winfo', 'Accept: application/watcherinfo+xml', CONTACT, 'Expires: 90'], ''),
  request('SUBSCRIBE', 'sip:juliet@xmpp.example', 'sip:juliet@xmpp.example', ['Event: presence', CONTACT, 'Expires: 0'], ''),
  request('SUBSCRIBE', 'sip:bob@sip.example', 'sip:bob@sip.example', [...WATCH, 'Privacy: id'], ''),
  inDialog('SUBSCRIBE', WATCH, ''),
  inDialog('SUBSCRIBE', [...WATCH.slice(0, 3), 'Suppress-If-Match: GIVENETAG', 'Expires: 61'], ''),
  inDialog('SUBSCRIBE', [...WATCH.slice(0, 3), 'Expires: 0'], ''),
  inDialog('NOTIFY', ['Event: presence', 'Subscription-State: active;expires=60', 'Content-Type: application/pidf+xml'], RICH),
  request('PUBLISH', 'sip:zoe@sip.example', 'sip:zoe@sip.example', PUBLISH, RICH),
  request('PUBLISH', 'sip:zoe@sip.example', 'sip:zoe@sip.example', [...PUBLISH, 'SIP-If-Match: GIVENETAG'], RICH),
  request('PUBLISH', 'sip:zoe@sip.example', 'sip:zoe@sip.example', ['Event: presence', 'Expires: 90', 'SIP-If-Match: GIVENETAG'], ''),
  request('PUBLISH', 'sip:zoe@sip.example', 'sip:zoe@sip.example', ['Event: presence', 'Expires: 90', 'Content-Type: application/xpidf+xml'], XPIDF),
  request('PUBLISH', 'sip:zoe@sip.example', 'sip:zoe@sip.example', ['Event: presence', 'Expires: 90', 'Content-Type: application/cpim-pidf+xml'], RICH),
]; // prettier-ignore

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
  ...PRESENCE,
]; // prettier-ignore

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

/** Within a dialog that the server has opened or taken. */
function inDialog(method: string, lines: readonly string[], body: string): string {
  return request(method, 'sip:127.0.0.1', 'sip:bob@sip.example>;tag=DIALOGTO;x=<', lines, body)
    .replace('tag=NUMBER', 'tag=DIALOGFROM')
    .replace('Call-ID: NUMBER@fuzz.example', 'Call-ID: DIALOGCALL')
    .replace(';x=<>', '')
    .replace(/CSeq: 1 /, 'CSeq: SEQUENCE ');
}

/** What the peer says in the dialog of a SUBSCRIBE of ours: as it should, or nearly. */
export function mutatedNotify(subscribe: string, seed: number): string {
  const random = randomOf(seed);
  const line = (name: string): string => new RegExp(`^${name}: ?(.*)$`, 'im').exec(subscribe)?.[1]?.trim() ?? '';
  const target = /<([^>]*)>/.exec(line('Contact'))?.[1] ?? 'sip:127.0.0.1';
  const to = line('To');
  const state = random.one(['active;expires=60', 'active;expires=60', 'pending;expires=60', 'terminated;reason=deactivated', 'terminated;reason=giveup;retry-after=1']); // prettier-ignore
  const body = random.below(4) === 0 ? '' : RICH.replaceAll('zoe@sip.example', 'paul@partner.example');
  const text = [
    `NOTIFY ${target} SIP/2.0`,
    `Via: SIP/2.0/TCP 127.0.0.2:5060;branch=z9hG4bKnotify${seed}`,
    'Max-Forwards: 70',
    `From: ${to.includes('tag=') ? to : `${to};tag=counting`}`,
    `To: ${line('From')}`,
    `Call-ID: ${line('Call-ID')}`,
    `CSeq: ${random.below(1_000_000)} NOTIFY`,
    'Contact: <sip:127.0.0.2:5060;transport=tcp>',
    'Event: presence',
    `Subscription-State: ${state}`,
    ...(body === '' ? [] : ['Content-Type: application/pidf+xml']),
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');
  const bytes = Buffer.from(text).toString('latin1');
  return random.below(2) === 0 ? mutated(bytes, SIP_PIECES, [bytes], random) : bytes;
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
  `<presence ${NAMED} xml:lang='en'><show>away</show><status>out; round 1;</status><status xml:lang='cs'>Pryč 😀</status><priority>-5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:n' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><idle xmlns='urn:xmpp:idle:1' since='2023-11-14T20:00:00Z'/><delay xmlns='urn:xmpp:delay' stamp='2023-11-14T20:00:00Z'/><x xmlns='vcard-temp:x:update'><photo>1</photo></x></presence>`,
  `<presence ${NAMED}/>`,
  `<presence from='juliet@xmpp.example/balcony' to='zoe@sip.xmpp.example'><show>dnd</show></presence>`,
  `<presence ${NAMED} type='unavailable'><status>bye</status></presence>`,
  `<presence from='juliet@xmpp.example' to='zoe@sip.xmpp.example' type='subscribe'><nick xmlns='http://jabber.org/protocol/nick'>Jule</nick></presence>`,
  `<presence from='juliet@xmpp.example' to='zoe@sip.xmpp.example' type='subscribed'/>`,
  `<presence from='juliet@xmpp.example' to='zoe@sip.xmpp.example' type='unsubscribe'/>`,
  `<presence from='juliet@xmpp.example' to='zoe@sip.xmpp.example' type='unsubscribed'/>`,
  `<presence ${NAMED} type='probe'/>`,
  `<presence from='juliet@xmpp.example' to='zoe@sip.xmpp.example' type='error' id='subscribe'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>`,
  `<message from='juliet@xmpp.example' to='zoe@sip.xmpp.example' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='http://jabber.org/protocol/geoloc'><item id='1'><geoloc xmlns='http://jabber.org/protocol/geoloc'><lat>45.44</lat><lon>12.33</lon><accuracy>20</accuracy></geoloc></item></items></event></message>`,
  `<message from='juliet@xmpp.example' to='zoe@sip.xmpp.example' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='http://jabber.org/protocol/activity'><item id='1'><activity xmlns='http://jabber.org/protocol/activity'><relaxing><partying/></relaxing><text>x</text></activity></item></items></event></message>`,
  `<iq ${NAMED} type='result' id='GIVENIQ'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/><feature var='http://jabber.org/protocol/mood+notify'/></query></iq>`,
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
  const random = randomOf(caseSeed(seed, number));
  const named = (text: string): string =>
    text
      .replaceAll('NUMBER', `n${seed}x${number}`)
      .replaceAll('PORT', `${port}`)
      .replaceAll('SEQUENCE', `${number + 2}`);
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
