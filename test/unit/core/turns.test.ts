import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from '../../../src/core/turns.ts';
import { settled } from '../../support/fake-clock.ts';

test('what is done about one thing is done in order, other things beside it', async () => {
  const turns = new Turns();
  const seen: string[] = [];
  const ends: Array<() => void> = [];
  const slow = (name: string) => () =>
    new Promise<string>((resolve) => {
      seen.push(`${name} begins`);
      ends.push(() => {
        seen.push(`${name} ends`);
        resolve(name);
      });
    });
  const all = Promise.all([turns.run('a', slow('a1')), turns.run('a', slow('a2')), turns.run('b', slow('b1'))]);
  assert.deepEqual(seen, ['a1 begins', 'b1 begins']);
  ends[0]?.();
  await settled();
  assert.deepEqual(seen, ['a1 begins', 'b1 begins', 'a1 ends', 'a2 begins']);
  ends[1]?.();
  ends[2]?.();
  assert.deepEqual(await all, ['a1', 'a2', 'b1']);
});

test('one that fails is told so, and the next has its turn', async () => {
  const turns = new Turns();
  const first = turns.run('a', async () => Promise.reject(new Error('no')));
  const second = turns.run('a', () => 'second');
  const third = turns.run('a', () => 'third');
  await assert.rejects(first, /no/);
  assert.deepEqual(await Promise.all([second, third]), ['second', 'third']);
});

test('whoever asks for it now is answered within the call, in his turn all the same', async () => {
  const turns = new Turns();
  assert.equal(
    turns.runNow('a', () => 'at once'),
    'at once',
  );
  assert.throws(() => {
    void turns.runNow('a', () => {
      throw new Error('no');
    });
  }, /no/);
  let end = (): void => undefined;
  const slow = turns.runNow('a', () => new Promise<void>((resolve) => (end = resolve)));
  const next = turns.runNow('a', () => 'next');
  assert.ok(next instanceof Promise);
  end();
  await slow;
  assert.equal(await next, 'next');
  await settled();
  assert.equal(
    turns.runNow('a', () => 'free again'),
    'free again',
  );
});

test('what takes no time is done within the call, and one that fails is a rejection', async () => {
  const turns = new Turns();
  let done = false;
  const run = turns.run('a', () => {
    done = true;
  });
  assert.equal(done, true);
  await run;
  const failed = turns.run('a', () => {
    throw new Error('no');
  });
  await assert.rejects(failed, /no/);
});
