import { createRequire } from 'node:module';
import { GatewayError } from '../core/errors.ts';

export type SqliteValue = string | number | null | Uint8Array;
export type SqliteRow = Readonly<Record<string, SqliteValue>>;

/** What `node:sqlite` and `better-sqlite3` have in common, and all that is used of either. */
export interface SqliteStatement {
  run(...values: SqliteValue[]): { readonly changes: number | bigint };
  get(...values: SqliteValue[]): SqliteRow | undefined;
  all(...values: SqliteValue[]): SqliteRow[];
}

export interface SqliteConnection {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

/** What went wrong, as far as somebody can do something about it. */
export type SqliteFailure = 'full' | 'readonly' | 'io' | 'busy' | 'corrupt' | 'other';

type Connect = (file: string) => SqliteConnection;

/** Primary result codes (sqlite.org/rescode.html). */
const FAILURES: ReadonlyArray<readonly [number: number, name: string, failure: SqliteFailure]> = [
  [5, 'SQLITE_BUSY', 'busy'],
  [6, 'SQLITE_LOCKED', 'busy'],
  [8, 'SQLITE_READONLY', 'readonly'],
  [10, 'SQLITE_IOERR', 'io'],
  [11, 'SQLITE_CORRUPT', 'corrupt'],
  [13, 'SQLITE_FULL', 'full'],
  [14, 'SQLITE_CANTOPEN', 'io'],
  [26, 'SQLITE_NOTADB', 'corrupt'],
];

const require = createRequire(import.meta.url);
let connect: Connect | undefined;

/**
 * Opens a database file with `node:sqlite` where this Node has it without a flag (from 22.13), else with the optional
 * package `better-sqlite3`.
 *
 * @throws GatewayError 'store-unavailable' naming the remedy when neither is there; the driver's error when the file
 * cannot be opened
 */
export function openSqlite(file: string): SqliteConnection {
  connect ??= findDriver();
  return connect(file);
}

/** Which driver is in use: for the log and the bench. */
export function sqliteDriverName(): string {
  return nodeSqlite() === undefined ? 'better-sqlite3' : 'node:sqlite';
}

export function sqliteFailureOf(thrown: unknown): SqliteFailure {
  if (!(thrown instanceof Error)) return 'other';
  // better-sqlite3: 'SQLITE_IOERR_WRITE' in code; node:sqlite: the extended number in errcode.
  const { code, errcode } = thrown as { code?: unknown; errcode?: unknown };
  for (const [number, name, failure] of FAILURES) {
    if (typeof errcode === 'number' && (errcode & 0xff) === number) return failure;
    if (typeof code === 'string' && (code === name || code.startsWith(`${name}_`))) return failure;
  }
  return 'other';
}

function findDriver(): Connect {
  const node = nodeSqlite();
  if (node !== undefined) return (file) => new node.DatabaseSync(file);
  let better: new (file: string) => SqliteConnection;
  try {
    better = require('better-sqlite3') as typeof better;
  } catch (cause) {
    throw new GatewayError('store-unavailable', noDriver(), { cause });
  }
  return (file) => {
    try {
      return new better(file);
    } catch (cause) {
      // Its native part is loaded with the first connection, and may be of another Node version.
      if ((cause as { code?: unknown }).code !== 'ERR_DLOPEN_FAILED') throw cause;
      throw new GatewayError('store-unavailable', noDriver(), { cause });
    }
  };
}

function noDriver(): string {
  return (
    `no SQLite: Node ${process.versions.node} has no node:sqlite, and better-sqlite3 could not be loaded. ` +
    'Use Node 22.13 or later, or run "npm rebuild better-sqlite3" (needs a C++ compiler, make and python3).'
  );
}

function nodeSqlite(): { DatabaseSync: new (file: string) => SqliteConnection } | undefined {
  const find = (process as { getBuiltinModule?: (name: string) => unknown }).getBuiltinModule;
  return find?.('node:sqlite') as ReturnType<typeof nodeSqlite>;
}
