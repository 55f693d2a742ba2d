import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DueList } from '../../../src/core/due-list.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import type { Clock } from '../../../src/core/ports.ts';

test('items come in the order of their times, each at its time, with one timer', () => {
  const clock = new FakeClock(0);
  const seen: string[] = [];
  const due = new DueList<number>(clock, 1e9, (item) => seen.push(`${item} at ${clock.nowMs()}`));
  const times = Array.from({ length: 200 }, (_, n) => (n * 7_919) % 1_000);
  for (const time of times) due.add(time, time);
  assert.equal(clock.pending, 1);
  clock.advance(2_000);
  assert.deepEqual(
    seen,
    times.sort((a, b) => a - b).map((time) => `${time} at ${time}`),
  );
  assert.equal(clock.pending, 0);
});

test('a wall clock that jumps ahead is noticed within the time between two looks', () => {
  const timers = new FakeClock(0);
  let jumpMs = 0;
  const clock: Clock = {
    nowMs: () => timers.nowMs() + jumpMs,
    after: (delayMs, action) => timers.after(delayMs, action),
  };
  const seen: string[] = [];
  const due = new DueList<string>(clock, 1_000, (item) => seen.push(item));
  due.add(3_600_000, 'in an hour');
  timers.advance(500);
  jumpMs = 3_600_000;
  timers.advance(600);
  assert.deepEqual(seen, ['in an hour']);
});

test('nothing comes after stop', () => {
  const clock = new FakeClock(0);
  const due = new DueList<string>(clock, 1_000, () => assert.fail('came'));
  due.add(100, 'item');
  due.stop();
  clock.advance(1_000);
  assert.equal(clock.pending, 0);
});
