import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Privacy } from '../../../../src/cpim/privacy.ts';
import { PeerTable } from '../../../../src/core/peers.ts';
import type { HeaderField, SipOutgoing } from '../../../../src/sip/message.ts';
import { PeerRequests } from '../../../../src/sip/trust/peer-requests.ts';
import { anAddress } from '../../../support/builders.ts';

const peers = new PeerTable({
  domains: [{ name: 'core.example', trust: ['192.0.2.1'], nextHop: 'sip:192.0.2.1' }, { name: 'sip.example', trust: [] }],
  links: {},
  peers: [
    { domain: 'plain.example', link: 'sip', trust: [] },
    { domain: 'friend.example', link: 'sip', trust: [], identity: { asserted: 'both' } },
    { domain: 'tls.example', link: 'sip', trust: [], security: 'tls' },
    { domain: 'mutual.example', link: 'sip', trust: [], security: 'mutual-tls', nextHop: 'sip:gw.mutual.example;transport=tls' },
  ],
}); // prettier-ignore

async function sent(domain: string, outgoing: Partial<SipOutgoing>, privacy?: Privacy): Promise<SipOutgoing> {
  const requests: SipOutgoing[] = [];
  const out = new PeerRequests({
    request: (request) => {
      requests.push(request);
      return Promise.reject(new Error('far enough'));
    },
    peers,
    numberOf: (user) => (user === 'alice@sip.example' ? '+15550001' : undefined),
  });
  const onBehalfOf = { author: anAddress('alice@sip.example'), ...(privacy === undefined ? {} : { privacy }) };
  await assert.rejects(
    out.request(domain, { method: 'MESSAGE', uri: `sip:x@${domain}`, headers: [], ...outgoing }, onBehalfOf),
  );
  const [request] = requests;
  assert.ok(request !== undefined);
  return request;
}

const GIVEN: HeaderField[] = [
  ['P-Asserted-Identity', '<sip:alice@sip.example>'],
  ['P-Asserted-Identity', '<tel:+15550001>'],
];
const TOLD: ReadonlyArray<readonly [domain: string, privacy: Privacy | undefined, headers: readonly HeaderField[]]> = [
  ['plain.example', undefined, []],
  ['plain.example', ['header'], []],
  ['plain.example', ['id'], [['Privacy', 'id']]],
  ['plain.example', ['user', 'critical'], [['Privacy', 'id']]],
  ['friend.example', undefined, GIVEN],
  ['friend.example', ['user', 'critical'], [...GIVEN, ['Privacy', 'user;critical']]],
  ['core.example', ['id'], [...GIVEN, ['Privacy', 'id']]],
];
for (const [domain, privacy, headers] of TOLD) {
  test(`peers are told: ${domain}, ${privacy?.join(';') ?? 'no wish'}: ${headers.map(([name]) => name).join(', ') || 'nothing'}`, async () => {
    assert.deepEqual((await sent(domain, {}, privacy)).headers, headers);
  });
}

const WAYS: ReadonlyArray<readonly [what: string, domain: string, outgoing: Partial<SipOutgoing>, nextHop: string | undefined]> = [
  ['a Contact of a peer without a wish', 'plain.example', { uri: 'sip:x@192.0.2.9' }, undefined],
  ['a Contact without TLS', 'tls.example', { uri: 'sip:x@192.0.2.9' }, 'sip:tls.example;transport=tls'],
  ['a Contact with TLS', 'tls.example', { uri: 'sip:x@a.tls.example;transport=TLS' }, undefined],
  ['a route without TLS', 'mutual.example', { uri: 'sips:x@y', headers: [['Route', '<sip:192.0.2.9;lr>']] }, 'sip:gw.mutual.example;transport=tls'],
  ['a next hop without TLS', 'mutual.example', { nextHop: { uri: 'sip:192.0.2.9' } }, 'sip:gw.mutual.example;transport=tls'],
]; // prettier-ignore
for (const [what, domain, outgoing, nextHop] of WAYS) {
  test(`peers that must have TLS: ${what} of ${domain} leads to ${nextHop ?? 'itself'}`, async () => {
    const request = await sent(domain, outgoing);
    assert.deepEqual(request.nextHop, nextHop === undefined ? outgoing.nextHop : { uri: nextHop });
    if (nextHop !== undefined) assert.equal(request.expectNames?.[0], domain);
  });
}

test('peers that must have TLS: a flow is theirs only where the certificate says so', async () => {
  const request = await sent('mutual.example', { nextHop: { flow: 'tls,1' } });
  assert.deepEqual(request.expectNames, ['mutual.example', 'gw.mutual.example']);
});
