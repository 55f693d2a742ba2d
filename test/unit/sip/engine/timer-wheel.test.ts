import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Timed, TimerWheel } from '../../../../src/sip/engine/timer-wheel.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

class Bell extends Timed {
  rang: number[] = [];
  readonly #clock: FakeClock;
  readonly #then: ((bell: Bell) => void) | undefined;

  constructor(clock: FakeClock, then?: (bell: Bell) => void) {
    super();
    this.#clock = clock;
    this.#then = then;
  }

  override onTimer(): void {
    this.rang.push(this.#clock.nowMs());
    this.#then?.(this);
  }
}

for (const delayMs of [0, 1, 19, 20, 21, 500, 4_000, 32_000, 40_940, 40_960, 41_000, 300_000, 7_200_000]) {
  test(`timer wheel: ${delayMs} ms rings once, never early and at most two ticks late`, () => {
    const clock = new FakeClock(0);
    const wheel = new TimerWheel(clock);
    clock.advance(7);
    const bell = new Bell(clock);
    wheel.arm(bell, delayMs);
    clock.advance(delayMs + 45);
    assert.equal(bell.rang.length, 1);
    const lateMs = bell.rang[0]! - 7 - delayMs;
    assert.ok(lateMs >= 0 && lateMs <= 40, `late by ${lateMs} ms`);
    clock.advance(90_000);
    assert.equal(bell.rang.length, 1);
  });
}

test('timer wheel: a stopped timer never rings, a moved one rings at its new time only', () => {
  const clock = new FakeClock(0);
  const wheel = new TimerWheel(clock);
  const stopped = new Bell(clock);
  const moved = new Bell(clock);
  wheel.arm(stopped, 100);
  wheel.arm(moved, 100);
  wheel.disarm(stopped);
  wheel.disarm(stopped);
  wheel.arm(moved, 1_000);
  assert.equal(wheel.armed, 1);
  clock.advance(900);
  assert.deepEqual([stopped.rang, moved.rang], [[], []]);
  clock.advance(200);
  assert.equal(moved.rang.length, 1);
  assert.equal(wheel.armed, 0);
});

test('timer wheel: a timer may stop its neighbour of the same slot and set itself again', () => {
  const clock = new FakeClock(0);
  const wheel = new TimerWheel(clock);
  const neighbour = new Bell(clock);
  const first = new Bell(clock, (bell) => {
    wheel.disarm(neighbour);
    if (bell.rang.length < 3) wheel.arm(bell, 100);
  });
  wheel.arm(first, 100);
  wheel.arm(neighbour, 100);
  clock.advance(1_000);
  assert.equal(first.rang.length, 3);
  assert.deepEqual(neighbour.rang, []);
});

test('timer wheel: with nothing to wait for, no timer of the system is kept', () => {
  const clock = new FakeClock(0);
  const wheel = new TimerWheel(clock);
  assert.equal(clock.pending, 0);
  wheel.arm(new Bell(clock), 100);
  assert.equal(clock.pending, 1);
  clock.advance(200);
  assert.equal(clock.pending, 0);
  const late = new Bell(clock);
  wheel.arm(late, 100);
  wheel.stop();
  clock.advance(200);
  assert.deepEqual(late.rang, []);
  assert.equal(clock.pending, 0);
});

test('timer wheel: a wall clock that jumps ahead by a day moves timers by a second at most', () => {
  const clock = new FakeClock(0);
  let jumpMs = 0;
  const wheel = new TimerWheel({
    nowMs: () => clock.nowMs() + jumpMs,
    after: (delayMs, action) => clock.after(delayMs, action),
  });
  const bell = new Bell(clock);
  wheel.arm(bell, 32_000);
  clock.advance(1_000);
  jumpMs = 86_400_000;
  clock.advance(29_900);
  assert.deepEqual(bell.rang, []);
  jumpMs = -86_400_000;
  clock.advance(1_200);
  assert.equal(bell.rang.length, 1);
});
