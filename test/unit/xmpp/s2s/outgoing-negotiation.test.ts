import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml, writeXml } from '../../../../src/cpim/xml.ts';
import {
  OutgoingNegotiation,
  type OutgoingOptions,
  type OutgoingStep,
} from '../../../../src/xmpp/s2s/outgoing-negotiation.ts';
import type { TlsProof } from '../../../../src/xmpp/s2s/policy.ts';
import { headerAttrs } from '../../../../src/xmpp/s2s/stream-elements.ts';

const OPTIONS: OutgoingOptions = {
  own: 'sip.example',
  peer: 'xmpp.example',
  security: 'certificate',
  purpose: 'stanzas',
  hasCertificate: true,
  keyFor: (id) => `key of ${id}`,
};
const GOOD: TlsProof = { names: { dns: ['xmpp.example'], srv: [], xmpp: [] } };
const SELF_SIGNED: TlsProof = { ...GOOD, fault: 'DEPTH_ZERO_SELF_SIGNED_CERT' };
const OTHER: TlsProof = { names: { dns: ['other.example'], srv: [], xmpp: [] } };

const STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const EXTERNAL = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const DIALBACK = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
const OLD_DIALBACK = "<dialback xmlns='urn:xmpp:features:dialback'/>";
const BIDI = "<bidi xmlns='urn:xmpp:features:bidi'/>";
const SM = "<sm xmlns='urn:xmpp:sm:3'/>";
const SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
const PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const VALID = "<db:result xmlns:db='jabber:server:dialback' from='xmpp.example' to='sip.example' type='valid'/>";

/** What comes in: `header`, `tls`, or an element; features by their children. */
type Input =
  | { readonly header: Readonly<Record<string, string>> }
  | { readonly tls: TlsProof }
  | { readonly features: string }
  | { readonly element: string };

const header: Input = { header: headerAttrs({ from: 'xmpp.example', to: 'sip.example', id: 's1' }) };
const features = (...children: readonly string[]): Input => ({ features: children.join('') });
const element = (xml: string): Input => ({ element: xml });

/** The steps in short. */
function short(step: OutgoingStep): string {
  switch (step.do) {
    case 'write':
      return writeXml(step.element).replaceAll('"', "'");
    case 'up':
      return `up${step.isBidi ? ' bidi' : ''}${step.mayMultiplex ? ' multiplex' : ''}${step.sm === undefined ? '' : ` sm ${step.sm.id ?? '-'}`}${step.resumed === undefined ? '' : ` resumed ${step.resumed}`}`;
    case 'fail':
      return `fail ${step.condition ?? '-'}${step.isRefusal ? ' refusal' : ''}: ${step.reason}`;
    case 'ask':
    case 'open':
    case 'secure':
    case 'stanza':
      return step.do;
  }
}

function run(inputs: readonly Input[], options: Partial<OutgoingOptions>, proof?: TlsProof): string[] {
  const negotiation = new OutgoingNegotiation({ ...OPTIONS, ...options }, proof);
  const steps = [...negotiation.begin()];
  for (const input of inputs) {
    if ('header' in input) steps.push(...negotiation.header('stream:stream', input.header));
    else if ('tls' in input) steps.push(...negotiation.secured(input.tls));
    else if ('features' in input) {
      const xml = `<stream:features xmlns:stream='http://etherx.jabber.org/streams'>${input.features}</stream:features>`;
      steps.push(...negotiation.element(readXml(xml)));
    } else steps.push(...negotiation.element(readXml(input.element)));
  }
  return steps.map(short);
}

const AUTH = `<auth ${SASL} mechanism='EXTERNAL'>c2lwLmV4YW1wbGU=</auth>`;
const RESULT = "<db:result from='sip.example' to='xmpp.example'>key of s1</db:result>";
const toTls = [header, features(STARTTLS), element(PROCEED)];

const ROWS: ReadonlyArray<{
  readonly what: string;
  readonly inputs: readonly Input[];
  readonly options?: Partial<OutgoingOptions>;
  readonly proof?: TlsProof;
  readonly want: readonly string[];
}> = [
  {
    what: 'STARTTLS, EXTERNAL, acknowledgements',
    inputs: [
      ...toTls,
      { tls: GOOD },
      header,
      features(EXTERNAL, DIALBACK, BIDI),
      element(`<success ${SASL}/>`),
      header,
      features(SM, DIALBACK),
      element("<enabled xmlns='urn:xmpp:sm:3' id='again' resume='true'/>"),
    ],
    want: [
      'open',
      STARTTLS,
      'secure',
      'open',
      "<bidi xmlns='urn:xmpp:bidi'/>",
      AUTH,
      'open',
      "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
      'up bidi multiplex sm again',
    ],
  },
  {
    what: 'a lost stream is taken up again',
    options: { resume: { id: 'again', received: 7 } },
    proof: GOOD,
    inputs: [
      header,
      features(EXTERNAL),
      element(`<success ${SASL}/>`),
      header,
      features(SM),
      element("<resumed xmlns='urn:xmpp:sm:3' previd='again' h='3'/>"),
    ],
    want: ['open', AUTH, 'open', "<resume xmlns='urn:xmpp:sm:3' previd='again' h='7'/>", 'up sm again resumed 3'],
  },
  {
    what: 'a lost stream is not known any more',
    options: { resume: { id: 'again', received: 7 } },
    proof: GOOD,
    inputs: [
      header,
      features(EXTERNAL),
      element(`<success ${SASL}/>`),
      header,
      features(SM),
      element("<failed xmlns='urn:xmpp:sm:3'/>"),
      element("<enabled xmlns='urn:xmpp:sm:3'/>"),
    ],
    want: [
      'open',
      AUTH,
      'open',
      "<resume xmlns='urn:xmpp:sm:3' previd='again' h='7'/>",
      "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
      'up sm -',
    ],
  },
  {
    what: 'EXTERNAL is refused: dialback',
    proof: GOOD,
    inputs: [
      header,
      features(EXTERNAL, DIALBACK),
      element(`<failure ${SASL}><not-authorized/></failure>`),
      element(VALID),
    ],
    want: ['open', AUTH, RESULT, 'up multiplex'],
  },
  {
    what: 'without a certificate of our own: dialback',
    options: { hasCertificate: false },
    proof: GOOD,
    inputs: [header, features(EXTERNAL, OLD_DIALBACK), element(VALID)],
    want: ['open', RESULT, 'up'],
  },
  {
    what: 'dialback in the clear where the policy lets it',
    options: { security: 'dialback' },
    inputs: [header, features(DIALBACK), element(VALID)],
    want: ['open', RESULT, 'up multiplex'],
  },
  {
    what: 'TLS is taken where it is offered, whatever the policy',
    options: { security: 'dialback' },
    inputs: [header, features(STARTTLS, DIALBACK)],
    want: ['open', STARTTLS],
  },
  {
    what: 'TLS that was offered and then refused ends it',
    options: { security: 'dialback' },
    inputs: [header, features(STARTTLS, DIALBACK), element("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")],
    want: ['open', STARTTLS, 'fail -: the peer offers TLS and then refuses it'],
  },
  ...(['certificate', 'dialback-over-tls'] as const).map((security) => ({
    what: `an offer of STARTTLS that was cut out is no way down from ${security}`,
    options: { security },
    inputs: [header, features(EXTERNAL, DIALBACK)],
    want: ['open', `fail policy-violation refusal: xmpp.example: no TLS, which \`security: ${security}\` asks for`],
  })),
  {
    what: 'a certificate for another domain',
    inputs: [...toTls, { tls: OTHER }],
    want: [
      'open',
      STARTTLS,
      'secure',
      'fail policy-violation refusal: xmpp.example: its certificate is not for xmpp.example',
    ],
  },
  {
    what: 'a certificate of nobody we trust, by direct TLS',
    inputs: [],
    proof: SELF_SIGNED,
    want: [
      'fail policy-violation refusal: xmpp.example: its certificate is not to be trusted (DEPTH_ZERO_SELF_SIGNED_CERT): nobody but itself has signed it, and `ca` of the link does not have it',
    ],
  },
  {
    what: 'any certificate where dialback says who it is',
    options: { security: 'dialback-over-tls', hasCertificate: false },
    proof: SELF_SIGNED,
    inputs: [header, features(DIALBACK), element(VALID)],
    want: ['open', RESULT, 'up multiplex'],
  },
  {
    what: 'a verdict of another domain counts for nothing',
    options: { security: 'dialback' },
    inputs: [header, features(DIALBACK), element(VALID.replace('xmpp.example', 'evil.example'))],
    want: ['open', RESULT],
  },
  {
    what: 'an invalid key',
    options: { security: 'dialback' },
    inputs: [header, features(DIALBACK), element(VALID.replace('valid', 'invalid'))],
    want: [
      'open',
      RESULT,
      'fail - refusal: the peer found our dialback key invalid: another server answers for our domain, or one with another secret',
    ],
  },
  ...Object.entries({
    'not-authorized':
      'the peer does not take our certificate (not-authorized): it must be for sip.example, good for clients too, in force, and of an authority that the peer believes',
    'policy-violation':
      'the peer does not take us (policy-violation): it wants TLS or a better certificate, or does not speak with sip.example; ask its operator',
    forbidden: 'the peer does not speak with sip.example (forbidden): its operator must let it',
    'item-not-found':
      'the server that answers does not serve xmpp.example (item-not-found): is the domain, or its `nextHop`, right?',
    'remote-server-not-found':
      'the peer could not check our dialback key (remote-server-not-found): it does not find or reach us; see to the SRV records of sip.example, and that it may connect to us',
  }).map(([condition, reason]) => ({
    what: `a key that is not taken: ${condition}`,
    options: { security: 'dialback' } as const,
    inputs: [
      header,
      features(DIALBACK),
      element(
        VALID.replace(
          "type='valid'/>",
          `type='error'><error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>`,
        ),
      ),
    ],
    want: ['open', RESULT, `fail - refusal: ${reason}`],
  })),
  {
    what: 'another domain answers',
    inputs: [{ header: headerAttrs({ from: 'evil.example', id: 's1' }) }],
    want: ['open', 'fail invalid-from refusal: what answers there is another domain than xmpp.example'],
  },
  {
    what: 'no way to say who we are',
    options: { hasCertificate: false },
    proof: GOOD,
    inputs: [{ header: { ...headerAttrs({ from: 'xmpp.example', id: 's1' }), 'xmlns:db': '' } }, features(EXTERNAL)],
    want: ['open', 'fail unsupported-feature refusal: the peer offers no way to prove who we are'],
  },
  {
    what: 'a question about a key needs TLS, and no proof of ours',
    options: { purpose: 'verify', security: 'dialback-over-tls' },
    inputs: [...toTls, { tls: SELF_SIGNED }, header, features(EXTERNAL, DIALBACK)],
    want: ['open', STARTTLS, 'secure', 'open', 'ask'],
  },
  {
    what: 'a stanza before its time',
    options: { security: 'dialback' },
    inputs: [header, features(DIALBACK, BIDI), element("<message xmlns='jabber:server' from='a@xmpp.example'/>")],
    want: [
      'open',
      "<bidi xmlns='urn:xmpp:bidi'/>",
      RESULT,
      'fail not-authorized: the peer sent a stanza before it was asked to',
    ],
  },
];

for (const { what, inputs, options, proof, want } of ROWS) {
  test(`outgoing negotiation: ${what}`, () => {
    assert.deepEqual(run(inputs, options ?? {}, proof), want);
  });
}
