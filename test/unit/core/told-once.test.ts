import assert from 'node:assert/strict';
import test from 'node:test';
import type { Origin } from '../../../src/core/admission.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import type { FailureReport, InstantMessage } from '../../../src/cpim/operation.ts';
import { aBinding, aMessage, anAddress } from '../../support/builders.ts';
import { CoreWorld } from '../../support/core-world.ts';
import type { RecordingSender } from '../../support/recording-sender.ts';

const ALICE = 'alice@sip.example';
const CAROL = 'carol@core.example';
const HOUR_MS = 3_600_000;

type Row = {
  readonly name: string;
  readonly message: InstantMessage;
  readonly origin: Origin;
  /** Over what the message would go, and over what its sender is told. */
  readonly to: 'local' | 'link' | 'sip';
  readonly by: 'local' | 'link' | 'sip';
  /** Makes the sender reachable; absent: he always is. */
  readonly back?: (world: CoreWorld) => void;
};

const registers =
  (user: string) =>
  (world: CoreWorld): void => {
    world.contacts.set(user, [aBinding()]);
    world.delivery.hopUp(`user:${user}`);
  };

const ROWS: readonly Row[] = [
  {
    name: 'a user of a SIP peer',
    message: aMessage({ from: 'dave@partner.example', to: 'bob@sip.example' }),
    origin: { kind: 'sip-peer', domain: 'partner.example' },
    to: 'local',
    by: 'sip',
  },
  {
    name: 'a user behind a trusted core, once the core has registered him here',
    message: aMessage({ from: CAROL }),
    origin: { kind: 'local', user: anAddress(CAROL) },
    to: 'link',
    by: 'local',
    back: registers(CAROL),
  },
  {
    name: 'a user of ours who is away, when he comes back',
    message: aMessage({ from: ALICE }),
    origin: { kind: 'local', user: anAddress(ALICE) },
    to: 'link',
    by: 'local',
    back: registers(ALICE),
  },
  {
    name: 'an XMPP user whose link is down, when it is up',
    message: aMessage({ from: 'juliet@xmpp.example', to: 'bob@sip.example', senderId: 's1' }),
    origin: { kind: 'link', link: 'office', domain: 'xmpp.example' },
    to: 'local',
    by: 'link',
    back: (world) => world.delivery.hopUp('link:office'),
  },
];

for (const row of ROWS) {
  test(`a failure after acceptance is told once: ${row.name}`, async () => {
    const world = await new CoreWorld().start();
    const told: RecordingSender = world[row.by];
    world[row.to].behave = ({ operation }) =>
      operation.op === 'message' ? new GatewayError('recipient-gone', 'test') : undefined;
    assert.equal(await world.messages.accept(row.message, row.origin), 'queued');
    // The recipient can be tried, the sender cannot be told yet.
    if (row.to === 'local') registers('bob@sip.example')(world);
    else {
      world.delivery.hopUp('link:office');
      world.delivery.hopUp('link:second');
    }
    await world.clock.advanceAsync(HOUR_MS);
    const reports = (): FailureReport[] =>
      told.sent.flatMap(({ delivery: { operation } }) => (operation.op === 'report' ? [operation] : []));
    assert.equal(reports().length, row.back === undefined ? 1 : 0);
    row.back?.(world);
    await world.clock.advanceAsync(HOUR_MS);
    row.back?.(world);
    await world.clock.advanceAsync(5 * HOUR_MS);
    const [report, ...more] = reports();
    assert.equal(more.length, 0);
    assert.equal(report?.code, 'recipient-gone');
    assert.equal(report.about.senderId, row.message.senderId);
    assert.deepEqual(report.destination, row.message.source);
    assert.equal(world.queue.figures().live, 0);
    await world.stop();
  });
}

test('a failure after acceptance: lifetime over while the recipient is away is told once, too', async () => {
  const world = await new CoreWorld({ lifetimeMs: HOUR_MS }).start();
  const message = aMessage({ from: 'dave@partner.example', to: 'bob@sip.example' });
  await world.messages.accept(message, { kind: 'sip-peer', domain: 'partner.example' });
  await world.clock.advanceAsync(3 * HOUR_MS);
  assert.deepEqual(world.sip.ids, ['r-m1']);
  registers('bob@sip.example')(world);
  await world.clock.advanceAsync(HOUR_MS);
  assert.deepEqual([world.local.ids, world.sip.ids], [[], ['r-m1']]);
  await world.stop();
});

test('a phone that is gone without a word: pauses grow, nobody else waits, REGISTER brings all at once in order', async () => {
  const world = await new CoreWorld().start();
  const isGone = { bob: true };
  // Every attempt takes as long as a SIP transaction does.
  world.local.behave = ({ operation }) =>
    isGone.bob && operation.destination.address === 'bob@sip.example'
      ? new Promise((_, reject) => {
          world.clock.after(32_000, () => reject(new GatewayError('peer-timeout', 'silence')));
        })
      : undefined;
  world.delivery.hopUp('link:office');
  for (const user of ['bob', 'carl']) world.contacts.set(`${user}@sip.example`, [aBinding()]);
  const origin: Origin = { kind: 'link', link: 'office', domain: 'xmpp.example' };
  const senders = ['juliet', 'nurse', 'romeo'];
  for (const from of senders) {
    for (const n of [1, 2]) {
      const id = `${from}${n}`;
      await world.messages.accept(aMessage({ id, from: `${from}@xmpp.example`, to: 'bob@sip.example' }), origin);
    }
  }
  await world.messages.accept(aMessage({ id: 'other', from: 'juliet@xmpp.example', to: 'carl@sip.example' }), origin);
  await world.clock.advanceAsync(0);
  assert.ok(world.local.ids.includes('other'), 'another user does not wait');
  await world.clock.advanceAsync(3 * HOUR_MS);
  const attempts = world.local.ids.filter((id) => id === 'juliet1').length;
  assert.ok(attempts > 10 && attempts < 40, `${attempts} attempts in three hours`);
  assert.ok(!world.local.ids.includes('juliet2'), 'none overtakes');

  const before = world.local.sent.length;
  isGone.bob = false;
  world.delivery.hopUp('user:bob@sip.example');
  // What is under way to the old contact ends by itself; the rest goes at once.
  await world.clock.advanceAsync(32_000);
  const arrived = world.local.ids.slice(before);
  for (const from of senders) {
    assert.deepEqual(
      arrived.filter((id) => id.startsWith(from)),
      [`${from}1`, `${from}2`],
    );
  }
  assert.equal(world.queue.figures().live, 0);
  await world.stop();
});
