import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readXml } from '../../../../src/cpim/xml.ts';
import { DialbackKeys } from '../../../../src/xmpp/s2s/dialback.ts';
import { IncomingNegotiation } from '../../../../src/xmpp/s2s/incoming-negotiation.ts';
import { headerAttrs } from '../../../../src/xmpp/s2s/stream-elements.ts';

const HEADER = headerAttrs({ from: 'xmpp.example', to: 'sip.example' });
const AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";

const negotiation = (): IncomingNegotiation =>
  new IncomingNegotiation(
    {
      isOurs: (domain) => domain === 'sip.example',
      securityOf: () => 'certificate',
      hasCertificate: true,
      keys: new DialbackKeys('not known to anybody'),
      newStreamId: () => 'an id',
    },
    { names: { dns: ['xmpp.example'], srv: [], xmpp: [] } },
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
