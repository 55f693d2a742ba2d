import assert from 'node:assert/strict';
import test from 'node:test';
import { Settlements, type Settlement } from '../../../src/core/settlements.ts';
import { Turnstile } from '../../../src/core/turnstile.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

const DELIVERED: Settlement = { kind: 'delivered' };

test('settlements: who waits is told', async () => {
  const settlements = new Settlements(new FakeClock(), 2_000);
  const waiting = [settlements.wait('a'), settlements.wait('a'), settlements.wait('b')];
  assert.equal(settlements.settle('a', DELIVERED), true);
  assert.deepEqual(await waiting[0]?.settled, DELIVERED);
  assert.deepEqual(await waiting[1]?.settled, DELIVERED);
  assert.equal(settlements.settle('a', DELIVERED), false);
  settlements.stop();
});

test('settlements: nobody waits longer than the patience, and one timer serves them all', async () => {
  const clock = new FakeClock();
  const settlements = new Settlements(clock, 2_000);
  const ended: string[] = [];
  for (let n = 0; n < 100; n++) {
    void settlements.wait(`m${n}`).settled.then(({ kind }) => ended.push(`${kind} ${n}`));
    clock.advance(10);
  }
  assert.equal(clock.pending, 1);
  await clock.advanceAsync(1_000);
  assert.equal(ended.length, 1, 'the first began 2 s ago');
  await clock.advanceAsync(1_000);
  assert.equal(ended.length, 100);
  assert.equal(clock.pending, 0);
  assert.equal(settlements.settle('m5', DELIVERED), false);
});

test('settlements: who has left is not told, so somebody else must be', async () => {
  const settlements = new Settlements(new FakeClock(), 2_000);
  const { settled: outcome, leave } = settlements.wait('a');
  leave();
  assert.equal((await outcome).kind, 'pending');
  assert.equal(settlements.settle('a', DELIVERED), false);
  assert.equal(settlements.recent('a'), undefined);
});

test('settlements: an outcome is remembered as long as a request may be repeated', () => {
  const clock = new FakeClock();
  const settlements = new Settlements(clock, 2_000);
  settlements.wait('a');
  settlements.settle('a', DELIVERED);
  clock.advance(63_999);
  assert.deepEqual(settlements.recent('a'), DELIVERED);
  clock.advance(1);
  assert.equal(settlements.recent('a'), undefined);
});

test('settlements: a wall clock that jumps back keeps nobody', async () => {
  let nowMs = 1_000_000;
  const inner = new FakeClock();
  const settlements = new Settlements({ nowMs: () => nowMs, after: (ms, action) => inner.after(ms, action) }, 2_000);
  const { settled: outcome } = settlements.wait('a');
  nowMs = 0;
  await inner.advanceAsync(2_000);
  assert.equal((await outcome).kind, 'pending');
});

test('turnstile: it lets so many in, the others in their order', async () => {
  const turnstile = new Turnstile(2);
  const inside: number[] = [];
  for (let n = 0; n < 5; n++) {
    const turn = turnstile.enter();
    if (turn === undefined) inside.push(n);
    else void turn.then(() => inside.push(n));
  }
  assert.deepEqual(inside, [0, 1]);
  for (let n = 0; n < 3; n++) turnstile.leave();
  await settled();
  assert.deepEqual(inside, [0, 1, 2, 3, 4]);
  turnstile.leave();
  assert.equal(turnstile.enter(), undefined);
  assert.notEqual(turnstile.enter(), undefined);
});

test('turnstile: a hundred thousand who wait are let in in time proportional to their number', async () => {
  const turnstile = new Turnstile(1);
  void turnstile.enter();
  let last = -1;
  let inOrder = true;
  for (let n = 0; n < 100_000; n++) {
    void turnstile.enter()?.then(() => {
      inOrder &&= n === last + 1;
      last = n;
      turnstile.leave();
    });
  }
  turnstile.leave();
  await settled();
  assert.equal(last, 99_999);
  assert.equal(inOrder, true);
});
