import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSqlite } from '../../../src/store/sqlite-driver.ts';
import { openCredentials, openSqliteStore } from '../../../src/store/sqlite-store.ts';
import { aBinding } from '../../contract/binding-store.ts';
import { anEntry } from '../../contract/delivery-queue.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { NO_BOUNDS } from '../../support/sqlite-world.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

/** What version 0.1 made, as it made it: a step that was released is never changed. */
const SCHEMA_1 = `
  PRAGMA journal_mode = WAL;
  PRAGMA application_id = 1231975536;
  CREATE TABLE version (number INTEGER PRIMARY KEY, applied_at_ms INTEGER NOT NULL) STRICT;
  INSERT INTO version VALUES (1, 1700000000000);
  CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO setting VALUES ('position', 7), ('clean', 1), ('suspect', 0), ('seed-high', 1), ('seed-low', 2);
  CREATE TABLE entry (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL, lane TEXT NOT NULL, hop TEXT NOT NULL, owner TEXT NOT NULL,
    accepted_at_ms INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    not_before_ms INTEGER NOT NULL DEFAULT 0, maybe_sent INTEGER NOT NULL DEFAULT 0, code TEXT, reason TEXT,
    size INTEGER NOT NULL, operation TEXT NOT NULL) STRICT;
  CREATE TABLE dead (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL, lane TEXT NOT NULL, hop TEXT NOT NULL, owner TEXT NOT NULL,
    accepted_at_ms INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL, attempts INTEGER NOT NULL,
    died_at_ms INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
    size INTEGER NOT NULL, operation TEXT NOT NULL) STRICT;
  CREATE INDEX dead_by_id ON dead (id);
  CREATE INDEX dead_by_time ON dead (died_at_ms);
  CREATE TABLE remembered (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, hashes BLOB NOT NULL) STRICT;
  CREATE INDEX remembered_by_time ON remembered (at_ms);
  CREATE TABLE binding (user TEXT PRIMARY KEY, bindings TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE credential (
    user TEXT PRIMARY KEY, md5 TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO credential VALUES ('romeo@sip.example', 'aa', 'bb');`;

/** A folder as version 0.1 left it: one user with one contact, and one message that waits. */
function anOldFolder(): string {
  const folder = join(temporaryFolder('schema'), 'data');
  mkdirSync(folder);
  const file = openSqlite(join(folder, 'interpres.sqlite'));
  file.exec(SCHEMA_1);
  file
    .prepare('INSERT INTO binding VALUES (?, ?)')
    .run('romeo@sip.example', JSON.stringify([aBinding('sip:r@192.0.2.1')]));
  const entry = anEntry({ id: 'waiting' }, 1_700_000_000_000);
  const operation = JSON.stringify(entry.operation);
  file
    .prepare(
      `INSERT INTO entry (position, id, lane, hop, owner, accepted_at_ms, expires_at_ms, size, operation)
       VALUES (7, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      entry.id,
      entry.lane,
      entry.hop,
      entry.owner,
      1_700_000_000_000,
      entry.expiresAtMs,
      operation.length,
      operation,
    );
  file.close();
  return folder;
}

const versions = (folder: string): number[] => {
  const file = openSqlite(join(folder, 'interpres.sqlite'));
  const rows = file.prepare('SELECT number FROM version ORDER BY number').all();
  file.close();
  return rows.map((row) => Number(row['number']));
};

test('schema: a store of version 1 is brought up to date with everything in it', async () => {
  const folder = anOldFolder();
  const options = { folder, clock: new FakeClock(), log: silentLog, bounds: NO_BOUNDS, commits: 'here' } as const;
  for (const round of ['first', 'second']) {
    const store = await openSqliteStore(options);
    assert.equal(store.credentials.find('romeo@sip.example')?.sha256, 'bb');
    assert.equal(store.bindings.of('romeo@sip.example', options.clock.nowMs())[0]?.contact, 'sip:r@192.0.2.1');
    assert.equal((await store.queue.show('waiting'))?.state, 'waiting');
    assert.deepEqual([...store.records('rules').all()], round === 'first' ? [] : [['romeo@sip.example', { a: 1 }]]);
    await store.records('rules').put('romeo@sip.example', { a: 1 });
    await store.close();
    assert.deepEqual(versions(folder), [1, 2]);
  }
});

test('schema: the users of a store of version 1 are found and changed by the command line', async () => {
  const folder = anOldFolder();
  const { credentials, close } = await openCredentials(folder);
  assert.deepEqual(credentials.list(10), ['romeo@sip.example']);
  await credentials.put([{ user: 'juliet@sip.example', md5: 'c', sha256: 'd' }]);
  assert.equal(credentials.find('juliet@sip.example')?.md5, 'c');
  await close();
  assert.deepEqual(versions(folder), [1, 2]);
});
