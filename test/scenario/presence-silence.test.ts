/** Watchers who do not answer, once or for good. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { CountingPublisher } from '../support/counting-publisher.ts';
import { CountingWatchers } from '../support/counting-watchers.ts';
import { deadWatchers, untilHolding } from '../support/presence-faults.ts';
import { RunningApp, SteerableClock } from '../support/running-app.ts';
import { branchOf, headerOf } from '../support/sip-wire.ts';
import { until } from '../support/until.ts';

/** Half a minute in under two seconds, and still slow enough for what is answered. */
const SPEED = 20;
const NO_FAULTS = { cseqRepeated: 0, wentBack: 0, terminated: 0, lost: 0, refused: {} };

type Stage = {
  readonly clock: SteerableClock;
  readonly world: RunningApp;
  readonly watchers: CountingWatchers;
  readonly publisher: CountingPublisher;
};

/** Some watchers of alice who have been told her first state. */
async function staged(t: TestContext, transport: 'udp' | 'tcp', count: number): Promise<Stage> {
  const clock = new SteerableClock();
  const presence = 'default: allow, notifyIntervalSeconds: 0';
  const world = await RunningApp.start({ clock, rateLimits: 'off', homeTrust: ['127.0.0.1'], presence });
  t.after(() => world.stop());
  const ends = { transport, port: world.ports[transport], domain: 'sip.example' };
  const watchers = await CountingWatchers.open({ ...ends, watched: Array.from({ length: count }, () => 'alice') });
  t.after(() => watchers.close());
  const publisher = await CountingPublisher.open({ ...ends, user: 'alice' });
  t.after(() => publisher.close());
  await watchers.subscribe();
  await publisher.publish(0);
  await untilHolding(watchers, 0, count);
  return { clock, world, watchers, publisher };
}

test('a NOTIFY that is lost is repeated as it was, and that is all', async (t) => {
  const { watchers, publisher } = await staged(t, 'udp', 5);
  const before = watchers.notified;
  const copies: string[] = [];
  watchers.hears = ({ user }, text) => {
    if (user !== 'w0') return true;
    copies.push(`${branchOf(text)} ${headerOf(text, 'CSeq')}`);
    return copies.length > 1;
  };
  await publisher.publish(1);
  await untilHolding(watchers, 1, 5);
  assert.equal(copies.length, 2);
  assert.equal(copies[0], copies[1]);
  assert.equal(watchers.notified - before, 5);
  await publisher.publish(2);
  await untilHolding(watchers, 2, 5);
  await watchers.subscribe();
  assert.deepEqual(watchers.faults, NO_FAULTS);
});

for (const transport of ['udp', 'tcp'] as const) {
  test(`a NOTIFY without an answer for 32 s over ${transport}: told again, the newest, in the same dialog`, async (t) => {
    const { clock, watchers, publisher } = await staged(t, transport, 5);
    const [silent] = watchers.dialogs;
    const tries = new Set<string>();
    watchers.hears = (dialog, text) => {
      if (dialog === silent) tries.add(branchOf(text));
      return dialog !== silent;
    };
    await publisher.publish(1);
    await until(() => tries.size === 1 && watchers.holding(1) === 4, { what: 'the others are told' });
    const silentAtMs = clock.nowMs();
    // What changes meanwhile waits for the answer, and the newest of it is told then.
    for (const round of [2, 3]) await publisher.publish(round);
    clock.run(SPEED);
    await until(() => clock.nowMs() - silentAtMs > 33_000, { what: '33 s have passed' });
    assert.equal(tries.size, 1);
    watchers.hears = () => true;
    await untilHolding(watchers, 3, 5);
    clock.run(1);
    assert.ok(clock.nowMs() - silentAtMs < 60_000);
    await publisher.publish(4);
    await untilHolding(watchers, 4, 5);
    await watchers.subscribe();
    assert.deepEqual(watchers.faults, NO_FAULTS);
  });

  test(`watchers that never answer over ${transport} are given up after the second time, the others are not`, async (t) => {
    const count = 60;
    const { clock, world, watchers, publisher } = await staged(t, transport, count);
    const isDead = (user: string): boolean => Number(user.slice(1)) % 3 > 0;
    watchers.hears = ({ user }) => !isDead(user);
    await publisher.publish(1);
    await untilHolding(watchers, 1, count / 3);
    const silentAtMs = clock.nowMs();
    clock.run(SPEED);
    await until(() => world.app.health().presence.subscriptions === count / 3, {
      what: 'the dead are given up',
      withinMs: 15_000,
    });
    clock.run(1);
    const tookMs = clock.nowMs() - silentAtMs;
    assert.ok(tookMs > 64_000 && tookMs < 120_000, `${tookMs} ms`);
    watchers.hears = () => true;
    await watchers.subscribe(watchers.dialogs.filter(({ user }) => isDead(user)));
    assert.equal(watchers.faults.lost, (count / 3) * 2, 'who comes back is told that there is nothing left');
    assert.equal(watchers.live, count / 3);
    await publisher.publish(2);
    await untilHolding(watchers, 2, count / 3);
    assert.deepEqual(world.errors, []);
  });

  test(`4,000 dead watchers over ${transport} do not keep 200 living ones waiting`, async (t) => {
    const run = await deadWatchers({ transport, dead: 4_000, living: 200, lateMs: 3_000, isToTheEnd: false });
    t.diagnostic(JSON.stringify(run));
    assert.deepEqual(run.broken, []);
  });
}
