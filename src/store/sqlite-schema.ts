import type { SqliteConnection } from './sqlite-driver.ts';

/** 'Intp': tells our file from another program's (sqlite.org/pragma.html#pragma_application_id). */
const APPLICATION_ID = 0x496e7470;

/**
 * Each step brings the file from one version to the next. Steps that were released are never changed.
 *
 * `entry` has no index but its key: everything about live entries is answered from memory, and an index would be paid
 * for twice with every message. `remembered.hashes` holds 8 bytes for each id of one commit.
 *
 * `record` has a number of its own, so that only the small index is in the order of the keys: with the values in it
 * (WITHOUT ROWID), keys that come in no order cost four times as much to add and twice as much to change.
 */
const STEPS: readonly string[] = [
  `
  CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO setting VALUES
    ('position', 0), ('clean', 1), ('suspect', 0),
    ('seed-high', random() & 0xffffffff), ('seed-low', random() & 0xffffffff);
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
  `,
  `
  CREATE TABLE record (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    UNIQUE (kind, key)) STRICT;
  `,
];

/** What `migrate` found wrong with a file that SQLite itself can read. */
export class SchemaError extends Error {}

/**
 * Brings an empty or older database to the present schema, in one transaction.
 *
 * @throws SchemaError when the file belongs to another program or to a newer version of this one
 */
export function migrate(connection: SqliteConnection, nowMs: number): void {
  if (versionOf(connection) === STEPS.length) return;
  connection.exec('BEGIN IMMEDIATE');
  try {
    // Another process may have been faster.
    const version = versionOf(connection);
    if (version > STEPS.length) {
      throw new SchemaError(
        `it has schema version ${version}, this program knows ${STEPS.length}: use the newer program`,
      );
    }
    if (version === 0) {
      connection.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
      connection.exec('CREATE TABLE version (number INTEGER PRIMARY KEY, applied_at_ms INTEGER NOT NULL) STRICT');
    }
    for (let next = version; next < STEPS.length; next += 1) {
      connection.exec(STEPS[next] ?? '');
      connection.prepare('INSERT INTO version VALUES (?, ?)').run(next + 1, Math.floor(nowMs));
    }
    connection.exec('COMMIT');
  } catch (error) {
    try {
      connection.exec('ROLLBACK');
    } catch {
      // A full disk has rolled it back already; what matters is why.
    }
    throw error;
  }
}

/**
 * Asks without changing anything in the file.
 *
 * @returns 0 for an empty file
 * @throws SchemaError when the file belongs to another program
 */
export function versionOf(connection: SqliteConnection): number {
  const id = Number(connection.prepare('PRAGMA application_id').get()?.['application_id']);
  const tables = Number(connection.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n']);
  if (tables === 0) return 0;
  if (id !== APPLICATION_ID) throw new SchemaError('it is the database of another program');
  return Number(connection.prepare('SELECT max(number) AS n FROM version').get()?.['n'] ?? 0);
}
