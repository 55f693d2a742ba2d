import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Acknowledgements } from '../../../../src/xmpp/s2s/acknowledgements.ts';

test('acknowledgements: what came in is counted', () => {
  const counters = new Acknowledgements();
  assert.equal(counters.received, 0);
  for (let n = 0; n < 3; n += 1) counters.count();
  assert.equal(counters.received, 3);
});

test('acknowledgements: the far side says how many it has taken, and may say it again', () => {
  const counters = new Acknowledgements();
  assert.equal(counters.told(2, 5), 2);
  assert.equal(counters.told(2, 5), 2);
  assert.equal(counters.told(5, 5), 5);
});

test('acknowledgements: more than was written is no number of ours', () => {
  const counters = new Acknowledgements();
  assert.equal(counters.told(6, 5), undefined);
  assert.equal(counters.told(3, 5), 3);
  // A count that goes back is one that has gone all the way round.
  assert.equal(counters.told(2, 5), undefined);
});

test('acknowledgements: they go on where the counter wraps', () => {
  const counters = new Acknowledgements();
  const wrap = 2 ** 32;
  assert.equal(counters.told(wrap - 1, wrap + 10), wrap - 1);
  assert.equal(counters.told(4, wrap + 10), wrap + 4);
});
