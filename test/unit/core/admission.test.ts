import assert from 'node:assert/strict';
import test from 'node:test';
import { Admission, type Origin } from '../../../src/core/admission.ts';
import type { Config } from '../../../src/core/config.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import { ANONYMOUS } from '../../../src/core/presence/subscription.ts';
import { PeerTable } from '../../../src/core/peers.ts';
import { RateTable } from '../../../src/core/rate-table.ts';
import type { InstantMessage } from '../../../src/cpim/operation.ts';
import { aConfig, aMessage, anAddress } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const ALICE: Origin = { kind: 'local', user: anAddress('alice@sip.example') };
const OFFICE: Origin = { kind: 'link', link: 'office', domain: 'xmpp.example' };
const PARTNER: Origin = { kind: 'sip-peer', domain: 'partner.example' };
const inbound = { from: 'juliet@xmpp.example', to: 'alice@sip.example' };

function admission(rateLimits: Config['rateLimits'] = 'off', clock = new FakeClock()): Admission {
  return new Admission({
    peers: new PeerTable(aConfig()),
    limits: { messageBytes: 2_000 },
    rateLimits,
    subscriptionsPerWatcher: 100,
    clock,
  });
}

function codeOf(act: () => void): string {
  try {
    act();
  } catch (thrown) {
    assert.ok(thrown instanceof GatewayError, String(thrown));
    return thrown.code;
  }
  return 'admitted';
}

const bytes = (count: number): InstantMessage['content'] => ({
  type: 'x/y',
  base64: Buffer.alloc(count).toString('base64'),
});
const CASES: ReadonlyArray<readonly [name: string, message: InstantMessage, origin: Origin, code: string]> = [
  ['a local user as himself', aMessage(), ALICE, 'admitted'],
  ['a local user in other capitals', aMessage({ from: 'Alice@sip.example' }), ALICE, 'admitted'],
  ['a local user as another', aMessage({ from: 'bob@sip.example' }), ALICE, 'sender-forbidden'],
  [
    'a user of no domain of ours as local',
    aMessage(inbound),
    { kind: 'local', user: anAddress('juliet@xmpp.example') },
    'sender-forbidden',
  ],
  ['a link for a domain reached over it', aMessage(inbound), OFFICE, 'admitted'],
  [
    'a link for another domain than it vouches for',
    aMessage({ ...inbound, from: 'x@partner.example' }),
    OFFICE,
    'sender-forbidden',
  ],
  [
    'a link for a domain reached otherwise',
    aMessage({ ...inbound, from: 'x@partner.example' }),
    { ...OFFICE, domain: 'partner.example' },
    'sender-forbidden',
  ],
  [
    'a link for a domain of ours',
    aMessage({ ...inbound, from: 'bob@sip.example' }),
    { ...OFFICE, domain: 'sip.example' },
    'sender-forbidden',
  ],
  [
    'a link for a stranger',
    aMessage({ ...inbound, from: 'x@evil.example' }),
    { ...OFFICE, domain: 'evil.example' },
    'sender-forbidden',
  ],
  ['a SIP peer for itself', aMessage({ ...inbound, from: 'dave@partner.example' }), PARTNER, 'admitted'],
  [
    'a SIP peer for an XMPP domain',
    aMessage(inbound),
    { kind: 'sip-peer', domain: 'xmpp.example' },
    'sender-forbidden',
  ],
  ['the last hop', aMessage({ hops: 1 }), ALICE, 'admitted'],
  ['no hop left', aMessage({ hops: 0 }), ALICE, 'hops-exhausted'],
  ['the largest text', aMessage({ text: 'a'.repeat(2_000) }), ALICE, 'admitted'],
  ['a larger text', aMessage({ text: 'a'.repeat(2_001) }), ALICE, 'content-too-large'],
  ['a text of fewer characters and more bytes', aMessage({ text: '\u20ac'.repeat(667) }), ALICE, 'content-too-large'],
  ['a text of as many bytes', aMessage({ text: '\u20ac'.repeat(666) }), ALICE, 'admitted'],
  ['the largest bytes', aMessage({ content: bytes(2_000) }), ALICE, 'admitted'],
  ['more bytes', aMessage({ content: bytes(2_001) }), ALICE, 'content-too-large'],
  ['more bytes without padding', aMessage({ content: bytes(2_004) }), ALICE, 'content-too-large'],
];
for (const [name, message, origin, code] of CASES) {
  test(`admission: ${name}: ${code}`, () =>
    assert.equal(
      codeOf(() => admission().admit(message, origin)),
      code,
    ));
}

test('admission: what is too large says how large it may be', () => {
  assert.throws(() => admission().admit(aMessage({ text: 'a'.repeat(2_001) }), ALICE), { details: { sizeMax: 2_000 } });
});

const RATES = { perSenderPerSecond: 2, burst: 3, perPeerPerSecond: 100, peerBurst: 4 };

test('admission: a sender gets his burst, then his rate, and is told when to come again', () => {
  const clock = new FakeClock();
  const gate = admission(RATES, clock);
  const send = (): string => codeOf(() => gate.admit(aMessage(), ALICE));
  assert.deepEqual([send(), send(), send(), send()], ['admitted', 'admitted', 'admitted', 'rate-exceeded']);
  assert.throws(() => gate.admit(aMessage(), ALICE), { details: { retryAfterSeconds: 1 } });
  clock.advance(500);
  assert.deepEqual([send(), send()], ['admitted', 'rate-exceeded']);
});

test('admission: one sender in other capitals is the same sender, another is another', () => {
  const gate = admission(RATES);
  for (const from of ['alice', 'ALICE', 'Alice']) gate.admit(aMessage({ from: `${from}@sip.example` }), ALICE);
  assert.equal(
    codeOf(() => gate.admit(aMessage(), ALICE)),
    'rate-exceeded',
  );
  const bob = aMessage({ from: 'bob@sip.example' });
  assert.equal(
    codeOf(() => gate.admit(bob, { kind: 'local', user: bob.source.address })),
    'admitted',
  );
});

test('admission: a peer is bounded over all of its users', () => {
  const gate = admission(RATES);
  const codes = ['a', 'b', 'c', 'd', 'e'].map((user) =>
    codeOf(() => gate.admit(aMessage({ ...inbound, from: `${user}@xmpp.example` }), OFFICE)),
  );
  assert.deepEqual(codes, ['admitted', 'admitted', 'admitted', 'admitted', 'rate-exceeded']);
});

test('admission: local users share no bound', () => {
  const gate = admission(RATES);
  for (let n = 0; n < 50; n++) {
    const message = aMessage({ from: `u${n}@sip.example` });
    gate.admit(message, { kind: 'local', user: message.source.address });
  }
});

test('admission: with rate limits off there is no limit', () => {
  const gate = admission('off');
  for (let n = 0; n < 10_000; n++) gate.admit(aMessage(), ALICE);
});

test('rate table: it keeps no more keys than it may', () => {
  const table = new RateTable({ perSecond: 1, burst: 1 }, new FakeClock(), 3);
  for (let n = 0; n < 10; n++) table.take(`k${n}`);
  assert.ok(table.size > 0 && table.size <= 3, `${table.size} keys`);
});

test('rate table: a wall clock that jumps back gives no tokens and takes none away', () => {
  let nowMs = 10_000;
  const table = new RateTable({ perSecond: 1, burst: 2 }, { nowMs: () => nowMs });
  table.take('k');
  nowMs = 0;
  table.take('k');
  assert.throws(() => table.take('k'), { code: 'rate-exceeded' });
  nowMs = 1_000;
  table.take('k');
});

const WATCHERS: ReadonlyArray<readonly [name: string, watcher: string, origin: Origin, code: string]> = [
  ['a local user as himself', 'alice@sip.example', ALICE, 'admitted'],
  ['a local user as another', 'bob@sip.example', ALICE, 'sender-forbidden'],
  ['a user of the peer that vouches for him', 'romeo@partner.example', PARTNER, 'admitted'],
  ['a user of ours, as a peer says', 'alice@sip.example', PARTNER, 'sender-forbidden'],
  ['a user of the domain of a link', 'juliet@xmpp.example', OFFICE, 'admitted'],
  ['one without a name, from a peer', ANONYMOUS, PARTNER, 'admitted'],
];

for (const [name, watcher, origin, code] of WATCHERS) {
  test(`admission of watchers: ${name} -> ${code}`, () => {
    const gate = admission(RATES);
    assert.equal(
      codeOf(() => gate.admitWatcher(anAddress(watcher), origin)),
      code,
    );
  });
}

test('admission of watchers: as many at once as one may have, then no more; messages have places of their own', () => {
  const gate = admission(RATES);
  const watch = () => gate.admitWatcher(anAddress('alice@sip.example'), ALICE);
  for (let n = 0; n < 100; n++) watch();
  assert.equal(codeOf(watch), 'rate-exceeded');
  gate.admit(aMessage(), ALICE);
  gate.admitWatcher(anAddress('romeo@partner.example'), PARTNER);
  gate.admitPublisher(anAddress('alice@sip.example'));
});

test('receipts are counted apart from messages, and only from whom they may come', () => {
  const limits = { perSenderPerSecond: 1, burst: 2, perPeerPerSecond: 10, peerBurst: 20 };
  const admitting = admission(limits);
  const receipt = (from: string): string => codeOf(() => admitting.admitReceipt(anAddress(from), OFFICE));
  const sent = ['juliet', 'juliet', 'juliet', 'romeo'].map((name) => receipt(`${name}@xmpp.example`));
  assert.deepEqual(sent, ['admitted', 'admitted', 'rate-exceeded', 'admitted']);
  assert.equal(receipt('alice@sip.example'), 'sender-forbidden');
  assert.equal(
    codeOf(() => admitting.admit(aMessage(inbound), OFFICE)),
    'admitted',
  );
});
