import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FanOut, untold, type Telling } from '../../../../src/core/presence/fan-out.ts';
import type { NotifyOutcome } from '../../../../src/core/presence/subscription.ts';
import { FakeClock, settled } from '../../../support/fake-clock.ts';

type Item = Telling & { readonly name: string; state: number };

const TOLD: NotifyOutcome = { kind: 'told' };

/** A fan-out whose notifications the test answers. */
class Stage {
  readonly clock = new FakeClock(1_000_000);
  /** `name=state @ms`, in the order of telling. */
  readonly told: string[] = [];
  readonly settled: string[] = [];
  readonly waiting: Array<(outcome: NotifyOutcome) => void> = [];
  /** What each notification is answered at once; undefined: the test answers through `waiting`. */
  answer: NotifyOutcome | undefined = TOLD;
  repeatMs: number | undefined;
  readonly fanOut: FanOut<Item>;
  readonly #startMs = this.clock.nowMs();

  constructor(intervalMs: number, outstandingMax = 512, isStarted = true) {
    this.fanOut = new FanOut<Item>({
      clock: this.clock,
      intervalOf: () => intervalMs,
      repeatOf: () => this.repeatMs,
      repeat: (item) => this.change(item),
      outstandingMax,
      tell: ({ name, state }) => {
        this.told.push(`${name}=${state} @${this.clock.nowMs() - this.#startMs}`);
        if (this.answer !== undefined) return Promise.resolve(this.answer);
        return new Promise((resolve) => this.waiting.push(resolve));
      },
      settled: ({ name }, outcome) => this.settled.push(`${name} ${outcome.kind}`),
      wayOf: () => 'link:office',
    });
    if (isStarted) this.fanOut.start();
  }

  item(name: string): Item {
    return { ...untold(), name, state: 0 };
  }

  change(item: Item, isUrgent = false): void {
    item.state += 1;
    this.fanOut.mark(item, isUrgent);
  }
}

test('fan-out: what is marked is told after the caller has returned, and settled', async () => {
  const stage = new Stage(5_000);
  const a = stage.item('a');
  stage.change(a);
  assert.deepEqual(stage.told, []);
  await stage.clock.advanceAsync(0);
  assert.deepEqual(stage.told, ['a=1 @0']);
  assert.deepEqual(stage.settled, ['a told']);
});

test('fan-out: what is marked before the start waits for it, the interval and what is urgent no less', async () => {
  const stage = new Stage(5_000, 512, false);
  const [a, b] = [stage.item('a'), stage.item('b')];
  stage.change(a);
  stage.change(b, true);
  await stage.clock.advanceAsync(60_000);
  assert.deepEqual(stage.told, []);
  stage.fanOut.start();
  await stage.clock.advanceAsync(0);
  assert.deepEqual(stage.told, ['a=1 @60000', 'b=1 @60000']);
});

test('fan-out: the first is not held back, the next waits for the interval, the last state is told (RFC 3856, section 6.10)', async () => {
  const stage = new Stage(5_000);
  const a = stage.item('a');
  stage.change(a);
  await stage.clock.advanceAsync(1_000);
  stage.change(a);
  stage.change(a);
  await stage.clock.advanceAsync(1_000);
  stage.change(a);
  await stage.clock.advanceAsync(20_000);
  assert.deepEqual(stage.told, ['a=1 @0', 'a=4 @5000']);
});

test('fan-out: what is urgent does not wait for the interval', async () => {
  const stage = new Stage(5_000);
  const a = stage.item('a');
  stage.change(a);
  await stage.clock.advanceAsync(100);
  stage.change(a);
  await stage.clock.advanceAsync(100);
  stage.change(a, true);
  await stage.clock.advanceAsync(20_000);
  assert.deepEqual(stage.told, ['a=1 @0', 'a=3 @200']);
});

test('fan-out: one who wants to hear at least so often is told again where nothing has changed', async () => {
  const stage = new Stage(1_000);
  stage.repeatMs = 10_000;
  const a = stage.item('a');
  stage.change(a);
  await stage.clock.advanceAsync(4_000);
  stage.change(a);
  await stage.clock.advanceAsync(21_000);
  // The clock of it begins anew with each.
  assert.deepEqual(stage.told, ['a=1 @0', 'a=2 @4000', 'a=3 @14000', 'a=4 @24000']);
  stage.repeatMs = undefined;
  await stage.clock.advanceAsync(60_000);
  assert.deepEqual(stage.told.slice(4), ['a=5 @34000']);
});

test('fan-out: an interval of 0 switches the limit off', async () => {
  const stage = new Stage(0);
  const a = stage.item('a');
  for (let n = 0; n < 3; n += 1) {
    stage.change(a);
    await stage.clock.advanceAsync(1);
  }
  assert.deepEqual(stage.told, ['a=1 @0', 'a=2 @1', 'a=3 @2']);
});

test('fan-out: one outstanding for each; what changes meanwhile is told once, as it is then', async () => {
  const stage = new Stage(0);
  stage.answer = undefined;
  const a = stage.item('a');
  stage.change(a);
  await stage.clock.advanceAsync(0);
  for (let n = 0; n < 5; n += 1) stage.change(a, true);
  await stage.clock.advanceAsync(10);
  assert.deepEqual(stage.told, ['a=1 @0']);
  stage.waiting.shift()?.(TOLD);
  await stage.clock.advanceAsync(0);
  assert.deepEqual(stage.told, ['a=1 @0', 'a=6 @10']);
  assert.deepEqual(stage.settled, []);
  stage.waiting.shift()?.(TOLD);
  await settled();
  assert.deepEqual(stage.settled, ['a told']);
});

test('fan-out: a pause that was asked for is kept, urgent or not, and the newest state goes then', async () => {
  const stage = new Stage(1_000);
  stage.answer = { kind: 'again', afterMs: 30_000 };
  const a = stage.item('a');
  stage.change(a);
  await stage.clock.advanceAsync(0);
  stage.answer = TOLD;
  stage.change(a, true);
  await stage.clock.advanceAsync(29_999);
  assert.deepEqual(stage.told, ['a=1 @0']);
  await stage.clock.advanceAsync(1);
  assert.deepEqual(stage.told, ['a=1 @0', 'a=2 @30000']);
});

test('fan-out: what is held goes when its way is up, and only what is held for it', async () => {
  const stage = new Stage(1_000);
  stage.answer = { kind: 'held' };
  const [a, b] = [stage.item('a'), stage.item('b')];
  stage.change(a);
  stage.change(b);
  await stage.clock.advanceAsync(0);
  stage.answer = TOLD;
  stage.change(a, true);
  stage.fanOut.drop(b);
  await stage.clock.advanceAsync(100_000);
  stage.fanOut.wake('link:other');
  await stage.clock.advanceAsync(0);
  assert.equal(stage.told.length, 2);
  stage.fanOut.wake('link:office');
  await stage.clock.advanceAsync(0);
  assert.deepEqual(stage.told.slice(2), ['a=2 @100000']);
});

test('fan-out: one who is gone is told nothing more, whatever changed meanwhile', async () => {
  const stage = new Stage(0);
  stage.answer = undefined;
  const a = stage.item('a');
  stage.change(a);
  await stage.clock.advanceAsync(0);
  stage.change(a, true);
  stage.waiting.shift()?.({ kind: 'gone', reason: '481' });
  await stage.clock.advanceAsync(10_000);
  assert.equal(stage.told.length, 1);
  assert.deepEqual(stage.settled, ['a gone']);
});

test('fan-out: no more at once than the bound, each answer lets one more go, in order', async () => {
  const stage = new Stage(0, 3);
  stage.answer = undefined;
  const items = Array.from({ length: 6 }, (_, n) => stage.item(`i${n}`));
  for (const item of items) stage.change(item);
  await stage.clock.advanceAsync(0);
  assert.equal(stage.told.length, 3);
  stage.waiting.shift()?.(TOLD);
  await settled();
  assert.deepEqual(
    stage.told.map((line) => line.split('=')[0]),
    ['i0', 'i1', 'i2', 'i3'],
  );
});

test('fan-out: while nobody answers, the next are let go after a tenth of a second', async () => {
  const stage = new Stage(0, 10);
  stage.answer = undefined;
  for (let n = 0; n < 40; n += 1) stage.change(stage.item(`dead${n}`));
  const alive = stage.item('alive');
  stage.change(alive);
  await stage.clock.advanceAsync(99);
  assert.equal(stage.told.length, 10);
  await stage.clock.advanceAsync(900);
  assert.match(stage.told[40] ?? '', /^alive=1 @(4|5|6)\d\d$/);
  assert.equal(stage.fanOut.unanswered, 41);
});

test('fan-out: those who are only slow get no more at once, until one of them is half a second late', async () => {
  const stage = new Stage(0, 10);
  stage.answer = undefined;
  for (let n = 0; n < 60; n += 1) stage.change(stage.item(`slow${n}`));
  await stage.clock.advanceAsync(0);
  // An answer each 40 ms: the first are late after 500 ms.
  for (let answered = 0; answered < 11; answered += 1) {
    await stage.clock.advanceAsync(40);
    stage.waiting.pop()?.(TOLD);
    await settled();
    assert.equal(stage.fanOut.unanswered, 10);
  }
  for (let more = 0; more < 4; more += 1) {
    await stage.clock.advanceAsync(40);
    stage.waiting.pop()?.(TOLD);
  }
  await settled();
  assert.ok(stage.fanOut.unanswered > 10, `${stage.fanOut.unanswered} wait`);
});

test('fan-out: thousands marked for one change cost one timer', async () => {
  const stage = new Stage(5_000);
  const items = Array.from({ length: 5_000 }, (_, n) => stage.item(`i${n}`));
  for (const item of items) stage.change(item);
  assert.equal(stage.clock.pending, 1);
  await stage.clock.advanceAsync(5_000);
  assert.equal(stage.settled.length, 5_000);
  for (const item of items) stage.change(item);
  // The pump or the due list, and the sweep of slots.
  const timers = stage.clock.pending as number;
  assert.ok(timers <= 3, `${timers} timers`);
});

test('fan-out: stop tells nobody any more and waits for what is under way', async () => {
  const stage = new Stage(0);
  stage.answer = undefined;
  const [a, b] = [stage.item('a'), stage.item('b')];
  stage.change(a);
  await stage.clock.advanceAsync(0);
  stage.change(b);
  let isStopped = false;
  void stage.fanOut.stop(1_000).then(() => (isStopped = true));
  await stage.clock.advanceAsync(10);
  assert.equal(isStopped, false);
  stage.waiting.shift()?.(TOLD);
  await stage.clock.advanceAsync(0);
  assert.equal(isStopped, true);
  assert.equal(stage.told.length, 1);
});
