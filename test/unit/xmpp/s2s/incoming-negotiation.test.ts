import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml } from '../../../../src/cpim/xml.ts';
import { DialbackKeys } from '../../../../src/xmpp/s2s/dialback.ts';
import { IncomingNegotiation } from '../../../../src/xmpp/s2s/incoming-negotiation.ts';
import type { TlsProof } from '../../../../src/xmpp/s2s/policy.ts';
import { headerAttrs } from '../../../../src/xmpp/s2s/stream-elements.ts';

const HEADER = headerAttrs({ from: 'xmpp.example', to: 'sip.example' });
const GOOD: TlsProof = { names: { dns: ['xmpp.example'], srv: [], xmpp: [] } };
const AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";

const negotiation = (proof: TlsProof = GOOD): IncomingNegotiation =>
  new IncomingNegotiation(
    {
      isOurs: (domain) => domain === 'sip.example',
      securityOf: () => 'certificate',
      hasCertificate: true,
      keys: new DialbackKeys('not known to anybody'),
      newStreamId: () => 'an id',
    },
    proof,
  );

// A pair that was waiting writes as soon as it hears of it, which before the header ended the stream.
test('incoming negotiation: that a peer is proved is told after the header of the stream that it opens anew', () => {
  const incoming = negotiation();
  incoming.header('stream:stream', HEADER);
  incoming.element(readXml("<bidi xmlns='urn:xmpp:bidi'/>"));
  assert.deepEqual(
    incoming.element(readXml(AUTH)).map((step) => step.do),
    ['write', 'restart'],
  );
  const steps = incoming.header('stream:stream', HEADER);
  assert.deepEqual(
    steps.map((step) => step.do),
    ['open', 'write', 'proved'],
  );
  assert.deepEqual(steps[2], {
    do: 'proved',
    ends: { own: 'sip.example', peer: 'xmpp.example' },
    by: 'certificate',
    isBidi: true,
  });
});

test('incoming negotiation: a stream that is proved is not opened anew between other ends', () => {
  const incoming = negotiation();
  incoming.header('stream:stream', HEADER);
  incoming.element(readXml(AUTH));
  const steps = incoming.header('stream:stream', { ...HEADER, from: 'other.example' });
  assert.deepEqual(
    steps.map((step) => step.do),
    ['open', 'fail'],
  );
});

// Whoever runs the server learns nothing of it otherwise: the peer is told, and goes.
for (const { what, proof, reason } of [
  {
    what: 'of an authority that is not believed',
    proof: { ...GOOD, fault: 'SELF_SIGNED_CERT_IN_CHAIN' },
    reason: 'its certificate is not to be trusted (SELF_SIGNED_CERT_IN_CHAIN): `ca` of the link has not its root',
  },
  {
    what: 'for another domain',
    proof: { names: { dns: ['other.example'], srv: [], xmpp: [] } },
    reason: 'its certificate is not for xmpp.example',
  },
]) {
  test(`incoming negotiation: that a certificate is ${what} is told with the header, and again with a key`, () => {
    const incoming = negotiation(proof);
    const unproved = { do: 'unproved', peer: 'xmpp.example', reason } as const;
    assert.deepEqual(
      incoming.header('stream:stream', HEADER).filter((step) => step.do === 'unproved'),
      [unproved],
    );
    const key = "<db:result xmlns:db='jabber:server:dialback' from='xmpp.example' to='sip.example'>key</db:result>";
    assert.deepEqual(incoming.element(readXml(key)).slice(1), [unproved]);
  });
}

const KEY = readXml(
  "<db:result xmlns:db='jabber:server:dialback' from='xmpp.example' to='sip.example'>key</db:result>",
);
const ENDS = { own: 'sip.example', peer: 'xmpp.example' };

function inTheClear(): IncomingNegotiation {
  let ids = 0;
  const incoming = new IncomingNegotiation({
    isOurs: (domain) => domain === 'sip.example',
    securityOf: () => 'dialback',
    hasCertificate: true,
    keys: new DialbackKeys('not known to anybody'),
    newStreamId: () => `id-${++ids}`,
  });
  incoming.header('stream:stream', HEADER);
  return incoming;
}

test('incoming negotiation: what is found of a key from before TLS proves nothing after it, nor of a later key', () => {
  const incoming = inTheClear();
  assert.deepEqual(incoming.element(KEY), [{ do: 'check', ends: ENDS, streamId: 'id-1', key: 'key' }]);
  incoming.element(readXml("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
  assert.deepEqual(incoming.answered(ENDS, 'id-1', 'valid'), []);
  incoming.secured({ names: { dns: [], srv: [], xmpp: [] } });
  incoming.header('stream:stream', HEADER);
  assert.deepEqual(incoming.element(KEY), [{ do: 'check', ends: ENDS, streamId: 'id-2', key: 'key' }]);
  assert.deepEqual(incoming.answered(ENDS, 'id-1', 'valid'), []);
  assert.equal(incoming.isAuthenticated, false);
  incoming.answered(ENDS, 'id-2', 'valid');
  assert.equal(incoming.isAuthenticated, true);
});

test("incoming negotiation: a stranger has the peer's server asked so often, and no more", () => {
  const incoming = inTheClear();
  for (let times = 1; times < 16; times += 1) {
    assert.deepEqual(
      incoming.element(KEY).map((step) => step.do),
      ['check'],
    );
    assert.deepEqual(
      incoming.answered(ENDS, 'id-1', 'invalid').map((step) => step.do),
      ['write'],
    );
  }
  incoming.element(KEY);
  const last = incoming.answered(ENDS, 'id-1', 'error', 'remote-server-timeout').at(-1);
  assert.ok(last?.do === 'fail' && last.condition === 'policy-violation');
  assert.deepEqual(incoming.element(KEY), []);
});
