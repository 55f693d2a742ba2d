import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptOutcome, Delivery, DeliveryQueue, HopId } from '../../../../src/core/ports.ts';
import { anEntry } from '../../../contract/delivery-queue.ts';
import { FakeClock, settled } from '../../../support/fake-clock.ts';
import { memoryQueue } from '../../../support/memory-queue.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const HOPS: readonly HopId[] = ['link:a', 'sip:b.example', 'user:c@sip.example'];
const WINDOWS = [1, 3, 16];

type UnderWay = { readonly delivery: Delivery; readonly end: (outcome: AttemptOutcome) => void };

/** A queue whose attempts this test ends as chance has it, checked against a model at every step. */
class Simulation {
  readonly clock = new FakeClock();
  readonly queue: DeliveryQueue;
  readonly broken: unknown[] = [];
  readonly left = new Set<string>();
  readonly underWay = new Map<string, UnderWay>();
  readonly #lanes = new Map<string, string[]>();
  readonly #random: () => number;
  readonly #dead = new Set<string>();
  #raised: string | undefined;
  #ending: string | undefined;
  #added = 0;

  constructor(seed: number, operationSizeMax: number, underWayPerHop: number) {
    this.#random = seededRandom(seed);
    this.queue = memoryQueue({ clock: this.clock, operationSizeMax, underWayPerHop });
  }

  start(): Promise<void> {
    return this.queue.start(
      (delivery) => {
        try {
          this.#check(delivery);
        } catch (error) {
          // The queue would take it for a failed attempt.
          this.broken.push(error);
        }
        return new Promise((end) => this.underWay.set(delivery.id, { delivery, end }));
      },
      (hop) => WINDOWS[HOPS.indexOf(hop)] ?? 1,
    );
  }

  get added(): number {
    return this.#added;
  }

  pick(max: number): number {
    return Math.floor(this.#random() * max);
  }

  async add(): Promise<void> {
    const hopNumber = this.pick(HOPS.length);
    const id = `m${this.#added}`;
    this.#added += 1;
    const lane = `${this.pick(4)}-${hopNumber}`;
    const hop = HOPS[hopNumber] ?? 'link:a';
    await this.queue.add(anEntry({ id, hop, from: `${lane}@sip.example` }, this.clock.nowMs()));
    const ids = this.#lanes.get(`${lane}@sip.example`) ?? [];
    this.#lanes.set(`${lane}@sip.example`, [...ids, id]);
  }

  /** A dead entry counts as left until it is back, but may be attempted as soon as that. */
  async retry(): Promise<void> {
    const id = `m${this.pick(this.added)}`;
    this.#raised = id;
    const isDead = this.#dead.has(id);
    if ((await this.queue.retry(id)) && isDead) {
      this.#dead.delete(id);
      this.left.delete(id);
    }
    this.#raised = undefined;
  }

  async endOne(outcome: AttemptOutcome): Promise<void> {
    const all = [...this.underWay.values()];
    const one = all[this.pick(all.length)];
    if (one === undefined) return;
    // Until the queue has heard of it, it may begin what stands behind.
    this.#ending = one.delivery.id;
    this.underWay.delete(one.delivery.id);
    if (outcome.kind === 'dead') this.#dead.add(one.delivery.id);
    if (outcome.kind === 'delivered' || outcome.kind === 'dead') this.left.add(one.delivery.id);
    one.end(outcome);
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    this.#ending = undefined;
  }

  outcome(): AttemptOutcome {
    const nowMs = this.clock.nowMs();
    const chance = this.#random();
    if (chance < 0.5) return { kind: 'delivered' };
    if (chance < 0.75) return { kind: 'again', atMs: nowMs + this.pick(2_000) };
    return chance < 0.95 ? { kind: 'held' } : { kind: 'dead', code: 'recipient-unknown', reason: 'test' };
  }

  /** An attempt may begin only when everything before it in its lane has left or is under way, within the window. */
  #check({ id, owner, hop }: Delivery): void {
    assert.ok(!this.underWay.has(id), `${id} is under way already`);
    assert.ok(!this.left.has(id) || this.#raised === id, `${id} had left`);
    this.left.delete(id);
    const ids = this.#lanes.get(owner) ?? [];
    const before = ids.slice(0, Math.max(0, ids.indexOf(id)));
    for (const earlier of before) {
      const isUnderWay = this.underWay.has(earlier) || this.#ending === earlier;
      assert.ok(this.left.has(earlier) || isUnderWay, `${id} overtakes ${earlier}`);
    }
    const inLane = [...this.underWay.values()].filter(({ delivery }) => delivery.owner === owner).length;
    assert.ok(inLane < (WINDOWS[HOPS.indexOf(hop)] ?? 1), `${id} is too many at once`);
  }
}

for (let seed = 1; seed <= 24; seed += 1) {
  const operationSizeMax = seed % 3 === 0 ? 0 : seed % 3 === 1 ? 5_000 : 1e9;
  const underWayPerHop = seed % 2 === 0 ? 4 : 4_096;
  test(`order and liveness under chance, seed ${seed}`, async () => {
    const world = new Simulation(seed, operationSizeMax, underWayPerHop);
    await world.start();
    await world.add();
    for (let step = 0; step < 600; step += 1) {
      const what = world.pick(20);
      if (what < 6) await world.add();
      else if (what < 14) await world.endOne(world.outcome());
      else if (what === 14) world.queue.wake(HOPS[world.pick(3)] ?? 'link:a');
      else if (what === 15) world.queue.wake(HOPS[world.pick(3)] ?? 'link:a', 1);
      else if (what === 16) await world.retry();
      else if (what === 17) world.clock.advance(world.pick(500));
      else if (what === 18) {
        const id = `m${world.pick(world.added)}`;
        if (!world.left.has(id) && !world.underWay.has(id)) {
          world.left.add(id);
          await world.queue.drop(id);
        }
      } else await settled();
    }
    // Then everything succeeds: nothing may be stuck.
    for (let turn = 0; turn < 4_000 && world.queue.figures().live > 0; turn += 1) {
      for (const hop of HOPS) world.queue.wake(hop);
      await world.endOne({ kind: 'delivered' });
      await settled();
    }
    assert.deepEqual(world.broken, []);
    assert.equal(world.queue.figures().live, 0);
    assert.equal(world.queue.figures().underWay, 0);
    assert.deepEqual(world.queue.figures().perHop, {});
  });
}

test('a wall clock that goes back does not make what waits for a time wait for longer', async () => {
  const timers = new FakeClock();
  let backMs = 0;
  const clock = {
    nowMs: () => timers.nowMs() - backMs,
    after: (delayMs: number, action: () => void) => timers.after(delayMs, action),
  };
  const queue = memoryQueue({ clock });
  let attempts = 0;
  await queue.start(
    async () => {
      attempts += 1;
      return attempts === 1 ? { kind: 'again', atMs: clock.nowMs() + 5_000 } : { kind: 'delivered' };
    },
    () => 1,
  );
  await queue.add(anEntry({ id: 'a' }, clock.nowMs()));
  await settled();
  backMs = 86_400_000;
  await timers.advanceAsync(60_000);
  assert.equal(attempts, 2);
});

test('a backlog of many lanes does not keep the event loop from its turn', async () => {
  const clock = new FakeClock();
  const queue = memoryQueue({ clock });
  const count = 2_000;
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      queue.add(anEntry({ id: `m${n}`, from: `u${n}@sip.example` }, clock.nowMs())),
    ),
  );
  let begun = 0;
  let most = 0;
  let before = 0;
  await queue.start(
    async () => {
      begun += 1;
      return { kind: 'held' };
    },
    () => 1,
  );
  while (begun < count) {
    await settled();
    most = Math.max(most, begun - before);
    before = begun;
  }
  assert.ok(most <= 400, `${most} in one turn`);
});

test('a long lane is delivered to its end, in order', async () => {
  const clock = new FakeClock();
  const queue = memoryQueue({ clock });
  const ids = Array.from({ length: 300 }, (_, n) => `m${n}`);
  await Promise.all(ids.map((id) => queue.add(anEntry({ id }, clock.nowMs()))));
  const seen: string[] = [];
  await queue.start(
    async ({ id }) => {
      seen.push(id);
      return { kind: 'delivered' };
    },
    () => 16,
  );
  for (let turn = 0; turn < 50; turn += 1) await settled();
  assert.deepEqual(seen, ids);
});

test('a lane that is on its way already uses up no place of a wake', async () => {
  const clock = new FakeClock();
  const queue = memoryQueue({ clock });
  const seen: string[] = [];
  await queue.start(
    async ({ id }) => {
      seen.push(id);
      if (id === 'a' && seen.length > 2) await new Promise(() => undefined);
      return { kind: 'held' };
    },
    () => 1,
  );
  for (const id of ['a', 'b']) await queue.add(anEntry({ id, from: `${id}@sip.example` }, clock.nowMs()));
  await settled();
  await queue.retry('a');
  await settled();
  assert.deepEqual(seen, ['a', 'b', 'a']);
  queue.wake('link:office', 1);
  await settled();
  assert.deepEqual(seen, ['a', 'b', 'a', 'b']);
});
