import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stepSubscription, type SubscriptionEvent } from '../../../../src/core/presence/subscription-machine.ts';
import type { SubscriptionState } from '../../../../src/core/presence/subscription.ts';

type At = SubscriptionState['at'];
type Cell = readonly [next: At, does: 'notify' | ''];

/** The whole machine as a table: rows are states, columns events, a cell is the next state and whether the watcher is told. */
const CELLS: Record<At, Record<Exclude<SubscriptionEvent['type'], 'ended'>, Cell>> = {
  pending: {
    refreshed: ['pending', 'notify'],
    approved: ['active', 'notify'],
    rejected: ['terminated', 'notify'],
    unsubscribed: ['waiting', 'notify'],
    expired: ['waiting', 'notify'],
    'gave-up': ['terminated', 'notify'],
  },
  active: {
    refreshed: ['active', 'notify'],
    approved: ['active', ''],
    rejected: ['terminated', 'notify'],
    unsubscribed: ['terminated', 'notify'],
    expired: ['terminated', 'notify'],
    'gave-up': ['active', ''],
  },
  waiting: {
    refreshed: ['waiting', ''],
    approved: ['terminated', ''],
    rejected: ['terminated', ''],
    unsubscribed: ['waiting', ''],
    expired: ['waiting', ''],
    'gave-up': ['terminated', ''],
  },
  terminated: {
    refreshed: ['terminated', ''],
    approved: ['terminated', ''],
    rejected: ['terminated', ''],
    unsubscribed: ['terminated', ''],
    expired: ['terminated', ''],
    'gave-up': ['terminated', ''],
  },
};

/** States with everything that they may carry. */
const STATES: Record<At, SubscriptionState> = {
  pending: { at: 'pending', expiresAtMs: 1_000 },
  active: { at: 'active', expiresAtMs: 1_000 },
  waiting: { at: 'waiting' },
  terminated: { at: 'terminated', reason: 'timeout' },
};

for (const [at, row] of Object.entries(CELLS)) {
  for (const [type, [next, does]] of Object.entries(row)) {
    test(`subscription: ${at} + ${type} -> ${next}${does === '' ? '' : ` (${does})`}`, () => {
      const event = { type, expiresAtMs: 2_000 } as SubscriptionEvent;
      const { state, notifies } = stepSubscription(STATES[at as At], event);
      assert.equal(state.at, next);
      assert.equal(notifies, does === 'notify');
    });
  }
}

const REASONS: ReadonlyArray<readonly [At, SubscriptionEvent, string | undefined]> = [
  ['active', { type: 'rejected' }, 'rejected'],
  ['active', { type: 'expired' }, 'timeout'],
  ['active', { type: 'unsubscribed' }, 'timeout'],
  ['active', { type: 'ended', reason: 'deactivated' }, 'deactivated'],
  ['pending', { type: 'ended', reason: 'noresource' }, 'noresource'],
  ['pending', { type: 'ended', reason: 'probation' }, 'probation'],
  ['pending', { type: 'gave-up' }, 'giveup'],
  ['waiting', { type: 'ended', reason: 'noresource' }, 'noresource'],
  // What has ended keeps the reason it ended for.
  ['terminated', { type: 'ended', reason: 'noresource' }, 'timeout'],
];

for (const [at, event, reason] of REASONS) {
  const name = event.type === 'ended' ? `ended by ${event.reason}` : event.type;
  test(`subscription: ${at} + ${name} ends with reason ${reason}`, () => {
    const { state } = stepSubscription(STATES[at], event);
    assert.equal(state.at === 'terminated' ? state.reason : undefined, reason);
  });
}

test('subscription: a refresh moves the end, and one without an end has none', () => {
  const timed = stepSubscription(STATES.active, { type: 'refreshed', expiresAtMs: 9_000 });
  assert.deepEqual(timed.state, { at: 'active', expiresAtMs: 9_000 });
  const endless = stepSubscription(STATES.pending, { type: 'refreshed' });
  assert.deepEqual(endless, { state: { at: 'pending' }, notifies: true });
});
