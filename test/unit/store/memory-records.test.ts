import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordsContract, type RecordsWorld } from '../../contract/records.ts';
import { settled } from '../../support/fake-clock.ts';
import { MemoryRecordStore } from '../../support/memory-records.ts';

recordsContract('MemoryRecordStore', () => {
  const store = new MemoryRecordStore();
  const world: RecordsWorld = {
    records: (kind) => store.records(kind),
    crash: () => Promise.resolve(store.crash()),
    pass: () => store.release(),
    setFailing: (isFailing) => {
      store.failing = isFailing;
    },
    close: () => Promise.resolve(),
  };
  return Promise.resolve(world);
});

test('memory records: what is held is not durable, and no put resolves, until it is released', async () => {
  const store = new MemoryRecordStore();
  const records = store.records<number>('subscription');
  store.holding = true;
  let isStored = false;
  void records.put('one', 1).then(() => (isStored = true));
  await settled();
  await settled();
  assert.equal(isStored, false);
  assert.deepEqual([...store.crash().records('subscription').all()], []);
  await store.release();
  assert.equal(isStored, true);
  assert.deepEqual([...store.crash().records('subscription').all()], [['one', 1]]);
});

test('memory records: the journal has every call in its order', async () => {
  const store = new MemoryRecordStore();
  const value = { a: 1 };
  store.records('b').putLater('one', value);
  value.a = 2;
  await store.records('a').remove('two');
  assert.deepEqual(store.journal, [
    { kind: 'b', call: 'putLater', key: 'one', value: { a: 1 } },
    { kind: 'a', call: 'remove', key: 'two' },
  ]);
  assert.deepEqual(store.calls('b'), ['putLater one']);
});
