import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { receiptNames } from '../../src/app/receipt-names.ts';
import { GatewayError } from '../../src/core/errors.ts';
import { parseAddress } from '../../src/cpim/address.ts';
import { readXml, type XmlElement, writeXml, XmlStreamReader } from '../../src/cpim/xml.ts';
import { parseFlowId } from '../../src/sip/drachtio/flow-id.ts';
import { FlowTokens } from '../../src/sip/edge/flow-tokens.ts';
import { stunAnswer } from '../../src/sip/engine/stun.ts';
import { applyNaptrRule } from '../../src/sip/enum/naptr-rule.ts';
import { parseIdentity } from '../../src/sip/identity/identity-header.ts';
import { readFullForm } from '../../src/sip/identity/passport.ts';
import { itemFromHash, letterFromText, takenEntry } from '../../src/store/redis-entry.ts';
import { storedRecord } from '../../src/store/redis-replica.ts';
import { bindingsFromText } from '../../src/store/stored-binding.ts';
import { AccountSession } from '../../src/xmpp/account/account-session.ts';
import { ScramExchange } from '../../src/xmpp/account/scram.ts';
import type { AccountLinkEvents } from '../../src/xmpp/link-account.ts';
import { certificateNames, certifies } from '../../src/xmpp/s2s/certificate-names.ts';
import { OutgoingNegotiation, type OutgoingStep } from '../../src/xmpp/s2s/outgoing-negotiation.ts';
import { aMessage, anAddress } from '../support/builders.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { needs } from '../support/peers.ts';
import { testCertificate } from '../support/self-signed.ts';
import { caseNumbers, FuzzRun } from './fuzz-run.ts';

/**
 * What strangers, services, peers and whoever may write into the same Redis say to the parsers that no whole server is
 * driven through here: broken in every way, none throws, none believes what it must not, and none takes long.
 */
const RUN = new FuzzRun({ seed: 5389, cases: 1_500 });
const SLOW_MS = 1_000;

type Below = (bound: number) => number;
const PIECES: readonly string[] = [
  '', 'null', '{}', '[]', '0', '-1', '1e999', '9007199254740993', '__proto__', 'constructor', '"', "'", '\\', '\0', '\r\n', '.', ';', '=', '!',
  '(', ')', '[', '(a*)*', '{255}', '<', '>', '</a>', "xmlns=''", "type='result'", 'valid', 'h="x"', ' '.repeat(500), '%', '\uFFFD', 'A'.repeat(700),
]; // prettier-ignore

function broken(text: string, below: Below): string {
  let out = text;
  for (let times = 1 + below(3); times > 0; times -= 1) {
    const at = below(out.length + 1);
    const cut = [0, 1, below(20)][below(3)] ?? 0;
    const put = [PIECES[below(PIECES.length)] ?? '', String.fromCharCode(below(0x180)), out.slice(at, at + below(60))];
    out = out.slice(0, at) + (put[below(3)] ?? '') + out.slice(at + cut);
  }
  return out;
}

function brokenBytes(bytes: Uint8Array, below: Below): Buffer {
  const out = Buffer.from(bytes);
  for (let times = 1 + below(3); times > 0 && out.length > 0; times -= 1) out[below(out.length)] = below(256);
  return below(4) === 0 ? out.subarray(0, below(out.length + 1)) : out;
}

function pick<T>(from: readonly T[], below: Below): T {
  return from[below(from.length)] as T;
}

/** Only refusals of ours may come out. */
function refusing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof GatewayError) return undefined;
    throw thrown;
  }
}

// What is sealed or signed here.

const names = receiptNames(Buffer.alloc(32, 7));
const wanted = aMessage({ from: 'juliet@xmpp.example', wants: { as: 'stanza', id: 'x', delivered: true } });
const NAME = names.nameOf(wanted) ?? '';
const tokens = new FlowTokens(Buffer.alloc(32, 7));
const TOKEN = tokens.write({ flow: 'udp,192.0.2.1,5060', domain: 'sip.example' });

function seals(below: Below): void {
  const name = broken(NAME, below);
  const read = names.read(name, wanted.destination.address, wanted.source.address);
  assert.equal(read === undefined, name !== NAME);
  assert.equal(names.read(NAME, anAddress('mallory@sip.example'), wanted.source.address), undefined);
  const token = broken(TOKEN, below);
  if (tokens.read(token) !== undefined) assert.deepEqual(tokens.read(token), tokens.read(TOKEN));
  parseFlowId(broken('drachtio,a%20b,tcp,2001:db8::1,5060', below));
}

// Identity and ENUM.

const IDENTITIES = [
  'eyJhbGciOiJFUzI1NiJ9.eyJpYXQiOjF9.c2lnbg;info=<https://cert.example/a.pem>;alg=ES256',
  '..c2lnbg;info=<https://cert.example/a.pem>;alg=ES256;ppt="shaken"',
];
const RULES = [
  '!^.*$!sip:info@example.com!',
  '!^\\+441632960(.*)$!sip:\\1@example.com!i',
  '/(a|b)*[[:digit:]]{1,9}$/\\1x/',
];
const base64url = (text: string): string => Buffer.from(text).toString('base64url');

function numbers(below: Below): void {
  const value = parseIdentity(broken(pick(IDENTITIES, below), below));
  if (value !== undefined) assert.ok(value.info.length <= 1_024);
  readFullForm(
    base64url(broken('{"alg":"ES256","typ":"passport","x5u":"https://cert.example/a.pem"}', below)),
    base64url(broken('{"dest":{"uri":["sip:a@b"]},"iat":1443208345,"orig":{"tn":"12155551212"}}', below)),
  );
  const given = applyNaptrRule(broken(pick(RULES, below), below), '+441632960083');
  if (given !== undefined) assert.ok(given.length <= 1_024);
}

// STUN: never more bytes than twice those that came, and an address that others are not told.

const BINDING = Buffer.from('000100002112a442000102030405060708090a0b', 'hex');
const ATTRIBUTES = Buffer.concat([
  Buffer.from('0001000c2112a442000102030405060708090a0b80220004', 'hex'),
  Buffer.from('abcd0099'),
  Buffer.alloc(4),
]);

function stun(below: Below): void {
  const asked = brokenBytes(pick([BINDING, ATTRIBUTES], below), below);
  const answer = stunAnswer(asked, pick(['192.0.2.1', '2001:db8::1', '::ffff:192.0.2.1', 'fe80::1%eth0'], below), 5060);
  if (answer === undefined) return;
  assert.ok(answer.length <= asked.length * 3, `${answer.length} for ${asked.length} bytes`);
  assert.equal(answer.readUInt16BE(2), answer.length - 20);
}

// What stands in Redis.

const ENTRY = {
  id: 'm1', lane: 'a\nb', hop: 'link:office', owner: 'a', expiresAtMs: 1,
  operation: { ...wanted, op: 'message' },
}; // prettier-ignore

function records(below: Below): void {
  const text = broken(JSON.stringify(ENTRY), below);
  const row = refusing(() =>
    takenEntry(pick([[`m1`, text, '0', '0', '1', broken('17', below)], [text], text, null], below)),
  );
  if (row?.entry !== undefined) assert.match(row.entry.hop, /^(link|sip|user):/);
  letterFromText(broken(JSON.stringify({ position: 1, attempts: 1, code: 'x', reason: 'y', entry: ENTRY }), below));
  itemFromHash({ data: text, attempts: broken('1', below), notBefore: broken('5', below) }, false);
  storedRecord(broken('17 {"a":1}', below));
  const binding = { contact: 'sip:a@b', q: 1, expiresAtMs: 1, callId: 'c', cseq: 1, path: ['<sip:p;lr>'] };
  for (const { contact, path } of bindingsFromText(broken(JSON.stringify([binding, binding]), below))) {
    assert.equal(typeof contact, 'string');
    for (const route of path ?? []) assert.equal(typeof route, 'string');
  }
}

// A peer that we open a stream to: it is up only when the peer has said so of us.

const HEADER = `<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' id='1' from='xmpp.example' version='1.0'>`;
const FEATURES = `<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback><sm xmlns='urn:xmpp:sm:3'/><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>`;
const ANSWERS: readonly string[] = [
  `${HEADER}${FEATURES}<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`,
  `${HEADER}${FEATURES.replace(/<starttls[^>]*>/, '')}<db:result from='xmpp.example' to='sip.example' type='valid'/><enabled xmlns='urn:xmpp:sm:3' id='x' resume='true' max='60'/>`,
  `${HEADER}<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`,
  `${HEADER}<db:result from='xmpp.example' to='sip.example' type='error'><error type='cancel'><x xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>`,
  `${HEADER}<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><message from='a@xmpp.example' to='b@sip.example'/>`,
];

function peer(below: Below): void {
  const security = pick(['certificate', 'dialback-over-tls', 'dialback'] as const, below);
  const negotiation = new OutgoingNegotiation({
    own: 'sip.example',
    peer: 'xmpp.example',
    security,
    purpose: pick(['stanzas', 'verify'] as const, below),
    hasCertificate: true,
    keyFor: () => 'key',
  });
  const steps: OutgoingStep[] = [...negotiation.begin()];
  const text = broken(pick(ANSWERS, below), below);
  const reader = new XmlStreamReader(
    {
      onOpen: (name, attrs) => void steps.push(...negotiation.header(name, attrs)),
      onElement: (element) => void steps.push(...negotiation.element(element)),
      onClose: () => undefined,
      onError: () => undefined,
    },
    { unitsMax: 10_000, depthMax: 64 },
  );
  reader.write(Buffer.from(text).toString());
  for (const step of steps) {
    if (step.do === 'write') readXml(writeXml({ ...step.element, attrs: { 'xmlns:db': 'x', ...step.element.attrs } }));
    // Nothing here began TLS.
    if (step.do === 'up' || step.do === 'ask') assert.equal(security, 'dialback');
    if (step.do === 'stanza') assert.fail('a stanza of one who was not believed');
    if (step.do === 'fail') assert.ok(step.reason.length < 500, 'a reason of any length');
  }
}

// A service that has an account of a user.

const INWARD: readonly string[] = [
  `<iq type='set' id='p1'><query xmlns='jabber:iq:roster'><item jid='juliet@far.example' subscription='both' name='J'><group>g</group></item></query></iq>`,
  `<message from='liddell@chat.example' to='liddell@chat.example/x'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='juliet@far.example/x' to='liddell@chat.example'><body>b</body></message></forwarded></received></message>`,
  `<presence from='juliet@far.example/x'><show>away</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>`,
  `<presence from='juliet@far.example' type='subscribe'/>`,
  `<iq type='result' id='roster-1'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>`,
];

function service(below: Below): void {
  const sent: XmlElement[] = [];
  let events: AccountLinkEvents | undefined;
  const log = new LogRecorder();
  const session = new AccountSession({
    link: {
      name: 'public/alice@sip.example',
      isResumed: false,
      start: (own) => {
        events = own;
        return Promise.resolve();
      },
      send: () => Promise.resolve(),
      post: (stanza) => void sent.push(stanza),
      broadcast: (stanza) => void sent.push(stanza),
      state: () => ({ at: 'up', sinceMs: 0, unconfirmed: 0 }),
      stop: () => Promise.resolve(),
    },
    user: parseAddress('alice@sip.example')!,
    jid: { local: 'liddell', domain: 'chat.example' },
    domains: { domain: 'sip.example', name: 'sip.example' },
    contacts: pick(['anyone', 'roster'] as const, below),
    mayBeSeenBy: () => true,
    clock: new FakeClock(),
    log,
  });
  const inward: XmlElement[] = [];
  void session.start({
    onStanza: (stanza) => void inward.push(stanza),
    onUp: () => undefined,
    onDown: () => undefined,
    onRefused: () => undefined,
  });
  events?.onUp();
  for (let times = 0; times < 3; times += 1) {
    const reader = new XmlStreamReader({
      onOpen: () => undefined,
      onElement: (stanza) => void events?.onStanza(stanza),
      onClose: () => undefined,
      onError: () => undefined,
    });
    const header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    reader.write(Buffer.from(header + broken(pick(INWARD, below), below)).toString());
  }
  for (const stanza of [...inward, ...sent]) readXml(writeXml(stanza));
  for (const { attrs } of inward) assert.equal(attrs['to'], 'alice@sip.example');
}

async function challenges(below: Below): Promise<void> {
  const exchange = new ScramExchange('SCRAM-SHA-256', 'user', 'pencil', 'rOprNGfwEbeRWgbNEkqO');
  // With too few rounds, so that no key is derived.
  const challenge = broken(
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=409',
    below,
  );
  if (/i=[0-9]{4}/.test(challenge)) return;
  await assert.rejects(exchange.final(challenge), GatewayError);
  assert.equal(exchange.isProof(broken('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=', below)), false);
}

const PARSERS = { seals, numbers, stun, records, peer, service, challenges } as const;

for (const [name, check] of Object.entries(PARSERS)) {
  test(`fuzz: hostile ${name}, ${RUN.title}`, async () => {
    for (const number of RUN.numbers()) {
      try {
        const beganMs = performance.now();
        await check(caseNumbers(RUN.seed, number));
        assert.ok(performance.now() - beganMs < SLOW_MS, 'takes long');
      } catch (thrown) {
        throw RUN.fault(number, name, thrown);
      }
    }
  });
}

test(`fuzz: hostile certificates, ${RUN.title}`, needs('openssl'), () => {
  const { certificate } = testCertificate(['DNS:xmpp.example', 'otherName:1.3.6.1.5.5.7.8.5;UTF8:im.example']);
  const der = new X509Certificate(certificate).raw;
  assert.deepEqual(certificateNames(der), { dns: ['xmpp.example'], srv: [], xmpp: ['im.example'] });
  for (const number of RUN.numbers()) {
    try {
      const names = certificateNames(brokenBytes(der, caseNumbers(RUN.seed, number)));
      assert.ok(!certifies(names, 'victim.example') && names.dns.length <= 1_000);
    } catch (thrown) {
      throw RUN.fault(number, 'certificates', thrown);
    }
  }
});
