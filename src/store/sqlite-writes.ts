import { connectSqlite } from './sqlite-database.ts';
import { sqliteFailureOf } from './sqlite-driver.ts';
import type { SqliteConnection, SqliteFailure, SqliteRow, SqliteStatement, SqliteValue } from './sqlite-driver.ts';

/** What may be written, as plain data: it crosses into the writer's thread. Times are whole ms since the epoch. */
export type WriteOp =
  | readonly [
      op: 'add',
      position: number,
      id: string,
      lane: string,
      hop: string,
      owner: string,
      acceptedAtMs: number,
      expiresAtMs: number,
      size: number,
      operation: string,
    ]
  /** Delivered or dropped, and to be remembered. */
  | readonly [op: 'gone', position: number, nowMs: number, hashHigh: number, hashLow: number]
  | readonly [
      op: 'again',
      position: number,
      attempts: number,
      notBeforeMs: number,
      code: string | null,
      reason: string | null,
    ]
  | readonly [
      op: 'dead',
      position: number,
      diedAtMs: number,
      code: string,
      reason: string,
      hashHigh: number,
      hashLow: number,
    ]
  | readonly [op: 'restore', position: number, expiresAtMs: number]
  | readonly [op: 'drop-dead', position: number]
  | readonly [op: 'suspect', position: number]
  | readonly [op: 'setting', name: string, value: number]
  | readonly [op: 'bindings', user: string, bindings: string | null]
  /** One text per column, JSON arrays of strings: all of them or none. */
  | readonly [op: 'credentials', rows: string]
  | readonly [op: 'no-credential', user: string]
  /** Without a value: removed. */
  | readonly [op: 'record', kind: string, key: string, value: string | null]
  | readonly [op: 'purge', rememberedBeforeMs: number, deadBeforeMs: number];

/** What may be read in the writer's thread. */
export type ReadOp =
  | readonly [op: 'operations', positions: string]
  | readonly [op: 'dead-list', hop: string | null, owner: string | null, limit: number]
  | readonly [op: 'dead-one', id: string];

export type Batch = { readonly writes: readonly WriteOp[]; readonly reads: readonly ReadOp[] };

export type BatchResult = {
  /** Which writes failed, by index; the others are durable. */
  readonly failed: ReadonlyArray<readonly [index: number, failure: SqliteFailure, said: string]>;
  /** Rows changed, for the writes that are asked for it. */
  readonly changes: ReadonlyArray<readonly [index: number, changes: number]>;
  /** In the order of the reads; a text is what went wrong. */
  readonly rows: ReadonlyArray<readonly SqliteRow[] | string>;
};

const COUNTED: ReadonlySet<WriteOp[0]> = new Set(['restore', 'drop-dead', 'no-credential', 'purge']);

const DEAD_COLUMNS = 'id, lane, hop, owner, accepted_at_ms, expires_at_ms, attempts, code, reason';

const SQL = {
  add: `INSERT INTO entry (position, id, lane, hop, owner, accepted_at_ms, expires_at_ms, size, operation)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  gone: 'DELETE FROM entry WHERE position = ?',
  again: `UPDATE entry SET attempts = ?, not_before_ms = ?, code = ?, reason = ?, maybe_sent = 1
          WHERE position = ?`,
  bury: `INSERT INTO dead SELECT position, id, lane, hop, owner, accepted_at_ms, expires_at_ms, attempts, ?, ?, ?,
         size, operation FROM entry WHERE position = ?`,
  raise: `INSERT INTO entry SELECT position, id, lane, hop, owner, accepted_at_ms, ?, attempts, 0, 1, code, reason,
          size, operation FROM dead WHERE position = ?`,
  dropDead: 'DELETE FROM dead WHERE position = ?',
  suspect: 'UPDATE entry SET maybe_sent = 1 WHERE position = ?',
  setting: 'UPDATE setting SET value = ? WHERE name = ?',
  bindings: 'INSERT INTO binding VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET bindings = excluded.bindings',
  noBindings: 'DELETE FROM binding WHERE user = ?',
  credential: `INSERT INTO credential VALUES (?, ?, ?)
               ON CONFLICT (user) DO UPDATE SET md5 = excluded.md5, sha256 = excluded.sha256`,
  noCredential: 'DELETE FROM credential WHERE user = ?',
  record: `INSERT INTO record (kind, key, value) VALUES (?, ?, ?)
           ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value`,
  noRecord: 'DELETE FROM record WHERE kind = ? AND key = ?',
  remember: 'INSERT INTO remembered (at_ms, hashes) VALUES (?, ?)',
  purgeRemembered: `DELETE FROM remembered WHERE number IN
                    (SELECT number FROM remembered WHERE at_ms < ? ORDER BY at_ms LIMIT 50000)`,
  purgeDead: `DELETE FROM dead WHERE position IN
              (SELECT position FROM dead WHERE died_at_ms < ? ORDER BY died_at_ms LIMIT 5000)`,
  operations: `SELECT position, operation FROM entry
               WHERE position IN (SELECT value FROM json_each(?))`,
  deadList: `SELECT position, ${DEAD_COLUMNS} FROM dead
             WHERE hop = ifnull(?, hop) AND owner = ifnull(?, owner) ORDER BY position LIMIT ?`,
  deadOne: `SELECT position, ${DEAD_COLUMNS}, operation FROM dead WHERE id = ? ORDER BY position DESC LIMIT 1`,
} as const;

/** Failures that the next write would meet too. */
const OF_THE_MEDIUM: ReadonlySet<SqliteFailure> = new Set(['full', 'readonly', 'io', 'busy', 'corrupt']);
/** So many in a row, one by one, and the rest is not tried. */
const FAILURES_IN_A_ROW = 3;

/**
 * Runs batches of writes, each in one transaction: the group commit. One thread, one connection.
 *
 * When a batch fails although the medium works, or for want of space, its writes are tried one by one, so that one
 * that cannot be written takes no other with it. After a failure of the medium the next batch begins with a new
 * connection: some failures stick to the old one.
 */
export class SqliteWrites {
  readonly #file: string;
  readonly #pragmas: string;
  #connection: SqliteConnection | undefined;
  #statements = new Map<string, SqliteStatement>();

  /** @param pragmas more of them for each connection, for tests: `PRAGMA max_page_count` is a disk of a size */
  constructor(file: string, pragmas = '') {
    this.#file = file;
    this.#pragmas = pragmas;
  }

  run(batch: Batch): BatchResult {
    const failed: Array<readonly [number, SqliteFailure, string]> = [];
    const changes: Array<readonly [number, number]> = [];
    if (batch.writes.length > 0) {
      try {
        this.#transaction(batch.writes, 0, changes);
      } catch (error) {
        changes.length = 0;
        const failure = sqliteFailureOf(error);
        if (batch.writes.length > 1 && (failure === 'full' || !OF_THE_MEDIUM.has(failure))) {
          this.#oneByOne(batch.writes, failed, changes);
        } else {
          const said = saidBy(error);
          for (let index = 0; index < batch.writes.length; index += 1) failed.push([index, failure, said]);
        }
        if (failed.some(([, why]) => OF_THE_MEDIUM.has(why) && why !== 'busy')) this.close();
      }
    }
    return { failed, changes, rows: batch.reads.map((read) => this.#read(read)) };
  }

  close(): void {
    this.#statements.clear();
    try {
      this.#connection?.close();
    } catch {
      // It failed before; what was committed is committed.
    }
    this.#connection = undefined;
  }

  #transaction(writes: readonly WriteOp[], firstIndex: number, changes: Array<readonly [number, number]>): void {
    const connection = this.#connected();
    let position = 0;
    let rememberedAtMs = 0;
    const hashes: number[] = [];
    this.#statement('BEGIN IMMEDIATE').run();
    try {
      writes.forEach((write, index) => {
        const changed = this.#apply(write);
        if (COUNTED.has(write[0])) changes.push([firstIndex + index, changed]);
        if (write[0] === 'add') position = write[1];
        else if (write[0] === 'gone') {
          rememberedAtMs = write[2];
          hashes.push(write[3], write[4]);
        } else if (write[0] === 'dead') {
          rememberedAtMs = write[2];
          hashes.push(write[5], write[6]);
        }
      });
      if (position > 0) this.#statement(SQL.setting).run(position, 'position');
      if (hashes.length > 0) {
        const bytes = new Uint8Array(Uint32Array.from(hashes).buffer);
        this.#statement(SQL.remember).run(rememberedAtMs, bytes);
      }
      this.#statement('COMMIT').run();
    } catch (error) {
      try {
        connection.exec('ROLLBACK');
      } catch {
        // Rolled back already: SQLite does so by itself after some failures.
      }
      throw error;
    }
  }

  #oneByOne(
    writes: readonly WriteOp[],
    failed: Array<readonly [number, SqliteFailure, string]>,
    changes: Array<readonly [number, number]>,
  ): void {
    let inARow = 0;
    let last: readonly [SqliteFailure, string] = ['other', ''];
    let recordFailure: readonly [SqliteFailure, string] | undefined;
    writes.forEach((write, index) => {
      const isRecord = write[0] === 'record';
      // None overtakes one that there was no room for: what is found later must be a state that was given.
      if (isRecord && recordFailure !== undefined) {
        failed.push([index, ...recordFailure]);
        return;
      }
      if (inARow < FAILURES_IN_A_ROW) {
        try {
          this.#transaction([write], index, changes);
          inARow = 0;
          return;
        } catch (error) {
          last = [sqliteFailureOf(error), saidBy(error)];
          inARow = OF_THE_MEDIUM.has(last[0]) ? inARow + 1 : 0;
        }
      }
      if (isRecord && OF_THE_MEDIUM.has(last[0])) recordFailure = last;
      failed.push([index, ...last]);
    });
  }

  #apply(write: WriteOp): number {
    switch (write[0]) {
      case 'add':
        return this.#run(
          SQL.add,
          write[1],
          write[2],
          write[3],
          write[4],
          write[5],
          write[6],
          write[7],
          write[8],
          write[9],
        );
      case 'gone':
        return this.#run(SQL.gone, write[1]);
      case 'again':
        return this.#run(SQL.again, write[2], write[3], write[4], write[5], write[1]);
      case 'dead':
        this.#run(SQL.bury, write[2], write[3], write[4], write[1]);
        return this.#run(SQL.gone, write[1]);
      case 'restore':
        this.#run(SQL.raise, write[2], write[1]);
        return this.#run(SQL.dropDead, write[1]);
      case 'drop-dead':
        return this.#run(SQL.dropDead, write[1]);
      case 'suspect':
        return this.#run(SQL.suspect, write[1]);
      case 'setting':
        return this.#run(SQL.setting, write[2], write[1]);
      case 'bindings':
        return write[2] === null ? this.#run(SQL.noBindings, write[1]) : this.#run(SQL.bindings, write[1], write[2]);
      case 'credentials':
        for (const [user, md5, sha256] of JSON.parse(write[1]) as Array<[string, string, string]>) {
          this.#run(SQL.credential, user, md5, sha256);
        }
        return 0;
      case 'no-credential':
        return this.#run(SQL.noCredential, write[1]);
      case 'record':
        return write[3] === null
          ? this.#run(SQL.noRecord, write[1], write[2])
          : this.#run(SQL.record, write[1], write[2], write[3]);
      case 'purge':
        this.#run(SQL.purgeRemembered, write[1]);
        return this.#run(SQL.purgeDead, write[2]);
    }
  }

  #read(read: ReadOp): readonly SqliteRow[] | string {
    try {
      switch (read[0]) {
        case 'operations':
          return this.#statement(SQL.operations).all(read[1]);
        case 'dead-list':
          return this.#statement(SQL.deadList).all(read[1], read[2], read[3]);
        case 'dead-one':
          return this.#statement(SQL.deadOne).all(read[1]);
      }
    } catch (error) {
      return saidBy(error);
    }
  }

  #run(sql: string, ...values: SqliteValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  #statement(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#connected().prepare(sql)));
    return statement;
  }

  #connected(): SqliteConnection {
    if (this.#connection === undefined) {
      this.#connection = connectSqlite(this.#file);
      if (this.#pragmas !== '') this.#connection.exec(this.#pragmas);
    }
    return this.#connection;
  }
}

function saidBy(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
