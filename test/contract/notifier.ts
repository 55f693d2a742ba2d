import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Notification, NotifyOutcome } from '../../src/core/presence/subscription.ts';

/** One watcher, and the far end that he is told over. */
export interface NotifierWorld {
  notify(notification: Notification): Promise<NotifyOutcome>;
  /** A notification for subscription `a` or `b`, each with a watcher of his own, that says so. */
  notification(subscription: 'a' | 'b', note: string): Notification;
  /** The far end answers nothing from now on, refuses everything, fails in every way at once, or is well again. */
  set(farEnd: 'silent' | 'refusing' | 'broken' | 'well'): void;
  /** Notes that have arrived for a subscription, oldest first. */
  arrived(subscription: 'a' | 'b'): readonly string[];
  /** Lets the far end answer what it was silent about. */
  answer(): Promise<void>;
}

const isPending = async (promise: Promise<unknown>): Promise<boolean> => {
  const turn = new Promise<'turn'>((resolve) => setImmediate(() => resolve('turn')));
  return (await Promise.race([promise, turn])) === 'turn';
};

/** The promises of Notifier, run against one implementation. */
export function notifierContract(name: string, make: () => Promise<NotifierWorld>): void {
  describe(`${name} keeps the promises of Notifier`, () => {
    void test('1: told when the watcher has answered, and not before', async () => {
      const world = await make();
      world.set('silent');
      const telling = world.notify(world.notification('a', 'one'));
      assert.equal(await isPending(telling), true);
      await world.answer();
      assert.deepEqual(await telling, { kind: 'told' });
      assert.deepEqual(world.arrived('a'), ['one']);
    });

    for (const farEnd of ['refusing', 'broken'] as const) {
      void test(`1: it never rejects: a far end that is ${farEnd}`, async () => {
        const world = await make();
        world.set(farEnd);
        const outcome = await world.notify(world.notification('a', 'one'));
        assert.notEqual(outcome.kind, 'told');
      });
    }

    void test('1: it never rejects: a subscription without a lease of its own', async () => {
      const world = await make();
      const whole = world.notification('a', 'one');
      const { lease, ...subscription } = whole.subscription;
      assert.notEqual(lease, undefined);
      const outcome = await world.notify({ ...whole, subscription });
      assert.equal(outcome.kind, 'gone');
    });

    void test('2: what one is told depends on nothing that another was told', async () => {
      const world = await make();
      await world.notify(world.notification('a', 'one'));
      await world.notify(world.notification('b', 'two'));
      await world.notify(world.notification('a', 'three'));
      assert.deepEqual([world.arrived('a'), world.arrived('b')], [['one', 'three'], ['two']]);
    });

    void test('2: one whose far end failed holds up no other', async () => {
      const world = await make();
      world.set('broken');
      await world.notify(world.notification('a', 'one'));
      world.set('well');
      assert.deepEqual(await world.notify(world.notification('b', 'two')), { kind: 'told' });
      assert.deepEqual(world.arrived('b'), ['two']);
    });
  });
}
