import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XmlStreamReader } from '../../src/cpim/xml.ts';
import { DialbackKeys } from '../../src/xmpp/s2s/dialback.ts';
import { IncomingNegotiation, type IncomingStep } from '../../src/xmpp/s2s/incoming-negotiation.ts';
import type { TlsProof } from '../../src/xmpp/s2s/policy.ts';
import { caseNumbers, FuzzRun } from './fuzz-run.ts';

/** Streams between servers, mutated, through reader and negotiation: nobody speaks who has not proved who he is. */
const RUN = new FuzzRun({ seed: 220, cases: 6_000 });

const HEADER = `<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='xmpp.example' to='sip.example' version='1.0'>`;
const STANZA = `<message from='juliet@xmpp.example' to='romeo@sip.example'><body>x</body></message>`;
const CORPUS: readonly string[] = [
  `${HEADER}<db:result from='xmpp.example' to='sip.example'>key</db:result>${STANZA}`,
  `${HEADER}<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>eG1wcC5leGFtcGxl</auth>`,
  `${HEADER}<db:verify from='xmpp.example' to='sip.example' id='1'>key</db:verify><db:verify from='xmpp.example' to='sip.example' id='1' type='valid'/>`,
  `${HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>${STANZA}`,
  `${HEADER}<enable xmlns='urn:xmpp:sm:3' resume='true'/><r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='4294967295'/><resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>`,
  `${HEADER}<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`,
];
const PIECES: readonly string[] = [
  'from', 'to', 'xmpp.example', 'sip.example', 'stranger.example', "type='valid'", "xmlns='jabber:server'", "xmlns='jabber:client'",
  "xmlns:db='x'", '<db:result', '<x:result', '</db:result>', 'key', '@', '/', '&#0;', '<!DOCTYPE a>', ']]>', "h='-1'", "h='1e9'",
  "mechanism='PLAIN'", '=', '====', '\uFFFF', '\u0000', 'xn--', "id=''", 'a'.repeat(12_000), '<a>'.repeat(70), HEADER, STANZA,
]; // prettier-ignore

const PROOFS: ReadonlyArray<TlsProof | undefined> = [
  undefined,
  { names: { dns: ['other.example'], srv: [], xmpp: [] } },
  { fault: 'self-signed', names: { dns: ['xmpp.example'], srv: [], xmpp: [] } },
];

function mutated(below: (bound: number) => number): string {
  let text = CORPUS[below(CORPUS.length)] ?? '';
  for (let times = below(5); times > 0; times -= 1) {
    const at = below(text.length + 1);
    const piece = PIECES[below(PIECES.length)] ?? '';
    switch (below(4)) {
      case 0:
        text = text.slice(0, at) + piece + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(at + 1 + below(30));
        break;
      case 2:
        text = text.slice(0, at) + String.fromCharCode(below(0x300)) + text.slice(at + 1);
        break;
      default: {
        const from = below(text.length);
        text = text.slice(0, at) + text.slice(from, from + below(200)) + text.slice(at);
      }
    }
  }
  return text;
}

/** Runs a case; what it breaks is thrown. */
function check(number: number): void {
  const below = caseNumbers(RUN.seed, number);
  const proof = PROOFS[below(PROOFS.length)];
  const negotiation = new IncomingNegotiation(
    {
      isOurs: (domain) => domain === 'sip.example',
      securityOf: (peer) => (peer === 'xmpp.example' ? 'dialback' : undefined),
      hasCertificate: true,
      keys: new DialbackKeys('not known to anybody'),
      newStreamId: () => 'an id',
    },
    proof,
  );
  const steps: IncomingStep[] = [];
  const reader = new XmlStreamReader(
    {
      onOpen: (name, attrs) => void steps.push(...negotiation.header(name, attrs)),
      onElement: (element) => void steps.push(...negotiation.element(element)),
      onClose: () => undefined,
      onError: () => undefined,
    },
    { unitsMax: 10_000, depthMax: 64 },
  );
  const text = Buffer.from(mutated(below)).toString();
  const cut = below(text.length + 1);
  reader.write(text.slice(0, cut));
  reader.write(text.slice(cut));
  reader.end();
  // No key was ever found to be good, and no certificate is: so nobody has proved anything.
  assert.equal(negotiation.isAuthenticated, false);
  for (const step of steps) {
    assert.ok(step.do !== 'stanza' && step.do !== 'proved' && step.do !== 'managed' && step.do !== 'resumed');
    if (step.do === 'check') assert.deepEqual(step.ends, { own: 'sip.example', peer: 'xmpp.example' });
    // A key that nobody could know is never called valid.
    if (step.do === 'write') assert.notEqual(step.element.attrs['type'], 'valid');
  }
}

test(`fuzz: streams between servers, ${RUN.title}`, () => {
  for (const number of RUN.numbers()) {
    try {
      check(number);
    } catch (thrown) {
      throw RUN.fault(number, 'a stream broke the rules', thrown);
    }
  }
});
