import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type {
  AttemptDelivery,
  AttemptOutcome,
  Delivery,
  DeliveryQueue,
  HopId,
  QueueBounds,
  QueueEntry,
} from '../../src/core/ports.ts';
import type { Address } from '../../src/cpim/address.ts';
import type { InstantMessage } from '../../src/cpim/operation.ts';

/** One implementation and the world it lives in. */
export interface QueueWorld {
  readonly queue: DeliveryQueue;
  nowMs(): number;
  /** Lets time pass: a fake clock is moved on, a real one waited for. */
  pass(ms: number): Promise<void>;
  /** Resolves when the probe gives true, while everything that needs no time goes on; fails when it never does. */
  until(probe: () => boolean, what: string): Promise<void>;
  /** How long a time it takes at most until an entry past its lifetime is handed out. */
  readonly expirySeconds: number;
  /** The process ends without being stopped; a new queue on what it left. */
  crash(): Promise<DeliveryQueue>;
  /** A new queue on what a stopped one left. */
  reopen(): Promise<DeliveryQueue>;
  /** Makes the medium fail, or work again. */
  setFailing(isFailing: boolean): Promise<void>;
  close(): Promise<void>;
}

export type QueueWorldOptions = { readonly bounds?: QueueBounds; readonly rememberSeconds?: number };
export type MakeQueueWorld = (options: QueueWorldOptions) => Promise<QueueWorld>;

const HOP: HopId = 'link:office';
const OTHER_HOP: HopId = 'sip:partner.example';
const DELIVERED: AttemptOutcome = { kind: 'delivered' };
const HELD: AttemptOutcome = { kind: 'held' };
const DEAD: AttemptOutcome = { kind: 'dead', code: 'recipient-unknown', reason: 'nobody there' };

export type EntrySketch = {
  readonly id: string;
  readonly from?: string;
  readonly to?: string;
  readonly hop?: HopId;
  readonly expiresAtMs?: number;
  readonly text?: string;
};

/** A queue entry around a short message. */
export function anEntry(sketch: EntrySketch, nowMs: number): QueueEntry {
  const source = (sketch.from ?? 'romeo@sip.example') as Address;
  const destination = (sketch.to ?? 'juliet@xmpp.example') as Address;
  const expiresAtMs = sketch.expiresAtMs ?? nowMs + 3_600_000;
  const operation: InstantMessage = {
    op: 'message',
    id: sketch.id,
    source: { address: source },
    destination: { address: destination },
    hops: 70,
    acceptedAtMs: nowMs,
    expiresAtMs,
    subjects: [{ text: 'a "subject"', language: 'en' }],
    content: { type: 'text/plain', text: sketch.text ?? `text of ${sketch.id} \u{1f339}\u0000` },
  };
  const lane = `${source}\n${destination}`;
  return { id: sketch.id, lane, hop: sketch.hop ?? HOP, owner: source, expiresAtMs, operation };
}

/** Attempts under the test's hand: each waits until the test says what comes of it. */
class Attempts {
  readonly begun: Delivery[] = [];
  readonly #waiting = new Map<string, (outcome: AttemptOutcome) => void>();

  readonly attempt: AttemptDelivery = (delivery) => {
    this.begun.push(delivery);
    return new Promise((resolve) => this.#waiting.set(delivery.id, resolve));
  };

  get ids(): string[] {
    return this.begun.map((delivery) => delivery.id);
  }

  end(id: string, outcome: AttemptOutcome): void {
    const resolve = this.#waiting.get(id);
    assert.ok(resolve, `${id} is not under way`);
    this.#waiting.delete(id);
    resolve(outcome);
  }
}

/** Attempts that are answered at once, by the number of the attempt of that id. */
function answering(answer: (delivery: Delivery, nth: number) => AttemptOutcome): {
  attempt: AttemptDelivery;
  seen: Delivery[];
  ids: () => string[];
} {
  const seen: Delivery[] = [];
  return {
    seen,
    ids: () => seen.map((delivery) => delivery.id),
    attempt: async (delivery) => {
      seen.push(delivery);
      return answer(delivery, seen.filter(({ id }) => id === delivery.id).length);
    },
  };
}

const codeIs =
  (code: string) =>
  (thrown: unknown): boolean =>
    thrown instanceof GatewayError && thrown.code === code;

const one = (): number => 1;
const many = (): number => 8;

/** The promises of DeliveryQueue, run against one implementation. `make` gives a fresh, empty world. */
export function deliveryQueueContract(name: string, make: MakeQueueWorld, options: { skip?: string } = {}): void {
  const promise = (
    title: string,
    body: (world: QueueWorld) => Promise<void>,
    worldOptions: QueueWorldOptions = {},
  ): void => {
    void test(title, options, async () => {
      const world = await make(worldOptions);
      try {
        await body(world);
      } finally {
        await world.close();
      }
    });
  };
  const add = (world: QueueWorld, queue: DeliveryQueue, ...sketches: EntrySketch[]) =>
    Promise.all(sketches.map((sketch) => queue.add(anEntry(sketch, world.nowMs()))));
  const nothingMore = (world: QueueWorld) => world.pass(30);

  describe(`${name} keeps the promises of DeliveryQueue`, () => {
    promise('1: what add has resolved for is there after a crash, whole', async (world) => {
      const before = await add(world, world.queue, { id: 'a' }, { id: 'b' });
      assert.deepEqual(before, ['added', 'added']);
      const queue = await world.crash();
      const expected = anEntry({ id: 'a' }, 0).operation as InstantMessage;
      const shown = await queue.show('a');
      assert.ok(shown?.operation.op === 'message');
      assert.deepEqual(shown.operation.content, expected.content);
      assert.deepEqual(shown.operation.subjects, expected.subjects);
      assert.equal(queue.figures().live, 2);
      const { attempt, ids } = answering(() => DELIVERED);
      await queue.start(attempt, one);
      await world.until(() => ids().length === 2, 'both are delivered');
      assert.deepEqual(ids(), ['a', 'b']);
    });

    promise('2: a held id is known, also while it is being added', async (world) => {
      assert.deepEqual(await add(world, world.queue, { id: 'a' }, { id: 'a', text: 'other' }), ['added', 'known']);
      assert.deepEqual(await add(world, world.queue, { id: 'a' }), ['known']);
      assert.equal(world.queue.figures().live, 1);
    });

    promise(
      '2: an id that left is known, also after a crash, and no longer when the time is over',
      async (world) => {
        const { attempt, ids } = answering(({ id }) => (id === 'dead' ? DEAD : DELIVERED));
        await world.queue.start(attempt, one);
        await add(world, world.queue, { id: 'a' }, { id: 'dead', to: 'nobody@xmpp.example' });
        await world.until(() => world.queue.figures().live === 0, 'both have left');
        assert.deepEqual(await add(world, world.queue, { id: 'a' }, { id: 'dead' }), ['known', 'known']);
        await world.queue.stop(1_000);
        const queue = await world.reopen();
        assert.deepEqual(await add(world, queue, { id: 'a' }, { id: 'dead' }), ['known', 'known']);
        assert.equal(ids().length, 2);
        await world.pass(3_000);
        assert.deepEqual(await add(world, queue, { id: 'a' }), ['added']);
      },
      { rememberSeconds: 2 },
    );

    promise('3: none overtakes one that waits for its retry', async (world) => {
      const { attempt, ids } = answering((_, nth) =>
        nth === 1 ? { kind: 'again', atMs: world.nowMs() + 100 } : DELIVERED,
      );
      await world.queue.start(attempt, one);
      await add(world, world.queue, { id: 'a' }, { id: 'b' }, { id: 'c' });
      // Each retry is set from when its attempt ended, so time must pass after each.
      for (let n = 0; n < 100 && world.queue.figures().live > 0; n += 1) await world.pass(120);
      assert.equal(world.queue.figures().live, 0);
      assert.deepEqual(ids(), ['a', 'a', 'b', 'b', 'c', 'c']);
    });

    promise('3: with a window of one the next waits for the outcome', async (world) => {
      const attempts = new Attempts();
      await world.queue.start(attempts.attempt, one);
      await add(world, world.queue, { id: 'a' }, { id: 'b' });
      await world.until(() => attempts.begun.length === 1, 'the first is begun');
      await nothingMore(world);
      assert.deepEqual(attempts.ids, ['a']);
      attempts.end('a', DELIVERED);
      await world.until(() => attempts.begun.length === 2, 'the second is begun');
      attempts.end('b', DELIVERED);
      assert.ok((attempts.begun[0]?.sequence ?? 0) < (attempts.begun[1]?.sequence ?? 0));
      await world.until(() => world.queue.figures().live === 0, 'nothing is left');
    });

    promise('3: a wider window begins in order, and goes back to the first that was not delivered', async (world) => {
      const attempts = new Attempts();
      await world.queue.start(attempts.attempt, () => 3);
      await add(world, world.queue, ...['a', 'b', 'c', 'd', 'e'].map((id) => ({ id })));
      await world.until(() => attempts.begun.length === 3, 'three are begun');
      await nothingMore(world);
      assert.deepEqual(attempts.ids, ['a', 'b', 'c']);
      attempts.end('b', { kind: 'again', atMs: world.nowMs() + 50 });
      attempts.end('a', DELIVERED);
      await world.pass(70);
      // c may be on the wire: b again while it is would be one more way to get out of order.
      assert.deepEqual(attempts.ids, ['a', 'b', 'c']);
      attempts.end('c', DELIVERED);
      await world.until(() => attempts.begun.length === 6, 'the rest is begun');
      assert.deepEqual(attempts.ids.slice(3), ['b', 'd', 'e']);
      for (const id of ['e', 'd', 'b']) attempts.end(id, DELIVERED);
      await world.until(() => world.queue.figures().live === 0, 'nothing is left');
    });

    promise('3: what failed behind the first failure is attempted again behind it', async (world) => {
      const delivered: string[] = [];
      const { attempt, ids } = answering(({ id }, nth) => {
        if (nth === 1) return { kind: 'again', atMs: world.nowMs() + 20 };
        delivered.push(id);
        return DELIVERED;
      });
      await add(world, world.queue, ...['a', 'b', 'c'].map((id) => ({ id })));
      await world.queue.start(attempt, many);
      for (let n = 0; n < 100 && world.queue.figures().live > 0; n += 1) await world.pass(60);
      assert.equal(world.queue.figures().live, 0);
      assert.deepEqual(delivered, ['a', 'b', 'c']);
      assert.deepEqual([...new Set(ids())], ['a', 'b', 'c']);
    });

    promise('4: again waits for its time, and tells how often it was tried', async (world) => {
      const { attempt, seen } = answering((_, nth) =>
        nth === 1 ? { kind: 'again', atMs: world.nowMs() + 300, code: 'peer-timeout', reason: 'no word' } : DELIVERED,
      );
      await world.queue.start(attempt, one);
      await add(world, world.queue, { id: 'a' });
      await world.until(() => seen.length === 1, 'the first attempt');
      await nothingMore(world);
      const [item] = await world.queue.list({ limit: 10 });
      assert.equal(item?.state, 'waiting');
      assert.equal(item.attempts, 1);
      assert.equal(item.code, 'peer-timeout');
      assert.equal(seen.length, 1);
      await world.pass(320);
      await world.until(() => seen.length === 2, 'the second attempt');
      assert.deepEqual(
        seen.map(({ attempt: nth, maybeSent }) => ({ nth, maybeSent })),
        [
          { nth: 1, maybeSent: false },
          { nth: 2, maybeSent: true },
        ],
      );
      assert.equal(seen[0]?.sequence, seen[1]?.sequence);
    });

    promise('4: again and held go on at a wake of their hop, and at no other', async (world) => {
      const { attempt, ids } = answering((delivery, nth) => {
        if (nth > 1) return DELIVERED;
        return delivery.id.startsWith('held') ? HELD : { kind: 'again', atMs: world.nowMs() + 3_000_000 };
      });
      await world.queue.start(attempt, one);
      const sketches = ['again', 'held'].flatMap((id) => [
        { id: `${id}-1`, to: `${id}@xmpp.example` },
        { id: `${id}-2`, to: `${id}@xmpp.example` },
      ]);
      await add(world, world.queue, ...sketches, { id: 'held-other', hop: OTHER_HOP, to: 'bob@partner.example' });
      await world.until(() => ids().length === 3, 'the heads are attempted');
      await nothingMore(world);
      world.queue.wake(HOP);
      await world.until(() => ids().length === 7, 'the lanes of the hop go on');
      await nothingMore(world);
      assert.deepEqual(
        ids().filter((id) => id.startsWith('again')),
        ['again-1', 'again-1', 'again-2'],
      );
      assert.equal(ids().filter((id) => id === 'held-other').length, 1);
    });

    promise('4: held counts as no attempt', async (world) => {
      const { attempt, seen } = answering((_, nth) => (nth === 1 ? HELD : DELIVERED));
      await world.queue.start(attempt, one);
      await add(world, world.queue, { id: 'a' });
      await world.until(() => seen.length === 1, 'the first attempt');
      await nothingMore(world);
      assert.equal((await world.queue.list({ limit: 1 }))[0]?.state, 'held');
      world.queue.wake(HOP);
      await world.until(() => seen.length === 2, 'the second attempt');
      assert.deepEqual(
        seen.map(({ attempt: nth }) => nth),
        [1, 1],
      );
      assert.equal(seen[1]?.maybeSent, false);
    });

    promise('4: a wake during the attempt that comes to held is not lost', async (world) => {
      const attempts = new Attempts();
      await world.queue.start(attempts.attempt, one);
      await add(world, world.queue, { id: 'a' });
      await world.until(() => attempts.begun.length === 1, 'the first attempt');
      world.queue.wake(HOP);
      await nothingMore(world);
      attempts.end('a', HELD);
      await world.until(() => attempts.begun.length === 2, 'the second attempt');
      attempts.end('a', DELIVERED);
      await world.until(() => world.queue.figures().live === 0, 'nothing is left');
    });

    promise('4: a wake of one lane lets one go', async (world) => {
      const { attempt, ids } = answering(() => HELD);
      await world.queue.start(attempt, one);
      await add(world, world.queue, ...['a', 'b', 'c'].map((id) => ({ id, to: `${id}@xmpp.example` })));
      await world.until(() => ids().length === 3, 'each is attempted');
      await nothingMore(world);
      world.queue.wake(HOP, 1);
      await world.until(() => ids().length === 4, 'one is attempted again');
      await nothingMore(world);
      assert.equal(ids().length, 4);
    });

    promise('4: dead is attempted once, kept for the operator, and lets the lane go on', async (world) => {
      const { attempt, ids } = answering(({ id }) => (id === 'a' ? DEAD : DELIVERED));
      await world.queue.start(attempt, one);
      await add(world, world.queue, { id: 'a' }, { id: 'b' });
      await world.until(() => world.queue.figures().live === 0, 'nothing is left');
      assert.deepEqual(ids(), ['a', 'b']);
      assert.equal(world.queue.figures().dead, 1);
      const [item, ...others] = await world.queue.list({ state: 'dead', limit: 10 });
      assert.equal(others.length, 0);
      assert.equal(item?.id, 'a');
      assert.equal(item.state, 'dead');
      assert.equal(item.code, 'recipient-unknown');
      assert.equal(item.reason, 'nobody there');
      assert.equal((await world.queue.show('a'))?.operation.id, 'a');
    });

    promise('5: what was under way when the process ended is attempted again with maybeSent', async (world) => {
      const attempts = new Attempts();
      await world.queue.start(attempts.attempt, one);
      await add(world, world.queue, { id: 'a' }, { id: 'b' });
      await world.until(() => attempts.begun.length === 1, 'the first is begun');
      const queue = await world.crash();
      const { attempt, seen } = answering(() => DELIVERED);
      await queue.start(attempt, one);
      await world.until(() => seen.length === 2, 'both are attempted');
      assert.deepEqual(
        seen.map(({ id }) => id),
        ['a', 'b'],
      );
      assert.equal(seen[0]?.maybeSent, true);
      assert.equal(seen[0].sequence, attempts.begun[0]?.sequence);
    });

    promise('5: what was delivered is noted while those behind it are still under way', async (world) => {
      const attempts = new Attempts();
      await world.queue.start(attempts.attempt, () => 8);
      await add(world, world.queue, { id: 'a' }, { id: 'b' }, { id: 'c' });
      await world.until(() => attempts.begun.length === 3, 'three are begun');
      attempts.end('a', DELIVERED);
      // Behind one that is under way: it may have to be delivered before it.
      attempts.end('c', DELIVERED);
      await world.pass(0);
      await add(world, world.queue, { id: 'd' });
      await world.until(() => attempts.begun.length === 4, 'the fourth is begun');
      const queue = await world.crash();
      const { attempt, ids } = answering(() => DELIVERED);
      await queue.start(attempt, () => 8);
      await world.until(() => ids().includes('d'), 'what is left is attempted');
      assert.equal(ids().includes('a'), false);
      assert.deepEqual(
        ids().filter((id) => id !== 'c'),
        ['b', 'd'],
      );
    });

    promise('6: a lane that waits, and one whose attempt takes long, hold up no other', async (world) => {
      const attempts = new Attempts();
      await world.queue.start(attempts.attempt, one);
      await add(world, world.queue, { id: 'slow', to: 'a@xmpp.example' }, { id: 'waits', to: 'b@xmpp.example' });
      await world.until(() => attempts.begun.length === 2, 'both are begun');
      attempts.end('waits', HELD);
      await add(world, world.queue, ...['c', 'd', 'e'].map((id) => ({ id, to: `${id}@xmpp.example` })));
      await world.until(() => attempts.begun.length === 5, 'the others are begun');
      for (const id of ['c', 'd', 'e', 'slow']) attempts.end(id, DELIVERED);
      await world.until(() => world.queue.figures().live === 1, 'one waits');
    });

    const bounds: QueueBounds = { total: 6, perHop: 4, perOwner: 3 };
    promise(
      '7: over a bound it says queue-full, and drops nothing for it',
      async (world) => {
        const to = (id: string, from: string, hop: HopId): EntrySketch => ({ id, from, hop });
        await add(world, world.queue, ...['a', 'b', 'c'].map((id) => to(id, 'one@sip.example', HOP)));
        await assert.rejects(add(world, world.queue, to('d', 'one@sip.example', OTHER_HOP)), codeIs('queue-full'));
        await add(world, world.queue, to('e', 'two@sip.example', HOP));
        await assert.rejects(add(world, world.queue, to('f', 'three@sip.example', HOP)), codeIs('queue-full'));
        await add(world, world.queue, to('g', 'two@sip.example', OTHER_HOP), to('h', 'two@sip.example', OTHER_HOP));
        await assert.rejects(add(world, world.queue, to('i', 'four@sip.example', OTHER_HOP)), codeIs('queue-full'));
        assert.deepEqual(await add(world, world.queue, to('a', 'one@sip.example', HOP)), ['known']);
        assert.equal(world.queue.figures().live, 6);
        assert.deepEqual(world.queue.figures().perHop, { [HOP]: 4, [OTHER_HOP]: 2 });
        assert.equal(await world.queue.drop('a'), true);
        assert.deepEqual(await add(world, world.queue, to('j', 'one@sip.example', HOP)), ['added']);
      },
      { bounds },
    );

    promise(
      '7: when the medium fails it says store-unavailable, and works again when the medium does',
      async (world) => {
        await add(world, world.queue, { id: 'a' });
        await world.setFailing(true);
        await assert.rejects(add(world, world.queue, { id: 'b' }), codeIs('store-unavailable'));
        await assert.rejects(add(world, world.queue, { id: 'b' }), codeIs('store-unavailable'));
        await world.setFailing(false);
        assert.deepEqual(await add(world, world.queue, { id: 'b' }), ['added']);
        const queue = await world.crash();
        const { attempt, ids } = answering(() => DELIVERED);
        await queue.start(attempt, one);
        await world.until(() => ids().length === 2, 'both are delivered');
        assert.deepEqual(ids(), ['a', 'b']);
      },
    );

    promise('8: an entry past its lifetime is handed out, in a held lane too', async (world) => {
      const { attempt, ids } = answering((delivery) => (delivery.expiresAtMs <= world.nowMs() ? DEAD : HELD));
      await world.queue.start(attempt, one);
      const soonMs = world.nowMs() + 200;
      await add(world, world.queue, { id: 'a' }, { id: 'b', expiresAtMs: soonMs }, { id: 'c' });
      await world.until(() => ids().length === 1, 'the head is attempted');
      await nothingMore(world);
      assert.deepEqual(ids(), ['a']);
      await world.pass(200 + world.expirySeconds * 1_000);
      await world.until(() => world.queue.figures().dead === 1, 'it is dead');
      assert.deepEqual(
        ids().filter((id) => id !== 'a'),
        ['b'],
      );
    });

    promise('9: retry brings a waiting entry to an attempt now, and a dead one with its place', async (world) => {
      let isBack = false;
      const { attempt, ids } = answering(({ id }) => (isBack ? DELIVERED : id === 'a' ? DEAD : HELD));
      await world.queue.start(attempt, one);
      await add(world, world.queue, { id: 'a' }, { id: 'b' }, { id: 'c', to: 'carl@xmpp.example' });
      await world.until(() => ids().length === 3, 'each lane is attempted');
      await nothingMore(world);
      isBack = true;
      assert.equal(await world.queue.retry('a'), true);
      assert.equal(await world.queue.retry('c'), true);
      assert.equal(await world.queue.retry('nobody'), false);
      await world.until(() => ids().filter((id) => id === 'a' || id === 'c').length === 4, 'both are attempted again');
      assert.equal(world.queue.figures().dead, 0);
      world.queue.wake(HOP);
      await world.until(() => world.queue.figures().live === 0, 'nothing is left');
    });

    promise('9: drop removes a live and a dead entry for good', async (world) => {
      const { attempt, ids } = answering(({ id }) => (id === 'dead' ? DEAD : HELD));
      await world.queue.start(attempt, one);
      await add(world, world.queue, { id: 'live' }, { id: 'dead', to: 'nobody@xmpp.example' });
      await world.until(() => ids().length === 2, 'both are attempted');
      await nothingMore(world);
      assert.equal(await world.queue.drop('live'), true);
      assert.equal(await world.queue.drop('dead'), true);
      assert.equal(await world.queue.drop('live'), false);
      assert.equal(await world.queue.show('dead'), undefined);
      assert.deepEqual(await world.queue.list({ limit: 10 }), []);
      const queue = await world.crash();
      assert.deepEqual({ live: queue.figures().live, dead: queue.figures().dead }, { live: 0, dead: 0 });
    });

    promise('10: stop starts nothing new, waits for what is under way, and keeps the rest', async (world) => {
      const attempts = new Attempts();
      await world.queue.start(attempts.attempt, one);
      await add(world, world.queue, { id: 'a' }, { id: 'b' }, { id: 'never', to: 'slow@xmpp.example' });
      await world.until(() => attempts.begun.length === 2, 'two are begun');
      let isStopped = false;
      const stopped = world.queue.stop(200).then(() => (isStopped = true));
      await nothingMore(world);
      assert.equal(isStopped, false);
      attempts.end('a', DELIVERED);
      await nothingMore(world);
      assert.deepEqual(attempts.ids.sort(), ['a', 'never']);
      await world.pass(300);
      await stopped;
      const queue = await world.reopen();
      const { attempt, seen } = answering(() => DELIVERED);
      await queue.start(attempt, one);
      await world.until(() => seen.length === 2, 'the rest is attempted');
      assert.deepEqual(seen.map(({ id, maybeSent }) => `${id} ${maybeSent}`).sort(), ['b false', 'never true']);
    });
  });
}
