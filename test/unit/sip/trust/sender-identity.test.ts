/** Who a sender is by what others assert about him, by what he prefers, and what of it he wishes to keep to himself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../../../src/cpim/address.ts';
import { GatewayError } from '../../../../src/core/errors.ts';
import { PeerTable, type PeerEvidence } from '../../../../src/core/peers.ts';
import type { DigestOutcome } from '../../../../src/sip/digest-check.ts';
import type { HeaderField, SipFlow } from '../../../../src/sip/message.ts';
import { proveSender, type SenderProofDeps } from '../../../../src/sip/sender-proof.ts';
import { aRequest } from '../../../support/sip-request.ts';
import { anAddress } from '../../../support/builders.ts';

const CORE = '192.0.2.50';
const LISTED = '198.51.100.7';
const peers = new PeerTable({
  domains: [
    { name: 'sip.example', trust: [] },
    { name: 'core.example', trust: [CORE] },
  ],
  links: {},
  peers: [
    { domain: 'listed.example', link: 'sip', trust: [LISTED] },
    { domain: 'proven.example', link: 'sip', trust: [] },
    { domain: 'asserting.example', link: 'sip', trust: [], identity: { asserted: 'believed' } },
    { domain: 'silent.example', link: 'sip', trust: [LISTED], identity: { asserted: 'none' } },
  ],
});
const ALIASES: ReadonlyMap<string, Address> = new Map([
  ['sales@sip.example', anAddress('alice@sip.example')],
  ['+15550001@sip.example', anAddress('alice@sip.example')],
  ['boss@sip.example', anAddress('bob@sip.example')],
]);
const CHALLENGE: DigestOutcome = { kind: 'challenge', headers: [] };

function deps(digest?: string): SenderProofDeps {
  return {
    isOwn: (domain) => peers.own(domain) !== undefined,
    mayActFor: (domain: string, evidence: PeerEvidence) => peers.mayActFor(domain, evidence),
    believes: (domain: string, evidence: PeerEvidence) => peers.believes(domain, evidence),
    trustedDomain: (evidence: PeerEvidence) => peers.domainActedFor(evidence),
    checkDigest: () => (digest === undefined ? CHALLENGE : { kind: 'proved', userKey: digest }),
    mainDomain: 'sip.example',
    userOf: (alias: Address) => ALIASES.get(alias),
  };
}

/** Who it is, in short: the address and what he keeps to himself; `?` for a challenge, else the status or code. */
function told(from: string, headers: readonly HeaderField[], flow: Partial<SipFlow>, digest?: string): string {
  try {
    const proof = proveSender(aRequest({ from: `${from};tag=1`, headers, flow, body: 'x' }), deps(digest));
    if (proof.kind === 'challenge') return '?';
    return `${proof.sender.address}${proof.privacy === undefined ? '' : ` ${proof.privacy.join(';')}`}`;
  } catch (thrown) {
    assert.ok(thrown instanceof GatewayError, String(thrown));
    return String(thrown.details.status ?? thrown.code);
  }
}

const at = (remoteAddress: string): Partial<SipFlow> => ({ remoteAddress });
const showing = (name: string): Partial<SipFlow> => ({
  remoteAddress: '203.0.113.1',
  transport: 'tls',
  peerNames: [name],
});
const pai = (...values: string[]): HeaderField[] => values.map((value) => ['P-Asserted-Identity', value]);
const ppi = (value: string): HeaderField[] => [['P-Preferred-Identity', value]];
const privacy = (value: string): HeaderField[] => [['Privacy', value]];
const NOBODY = '"Anonymous" <sip:anonymous@anonymous.invalid>';
const ALICE = '<sip:alice@sip.example>';

type Row = readonly [
  what: string,
  from: string,
  headers: readonly HeaderField[],
  flow: Partial<SipFlow>,
  who: string,
  digest?: string,
];
const ROWS: readonly Row[] = [
  // who is believed
  ['a core asserts its user', '<sip:x@core.example>', pai('<sip:dave@core.example>'), at(CORE), 'dave@core.example'],
  ['a peer from its addresses asserts its user', '<sip:x@listed.example>', pai('<sip:dave@listed.example>'), at(LISTED), 'dave@listed.example'],
  ['a peer with no more than a certificate asserts', '<sip:x@proven.example>', pai('<sip:dave@proven.example>'), showing('proven.example'), 'x@proven.example'],
  ['a peer that is believed asserts over its certificate', '<sip:x@asserting.example>', pai('<sip:dave@asserting.example>'), showing('asserting.example'), 'dave@asserting.example'],
  ['a peer that is not believed asserts from its addresses', '<sip:x@silent.example>', pai('<sip:dave@silent.example>'), at(LISTED), 'x@silent.example'],
  ['a peer that is believed asserts a user of ours', '<sip:x@asserting.example>', pai(ALICE), showing('asserting.example'), 'x@asserting.example'],
  ['a peer that is believed asserts a user of another peer', '<sip:x@asserting.example>', pai('<sip:paul@listed.example>'), showing('asserting.example'), 'x@asserting.example'],
  ['a stranger asserts', '<sip:x@stranger.example>', pai('<sip:dave@core.example>'), at('203.0.113.9'), 'sender-forbidden'],
  ['a user of ours asserts another', ALICE, pai('<sip:bob@sip.example>'), at('203.0.113.9'), 'alice@sip.example', 'alice@sip.example'],
  // two values
  ['a SIP address and a number', NOBODY, pai('<sip:dave@core.example>, <tel:+15559999>'), at(CORE), 'dave@core.example id'],
  ['the same in two fields', NOBODY, pai('<tel:+15559999>', '<sip:dave@core.example>'), at(CORE), 'dave@core.example id'],
  ['a number alone', '<sip:x@listed.example>', pai('<tel:+1-555-9999>'), at(LISTED), '+15559999@listed.example'],
  ['a number alone from who is not believed', '<sip:x@proven.example>', pai('<tel:+15559999>'), showing('proven.example'), 'x@proven.example'],
  ['two SIP addresses', '<sip:x@core.example>', pai('<sip:a@core.example>, <sip:b@core.example>'), at(CORE), 'request-malformed'],
  // what a user prefers
  ['an alias that is his', ALICE, ppi('<sip:sales@sip.example>'), {}, 'sales@sip.example', 'alice@sip.example'],
  ['a number that is his', ALICE, ppi('<tel:+1-555-0001>'), {}, '+15550001@sip.example', 'alice@sip.example'],
  ['himself', ALICE, ppi(ALICE), {}, 'alice@sip.example', 'alice@sip.example'],
  ['an alias of another', ALICE, ppi('<sip:boss@sip.example>'), {}, 'alice@sip.example', 'alice@sip.example'],
  ['another user', ALICE, ppi('<sip:bob@sip.example>'), {}, 'alice@sip.example', 'alice@sip.example'],
  ['a user of a peer', ALICE, ppi('<sip:paul@listed.example>'), {}, 'alice@sip.example', 'alice@sip.example'],
  ['what is no address', ALICE, ppi('<sip:%00@sip.example>'), {}, 'alice@sip.example', 'alice@sip.example'],
  // what he keeps to himself
  ['Privacy: id', ALICE, privacy('id'), {}, 'alice@sip.example id', 'alice@sip.example'],
  ['several kinds', ALICE, privacy('Header; user ;session'), {}, 'alice@sip.example header;user;session', 'alice@sip.example'],
  ['kinds in several fields', ALICE, [...privacy('id'), ...privacy('critical')], {}, 'alice@sip.example id;critical', 'alice@sip.example'],
  ['none', ALICE, privacy('none'), {}, 'alice@sip.example', 'alice@sip.example'],
  ['none beside another', ALICE, privacy('none;id'), {}, 'request-malformed', 'alice@sip.example'],
  ['an unknown kind', ALICE, privacy('cloak'), {}, 'alice@sip.example', 'alice@sip.example'],
  ['an unknown kind that is critical', ALICE, privacy('cloak;critical'), {}, '500', 'alice@sip.example'],
  ['known kinds that are critical', ALICE, privacy('session;critical'), {}, 'alice@sip.example session;critical', 'alice@sip.example'],
  // who does not say who he is
  ['a user of ours without a name, not yet proved', NOBODY, [], {}, '?'],
  ['a user of ours without a name, proved', NOBODY, [], {}, 'alice@sip.example id', 'alice@sip.example'],
  ['a user of a peer without a name', NOBODY, [], at(LISTED), 'anonymous@listed.example id'],
  ['a user of a core without a name', NOBODY, privacy('user'), at(CORE), 'anonymous@core.example user;id'],
]; // prettier-ignore
for (const [what, from, headers, flow, who, digest] of ROWS) {
  test(`sender: ${what}: ${who}`, () => {
    assert.equal(told(from, headers, { remoteAddress: '203.0.113.9', ...flow }, digest), who);
  });
}
