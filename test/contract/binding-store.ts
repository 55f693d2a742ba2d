import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { Binding, BindingStore } from '../../src/core/ports.ts';

export interface BindingWorld {
  readonly bindings: BindingStore;
  /** The process ends without a word; what a new one finds. */
  crash(): Promise<BindingStore>;
  /** The store as another process sees it at the same time, where there can be one. */
  beside?(): Promise<BindingStore>;
  /** Resolves when what one has stored is known to the other. */
  told?(isKnown: () => boolean): Promise<void>;
  close(): Promise<void>;
}

const USER = 'romeo@sip.example';
const NOW_MS = 1_700_000_000_000;

export function aBinding(contact: string, expiresAtMs = NOW_MS + 60_000): Binding {
  return { contact, q: 1_000, expiresAtMs, callId: 'a84b4c76e66710', cseq: 1, userAgent: 'a "phone"/1.0' };
}

const isConflict = (thrown: unknown): boolean => thrown instanceof GatewayError && thrown.code === 'conflict';

/**
 * The promises of BindingStore, run against one implementation. `make` gives a fresh, empty world.
 *
 * @param isShared whether several processes may use it at once
 */
export function bindingStoreContract(name: string, make: () => Promise<BindingWorld>, isShared = false): void {
  const promise = (title: string, body: (world: BindingWorld) => Promise<void>): void => {
    void test(title, async () => {
      const world = await make();
      try {
        await body(world);
      } finally {
        await world.close();
      }
    });
  };

  describe(`${name} keeps the promises of BindingStore`, () => {
    promise('1: what replace has resolved for is there after a crash', async (world) => {
      const set = [
        aBinding('sip:romeo@192.0.2.1'),
        { ...aBinding('sip:r@[2001:db8::1]:5070'), q: 500, instance: '<urn:uuid:1>', flow: 'tcp-7' },
      ];
      await world.bindings.replace(USER, set);
      const found = await world.crash();
      assert.deepEqual(found.of(USER, NOW_MS), set);
    });

    promise('2: of answers with the last set, without what has expired', async ({ bindings }) => {
      const [first, second] = [aBinding('sip:one@192.0.2.1'), aBinding('sip:two@192.0.2.1', NOW_MS + 1_000)];
      await Promise.all([
        bindings.replace(USER, [aBinding('sip:old@192.0.2.1')]),
        bindings.replace(USER, [first, second]),
      ]);
      assert.deepEqual(bindings.of(USER, NOW_MS), [first, second]);
      assert.deepEqual(bindings.of(USER, NOW_MS + 1_000), [first]);
      assert.deepEqual(bindings.of(USER, NOW_MS + 60_000), []);
      assert.deepEqual(bindings.of('nobody@sip.example', NOW_MS), []);
      assert.equal(bindings.count(NOW_MS), 1);
      assert.equal(bindings.count(NOW_MS + 60_000), 0);
    });

    promise('3: the last set is the one that is found again', async (world) => {
      await world.bindings.replace(USER, [aBinding('sip:one@192.0.2.1')]);
      await world.bindings.replace(USER, [aBinding('sip:two@192.0.2.1')]);
      const found = await world.crash();
      assert.deepEqual(
        found.of(USER, NOW_MS).map(({ contact }) => contact),
        ['sip:two@192.0.2.1'],
      );
      assert.equal(found.count(NOW_MS), 1);
    });

    promise('4: an empty set removes the user', async (world) => {
      await world.bindings.replace(USER, [aBinding('sip:one@192.0.2.1')]);
      await world.bindings.replace(USER, []);
      assert.deepEqual(world.bindings.of(USER, NOW_MS), []);
      assert.equal((await world.crash()).count(NOW_MS), 0);
    });

    promise(
      '5: users are all who have bindings, also those whose bindings expired while no process ran',
      async (world) => {
        const { bindings } = world;
        await bindings.replace(USER, [aBinding('sip:one@192.0.2.1', 1)]);
        await bindings.replace('juliet@sip.example', [aBinding('sip:two@192.0.2.1')]);
        await bindings.replace('gone@sip.example', [aBinding('sip:three@192.0.2.1')]);
        await bindings.replace('gone@sip.example', []);
        const found = await world.crash();
        for (const store of [bindings, found]) {
          assert.deepEqual([...store.users()].sort(), ['juliet@sip.example', USER]);
          assert.deepEqual(
            [store.hasExpired(USER, NOW_MS), store.hasExpired('juliet@sip.example', NOW_MS)],
            [true, false],
          );
        }
      },
    );

    promise('6: removeExpired takes out what is over, and the user with it who has nothing else', async (world) => {
      const { bindings } = world;
      const live = aBinding('sip:two@192.0.2.1');
      await bindings.replace(USER, [aBinding('sip:one@192.0.2.1', NOW_MS), live]);
      await bindings.replace('juliet@sip.example', [aBinding('sip:three@192.0.2.1', NOW_MS)]);
      for (const user of [USER, 'juliet@sip.example', 'nobody@sip.example']) {
        bindings.removeExpired(user, NOW_MS);
        assert.equal(bindings.hasExpired(user, NOW_MS), false);
      }
      assert.deepEqual([...bindings.users()], [USER]);
      assert.deepEqual(bindings.of(USER, NOW_MS), [live]);
      // Durable with the next write.
      await bindings.replace(USER, [live]);
      assert.deepEqual([...(await world.crash()).users()], [USER]);
    });

    if (!isShared) return;
    promise('2: what another process stores is known, in its order', async (world) => {
      const [one, beside] = [world.bindings, await world.beside!()];
      const contactsOf = (store: BindingStore): string[] => store.of(USER, NOW_MS).map(({ contact }) => contact);
      await beside.replace(USER, [aBinding('sip:one@192.0.2.1')]);
      await world.told!(() => one.count(NOW_MS) === 1);
      await one.replace(USER, [aBinding('sip:two@192.0.2.1')]);
      await world.told!(() => contactsOf(beside)[0] === 'sip:two@192.0.2.1');
      for (let n = 0; n < 50; n += 1) await beside.replace(USER, [aBinding(`sip:${n}@192.0.2.1`)]);
      await world.told!(() => contactsOf(one)[0] === 'sip:49@192.0.2.1');
      await beside.replace(USER, []);
      await world.told!(() => contactsOf(one).length === 0);
      assert.deepEqual([...one.users()], []);
    });

    promise('6: removeExpired does not remove who has registered elsewhere meanwhile', async (world) => {
      const [one, beside] = [world.bindings, await world.beside!()];
      await one.replace(USER, [aBinding('sip:one@192.0.2.1', NOW_MS)]);
      await world.told!(() => [...beside.users()].length === 1);
      const registered = beside.replace(USER, [aBinding('sip:two@192.0.2.1')]);
      one.removeExpired(USER, NOW_MS);
      await registered.catch(async (thrown: unknown) => {
        // It was removed first: as the service does, again from what is there.
        assert.ok(isConflict(thrown));
        await beside.replace(USER, [aBinding('sip:two@192.0.2.1')]);
      });
      await world.told!(() => one.count(NOW_MS) === 1);
      assert.equal((await world.crash()).count(NOW_MS), 1);
    });

    promise('7: a set that was not made from what another process has stored is refused', async (world) => {
      const [one, beside] = [world.bindings, await world.beside!()];
      await one.replace(USER, [aBinding('sip:one@192.0.2.1')]);
      await world.told!(() => beside.count(NOW_MS) === 1);
      const sets = await Promise.allSettled(
        [one, beside].map((store, n) =>
          store.replace(USER, [...store.of(USER, NOW_MS), aBinding(`sip:${n}@192.0.2.9`)]),
        ),
      );
      const [stored, refused] = [...sets].sort((a, b) => (a.status < b.status ? -1 : 1));
      assert.deepEqual([stored?.status, refused?.status], ['fulfilled', 'rejected']);
      assert.ok(refused?.status === 'rejected' && isConflict(refused.reason));
      const loser = sets[0]?.status === 'rejected' ? one : beside;
      // It knows now what the other has stored, and goes on from there.
      assert.equal(loser.of(USER, NOW_MS).length, 2);
      await loser.replace(USER, [...loser.of(USER, NOW_MS), aBinding('sip:three@192.0.2.9')]);
      assert.equal((await world.crash()).of(USER, NOW_MS).length, 3);
    });
  });
}
