import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import { openSqlite, sqliteFailureOf } from '../../../src/store/sqlite-driver.ts';
import { openCredentials, openSqliteStore } from '../../../src/store/sqlite-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { NO_BOUNDS } from '../../support/sqlite-world.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { aCredential } from '../../contract/credential-store.ts';

const open = (folder: string) =>
  openSqliteStore({ folder, clock: new FakeClock(), log: silentLog, bounds: NO_BOUNDS, commits: 'here' });

const refusal =
  (...parts: readonly string[]) =>
  (thrown: unknown): boolean => {
    assert.ok(thrown instanceof GatewayError);
    assert.equal(thrown.code, 'store-unavailable');
    for (const part of parts) assert.ok(thrown.message.includes(part), `"${thrown.message}" says "${part}"`);
    return true;
  };

test('the folder is the owner\u2019s alone, and so is the file', async () => {
  const folder = join(temporaryFolder('store'), 'new', 'data');
  const store = await open(folder);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(statSync(join(folder, 'interpres.sqlite')).mode & 0o777, 0o600);
  await store.close();
});

test('a second server is kept out of the folder, and let in when the first has gone', async () => {
  const folder = temporaryFolder('store');
  const first = await open(folder);
  await assert.rejects(open(folder), refusal(folder, 'another server'));
  await first.close();
  await (await open(folder)).close();
});

test('the command line uses the credentials beside a running server', async () => {
  const folder = temporaryFolder('store');
  const server = await open(folder);
  const beside = await openCredentials(folder);
  await beside.credentials.put([aCredential('romeo@sip.example')]);
  assert.notEqual(server.credentials.find('romeo@sip.example'), undefined);
  await beside.close();
  await server.close();
});

const DAMAGED: ReadonlyArray<readonly [what: string, damage: (file: string) => void, says: string]> = [
  [
    'no database at all',
    (file) => writeFileSync(file, 'this is not a database, whatever it is\n'.repeat(200)),
    'unreadable',
  ],
  [
    'a database cut and overwritten in the middle',
    (file) => {
      const bytes = readFileSync(file);
      bytes.fill(0xa5, 4_096, Math.min(bytes.length, 9 * 4_096));
      writeFileSync(file, bytes);
    },
    'unreadable',
  ],
  [
    'the database of another program',
    (file) => {
      writeFileSync(file, '');
      const other = openSqlite(file);
      other.exec('CREATE TABLE thing (a)');
      other.close();
    },
    'another program',
  ],
  [
    'the store of a newer version',
    (file) => {
      const newer = openSqlite(file);
      newer.exec('INSERT INTO version VALUES (1000, 0)');
      newer.close();
    },
    'newer',
  ],
];

for (const [what, damage, says] of DAMAGED) {
  test(`refused at start, by name: ${what}`, async () => {
    const folder = temporaryFolder('store');
    await (await open(folder)).close();
    const file = join(folder, 'interpres.sqlite');
    damage(file);
    const before = readFileSync(file);
    await assert.rejects(open(folder), refusal(file, says));
    assert.deepEqual(readFileSync(file).subarray(0, 4_096), before.subarray(0, 4_096));
  });
}

test('refused at start, by name: a folder that cannot be made', async () => {
  const folder = temporaryFolder('store');
  writeFileSync(join(folder, 'file'), '');
  await assert.rejects(open(join(folder, 'file', 'data')), refusal(join(folder, 'file', 'data'), 'cannot be made'));
});

test('refused at start, by name: a file that is a folder', async () => {
  const folder = temporaryFolder('store');
  mkdirSync(join(folder, 'interpres.sqlite'));
  await assert.rejects(open(folder), refusal(join(folder, 'interpres.sqlite')));
});

const CODES: ReadonlyArray<readonly [error: object, failure: string]> = [
  [{ code: 'SQLITE_FULL' }, 'full'],
  [{ code: 'SQLITE_IOERR_WRITE' }, 'io'],
  [{ code: 'SQLITE_READONLY_DBMOVED' }, 'readonly'],
  [{ code: 'SQLITE_BUSY' }, 'busy'],
  [{ code: 'SQLITE_NOTADB' }, 'corrupt'],
  [{ code: 'SQLITE_CONSTRAINT_NOTNULL' }, 'other'],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 13 }, 'full'],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 778 }, 'io'],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 1_032 }, 'readonly'],
  [{ code: 'ERR_SQLITE_ERROR', errcode: 19 }, 'other'],
];

for (const [error, failure] of CODES) {
  test(`failure of ${JSON.stringify(error)}: ${failure}`, () => {
    assert.equal(sqliteFailureOf(Object.assign(new Error('test'), error)), failure);
  });
}
