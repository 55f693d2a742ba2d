import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adoptedPace, type Pace } from '../../../../src/core/presence/pace.ts';
import { PresenceWorld } from '../../../support/presence-world.ts';

const ROWS: ReadonlyArray<
  readonly [name: string, wish: Pace | undefined, intervalMs: number, lifetimeMs: number, adopted: Pace | undefined]
> = [
  ['no wish', undefined, 5_000, 3_600_000, undefined],
  ['slower than the server', { shortestMs: 20_000 }, 5_000, 3_600_000, { shortestMs: 20_000 }],
  ['faster than the server', { shortestMs: 100 }, 5_000, 3_600_000, { shortestMs: 5_000 }],
  ['slower than the subscription lasts', { shortestMs: 1e12 }, 5_000, 600_000, { shortestMs: 600_000 }],
  ['at least so often', { longestMs: 60_000 }, 5_000, 3_600_000, { longestMs: 60_000 }],
  ['all the time', { longestMs: 11 }, 0, 3_600_000, { longestMs: 5_000 }],
  [
    'at least as often as at most',
    { shortestMs: 30_000, longestMs: 10_000 },
    0,
    3_600_000,
    { shortestMs: 30_000, longestMs: 30_000 },
  ],
];
for (const [name, wish, intervalMs, lifetimeMs, adopted] of ROWS) {
  test(`pace: ${name} (RFC 6446, sections 5.3 and 6.3)`, () => {
    assert.deepEqual(adoptedPace(wish, intervalMs, lifetimeMs), adopted);
  });
}

test('pace: a watcher is told no sooner than he wishes, until he wishes no more', async () => {
  const world = new PresenceWorld({ config: 'default: allow, notifyIntervalSeconds: 0' });
  const { id } = await world.subscribe('bob@sip.example', 'alice@sip.example', { pace: { shortestMs: 30_000 } });
  await world.pass();
  const { etag } = await world.publish('alice@sip.example', 'one');
  await world.pass(20_000);
  assert.deepEqual(world.news(), ['bob active: closed']);
  await world.pass(11_000);
  assert.deepEqual(world.news(), ['bob active: open one']);
  await world.presence.subscriptions.refresh(id, {});
  await world.pass();
  world.news();
  await world.publish('alice@sip.example', 'two', etag);
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: open two']);
});

test('pace: a watcher who wishes so is told where nothing changes, over a restart too, and not beyond his end', async () => {
  const world = new PresenceWorld({ config: 'default: allow' });
  await world.subscribe('bob@sip.example', 'alice@sip.example', { pace: { longestMs: 60_000 }, expires: 600 });
  await world.pass();
  await world.pass(130_000);
  assert.equal(world.news().length, 3);
  const after = await world.crashed({ config: 'default: allow' });
  await after.pass(70_000);
  assert.equal(after.news().length, 2);
  await after.pass(600_000);
  const last = after.told.at(-1);
  assert.equal(last, 'bob terminated timeout: closed');
  after.told.length = 0;
  await after.pass(600_000);
  assert.deepEqual(after.news(), []);
});
