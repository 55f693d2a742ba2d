import assert from 'node:assert/strict';
import test from 'node:test';
import type { Origin } from '../../../src/core/admission.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import type { InstantMessage } from '../../../src/cpim/operation.ts';
import { aBinding, aConfig, aMessage, anAddress } from '../../support/builders.ts';
import { CoreWorld } from '../../support/core-world.ts';
import { settled } from '../../support/fake-clock.ts';
import { MemoryMedium } from '../../support/memory-queue.ts';
import { open } from '../../support/recording-sender.ts';

const ALICE: Origin = { kind: 'local', user: anAddress('alice@sip.example') };
const OFFICE: Origin = { kind: 'link', link: 'office', domain: 'xmpp.example' };
const PARTNER: Origin = { kind: 'sip-peer', domain: 'partner.example' };
const BOB = 'bob@sip.example';
const toBob = (parts: Parameters<typeof aMessage>[0] = {}): InstantMessage => aMessage({ to: BOB, ...parts });

async function aWorld(): Promise<CoreWorld> {
  const world = await new CoreWorld().start();
  world.contacts.set(BOB, [aBinding()]);
  world.delivery.hopUp('link:office');
  return world;
}

/** What `accept` comes to: its result, or the code it is refused with. */
async function resultOf(accepted: Promise<string>): Promise<string> {
  try {
    return await accepted;
  } catch (thrown) {
    assert.ok(thrown instanceof GatewayError, String(thrown));
    return thrown.code;
  }
}

const png = { type: 'image/png', base64: 'iVBORw0KGgo=' };
const html = { type: 'text/html', base64: Buffer.from('<p>hello</p>').toString('base64') };
const latin = { type: 'text/plain;charset=iso-8859-1', base64: Buffer.from('caf\xe9', 'latin1').toString('base64') };
const NOW = 1_700_000_000_000;

const CASES: ReadonlyArray<readonly [name: string, message: InstantMessage, origin: Origin, result: string]> = [
  ['to XMPP', aMessage(), ALICE, 'queued'],
  ['to a SIP peer', aMessage({ to: 'dave@partner.example' }), ALICE, 'queued'],
  ['to a local user with a contact that takes it', toBob(), ALICE, 'delivered'],
  ['to a local user without contacts', toBob({ to: 'carl@sip.example' }), ALICE, 'queued'],
  ['to a local user who does not exist', toBob({ to: 'nobody@sip.example' }), ALICE, 'recipient-unknown'],
  ['to a user of a domain behind a trusted core', toBob({ to: 'nobody@core.example' }), ALICE, 'queued'],
  ['from XMPP to a local user', toBob({ from: 'juliet@xmpp.example' }), OFFICE, 'queued'],
  [
    'from XMPP to a local user who does not exist',
    toBob({ from: 'juliet@xmpp.example', to: 'nobody@sip.example' }),
    OFFICE,
    'recipient-unknown',
  ],
  ['from a SIP peer to a local user', toBob({ from: 'dave@partner.example' }), PARTNER, 'delivered'],
  ['from a SIP peer to XMPP', aMessage({ from: 'dave@partner.example' }), PARTNER, 'sender-forbidden'],
  [
    'from XMPP to a SIP peer',
    aMessage({ from: 'juliet@xmpp.example', to: 'dave@partner.example' }),
    OFFICE,
    'sender-forbidden',
  ],
  ['to a stranger', aMessage({ to: 'x@evil.example' }), ALICE, 'peer-unknown'],
  ['from another than he says', aMessage({ from: 'bob@sip.example' }), ALICE, 'sender-forbidden'],
  ['without a hop left', aMessage({ hops: 0 }), ALICE, 'hops-exhausted'],
  ['an image to XMPP', aMessage({ content: png }), ALICE, 'content-unsupported'],
  ['an image to a local user', toBob({ content: png }), ALICE, 'delivered'],
  ['HTML to a local user', toBob({ content: html }), ALICE, 'delivered'],
  ['HTML to XMPP', aMessage({ content: html }), ALICE, 'queued'],
  ['another charset to XMPP', aMessage({ content: latin }), ALICE, 'queued'],
  ['sips to XMPP', aMessage({ secure: true }), ALICE, 'scheme-unsupported'],
  ['sips to a local user', toBob({ secure: true }), ALICE, 'delivered'],
  ['over before it came', aMessage({ expiresAtMs: NOW }), ALICE, 'lifetime-over'],
];
for (const [name, message, origin, result] of CASES) {
  test(`message: ${name}: ${result}`, async () => {
    const world = await aWorld();
    world.unknownUsers.add('nobody@sip.example').add('nobody@core.example');
    assert.equal(await resultOf(world.messages.accept(message, origin)), result);
    const isTaken = result === 'queued' || result === 'delivered';
    const lines = world.log.lines.filter((line) => line.message === 'operation accepted');
    assert.deepEqual(
      lines.map(({ fields }) => fields.messageId),
      isTaken ? ['m1'] : [],
    );
    await world.stop();
  });
}

test('message: what message/cpim requires and nobody has is named to the sender (RFC 3922, section 4.2.7)', async () => {
  const world = await aWorld();
  const body = 'NS: f <urn:f>\r\nRequire: f.Vital\r\n\r\nContent-Type: text/plain\r\n\r\nx';
  const content = { type: 'message/cpim', base64: Buffer.from(body).toString('base64') };
  await assert.rejects(world.messages.accept(aMessage({ content }), ALICE), {
    code: 'content-malformed',
    details: { text: 'It requires f.Vital, which is not known here.' },
  });
  await world.stop();
});

test('message: it is stored with one hop less and the lifetime of the queue', async () => {
  const world = await aWorld();
  world.link.behave = () => open().promise;
  await world.messages.accept(aMessage(), ALICE);
  const shown = await world.queue.show('m1');
  assert.ok(shown !== undefined);
  assert.equal(shown.lane, 'alice@sip.example\njuliet@xmpp.example');
  assert.equal(shown.hop, 'link:office');
  assert.equal(shown.owner, 'alice@sip.example');
  assert.equal(shown.expiresAtMs, NOW + 7 * 86_400_000);
  assert.deepEqual(shown.operation, { ...aMessage(), hops: 69 });
});

const LIFETIMES: ReadonlyArray<readonly [name: string, asked: number, got: number]> = [
  ['shorter than the queue', 60_000, 60_000],
  ['longer than the queue', 10 ** 12, 7 * 86_400_000],
];
for (const [name, asked, got] of LIFETIMES) {
  test(`message: a lifetime ${name} is ${got} ms`, async () => {
    const world = await aWorld();
    world.link.behave = () => open().promise;
    await world.messages.accept(aMessage({ expiresAtMs: NOW + asked }), ALICE);
    const shown = await world.queue.show('m1');
    assert.equal(shown?.expiresAtMs, NOW + got);
    assert.equal(shown.operation.expiresAtMs, NOW + asked, 'what the author asked for goes on as he said it');
  });
}

test('message: one lane is one pair of users, whatever capitals they are written in', async () => {
  const world = await aWorld();
  world.link.behave = () => open().promise;
  await world.messages.accept(aMessage({ from: 'ALICE@sip.example', to: 'Juliet@xmpp.example' }), ALICE);
  assert.equal((await world.queue.show('m1'))?.lane, 'alice@sip.example\njuliet@xmpp.example');
});

test('message: the answer waits for the first attempt to a local contact, at most two seconds', async () => {
  const world = await aWorld();
  const slow = open();
  world.local.behave = () => slow.promise;
  let result: string | undefined;
  void world.messages.accept(toBob(), ALICE).then((outcome) => (result = outcome));
  await world.clock.advanceAsync(1_999);
  assert.equal(result, undefined);
  await world.clock.advanceAsync(1);
  assert.equal(result, 'queued');
  slow.take();
  await world.stop();
});

test('message: a refusal by the recipient is the answer, and is not reported as well', async () => {
  const world = await aWorld();
  world.local.behave = () => new GatewayError('recipient-refused', 'test', { details: { status: 603 } });
  await assert.rejects(world.messages.accept(toBob(), ALICE), { code: 'recipient-refused', details: { status: 603 } });
  await settled();
  assert.deepEqual(world.local.ids, ['m1']);
  assert.equal(world.queue.figures().live, 0);
  assert.equal(world.queue.figures().dead, 1);
});

test('message: the same message again gets the same answer and is sent once', async () => {
  const world = await aWorld();
  assert.equal(await world.messages.accept(toBob(), ALICE), 'delivered');
  assert.equal(await world.messages.accept(toBob(), ALICE), 'delivered');
  world.local.behave = () => new GatewayError('recipient-refused', 'test');
  for (let n = 0; n < 2; n++) {
    assert.equal(await resultOf(world.messages.accept(toBob({ id: 'm2' }), ALICE)), 'recipient-refused');
  }
  assert.deepEqual(world.local.ids, ['m1', 'm2']);
  await world.stop();
});

test('message: what failed and is sent again by its user goes again, and each failure is told', async () => {
  const world = await aWorld();
  let isRefusing = true;
  world.local.behave = () => (isRefusing ? new GatewayError('recipient-refused', 'test') : undefined);
  const again = (): Promise<string> =>
    world.messages.accept(toBob({ from: 'juliet@xmpp.example', acceptedAtMs: world.clock.nowMs() }), OFFICE);
  for (let n = 0; n < 2; n++) {
    await again();
    await world.clock.advanceAsync(1_000);
  }
  assert.deepEqual(
    world.link.sent.map(({ delivery }) => delivery.operation.op),
    ['report', 'report'],
  );
  isRefusing = false;
  await again();
  await world.clock.advanceAsync(1_000);
  assert.equal(world.local.sent.length, 3);
  assert.equal(new Set(world.local.ids).size, 3);
  for (const id of world.local.ids) assert.match(id, /^[A-Za-z0-9_-]{1,40}$/);
  assert.equal(world.link.sent.length, 2);
  await world.stop();
});

test('message: a refusal of an earlier process is asked for again, not answered 202', async () => {
  const medium = new MemoryMedium(900);
  const earlier = await new CoreWorld({ medium }).start();
  earlier.contacts.set(BOB, [aBinding()]);
  earlier.local.behave = () => new GatewayError('recipient-refused', 'test');
  assert.equal(await resultOf(earlier.messages.accept(toBob(), ALICE)), 'recipient-refused');
  await earlier.stop();
  const world = await new CoreWorld({ medium }).start();
  world.contacts.set(BOB, [aBinding()]);
  world.local.behave = () => new GatewayError('recipient-refused', 'test');
  assert.equal(await resultOf(world.messages.accept(toBob(), ALICE)), 'recipient-refused');
  await world.stop();
});

test('message: the same message again while the first waits gets the answer of the first', async () => {
  const world = await aWorld();
  const slow = open();
  world.local.behave = () => slow.promise;
  const both = [world.messages.accept(toBob(), ALICE), world.messages.accept(toBob(), ALICE)];
  await settled();
  slow.take();
  assert.deepEqual(await Promise.all(both), ['delivered', 'delivered']);
  await world.stop();
});

test('message: after an answer of 2 s ago a later refusal is reported, even if it was asked again', async () => {
  const world = await aWorld();
  const slow = open();
  world.local.behave = ({ operation }) => (operation.op === 'message' ? slow.promise : undefined);
  const first = world.messages.accept(toBob(), ALICE);
  await world.clock.advanceAsync(2_000);
  assert.equal(await first, 'queued');
  assert.equal(await world.messages.accept(toBob(), ALICE), 'queued');
  world.contacts.set('alice@sip.example', [aBinding()]);
  slow.refuse(new GatewayError('recipient-refused', 'test'));
  await settled();
  assert.deepEqual(world.local.ids, ['m1', 'r-m1']);
  await world.stop();
});

test('message: what cannot be stored is refused, waits for nothing, and may be sent again', async () => {
  const medium = new MemoryMedium(900);
  const world = await new CoreWorld({ medium }).start();
  world.contacts.set(BOB, [aBinding()]);
  medium.isFailing = true;
  await assert.rejects(world.messages.accept(toBob(), ALICE), { code: 'store-unavailable' });
  medium.isFailing = false;
  assert.equal(await world.messages.accept(toBob(), ALICE), 'delivered');
  await world.stop();
});

test('message: over the bound of the queue it is refused', async () => {
  const world = await new CoreWorld({ bounds: { total: 1, perHop: 10, perOwner: 10 } }).start();
  await world.messages.accept(aMessage(), ALICE);
  await assert.rejects(world.messages.accept(aMessage({ id: 'm2' }), ALICE), { code: 'queue-full' });
  await world.stop();
});

test('message: messages are stored in the order in which they were given', async () => {
  const world = await aWorld();
  const ids = Array.from({ length: 200 }, (_, n) => `m${n}`);
  await Promise.all(ids.map((id) => world.messages.accept(aMessage({ id }), ALICE)));
  await world.clock.advanceAsync(0);
  await settled();
  assert.deepEqual(world.link.ids, ids);
  await world.stop();
});

/** `core.example` is behind a core; bob has a password here, carol a contact, zoe neither. */
async function aWorldWithCore(): Promise<CoreWorld> {
  const config = aConfig();
  const domains = config.domains.map((own) =>
    own.name === 'core.example' ? { ...own, nextHop: 'sip:192.0.2.50:5060;transport=tcp' } : own,
  );
  const world = await new CoreWorld({ config: { ...config, domains } }).start();
  world.unknownUsers.add('zoe@core.example').add('carol@core.example');
  world.contacts.set('carol@core.example', [aBinding()]);
  return world;
}

const CORE: Origin = { kind: 'local', user: anAddress('yan@core.example'), isFromCore: true };
const PHONE: Origin = { kind: 'local', user: anAddress('yan@core.example') };
const BEHIND: ReadonlyArray<
  readonly [name: string, message: InstantMessage, origin: Origin, result: string, sent: 'sip' | 'local' | 'nobody']
> = [
  ['to a user of the core', aMessage({ to: 'zoe@core.example' }), ALICE, 'queued', 'sip'],
  ['to a user with a password and no contact', aMessage({ to: 'bob@core.example' }), ALICE, 'queued', 'nobody'],
  ['to a user with a contact and no password', aMessage({ to: 'carol@core.example' }), ALICE, 'delivered', 'local'],
  [
    'from the core to a user whom neither knows',
    aMessage({ from: 'yan@core.example', to: 'zoe@core.example' }),
    CORE,
    'loop-detected',
    'nobody',
  ],
  [
    'from the core to a user who is here',
    aMessage({ from: 'yan@core.example', to: 'carol@core.example' }),
    CORE,
    'delivered',
    'local',
  ],
  [
    'from a phone here to a user of the core',
    aMessage({ from: 'yan@core.example', to: 'zoe@core.example' }),
    PHONE,
    'queued',
    'sip',
  ],
  [
    'from the core to a SIP peer',
    aMessage({ from: 'yan@core.example', to: 'dave@partner.example' }),
    CORE,
    'queued',
    'sip',
  ],
];
for (const [name, message, origin, result, sent] of BEHIND) {
  test(`message, a domain behind a core: ${name}: ${result}`, async () => {
    const world = await aWorldWithCore();
    assert.equal(await resultOf(world.messages.accept(message, origin)), result);
    await settled();
    assert.equal(world.sip.sent.length, sent === 'sip' ? 1 : 0);
    assert.equal(world.local.sent.length, sent === 'local' ? 1 : 0);
    await world.stop();
  });
}

test('message, a domain behind a core: what is for its user goes to its next hop', async () => {
  const world = await aWorldWithCore();
  await world.messages.accept(aMessage({ to: 'zoe@core.example' }), ALICE);
  await settled();
  assert.deepEqual(world.sip.sent[0]?.route, {
    kind: 'sip',
    hop: 'sip:core.example',
    domain: 'core.example',
    nextHop: 'sip:192.0.2.50:5060;transport=tcp',
  });
  await world.stop();
});

test('message, a domain behind a core: a core that is away is tried again, and a contact made meanwhile gets it', async () => {
  const world = await aWorldWithCore();
  world.sip.behave = () => new GatewayError('peer-unreachable', 'the core is away');
  await world.messages.accept(aMessage({ to: 'zoe@core.example' }), ALICE);
  await settled();
  assert.equal(world.sip.sent.length, 1);
  world.contacts.set('zoe@core.example', [aBinding()]);
  await world.clock.advanceAsync(10_000);
  assert.equal(world.sip.sent.length, 1);
  assert.deepEqual(world.local.ids, ['m1']);
  await world.stop();
});
