import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Alarms } from '../../../src/core/alarms.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { seededRandom } from '../../support/seeded-random.ts';

type Step = readonly [atMs: number, setTo: number | undefined];
const ROWS: ReadonlyArray<readonly [name: string, steps: readonly Step[], rings: readonly number[]]> = [
  ['it rings once, at its time', [[0, 100]], [100]],
  ['one that is past rings at once', [[50, 20]], [50]],
  [
    'moved to a later time it rings then alone',
    [
      [0, 100],
      [10, 300],
    ],
    [300],
  ],
  [
    'moved to an earlier time it rings then alone',
    [
      [0, 100],
      [10, 50],
    ],
    [50],
  ],
  [
    'moved to and fro it rings at the last time alone',
    [
      [0, 100],
      [10, 50],
      [20, 200],
      [60, 150],
    ],
    [150],
  ],
  [
    'taken away it does not ring',
    [
      [0, 100],
      [10, undefined],
    ],
    [],
  ],
  [
    'taken away and set again it rings at the new time',
    [
      [0, 100],
      [10, undefined],
      [20, 110],
    ],
    [110],
  ],
  [
    'set again after it rang it rings again, an older entry notwithstanding',
    [
      [0, 500],
      [10, 50],
      [60, 600],
    ],
    [50, 600],
  ],
  ['taking away what was never set does nothing', [[0, undefined]], []],
];
for (const [name, steps, rings] of ROWS) {
  test(`alarm: ${name}`, () => {
    const clock = new FakeClock(0);
    const seen: number[] = [];
    const alarms = new Alarms(clock, () => seen.push(clock.nowMs()));
    for (const [atMs, setTo] of steps) {
      clock.advance(atMs - clock.nowMs());
      alarms.set('key', setTo);
    }
    clock.advance(10_000);
    assert.deepEqual(seen, rings);
    assert.deepEqual([alarms.size, clock.pending], [0, 0]);
  });
}

test('alarms: an alarm may be set from within its ring', () => {
  const clock = new FakeClock(0);
  const seen: number[] = [];
  const alarms: Alarms = new Alarms(clock, (key) => {
    seen.push(clock.nowMs());
    if (seen.length < 3) alarms.set(key, clock.nowMs() + 100);
  });
  alarms.set('key', 100);
  clock.advance(1_000);
  assert.deepEqual(seen, [100, 200, 300]);
});

test('alarms: a key whose time is put off a thousand times has one entry and one timer', () => {
  const clock = new FakeClock(0);
  const seen: number[] = [];
  const alarms = new Alarms(clock, () => seen.push(clock.nowMs()));
  for (let count = 1; count <= 1_000; count += 1) {
    alarms.set('key', clock.nowMs() + 5_000);
    clock.advance(10);
  }
  assert.deepEqual([alarms.size, clock.pending, seen], [1, 1, []]);
  clock.advance(5_000);
  assert.deepEqual(seen, [14_990]);
});

test('alarms: nothing rings after stop', () => {
  const clock = new FakeClock(0);
  const alarms = new Alarms(clock, () => assert.fail('rang'));
  alarms.set('key', 100);
  alarms.stop();
  clock.advance(1_000);
  assert.equal(clock.pending, 0);
});

test('alarms: among many keys each rings at the last time it was set to, in order (seed 7)', () => {
  const random = seededRandom(7);
  const clock = new FakeClock(0);
  const wanted = new Map<string, number>();
  const rung: Array<readonly [string, number]> = [];
  const alarms = new Alarms(clock, (key) => {
    assert.equal(wanted.get(key), clock.nowMs());
    wanted.delete(key);
    rung.push([key, clock.nowMs()]);
  });
  for (let count = 0; count < 20_000; count += 1) {
    const key = `key-${Math.floor(random() * 300)}`;
    const atMs = random() < 0.1 ? undefined : clock.nowMs() + 1 + Math.floor(random() * 5_000);
    if (atMs === undefined) wanted.delete(key);
    else wanted.set(key, atMs);
    alarms.set(key, atMs);
    clock.advance(Math.floor(random() * 10));
  }
  clock.advance(10_000);
  assert.equal(wanted.size, 0);
  assert.ok(rung.length > 1_000);
});
