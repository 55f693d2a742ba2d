import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { Groups } from '../../../src/core/groups.ts';

test('groups: things of one key stay in order, and a key without any is gone', () => {
  const groups = new Groups<string>();
  for (const [key, thing] of [
    ['a', 'one'],
    ['b', 'two'],
    ['a', 'three'],
  ] as const) {
    groups.add(key, thing);
  }
  assert.deepEqual(groups.of('a'), ['one', 'three']);
  groups.remove('a', 'two');
  groups.remove('a', 'one');
  assert.deepEqual(groups.of('a'), ['three']);
  groups.remove('a', 'three');
  assert.deepEqual(groups.of('a'), []);
  assert.deepEqual([...groups.keys()], ['b']);
});

test('groups: what was given out stays as it was', () => {
  const groups = new Groups<string>();
  groups.add('a', 'one');
  const before = groups.of('a');
  groups.remove('a', 'one');
  assert.deepEqual(before, ['one']);
});
