import assert from 'node:assert/strict';
import test from 'node:test';
import { RecentMap } from '../../../src/core/recent-map.ts';

test('recent map: it never holds more than it may, and what came last is there', () => {
  const map = new RecentMap<number>({ keepMs: 1_000, max: 10 });
  for (let n = 0; n < 1_000; n++) {
    map.set(`k${n}`, n, 0);
    assert.ok(map.size <= 10);
    for (let back = 0; back < Math.min(5, n + 1); back++) assert.equal(map.get(`k${n - back}`, 0), n - back);
  }
  assert.equal(map.get('k900', 0), undefined);
});

const AGES: ReadonlyArray<readonly [ageMs: number, value: number | undefined]> = [
  [0, 1],
  [999, 1],
  [1_000, undefined],
  [1_000_000, undefined],
];
for (const [ageMs, value] of AGES) {
  test(`recent map: after ${ageMs} of 1000 ms a value is ${value === undefined ? 'gone' : 'there'}`, () => {
    const map = new RecentMap<number>({ keepMs: 1_000, max: 10 });
    map.set('k', 1, 500);
    assert.equal(map.get('k', 500 + ageMs), value);
  });
}

test('recent map: what is old leaves when others come', () => {
  const map = new RecentMap<number>({ keepMs: 1_000, max: 100 });
  for (let n = 0; n < 10; n++) map.set(`k${n}`, n, 0);
  map.set('later', 1, 2_000);
  map.set('last', 1, 4_000);
  assert.equal(map.size, 2);
});

test('recent map: setting again makes a value young, deleting removes it', () => {
  const map = new RecentMap<number>({ keepMs: 1_000, max: 10 });
  map.set('k', 1, 0);
  map.set('k', 2, 900);
  assert.equal(map.size, 1);
  assert.equal(map.get('k', 1_500), 2);
  map.delete('k');
  assert.equal(map.get('k', 1_500), undefined);
  assert.equal(map.size, 0);
});
