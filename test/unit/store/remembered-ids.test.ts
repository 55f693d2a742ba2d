import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RememberedIds } from '../../../src/store/remembered-ids.ts';

test('an id is known for the remembered time, and not for much longer', () => {
  const ids = new RememberedIds([1, 2], 100, 1_000);
  for (let second = 0; second < 1_000; second += 10) {
    const nowMs = second * 1_000;
    ids.add(ids.hash(`id-${second}`), nowMs);
    for (let age = 0; age <= Math.min(second, 99); age += 10) {
      assert.ok(ids.has(ids.hash(`id-${second - age}`), nowMs), `${age} s old, at ${second} s`);
    }
    if (second >= 130) assert.ok(!ids.has(ids.hash(`id-${second - 130}`), nowMs), `130 s old, at ${second} s`);
  }
});

test('a hundred thousand ids are told apart', () => {
  const ids = new RememberedIds([0x1234, 0xffffffff], 900, 1_000_000);
  for (let n = 0; n < 100_000; n += 1) ids.add(ids.hash(`id${n}`), 0);
  let strangers = 0;
  for (let n = 0; n < 100_000; n += 1) {
    assert.ok(ids.has(ids.hash(`id${n}`), 0));
    if (ids.has(ids.hash(`other${n}`), 0)) strangers += 1;
  }
  assert.equal(strangers, 0);
});

test('the hash depends on the seed', () => {
  const [one, other] = [new RememberedIds([1, 2], 1, 1), new RememberedIds([1, 3], 1, 1)];
  assert.notDeepEqual(one.hash('same'), other.hash('same'));
  assert.deepEqual(one.hash('same'), one.hash('same'));
});

test('over the bound the oldest are forgotten early', () => {
  const ids = new RememberedIds([1, 2], 900, 1_000);
  for (let n = 0; n < 5_000; n += 1) ids.add(ids.hash(`id${n}`), n);
  assert.ok(ids.has(ids.hash('id4999'), 5_000));
  assert.ok(ids.has(ids.hash('id4300'), 5_000));
  assert.ok(!ids.has(ids.hash('id0'), 5_000));
});
