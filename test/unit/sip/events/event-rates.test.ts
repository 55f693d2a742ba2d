import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pace } from '../../../../src/core/presence/pace.ts';
import { paceParams, parseEvent } from '../../../../src/sip/events/event-header.ts';

const READ: ReadonlyArray<readonly [value: string, pace: Pace | undefined]> = [
  ['presence', undefined],
  ['presence;max-rate=0.05', { shortestMs: 20_000 }],
  ['presence;id=7;max-rate=10', { shortestMs: 100 }],
  ['presence;min-rate=0.0166666667', { longestMs: 59_999.999_88 }],
  ['presence;max-rate=0.1;min-rate=0.01', { shortestMs: 10_000, longestMs: 100_000 }],
  // None of the grammar of RFC 6446, section 9.2: no wish, and no reason to refuse.
  ['presence;max-rate=0', undefined],
  ['presence;max-rate=0.00000000001', undefined],
  ['presence;max-rate=-1', undefined],
  ['presence;max-rate=100', undefined],
  ['presence;max-rate', undefined],
  ['presence;max-rate="a"', undefined],
  ['presence;adaptive-min-rate=1', undefined],
];
for (const [value, pace] of READ) {
  test(`Event: ${value}: ${pace === undefined ? 'no wish' : JSON.stringify(pace)}`, () => {
    const read = parseEvent(value);
    assert.equal(read?.package, 'presence');
    assert.deepEqual(
      [read.pace?.shortestMs, read.pace?.longestMs].map((ms) => (ms === undefined ? undefined : Math.round(ms))),
      [pace?.shortestMs, pace?.longestMs].map((ms) => (ms === undefined ? undefined : Math.round(ms))),
    );
  });
}

const WRITTEN: ReadonlyArray<readonly [pace: Pace, params: string]> = [
  [{}, ''],
  [{ shortestMs: 0 }, ''],
  [{ shortestMs: 20_000 }, ';max-rate=0.05'],
  [{ shortestMs: 100 }, ';max-rate=10'],
  [{ longestMs: 60_000 }, ';min-rate=0.0166666667'],
  [{ shortestMs: 5_000, longestMs: 3_600_000 }, ';max-rate=0.2;min-rate=0.0002777778'],
  [{ shortestMs: 1 }, ';max-rate=99'],
];
for (const [pace, params] of WRITTEN) {
  test(`Subscription-State says ${params === '' ? 'nothing' : params} of ${JSON.stringify(pace)}`, () => {
    assert.equal(paceParams(pace), params);
  });
}
