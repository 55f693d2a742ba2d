import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PulseVerdict, StreamPulse } from '../../../src/xmpp/stream-pulse.ts';

type State = { holding: boolean; bytesWaiting: number };
const QUIET: State = { holding: false, bytesWaiting: 0 };

/** What is said while so many ms pass in steps of 50, with the time of each word. */
function pass(pulse: StreamPulse, ms: number, state = QUIET): Array<[number, PulseVerdict]> {
  const said: Array<[number, PulseVerdict]> = [];
  for (let at = 50; at <= ms; at += 50) {
    const verdict = pulse.passed(50, state);
    if (Object.keys(verdict).length > 0) said.push([at, verdict]);
    if (verdict.dead !== undefined) break;
  }
  return said;
}

test('pulse: an answer confirms what was written before its ping, and the pings before it', () => {
  const pulse = new StreamPulse('p', false);
  const first = pulse.ping(3);
  const second = pulse.ping(7);
  assert.notEqual(first, second);
  assert.equal(pulse.answered(second), 7);
  assert.equal(pulse.answered(first), undefined);
  assert.equal(pulse.pinging, false);
  assert.equal(pulse.answers, true);
});

test('pulse: an id of an earlier stream or of nobody confirms nothing', () => {
  const pulse = new StreamPulse('p', false);
  pulse.ping(3);
  assert.equal(pulse.answered('q-1'), undefined);
  assert.equal(pulse.answered('p-99'), undefined);
  assert.equal(pulse.isOurs('q-1'), false);
});

test('pulse: a peer that used to answer is dead after 20 s without an answer', () => {
  const pulse = new StreamPulse('p', true);
  pulse.ping(0);
  const [[at, verdict] = [0, {}]] = pass(pulse, 60_000);
  assert.equal(at, 20_000);
  assert.match(verdict.dead ?? '', /ping/);
});

test('pulse: any answer within 20 s keeps a slow peer alive', () => {
  const pulse = new StreamPulse('p', true);
  const ids = [pulse.ping(100), pulse.ping(200), pulse.ping(300)];
  for (const id of ids) {
    assert.deepEqual(pass(pulse, 19_000), []);
    assert.notEqual(pulse.answered(id), undefined);
  }
});

test('pulse: while we ourselves do not read, a missing answer means nothing', () => {
  const pulse = new StreamPulse('p', true);
  pulse.ping(0);
  assert.deepEqual(pass(pulse, 50_000, { holding: true, bytesWaiting: 0 }), []);
  assert.equal(pass(pulse, 60_000)[0]?.[0], 20_000);
});

test('pulse: bytes that nobody takes for 20 s mean death, to a mute peer too', () => {
  const pulse = new StreamPulse('p', false);
  const said = pass(pulse, 60_000, { holding: false, bytesWaiting: 10 });
  assert.equal(said.at(-1)?.[0], 20_000);
  assert.match(said.at(-1)?.[1].dead ?? '', /reads nothing/);
});

test('pulse: bytes that go on leaving mean life', () => {
  const pulse = new StreamPulse('p', false);
  for (let n = 0; n < 10; n += 1) {
    assert.deepEqual(
      pass(pulse, 10_000, { holding: false, bytesWaiting: 10 }).filter(([, said]) => said.dead),
      [],
    );
    pulse.flushed(n);
  }
});

test('pulse: a peer that never answers is called mute once after 3 s; then outliving 250 ms confirms', () => {
  const pulse = new StreamPulse('p', false);
  pulse.ping(0);
  pulse.flushed(5);
  const said = pass(pulse, 4_000);
  assert.deepEqual(said, [[3_000, { mute: true, confirmed: 5 }]]);
  pulse.flushed(6);
  assert.deepEqual(pass(pulse, 1_000), [[250, { confirmed: 6 }]]);
});

test('pulse: before it is called mute nothing is confirmed by time', () => {
  const pulse = new StreamPulse('p', false);
  pulse.ping(0);
  pulse.flushed(5);
  assert.deepEqual(pass(pulse, 2_950), []);
});

test('pulse: a peer found mute on one stream is not waited for on the next, nor told of again', () => {
  const pulse = new StreamPulse('p', false, true);
  pulse.ping(0);
  pulse.flushed(5);
  assert.deepEqual(pass(pulse, 1_000), [[250, { confirmed: 5 }]]);
});

test('pulse: who has ever answered does not begin as mute', () => {
  const pulse = new StreamPulse('p', true, true);
  pulse.ping(0);
  pulse.flushed(5);
  assert.deepEqual(pass(pulse, 1_000), []);
});

test('pulse: a mute peer that answers after all is mute no more', () => {
  const pulse = new StreamPulse('p', false);
  pulse.ping(0);
  pass(pulse, 60_000);
  const id = pulse.ping(1);
  assert.equal(pulse.answered(id), 1);
  pulse.flushed(2);
  assert.deepEqual(pass(pulse, 1_000), []);
});

test('pulse: a ping is due after 60 s without one', () => {
  const pulse = new StreamPulse('p', true);
  pulse.answered(pulse.ping(0));
  assert.equal(pass(pulse, 70_000)[0]?.[0], 60_000);
});
