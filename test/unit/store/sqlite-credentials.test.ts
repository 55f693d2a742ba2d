import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCredentials, openSqliteStore } from '../../../src/store/sqlite-store.ts';
import { aCredential, credentialStoreContract } from '../../contract/credential-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { NO_BOUNDS } from '../../support/sqlite-world.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

credentialStoreContract('SqliteCredentials', async () => {
  const folder = temporaryFolder('store');
  const clock = new FakeClock();
  const server = await openSqliteStore({ folder, clock, log: silentLog, bounds: NO_BOUNDS, commits: 'here' });
  const opened = [server.close];
  return {
    credentials: server.credentials,
    beside: async () => {
      const { credentials, close } = await openCredentials(folder);
      opened.push(close);
      return credentials;
    },
    told: () => Promise.resolve(),
    close: async () => {
      for (const close of opened) await close();
    },
  };
});

test('20,000 credentials are put within two seconds', async () => {
  const { credentials, close } = await openCredentials(temporaryFolder('store'));
  const all = Array.from({ length: 20_000 }, (_, n) => aCredential(`user${n}@sip.example`));
  const began = performance.now();
  await credentials.put(all);
  const tookMs = performance.now() - began;
  assert.notEqual(credentials.find('user19999@sip.example'), undefined);
  await close();
  assert.ok(tookMs < 2_000, `took ${tookMs} ms`);
});
