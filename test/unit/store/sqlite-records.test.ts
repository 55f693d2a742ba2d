import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSqlite } from '../../../src/store/sqlite-driver.ts';
import { openSqliteStore } from '../../../src/store/sqlite-store.ts';
import type { SqliteStore, SqliteStoreOptions } from '../../../src/store/sqlite-store.ts';
import { recordsContract, type RecordsWorld } from '../../contract/records.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { NO_BOUNDS, imageOf } from '../../support/sqlite-world.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

async function sqliteRecordsWorld(commits: SqliteStoreOptions['commits']): Promise<RecordsWorld> {
  const clock = new FakeClock();
  const folder = temporaryFolder('records');
  const opened: SqliteStore[] = [];
  const open = async (where: string): Promise<SqliteStore> => {
    const options = { folder: where, clock, log: silentLog, bounds: NO_BOUNDS, pragmas: 'PRAGMA busy_timeout = 1' };
    const store = await openSqliteStore({ ...options, ...(commits === undefined ? {} : { commits }) });
    opened.push(store);
    return store;
  };
  const store = await open(folder);
  let locker: ReturnType<typeof openSqlite> | undefined;
  return {
    records: (kind) => store.records(kind),
    // Copied in one turn of this thread; a commit in the other is in the copy of the log whole, or not at all.
    crash: () => open(imageOf(folder, opened.length)),
    pass: async () => {
      clock.advance(1_000);
      await new Promise((resolve) => setTimeout(resolve, 60));
    },
    setFailing: (isFailing) => {
      if (isFailing) {
        locker = openSqlite(join(folder, 'interpres.sqlite'));
        locker.exec('BEGIN IMMEDIATE');
      } else {
        locker?.exec('ROLLBACK');
        locker?.close();
      }
    },
    close: async () => {
      for (const each of opened) await each.close();
    },
  };
}

recordsContract('SqliteRecords, commits in this thread,', () => sqliteRecordsWorld('here'));
recordsContract('SqliteRecords, commits in the thread of the store,', () => sqliteRecordsWorld('thread'));

test('sqlite records: what cannot be read is left out, and said in one line', async () => {
  const folder = temporaryFolder('records');
  const log = new RecordingLog();
  const options = { folder, clock: new FakeClock(), log, bounds: NO_BOUNDS, commits: 'here' } as const;
  const before = await openSqliteStore(options);
  for (const key of ['a', 'b', 'c']) await before.records('subscription').put(key, { key });
  await before.close();
  const file = openSqlite(join(folder, 'interpres.sqlite'));
  file.exec(`UPDATE record SET value = substr(value, 1, 5) WHERE key IN ('a', 'c')`);
  file.close();

  const store = await openSqliteStore(options);
  assert.deepEqual([...store.records('subscription').all()], [['b', { key: 'b' }]]);
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error').map(({ fields }) => fields),
    [{ kind: 'subscription', count: 2, first: 'a' }],
  );
  await store.close();
});

test('sqlite records: null is no record of anything, and ends nobody who reads them', async () => {
  const folder = temporaryFolder('records');
  const log = new RecordingLog();
  const store = await openSqliteStore({ folder, clock: new FakeClock(), log, bounds: NO_BOUNDS, commits: 'here' });
  const records = store.records('rules');
  await records.put('a', null);
  await records.put('b', { rules: {} });
  assert.deepEqual([...records.all()], [['b', { rules: {} }]]);
  assert.deepEqual(log.said('error'), ['stored records cannot be read and are left out']);
  await store.close();
});

test('sqlite records: what is left to write is written when the store is closed', async () => {
  const folder = temporaryFolder('records');
  const options = { folder, clock: new FakeClock(), log: silentLog, bounds: NO_BOUNDS } as const;
  const before = await openSqliteStore(options);
  for (let n = 0; n < 5_000; n += 1) before.records('subscription').putLater(`key-${n}`, n);
  await before.close();
  const store = await openSqliteStore({ ...options, commits: 'here' });
  assert.equal([...store.records('subscription').all()].length, 5_000);
  await store.close();
});
