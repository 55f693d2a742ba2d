import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectGate } from '../../../../src/xmpp/account/connect-gate.ts';
import { accountPauseMs, outcomeOf } from '../../../../src/xmpp/account/login-outcome.ts';
import { InboundCount, Outbox } from '../../../../src/xmpp/account/outbox.ts';

function outbox(stanzasMax = 100): {
  readonly box: Outbox;
  readonly told: string[];
  readonly add: (text: string) => void;
} {
  const told: string[] = [];
  const box = new Outbox({ stanzasMax, bytesMax: 1_000 });
  return {
    box,
    told,
    add: (text) =>
      box.add({
        text,
        bytes: text.length,
        taken: () => void told.push(`${text} taken`),
        lost: () => void told.push(`${text} lost`),
      }),
  };
}

test('outbox: what is acknowledged is told in order, what is not can be written again', () => {
  const { box, told, add } = outbox();
  for (const text of ['a', 'b', 'c']) add(text);
  assert.deepEqual(box.take(10), { text: 'abc', count: 3 });
  box.wrote({ text: 'answer', bytes: 6 });
  assert.equal(box.acknowledge(2), true);
  assert.deepEqual(told, ['a taken', 'b taken']);
  assert.equal(box.missed(), 'canswer');
  assert.equal(box.unconfirmed, 1);
  assert.equal(box.acknowledge(4), true);
  assert.equal(box.isAcknowledged, true);
  assert.equal(box.written, 4);
});

test('outbox: more than was written is no count of this session, an old count changes nothing', () => {
  const { box, told, add } = outbox();
  add('a');
  box.take(10);
  assert.equal(box.acknowledge(2), false);
  assert.equal(box.acknowledge(1), true);
  assert.equal(box.acknowledge(0), true);
  assert.deepEqual(told, ['a taken']);
});

test('outbox: the window holds back, and the rest follows', () => {
  const { box, add } = outbox(2);
  for (const text of ['a', 'b', 'c']) add(text);
  assert.deepEqual(box.take(10), { text: 'ab', count: 2 });
  assert.equal(box.waiting, 1);
  box.acknowledge(1);
  assert.deepEqual(box.take(10), { text: 'c', count: 1 });
});

test('outbox: a session that is lost tells everybody, in order, and begins to count anew', () => {
  const { box, told, add } = outbox(1);
  add('a');
  add('b');
  box.take(10);
  box.rejectAll(new Error('lost'));
  assert.deepEqual(told, ['a lost', 'b lost']);
  add('c');
  box.take(10);
  assert.equal(box.acknowledge(1), true);
  assert.deepEqual(told.at(-1), 'c taken');
});

test('inbound count: only the first ones without a gap count as handled', () => {
  const count = new InboundCount();
  const [one, two, three] = [count.begin(), count.begin(), count.begin()];
  count.done(two);
  assert.equal(count.handled, 0);
  count.done(one);
  assert.equal(count.handled, 2);
  assert.equal(count.isSettled, false);
  count.done(three);
  assert.equal(count.handled, 3);
  assert.equal(count.isSettled, true);
});

test('connect gate: so many at once, the rest in order, and one may give up its place', () => {
  const gate = new ConnectGate(1);
  const begun: string[] = [];
  gate.enter(() => void begun.push('a'));
  const leave = gate.enter(() => void begun.push('b'));
  gate.enter(() => void begun.push('c'));
  assert.equal(leave(), true);
  gate.leave();
  assert.deepEqual(begun, ['a', 'c']);
  gate.leave();
  gate.enter(() => void begun.push('d'));
  assert.deepEqual(begun, ['a', 'c', 'd']);
});

const OUTCOMES: ReadonlyArray<readonly [step: string | undefined, condition: string | undefined, kind: string]> = [
  ['sasl', 'not-authorized', 'never'],
  ['sasl', 'account-disabled', 'never'],
  ['sasl', 'credentials-expired', 'never'],
  ['sasl', 'temporary-auth-failure', 'again'],
  ['sasl', 'aborted', 'again'],
  ['sasl', 'no-mechanism', 'slowly'],
  ['sasl', 'constructor', 'again'],
  ['bind', 'not-authorized', 'never'],
  ['bind', 'resource-constraint', 'slowly'],
  ['bind', 'something', 'slowly'],
  ['stream', 'conflict', 'slowly'],
  ['stream', 'policy-violation', 'slowly'],
  ['stream', 'not-authorized', 'again'],
  ['stream', 'system-shutdown', 'again'],
  ['tls', undefined, 'slowly'],
  [undefined, undefined, 'again'],
];
for (const [step, condition, kind] of OUTCOMES) {
  test(`login outcome: ${step ?? 'a lost connection'} ${condition ?? ''} is tried ${kind}`, () => {
    const end = {
      reason: 'r',
      ...(step === undefined ? {} : { step }),
      ...(condition === undefined ? {} : { condition }),
    };
    assert.equal(outcomeOf(end).kind, kind);
  });
}

test('account pauses: they grow to 20 s, and to ten minutes where the service says no', () => {
  assert.deepEqual(
    [0, 1, 4, 20].map((failures) => accountPauseMs(failures, false, () => 1)),
    [1_000, 2_000, 16_000, 20_000],
  );
  assert.deepEqual(
    [0, 1, 20].map((failures) => accountPauseMs(failures, true, () => 0)),
    [15_000, 30_000, 300_000],
  );
});
