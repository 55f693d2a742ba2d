import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pair, Upstream, UpstreamReport, UpstreamRoute } from '../../src/core/presence/subscription.ts';

/** One watcher, one presentity elsewhere, and the far side, which does what the test says. */
export interface UpstreamWorld {
  readonly upstream: Upstream;
  readonly pair: Pair;
  readonly route: UpstreamRoute;
  /** What `onReport` was given, in order. */
  readonly reports: readonly UpstreamReport[];
  /** How often the far side was asked for a subscription, refreshes and the like left out. */
  asked(): number;
  /** How often it was told that the watcher looks no more, but may again. */
  leftAlone(): number;
  /** The far side lets the watcher in, says that somebody is there or not, or refuses for good. */
  approves(): Promise<void>;
  shows(basic: 'open' | 'closed'): Promise<void>;
  rejects(): Promise<void>;
  /** Whether what is stored becomes durable. */
  setHolding(isHolding: boolean): Promise<void>;
  setFailing(isFailing: boolean): void;
  /** Lets everything happen that happens within so many ms. */
  pass(ms: number): Promise<void>;
  /** The process ends now, without a word; a new one takes up what is stored. */
  crashed(): Promise<UpstreamWorld>;
}

const shown = ({ state, document }: UpstreamReport): string =>
  [state.at === 'ended' ? `ended ${state.reason}` : state.at, document?.tuples[0]?.basic]
    .filter((part) => part !== undefined)
    .join(' ');

/** The promises of Upstream, run against one implementation. `make` gives a fresh world in which nobody watches. */
export function upstreamContract(name: string, make: () => Promise<UpstreamWorld>): void {
  const promise = (title: string, body: (world: UpstreamWorld) => Promise<void>): void => {
    void test(title, async () => body(await make()));
  };
  const report = ({ upstream, pair }: UpstreamWorld): string => {
    const found = upstream.reportOf(pair);
    return found === undefined ? 'nothing' : shown(found);
  };
  /** A world in which the watcher has been let in and sees somebody. */
  const watched = async (world: UpstreamWorld): Promise<void> => {
    await world.upstream.watch(world.pair, world.route);
    await world.pass(50);
    await world.approves();
    await world.shows('open');
    await world.pass(50);
  };

  describe(`${name} keeps the promises of Upstream`, () => {
    promise('1: watch resolves when the intention is stored, and nothing leaves before that', async (world) => {
      await world.setHolding(true);
      let isStored = false;
      const watching = world.upstream.watch(world.pair, world.route).then(() => (isStored = true));
      await world.pass(50);
      assert.deepEqual([isStored, world.asked()], [false, 0]);
      await world.setHolding(false);
      await watching;
      await world.pass(50);
      assert.equal(world.asked(), 1);
    });

    promise('1: watch rejects when the intention cannot be stored, and nothing leaves', async (world) => {
      world.setFailing(true);
      await assert.rejects(world.upstream.watch(world.pair, world.route), { code: 'store-unavailable' });
      await world.pass(50);
      assert.equal(world.asked(), 0);
    });

    promise('1: what was intended is carried out by the next process', async (world) => {
      await world.upstream.watch(world.pair, world.route);
      const after = await world.crashed();
      await after.upstream.watch(after.pair, after.route);
      await after.pass(60_000);
      assert.ok(after.asked() >= 1);
      await after.approves();
      await after.shows('open');
      assert.equal(report(after), 'active open');
    });

    promise('1: asking again for what is under way changes nothing', async (world) => {
      await watched(world);
      const asked = world.asked();
      const reports = world.reports.length;
      await world.upstream.watch(world.pair, world.route);
      await world.pass(50);
      assert.deepEqual([world.asked(), world.reports.length, report(world)], [asked, reports, 'active open']);
    });

    promise('2: every change is reported, in order, and reportOf gives the last', async (world) => {
      await watched(world);
      await world.shows('closed');
      await world.pass(50);
      assert.equal(report(world), 'active closed');
      const words = world.reports.map(shown);
      assert.deepEqual(words.slice(-2), ['active open', 'active closed']);
      assert.ok(words.every((word) => word.startsWith('active') || word === 'asked' || word === 'pending'));
    });

    promise('2: a refusal for good is reported as the end', async (world) => {
      await world.upstream.watch(world.pair, world.route);
      await world.pass(50);
      await world.rejects();
      await world.pass(50);
      assert.equal(world.reports.map(shown).at(-1), 'ended rejected');
    });

    promise(
      '2: directly after a start reportOf gives what was known, before anything comes from the wire',
      async (world) => {
        await watched(world);
        await world.pass(1_000);
        const after = await world.crashed();
        assert.equal(report(after), 'active open');
      },
    );

    promise('3: rest stops the flow and keeps the permission', async (world) => {
      await watched(world);
      world.upstream.rest(world.pair);
      await world.pass(50);
      assert.equal(world.leftAlone(), 1);
      assert.match(report(world), /^active/);
      await world.upstream.watch(world.pair, world.route);
      await world.pass(50);
      await world.shows('closed');
      assert.equal(report(world), 'active closed');
    });

    promise('4: end gives the permission up', async (world) => {
      await watched(world);
      world.upstream.end(world.pair);
      await world.pass(50);
      assert.equal(report(world), 'nothing');
      assert.equal(report(await world.crashed()), 'nothing');
    });

    promise(
      '5: fetch resolves with what is known where the far side says nothing, and never rejects',
      async (world) => {
        const fetching = world.upstream.fetch(world.pair, world.route);
        await world.pass(2_500);
        assert.equal((await fetching).document, undefined);
      },
    );

    promise('5: fetch gives what is known of one who is watched', async (world) => {
      await watched(world);
      const fetching = world.upstream.fetch(world.pair, world.route);
      await world.pass(2_500);
      assert.equal((await fetching).document?.tuples[0]?.basic, 'open');
    });
  });
}
