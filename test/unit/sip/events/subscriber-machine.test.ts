import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stepWatch } from '../../../../src/sip/events/subscriber-machine.ts';
import {
  dueAtMs,
  TIMER_N_MS,
  wordOf,
  type WatchEvent,
  type WatchFacts,
  type WatchState,
  type WatchStep,
} from '../../../../src/sip/events/subscriber-states.ts';

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;

/** No chance: pauses are half of what they may be, and nothing is spread. */
const FACTS: WatchFacts = {
  nowMs: NOW,
  chance: 0,
  policy: { expiresSeconds: 3_600, retry: { firstMs: 10_000, maxMs: 600_000 }, staleMs: 300_000, spreadMs: 10_000 },
};

const live = (at: 'pending' | 'active') =>
  ({ at, failures: 0, sinceMs: NOW - HOUR, expiresAtMs: NOW + 720_000, refreshAtMs: NOW }) as const;

const STATES = {
  'asking first': { at: 'asking', told: 'asked', failures: 0, confirmByMs: NOW },
  'asking again': { at: 'asking', told: 'active', failures: 1, confirmByMs: NOW, lostAtMs: NOW - 1_000 },
  pending: live('pending'),
  active: live('active'),
  refreshing: { ...live('active'), underWay: { confirmByMs: NOW } },
  // Its 2xx is here, its NOTIFY is not.
  answered: { ...live('active'), underWay: { confirmByMs: NOW, isAnswered: true } },
  retry: { at: 'retry', told: 'active', failures: 1, atMs: NOW, lostAtMs: NOW - 1_000, isSilent: true },
  invariant: { at: 'invariant', told: 'active' },
  resting: { at: 'resting', told: 'active', sinceMs: NOW - 1_000 },
  ended: { at: 'ended', reason: 'rejected', sinceMs: NOW - 1_000 },
} as const satisfies Record<string, WatchState>;

const EVENTS = {
  watch: { type: 'watch' },
  rest: { type: 'rest' },
  end: { type: 'end' },
  restored: { type: 'restored' },
  'peer-up': { type: 'peer-up' },
  sent: { type: 'sent' },
  '2xx': { type: 'accepted', seconds: 3_600 },
  '204': { type: 'accepted', seconds: 3_600, isQuiet: true },
  '423': { type: 'too-brief', minSeconds: 7_200 },
  '403': { type: 'forbidden' },
  '404': { type: 'not-found' },
  '481': { type: 'gone' },
  '480': { type: 'refused' },
  '503': { type: 'failed', retryAfterMs: 60_000 },
  silence: { type: 'failed', isSilent: true },
  'NOTIFY pending': { type: 'notified', state: 'pending', expiresSeconds: 1_800 },
  'NOTIFY active': { type: 'notified', state: 'active', expiresSeconds: 1_800 },
  'NOTIFY active, news': { type: 'notified', state: 'active', isNews: true },
  deactivated: { type: 'terminated', reason: 'deactivated', retryAfterMs: 60_000 },
  probation: { type: 'terminated', reason: 'probation', retryAfterMs: 60_000 },
  rejected: { type: 'terminated', reason: 'rejected' },
  timeout: { type: 'terminated', reason: 'timeout' },
  giveup: { type: 'terminated', reason: 'giveup', retryAfterMs: 60_000 },
  noresource: { type: 'terminated', reason: 'noresource' },
  invariant: { type: 'terminated', reason: 'invariant', isNews: true },
  'no reason': { type: 'terminated', reason: 'other' },
  due: { type: 'due' },
} as const satisfies Record<string, WatchEvent>;

/** What becomes of it: `-` nothing at all; else the new state, when it is due, and the effects. */
type Cell = string;

/** Rows of states, in the order of EVENTS. */
const TABLE: Record<keyof typeof STATES, Record<keyof typeof EVENTS, Cell>> = {
  'asking first': {
    watch: '-',
    rest: 'resting: leave store',
    end: 'asking due 0 s: leave forget',
    restored: 'retry due 0 s: drop store',
    'peer-up': '-',
    sent: 'asking due 32 s:',
    '2xx': 'asking due 0 s:',
    '204': 'asking due 0 s:',
    '423': 'asking: ask 7200',
    '403': 'ended rejected: drop forget-document store report',
    '404': 'ended noresource: drop forget-document store report',
    '481': 'retry due 5 s: drop store',
    '480': 'retry due 5 s: drop store',
    '503': 'retry due 60 s: drop store',
    silence: 'retry due 5 s: drop store',
    'NOTIFY pending': 'pending: store report',
    'NOTIFY active': 'active: store report',
    'NOTIFY active, news': 'active: store report',
    deactivated: 'asking: ask 3600',
    probation: 'retry due 60 s: drop store',
    rejected: 'ended rejected: drop forget-document store report',
    timeout: 'asking: ask 3600',
    giveup: 'retry due 60 s: drop store',
    noresource: 'ended noresource: drop forget-document store report',
    invariant: 'invariant: drop store report',
    'no reason': 'asking: ask 3600',
    due: 'retry due 5 s: drop store',
  },
  'asking again': {
    watch: '-',
    rest: 'resting: leave store',
    end: 'asking due 0 s: leave forget',
    restored: 'retry due 0 s: drop store',
    'peer-up': '-',
    sent: 'asking due 32 s:',
    '2xx': 'asking due 0 s:',
    '204': 'asking due 0 s:',
    '423': 'asking: ask 7200',
    '403': 'ended rejected: drop forget-document store report',
    '404': 'retry due 10 s: drop store',
    '481': 'retry due 10 s: drop store',
    '480': 'retry due 10 s: drop store',
    '503': 'retry due 60 s: drop store',
    silence: 'retry due 10 s: drop store',
    'NOTIFY pending': 'pending: store report',
    'NOTIFY active': 'active: store',
    'NOTIFY active, news': 'active: store report',
    deactivated: 'retry due 10 s: drop store',
    probation: 'retry due 60 s: drop store',
    rejected: 'ended rejected: drop forget-document store report',
    timeout: 'retry due 10 s: drop store',
    giveup: 'retry due 60 s: drop store',
    noresource: 'ended noresource: drop forget-document store report',
    invariant: 'invariant: drop store report',
    'no reason': 'retry due 10 s: drop store',
    due: 'retry due 10 s: drop store',
  },
  pending: {
    watch: '-',
    rest: 'resting: leave store',
    end: 'pending due 0 s: leave forget',
    restored: 'pending due 0 s:',
    'peer-up': '-',
    sent: '-',
    '2xx': '-',
    '204': '-',
    '423': '-',
    '403': '-',
    '404': '-',
    '481': '-',
    '480': '-',
    '503': '-',
    silence: '-',
    'NOTIFY pending': 'pending due 1440 s: store-later',
    'NOTIFY active': 'active due 1440 s: store report',
    'NOTIFY active, news': 'active due 0 s: store report',
    deactivated: 'asking: ask 3600',
    probation: 'retry due 60 s: drop store',
    rejected: 'ended rejected: drop forget-document store report',
    timeout: 'asking: ask 3600',
    giveup: 'retry due 60 s: drop store',
    noresource: 'ended noresource: drop forget-document store report',
    invariant: 'invariant: drop store report',
    'no reason': 'asking: ask 3600',
    due: 'pending: refresh 3600',
  },
  active: {
    watch: '-',
    rest: 'resting: leave store',
    end: 'active due 0 s: leave forget',
    restored: 'active due 0 s:',
    'peer-up': '-',
    sent: '-',
    '2xx': '-',
    '204': '-',
    '423': '-',
    '403': '-',
    '404': '-',
    '481': '-',
    '480': '-',
    '503': '-',
    silence: '-',
    'NOTIFY pending': 'pending due 1440 s: store report',
    'NOTIFY active': 'active due 1440 s: store-later',
    'NOTIFY active, news': 'active due 0 s: store-later report',
    deactivated: 'asking: ask 3600',
    probation: 'retry due 60 s: drop store',
    rejected: 'ended rejected: drop forget-document store report',
    timeout: 'asking: ask 3600',
    giveup: 'retry due 60 s: drop store',
    noresource: 'ended noresource: drop forget-document store report',
    invariant: 'invariant: drop store report',
    'no reason': 'asking: ask 3600',
    due: 'active: refresh 3600',
  },
  refreshing: {
    watch: '-',
    rest: 'resting: leave store',
    end: 'active due 0 s: leave forget',
    restored: 'active due 0 s:',
    'peer-up': '-',
    sent: 'active due 32 s:',
    '2xx': 'active due 0 s: store-later',
    '204': 'active due 2880 s: store-later',
    '423': 'active: refresh 7200',
    '403': 'ended rejected: drop forget-document store report',
    '404': 'retry due 5 s: drop store',
    '481': 'asking: ask 3600',
    '480': 'retry due 5 s: drop store',
    '503': 'active due 60 s: store-later',
    silence: 'active due 5 s: store-later',
    'NOTIFY pending': 'pending: store report',
    'NOTIFY active': 'active: store-later',
    'NOTIFY active, news': 'active: store-later report',
    deactivated: 'asking: ask 3600',
    probation: 'retry due 60 s: drop store',
    rejected: 'ended rejected: drop forget-document store report',
    timeout: 'asking: ask 3600',
    giveup: 'retry due 60 s: drop store',
    noresource: 'ended noresource: drop forget-document store report',
    invariant: 'invariant: drop store report',
    'no reason': 'asking: ask 3600',
    due: 'active due 5 s: store-later',
  },
  answered: {
    watch: '-',
    rest: 'resting: leave store',
    end: 'active due 0 s: leave forget',
    restored: 'active due 0 s:',
    'peer-up': '-',
    sent: 'active due 32 s:',
    '2xx': '-',
    '204': '-',
    '423': '-',
    '403': '-',
    '404': '-',
    '481': '-',
    '480': '-',
    '503': '-',
    silence: '-',
    'NOTIFY pending': 'pending due 1440 s: store report',
    'NOTIFY active': 'active due 1440 s: store-later',
    'NOTIFY active, news': 'active due 0 s: store-later report',
    deactivated: 'asking: ask 3600',
    probation: 'retry due 60 s: drop store',
    rejected: 'ended rejected: drop forget-document store report',
    timeout: 'asking: ask 3600',
    giveup: 'retry due 60 s: drop store',
    noresource: 'ended noresource: drop forget-document store report',
    invariant: 'invariant: drop store report',
    'no reason': 'asking: ask 3600',
    due: 'retry due 5 s: drop store',
  },
  retry: {
    watch: '-',
    rest: 'resting: leave store',
    end: 'retry due 0 s: forget',
    restored: 'retry due 0 s:',
    'peer-up': 'retry due 0 s:',
    sent: '-',
    '2xx': '-',
    '204': '-',
    '423': '-',
    '403': '-',
    '404': '-',
    '481': '-',
    '480': '-',
    '503': '-',
    silence: '-',
    'NOTIFY pending': '-',
    'NOTIFY active': '-',
    'NOTIFY active, news': '-',
    deactivated: '-',
    probation: '-',
    rejected: '-',
    timeout: '-',
    giveup: '-',
    noresource: '-',
    invariant: '-',
    'no reason': '-',
    due: 'asking: ask 3600',
  },
  invariant: idle({ rest: 'resting: leave store', end: 'invariant: forget' }),
  resting: idle({ watch: 'asking: ask 3600', end: 'resting: forget' }),
  ended: idle({ watch: 'asking: forget-document ask 3600', end: 'ended rejected: forget' }),
};

function idle(cells: Partial<Record<keyof typeof EVENTS, Cell>>): Record<keyof typeof EVENTS, Cell> {
  const nothing = Object.fromEntries(Object.keys(EVENTS).map((name) => [name, '-']));
  return { ...(nothing as Record<keyof typeof EVENTS, Cell>), ...cells };
}

describe('watching a presentity elsewhere, every cell', () => {
  for (const [stateName, row] of Object.entries(TABLE)) {
    for (const [eventName, cell] of Object.entries(row)) {
      test(`${stateName}, ${eventName}: ${cell}`, () => {
        const state = STATES[stateName as keyof typeof STATES];
        const step = stepWatch(state, EVENTS[eventName as keyof typeof EVENTS], FACTS);
        assert.equal(told(state, step), cell);
      });
    }
  }
});

/** A step in the words of the table. */
function told(before: WatchState, { state, effects }: WatchStep): Cell {
  if (state === before && effects.length === 0) return '-';
  const dueMs = dueAtMs(state);
  const name = state.at === 'ended' ? `ended ${state.reason}` : state.at;
  const due = dueMs === undefined ? '' : ` due ${(dueMs - NOW) / 1_000} s`;
  const done = effects.map((effect) => ('seconds' in effect ? `${effect.do} ${effect.seconds}` : effect.do));
  return [`${name}${due}:`, ...done].join(' ');
}

/** Moves through several events, the time of each given in seconds from NOW. */
function run(start: WatchState, ...events: ReadonlyArray<readonly [atSeconds: number, event: WatchEvent]>): WatchStep {
  let step: WatchStep = { state: start, effects: [] };
  for (const [atSeconds, event] of events) {
    step = stepWatch(step.state, event, { ...FACTS, nowMs: NOW + atSeconds * 1_000 });
  }
  return step;
}

const FIRST: WatchState = { at: 'asking', told: 'asked', failures: 0 };
const NOTIFIED: WatchEvent = { type: 'notified', state: 'active' };

describe('how long it lasts', () => {
  const expiryOf = (...events: ReadonlyArray<readonly [number, WatchEvent]>): number => {
    const { state } = run(FIRST, ...events);
    assert.ok(state.at === 'active', state.at);
    return (state.expiresAtMs - NOW) / 1_000;
  };

  test('as the 2xx says', () => {
    assert.equal(expiryOf([0, { type: 'sent' }], [1, { type: 'accepted', seconds: 600 }], [2, NOTIFIED]), 601);
  });
  test('as the 2xx says that comes after the NOTIFY', () => {
    assert.equal(expiryOf([0, { type: 'sent' }], [1, NOTIFIED], [2, { type: 'accepted', seconds: 600 }]), 602);
  });
  test('as the NOTIFY says, rather than the 2xx before it', () => {
    const said: WatchEvent = { ...NOTIFIED, expiresSeconds: 300 };
    assert.equal(expiryOf([1, { type: 'accepted', seconds: 600 }], [2, said]), 302);
  });
  test('as the NOTIFY says, rather than the 2xx after it', () => {
    const said: WatchEvent = { ...NOTIFIED, expiresSeconds: 300 };
    assert.equal(expiryOf([1, said], [2, { type: 'accepted', seconds: 600 }]), 301);
  });
  test('as was asked where nobody says', () => {
    assert.equal(expiryOf([1, { type: 'accepted' }], [2, NOTIFIED]), 3_601);
  });
  test('a countdown in each NOTIFY moves nothing', () => {
    const start = run(FIRST, [0, { type: 'accepted', seconds: 600 }], [0, NOTIFIED]).state;
    const { state } = run(start, [100, { ...NOTIFIED, expiresSeconds: 501 }]);
    assert.deepEqual(state, start);
  });
});

describe('Timer N', () => {
  const opened = run(FIRST, [0, { type: 'accepted', seconds: 3_600 }], [0, NOTIFIED]).state;

  test('is not set before the request leaves', () => {
    assert.equal(dueAtMs(run(opened, [3_000, { type: 'due' }]).state), undefined);
  });
  test('of a refresh is over with its NOTIFY', () => {
    const { state } = run(opened, [3_000, { type: 'due' }], [3_000, { type: 'sent' }], [3_001, NOTIFIED]);
    assert.equal(dueAtMs(state), undefined);
    const after = run(state, [3_002, { type: 'accepted', seconds: 3_600 }]).state;
    assert.equal(after.at, 'active');
    assert.equal(dueAtMs(after), NOW + 3_002_000 + 2_880_000);
  });
  test('of a refresh without NOTIFY ends the subscription', () => {
    const { state } = run(
      opened,
      [3_000, { type: 'due' }],
      [3_000, { type: 'sent' }],
      [3_001, { type: 'accepted', seconds: 3_600 }],
      [3_000 + TIMER_N_MS / 1_000, { type: 'due' }],
    );
    assert.equal(state.at, 'retry');
  });
});

describe('what failures come to', () => {
  test('a refresh that fails is tried again while the subscription lasts, then another dialog is asked for', () => {
    let { state } = run(FIRST, [0, { type: 'accepted', seconds: 600 }], [0, NOTIFIED]);
    const seen: string[] = [];
    for (let turn = 0; turn < 12 && state.at === 'active'; turn++) {
      const atSeconds = ((dueAtMs(state) ?? 0) - NOW) / 1_000;
      ({ state } = run(state, [atSeconds, { type: 'due' }], [atSeconds, { type: 'failed' }]));
      seen.push(`${state.at} ${((dueAtMs(state) ?? 0) - NOW) / 1_000}`);
    }
    assert.deepEqual(seen, ['active 485', 'active 495', 'active 515', 'active 555', 'retry 560']);
  });

  test('pauses grow up to the longest', () => {
    let state: WatchState = FIRST;
    const pauses: number[] = [];
    for (let attempt = 0; attempt < 9; attempt++) {
      ({ state } = run(state, [0, { type: 'failed' }]));
      assert.ok(state.at === 'retry');
      pauses.push((state.atMs - NOW) / 1_000);
      ({ state } = stepWatch({ ...state, atMs: NOW }, { type: 'due' }, FACTS));
    }
    assert.deepEqual(pauses, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
  });

  test('Retry-After makes no pause shorter', () => {
    const { state } = stepWatch({ ...FIRST, failures: 8 }, { type: 'failed', retryAfterMs: 1_000 }, FACTS);
    assert.equal(dueAtMs(state), NOW + 300_000);
  });

  test('of what has an answer nothing is hurried when the far side is up again', () => {
    const { state } = stepWatch(FIRST, { type: 'failed', retryAfterMs: 60_000 }, FACTS);
    assert.equal(stepWatch(state, { type: 'peer-up' }, FACTS).state, state);
  });

  test('a dialog that ends as soon as it began is not begun in a circle', () => {
    const steps: string[] = [];
    let state: WatchState = FIRST;
    for (let turn = 0; turn < 4; turn++) {
      const step = run(state, [0, NOTIFIED], [0, { type: 'terminated', reason: 'deactivated' }]);
      steps.push(told(state, step));
      state = step.state.at === 'retry' ? { ...FIRST, failures: step.state.failures } : step.state;
    }
    assert.deepEqual(steps, [
      'asking: ask 3600',
      'retry due 10 s: drop store',
      'retry due 20 s: drop store',
      'retry due 40 s: drop store',
    ]);
  });

  test('one that grants no time at all is not asked at full speed', () => {
    const opened = run(FIRST, [0, { ...NOTIFIED, expiresSeconds: 0 }], [0, { type: 'accepted', seconds: 0 }]).state;
    assert.equal(dueAtMs(opened), NOW + 5_000);
    const again = run(opened, [5, { type: 'due' }]);
    assert.equal(told(opened, again), 'asking: ask 3600');
    const second = run(
      again.state,
      [5, { ...NOTIFIED, expiresSeconds: 0 }],
      [5, { type: 'accepted' }],
      [10, { type: 'due' }],
    );
    assert.equal(second.state.at, 'retry');
  });

  for (const [name, minSeconds] of [
    ['not longer than what was asked', 3_600],
    ['longer than anybody may ask', 700_000],
  ] as const) {
    test(`a Min-Expires ${name} is a failure`, () => {
      assert.equal(stepWatch(FIRST, { type: 'too-brief', minSeconds }, FACTS).state.at, 'retry');
    });
  }

  test('a Min-Expires is remembered', () => {
    const { state } = run(FIRST, [0, { type: 'too-brief', minSeconds: 7_200 }], [1, { type: 'failed' }]);
    assert.deepEqual(run(state, [60, { type: 'due' }]).effects, [{ do: 'ask', seconds: 7_200 }]);
  });
});

describe('what is known and no longer fresh', () => {
  const lost: WatchState = { at: 'asking', told: 'active', failures: 4, lostAtMs: NOW - 290_000 };

  test('is dropped when it cannot be had again in time', () => {
    const step = stepWatch(lost, { type: 'failed' }, FACTS);
    assert.deepEqual(step.effects, [{ do: 'drop' }, { do: 'forget-document' }, { do: 'store' }, { do: 'report' }]);
    assert.deepEqual(wordOf(step.state), { at: 'active' });
  });
  test('is dropped once', () => {
    const first = stepWatch(lost, { type: 'failed' }, FACTS).state;
    const second = run(first, [600, { type: 'due' }], [600, { type: 'failed' }]);
    assert.deepEqual(second.effects, [{ do: 'drop' }, { do: 'store' }]);
  });
  test('stands while there is time', () => {
    const step = stepWatch({ ...lost, lostAtMs: NOW - 1_000 }, { type: 'failed' }, FACTS);
    assert.deepEqual(step.effects, [{ do: 'drop' }, { do: 'store' }]);
  });
  test('is dropped at once by a probation that is longer', () => {
    const step = stepWatch(live('active'), { type: 'terminated', reason: 'probation', retryAfterMs: 900_000 }, FACTS);
    assert.deepEqual(step.effects, [{ do: 'drop' }, { do: 'forget-document' }, { do: 'store' }, { do: 'report' }]);
  });
  test('says nothing to a watcher who comes back much later', () => {
    const step = stepWatch({ at: 'resting', told: 'active', sinceMs: NOW - HOUR }, { type: 'watch' }, FACTS);
    assert.deepEqual(step.effects, [{ do: 'forget-document' }, { do: 'ask', seconds: 3_600 }]);
  });
});

describe('after a restart', () => {
  const later: WatchFacts = { ...FACTS, chance: 0.5 };
  test('what is overdue is spread', () => {
    assert.equal(dueAtMs(stepWatch(live('active'), { type: 'restored' }, later).state), NOW + 5_000);
    assert.equal(dueAtMs(stepWatch(FIRST, { type: 'restored' }, later).state), NOW + 5_000);
  });
  test('what is not due yet keeps its time', () => {
    const state: WatchState = { ...live('active'), refreshAtMs: NOW + 1_000 };
    assert.equal(stepWatch(state, { type: 'restored' }, later).state, state);
  });
  test('what has expired meanwhile is asked for anew', () => {
    const state: WatchState = { ...live('active'), expiresAtMs: NOW - 1, refreshAtMs: NOW - 2 };
    assert.deepEqual(stepWatch(state, { type: 'due' }, FACTS).effects, [{ do: 'ask', seconds: 3_600 }]);
  });
});
