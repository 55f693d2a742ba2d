import type { Log } from '../core/log.ts';
import type { SqliteConnection, SqliteStatement } from './sqlite-driver.ts';
import type { SqliteWriter } from './sqlite-writer.ts';
import { StoredRecords } from './stored-records.ts';

/** So many rows are read at once: a few MB at most where values are large. */
const PAGE = 1_000;

/**
 * Records of one kind on SQLite. A value becomes text when it is given, so that its owner may change it afterwards.
 *
 * `all` reads in pages, between which writes and other readers have their turn, and sees what had become durable.
 */
export class SqliteRecords<T> extends StoredRecords<T> {
  readonly #page: SqliteStatement;
  readonly #writer: SqliteWriter;

  constructor(connection: SqliteConnection, writer: SqliteWriter, kind: string, log: Log) {
    super(kind, log);
    this.#page = connection.prepare(
      `SELECT key, value FROM record WHERE kind = ? AND key > ? ORDER BY key LIMIT ${PAGE}`,
    );
    this.#writer = writer;
  }

  protected override *texts(): Generator<readonly [key: string, text: string]> {
    for (let after = ''; ;) {
      const rows = this.#page.all(this.kind, after);
      for (const row of rows) {
        after = String(row['key']);
        yield [after, String(row['value'])];
      }
      if (rows.length < PAGE) return;
    }
  }

  protected override write(key: string, text: string | undefined): Promise<unknown> {
    return this.#writer.write(['record', this.kind, key, text ?? null]);
  }

  protected override writeLater(key: string, text: string | undefined): void {
    this.#writer.writeLater(['record', this.kind, key, text ?? null]);
  }
}
