import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../../src/core/errors.ts';
import type { PeerEvidence } from '../../../src/core/peers.ts';
import type { DigestOutcome } from '../../../src/sip/digest-check.ts';
import type { HeaderField, SipFlow } from '../../../src/sip/message.ts';
import { proveSender, proveWatcher, type SenderProof, type SenderProofDeps } from '../../../src/sip/sender-proof.ts';
import { aRequest } from '../../support/sip-request.ts';

const CORE = '192.0.2.50';
const PARTNER = '198.51.100.7';
const CHALLENGE: DigestOutcome = { kind: 'challenge', headers: [['WWW-Authenticate', 'Digest x=y']] };

function deps(digest: DigestOutcome = CHALLENGE): SenderProofDeps {
  const mayActFor = (domain: string, { address, peerNames = [] }: PeerEvidence): boolean =>
    (domain === 'core.example' && address === CORE) ||
    (domain === 'partner.example' && (address === PARTNER || peerNames.includes('partner.example')));
  return { isOwn: (domain) => ['sip.example', 'core.example'].includes(domain), mayActFor, checkDigest: () => digest };
}

type Case = {
  readonly name: string;
  readonly from: string;
  readonly headers?: readonly HeaderField[];
  readonly flow?: Partial<SipFlow>;
  readonly digest?: DigestOutcome;
};

function prove({ from, headers = [], flow = {}, digest }: Case): SenderProof {
  return proveSender(aRequest({ from: `${from};tag=1`, headers, flow, body: 'x' }), deps(digest));
}

const proved = (userKey: string): DigestOutcome => ({ kind: 'proved', userKey });
const ALICE = '<sip:alice@sip.example>';
const from = (address: string): Partial<SipFlow> => ({ remoteAddress: address });

const PROVED: ReadonlyArray<
  Case & { readonly sender: string; readonly origin: 'local' | 'core' | 'sip-peer'; readonly instance?: string }
> = [
  {
    name: 'a user of ours with digest',
    from: ALICE,
    digest: proved('alice@sip.example'),
    sender: 'alice@sip.example',
    origin: 'local',
  },
  {
    name: 'capitals make no other user',
    from: '<sip:Alice@sip.example>',
    digest: proved('alice@sip.example'),
    sender: 'Alice@sip.example',
    origin: 'local',
  },
  {
    name: 'a GRUU in From',
    from: '<sip:alice@sip.example;gr=desk>',
    digest: proved('alice@sip.example'),
    sender: 'alice@sip.example',
    origin: 'local',
    instance: 'desk',
  },
  {
    name: 'a GRUU beside From',
    from: '<sip:alice@sip.example>;gr=desk',
    digest: proved('alice@sip.example'),
    sender: 'alice@sip.example',
    origin: 'local',
    instance: 'desk',
  },
  {
    name: 'a user behind our trusted core',
    from: '<sip:carol@core.example>',
    flow: from(CORE),
    sender: 'carol@core.example',
    origin: 'core',
  },
  {
    name: 'the core asserts another than From',
    from: '<sip:carol@core.example>',
    headers: [['P-Asserted-Identity', '"Dave" <sip:dave@core.example>']],
    flow: from(CORE),
    sender: 'dave@core.example',
    origin: 'core',
  },
  {
    name: 'the core asserts who is anonymous in From',
    from: '"Anonymous" <sip:anonymous@anonymous.invalid>',
    headers: [['P-Asserted-Identity', '<sip:dave@core.example>, <tel:+1555>']],
    flow: from(CORE),
    sender: 'dave@core.example',
    origin: 'core',
  },
  {
    name: 'a peer by its address',
    from: '<sip:paul@partner.example>',
    flow: from(PARTNER),
    sender: 'paul@partner.example',
    origin: 'sip-peer',
  },
  {
    name: 'a peer by its certificate',
    from: '<sip:paul@partner.example>',
    flow: { peerNames: ['partner.example'] },
    sender: 'paul@partner.example',
    origin: 'sip-peer',
  },
  {
    name: 'an asserted identity of a domain that may not be spoken for is passed over',
    from: '<sip:paul@partner.example>',
    headers: [['P-Asserted-Identity', '<sip:alice@sip.example>']],
    flow: from(PARTNER),
    sender: 'paul@partner.example',
    origin: 'sip-peer',
  },
  {
    name: 'an asserted identity from a phone is passed over',
    from: ALICE,
    headers: [['P-Asserted-Identity', '<sip:dave@core.example>']],
    digest: proved('alice@sip.example'),
    sender: 'alice@sip.example',
    origin: 'local',
  },
  {
    name: 'a display name says nothing',
    from: '"<sip:dave@core.example>;x\\\0" <sip:alice@sip.example>',
    digest: proved('alice@sip.example'),
    sender: 'alice@sip.example',
    origin: 'local',
  },
];
for (const row of PROVED) {
  test(`sender proved: ${row.name}`, () => {
    const proof = prove(row);
    assert.equal(proof.kind, 'proved');
    assert.deepEqual(
      proof.sender,
      row.instance === undefined ? { address: row.sender } : { address: row.sender, instance: row.instance },
    );
    const origins = {
      local: { kind: 'local', user: row.sender },
      core: { kind: 'local', user: row.sender, isFromCore: true },
      'sip-peer': { kind: 'sip-peer', domain: row.sender.slice(row.sender.indexOf('@') + 1) },
    };
    assert.deepEqual(proof.origin, origins[row.origin]);
  });
}

const CHALLENGED: readonly Case[] = [
  { name: 'a user of ours without proof', from: ALICE },
  { name: 'a user of our core from elsewhere', from: '<sip:carol@core.example>' },
  { name: 'a user of ours from the address of a peer', from: ALICE, flow: from(PARTNER) },
  { name: 'a user of another domain of ours from the core', from: ALICE, flow: from(CORE) },
];
for (const row of CHALLENGED) {
  test(`sender challenged: ${row.name}`, () => assert.deepEqual(prove(row), CHALLENGE));
}

const REFUSED: ReadonlyArray<Case & { readonly code: ErrorCode }> = [
  {
    name: 'another user of ours',
    from: '<sip:bob@sip.example>',
    digest: proved('alice@sip.example'),
    code: 'sender-forbidden',
  },
  { name: 'a stranger', from: '<sip:eve@stranger.example>', code: 'sender-forbidden' },
  {
    name: 'a stranger with a password of ours',
    from: '<sip:eve@stranger.example>',
    digest: proved('alice@sip.example'),
    code: 'sender-forbidden',
  },
  { name: 'the user of a peer from elsewhere', from: '<sip:paul@partner.example>', code: 'sender-forbidden' },
  {
    name: 'the user of a peer from our core',
    from: '<sip:paul@partner.example>',
    flow: from(CORE),
    code: 'sender-forbidden',
  },
  {
    name: 'a peer over a certificate for another name',
    from: '<sip:paul@partner.example>',
    flow: { peerNames: ['evil.example'] },
    code: 'sender-forbidden',
  },
  { name: 'the user of an XMPP domain over SIP', from: '<sip:juliet@xmpp.example>', code: 'sender-forbidden' },
  { name: 'an IP address as domain', from: '<sip:alice@192.0.2.99>', code: 'sender-forbidden' },
  { name: 'a telephone number', from: '<tel:+15551234>', code: 'sender-forbidden' },
  { name: 'somebody anonymous', from: '"Anonymous" <sip:anonymous@anonymous.invalid>', code: 'sender-forbidden' },
  {
    name: 'NUL in the user part',
    from: '<sip:alice%00@sip.example>',
    digest: proved('alice@sip.example'),
    code: 'address-malformed',
  },
  {
    name: 'two asserted SIP identities',
    from: ALICE,
    headers: [['P-Asserted-Identity', '<sip:a@core.example>, <sip:b@core.example>']],
    flow: from(CORE),
    code: 'request-malformed',
  },
];
for (const row of REFUSED) {
  test(`sender refused: ${row.name}`, () => assert.throws(() => prove(row), { code: row.code }));
}

function watcherOf({ from: party, headers = [], flow = {}, digest }: Omit<Case, 'name'>): unknown {
  const request = aRequest({ method: 'SUBSCRIBE', from: `${party};tag=1`, headers, flow });
  const trustedDomain = ({ address }: PeerEvidence): string | undefined =>
    new Map([
      [CORE, 'core.example'],
      [PARTNER, 'partner.example'],
    ]).get(address);
  return proveWatcher(request, { ...deps(digest), trustedDomain });
}

const NOBODY = '"Anonymous" <sip:anonymous@anonymous.invalid>';
const ID: readonly HeaderField[] = [['Privacy', 'id;critical']];
const WATCHERS: ReadonlyArray<Case & { readonly proof: unknown }> = [
  {
    name: 'a user of ours with digest',
    from: ALICE,
    digest: proved('alice@sip.example'),
    proof: {
      kind: 'proved',
      sender: { address: 'alice@sip.example' },
      origin: { kind: 'local', user: 'alice@sip.example' },
    },
  },
  { name: 'a user of ours without proof', from: ALICE, proof: CHALLENGE },
  { name: 'a user of ours without proof who wishes privacy', from: ALICE, headers: ID, proof: CHALLENGE },
  {
    name: 'a user of ours who wishes privacy',
    from: ALICE,
    headers: ID,
    digest: proved('alice@sip.example'),
    proof: { kind: 'anonymous', origin: { kind: 'local', user: 'alice@sip.example' } },
  },
  {
    name: 'privacy none',
    from: ALICE,
    headers: [['Privacy', 'none']],
    digest: proved('alice@sip.example'),
    proof: {
      kind: 'proved',
      sender: { address: 'alice@sip.example' },
      origin: { kind: 'local', user: 'alice@sip.example' },
    },
  },
  {
    name: 'one whose name the core knows and may not show',
    from: NOBODY,
    headers: [['P-Asserted-Identity', '<sip:dave@core.example>'], ...ID],
    flow: from(CORE),
    proof: { kind: 'anonymous', origin: { kind: 'local', user: 'dave@core.example', isFromCore: true } },
  },
  {
    name: 'one whose name the core knows, and who does not say it',
    from: NOBODY,
    headers: [['P-Asserted-Identity', '<sip:dave@core.example>']],
    flow: from(CORE),
    proof: { kind: 'anonymous', origin: { kind: 'local', user: 'dave@core.example', isFromCore: true } },
  },
  {
    name: 'one of whom the core says nothing',
    from: NOBODY,
    flow: from(CORE),
    proof: { kind: 'anonymous', origin: { kind: 'local', user: 'anonymous@core.example', isFromCore: true } },
  },
  {
    name: 'one of whom a peer says nothing',
    from: NOBODY,
    flow: from(PARTNER),
    proof: { kind: 'anonymous', origin: { kind: 'sip-peer', domain: 'partner.example' } },
  },
];
for (const row of WATCHERS) {
  test(`watcher: ${row.name}`, () => assert.deepEqual(watcherOf(row), row.proof));
}

test('watcher refused: somebody anonymous for whom nobody vouches', () => {
  assert.throws(() => watcherOf({ from: NOBODY }), { code: 'sender-forbidden', details: { status: 433 } });
});

test('watcher refused: an asserted identity from a phone makes nobody anonymous', () => {
  const headers: readonly HeaderField[] = [['P-Asserted-Identity', '<sip:dave@core.example>'], ...ID];
  assert.throws(() => watcherOf({ from: NOBODY, headers }), { code: 'sender-forbidden', details: { status: 433 } });
});

for (const transport of ['ws', 'wss'] as const) {
  test(`sender refused: who comes over ${transport} is not believed for his address`, () => {
    const flow: Partial<SipFlow> = { transport, remoteAddress: CORE };
    const core = { name: '', from: '<sip:carol@core.example>', flow };
    assert.equal(prove(core).kind, 'challenge');
    assert.throws(
      () => prove({ ...core, from: '<sip:paul@partner.example>', flow: { ...flow, remoteAddress: PARTNER } }),
      {
        code: 'sender-forbidden',
      },
    );
  });
}
