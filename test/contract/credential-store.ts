import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Credential, CredentialStore } from '../../src/core/ports.ts';

export interface CredentialWorld {
  readonly credentials: CredentialStore;
  /** The store as another process sees it, at the same time. */
  beside(): Promise<CredentialStore>;
  /** Resolves when what one has put is known to the other: at once, or within a second. */
  told(isKnown: () => boolean): Promise<void>;
  close(): Promise<void>;
}

export function aCredential(user: string, letter = 'a'): Credential {
  return { user, md5: letter.repeat(32), sha256: letter.repeat(64) };
}

/** The promises of CredentialStore, run against one implementation. `make` gives a fresh, empty world. */
export function credentialStoreContract(name: string, make: () => Promise<CredentialWorld>): void {
  const promise = (title: string, body: (world: CredentialWorld) => Promise<void>): void => {
    void test(title, async () => {
      const world = await make();
      try {
        await body(world);
      } finally {
        await world.close();
      }
    });
  };

  describe(`${name} keeps the promises of CredentialStore`, () => {
    promise('1: put keeps all of them, and overwrites one that exists', async ({ credentials }) => {
      await credentials.put([]);
      await credentials.put([aCredential('romeo@sip.example'), aCredential('j\u00fcl%27s@sip.example', 'b')]);
      await credentials.put([aCredential('romeo@sip.example', 'c')]);
      assert.deepEqual(credentials.find('romeo@sip.example'), aCredential('romeo@sip.example', 'c'));
      assert.deepEqual(credentials.find('j\u00fcl%27s@sip.example'), aCredential('j\u00fcl%27s@sip.example', 'b'));
      assert.equal(credentials.find('nobody@sip.example'), undefined);
    });

    promise('1: put keeps none when one cannot be kept', async ({ credentials }) => {
      const bad = { ...aCredential('bad@sip.example'), md5: null as unknown as string };
      await assert.rejects(credentials.put([aCredential('good@sip.example'), bad]));
      assert.equal(credentials.find('good@sip.example'), undefined);
      await credentials.put([aCredential('good@sip.example')]);
      assert.notEqual(credentials.find('good@sip.example'), undefined);
    });

    promise('2: find sees what another process put and removed', async (world) => {
      const beside = await world.beside();
      assert.equal(world.credentials.find('romeo@sip.example'), undefined);
      await beside.put([aCredential('romeo@sip.example')]);
      await world.told(() => world.credentials.find('romeo@sip.example') !== undefined);
      assert.deepEqual(world.credentials.find('romeo@sip.example'), aCredential('romeo@sip.example'));
      await world.credentials.put([aCredential('romeo@sip.example', 'd')]);
      await world.told(() => beside.find('romeo@sip.example')?.md5.startsWith('d') === true);
      assert.deepEqual(beside.find('romeo@sip.example'), aCredential('romeo@sip.example', 'd'));
      assert.equal(await beside.remove('romeo@sip.example'), true);
      await world.told(() => world.credentials.find('romeo@sip.example') === undefined);
      assert.equal(world.credentials.find('romeo@sip.example'), undefined);
      assert.deepEqual(world.credentials.list(10), []);
    });

    promise('3: remove says whether the user was there', async ({ credentials }) => {
      await credentials.put([aCredential('romeo@sip.example')]);
      assert.equal(await credentials.remove('romeo@sip.example'), true);
      assert.equal(await credentials.remove('romeo@sip.example'), false);
      assert.equal(credentials.find('romeo@sip.example'), undefined);
    });

    promise('4: list is sorted, bounded, and goes on after a user', async ({ credentials }) => {
      await credentials.put(['c', 'a', 'd', 'b'].map((user) => aCredential(`${user}@sip.example`)));
      assert.deepEqual(credentials.list(2), ['a@sip.example', 'b@sip.example']);
      assert.deepEqual(credentials.list(10, 'b@sip.example'), ['c@sip.example', 'd@sip.example']);
      assert.deepEqual(credentials.list(10, 'd@sip.example'), []);
    });
  });
}
