import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { refreshTimeMs } from '../../../../src/sip/events/refresh-time.ts';
import { parseSubscriptionState } from '../../../../src/sip/events/subscription-state.ts';

const VALUES: ReadonlyArray<readonly [value: string, read: ReturnType<typeof parseSubscriptionState>]> = [
  ['active', { state: 'active' }],
  ['active;expires=600', { state: 'active', expiresSeconds: 600 }],
  ['Pending ; Expires = 60', { state: 'pending', expiresSeconds: 60 }],
  ['active;expires=-1', { state: 'active' }],
  ['active;expires', { state: 'active' }],
  ['active;expires=99999999999', { state: 'active', expiresSeconds: 604_800 }],
  ['active;reason=rejected;retry-after=5', { state: 'active' }],
  ['terminated', { state: 'terminated', reason: 'other' }],
  ['terminated;reason=deactivated', { state: 'terminated', reason: 'deactivated' }],
  ['terminated;reason=probation;retry-after=5', { state: 'terminated', reason: 'probation', retryAfterSeconds: 5 }],
  ['terminated;reason=Rejected', { state: 'terminated', reason: 'rejected' }],
  ['terminated;reason=timeout;expires=5', { state: 'terminated', reason: 'timeout' }],
  ['terminated;reason=giveup', { state: 'terminated', reason: 'giveup' }],
  ['terminated;reason="noresource"', { state: 'terminated', reason: 'noresource' }],
  [
    'terminated;reason=invariant;retry-after=31536001',
    { state: 'terminated', reason: 'invariant', retryAfterSeconds: 31_536_000 },
  ],
  ['terminated;reason=whim', { state: 'terminated', reason: 'other' }],
  ['terminated;reason', { state: 'terminated', reason: 'other' }],
  ['sleeping', undefined],
  ['', undefined],
  [';expires=5', undefined],
  ['active;expires=5;expires=6', undefined],
  ['active, active', undefined],
];

describe('Subscription-State', () => {
  for (const [value, read] of VALUES) {
    test(value === '' ? 'nothing' : value, () => assert.deepEqual(parseSubscriptionState(value), read));
  }
});

describe('when a subscription is refreshed, seconds after it began', () => {
  const TIMES: ReadonlyArray<readonly [seconds: number, latest: number, earliest: number]> = [
    [86_400, 69_120, 62_208],
    [3_600, 2_880, 2_592],
    [300, 240, 216],
    // 60 s before the end.
    [240, 180, 162],
    // Not before half of it is over.
    [100, 50, 45],
    [60, 30, 27],
    // Never at once, whatever was granted.
    [10, 5, 5],
    [1, 5, 5],
    [0, 5, 5],
    [-100, 5, 5],
  ];
  for (const [seconds, latest, earliest] of TIMES) {
    test(`${seconds} s: ${earliest} to ${latest} s`, () => {
      const at = (chance: number): number => refreshTimeMs(1_000_000 + seconds * 1_000, { nowMs: 1_000_000, chance });
      assert.deepEqual([at(0), at(1)], [1_000_000 + latest * 1_000, 1_000_000 + earliest * 1_000]);
    });
  }
});
