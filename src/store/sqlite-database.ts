import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayError } from '../core/errors.ts';
import { openSqlite, sqliteFailureOf } from './sqlite-driver.ts';
import type { SqliteConnection, SqliteFailure } from './sqlite-driver.ts';
import { SchemaError, migrate, versionOf } from './sqlite-schema.ts';

/** How long a statement waits for another process, such as a user import, to finish its transaction. */
const BUSY_MS = 5_000;
/** The log is copied back every 16 MB: at full rate most rows are gone again before they would be copied. */
const CHECKPOINT_PAGES = 4_000;

/** 256 MB, which take about a second and a half. */
const CHECKED_PAGES_MAX = 65_536;

export function databaseFile(folder: string): string {
  return join(folder, 'interpres.sqlite');
}

/** A connection set up for commits that survive a power cut. */
export function connectSqlite(file: string): SqliteConnection {
  const connection = openSqlite(file);
  try {
    connection.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
    // Before the file is changed in any way: it may be somebody else's.
    versionOf(connection);
    const mode = connection.prepare('PRAGMA journal_mode = WAL').get()?.['journal_mode'];
    if (mode !== 'wal')
      throw new SchemaError(`its file system keeps SQLite from using a write-ahead log (${String(mode)})`);
    connection.exec(`
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
      PRAGMA journal_size_limit = 67108864;
      PRAGMA cache_size = -8000;`);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Opens `<folder>/interpres.sqlite`, makes folder (0700) and file (0600) where they are missing, checks it and brings
 * its schema up to date.
 *
 * @throws GatewayError 'store-unavailable' naming the file, what is wrong with it and what to do
 */
export function openDatabase(folder: string, nowMs: number): SqliteConnection {
  const file = databaseFile(folder);
  makeFolder(folder);
  let connection: SqliteConnection | undefined;
  try {
    connection = connectSqlite(file);
    migrate(connection, nowMs);
    chmodSync(file, 0o600);
    return connection;
  } catch (error) {
    connection?.close();
    throw unusable(file, error);
  }
}

/**
 * Keeps a second server out of the folder for as long as this process lives: the lock ends with the process, however
 * it ends. A database of its own, so that the command line can use the store beside a running server.
 *
 * @returns lets the folder go
 * @throws GatewayError 'store-unavailable' when another server has it
 */
export function lockFolder(folder: string): () => void {
  const file = join(folder, 'interpres.lock');
  makeFolder(folder);
  let connection: SqliteConnection | undefined;
  try {
    connection = openSqlite(file);
    connection.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    const held = connection;
    return () => held.close();
  } catch (error) {
    connection?.close();
    if (sqliteFailureOf(error) !== 'busy') throw unusable(file, error);
    throw new GatewayError(
      'store-unavailable',
      `another server is using the folder ${folder}; stop it, or give this one a folder of its own ("data" in the configuration)`,
      { cause: error },
    );
  }
}

/**
 * Reads the whole structure once; a very large file is not read through, because the server would start too late.
 *
 * @throws GatewayError 'store-unavailable' when it is damaged
 */
export function checkDatabase(connection: SqliteConnection, folder: string): void {
  const file = databaseFile(folder);
  let found: unknown;
  try {
    if (Number(connection.prepare('PRAGMA page_count').get()?.['page_count']) > CHECKED_PAGES_MAX) return;
    found = Object.values(connection.prepare('PRAGMA quick_check(1)').get() ?? {})[0];
  } catch (error) {
    throw unusable(file, error);
  }
  if (found !== 'ok') throw new GatewayError('store-unavailable', damaged(file, String(found)));
}

const REMEDIES: Readonly<Record<SqliteFailure, (file: string) => string>> = {
  full: () => 'there is no space left: free some',
  readonly: (file) => `it cannot be written: make ${file} and its folder writable for this user`,
  io: (file) => `it cannot be opened or written: make ${file} and its folder readable and writable for this user`,
  busy: () => 'another program has locked it: end that program',
  corrupt: (file) => damaged(file, 'not a database, or a damaged one'),
  other: () => 'it cannot be used',
};

function unusable(file: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  const failure = sqliteFailureOf(cause);
  const said = cause instanceof Error ? cause.message : String(cause);
  const remedy = cause instanceof SchemaError ? said : `${REMEDIES[failure](file)} (${said})`;
  return new GatewayError('store-unavailable', remedy.includes(file) ? remedy : `${file}: ${remedy}`, { cause });
}

function damaged(file: string, what: string): string {
  return `the store ${file} is unreadable: ${what}. Put back a backup of it, or move it away to start with an empty one`;
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new GatewayError('store-unavailable', `the folder ${folder} cannot be made: ${said}`, { cause });
  }
}
