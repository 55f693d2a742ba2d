import type { Log } from '../core/log.ts';
import type { Records } from '../core/ports.ts';
import type { SqliteConnection, SqliteStatement } from './sqlite-driver.ts';
import type { SqliteWriter } from './sqlite-writer.ts';

/** So many rows are read at once: a few MB at most where values are large. */
const PAGE = 1_000;

/**
 * Records of one kind on SQLite. A value becomes text when it is given, so that its owner may change it afterwards.
 *
 * `all` reads in pages, between which writes and other readers have their turn, and sees what had become durable.
 */
export class SqliteRecords<T> implements Records<T> {
  readonly #page: SqliteStatement;
  readonly #writer: SqliteWriter;
  readonly #kind: string;
  readonly #log: Log;

  constructor(connection: SqliteConnection, writer: SqliteWriter, kind: string, log: Log) {
    this.#page = connection.prepare(
      `SELECT key, value FROM record WHERE kind = ? AND key > ? ORDER BY key LIMIT ${PAGE}`,
    );
    this.#writer = writer;
    this.#kind = kind;
    this.#log = log;
  }

  *all(): Generator<readonly [key: string, value: T]> {
    const unreadable: string[] = [];
    for (let after = ''; ;) {
      const rows = this.#page.all(this.#kind, after);
      for (const row of rows) {
        after = String(row['key']);
        const read = readJson(String(row['value']));
        if (read === undefined) unreadable.push(after);
        // Of the type that was put: nobody else writes this kind.
        else yield [after, read.value as T];
      }
      if (rows.length < PAGE) break;
    }
    if (unreadable.length === 0) return;
    this.#log.error(
      { kind: this.#kind, count: unreadable.length, first: unreadable[0] },
      'stored records cannot be read and are left out',
    );
  }

  async put(key: string, value: T): Promise<void> {
    await this.#writer.write(['record', this.#kind, key, JSON.stringify(value)]);
  }

  putLater(key: string, value: T): void {
    this.#writer.writeLater(['record', this.#kind, key, JSON.stringify(value)]);
  }

  async remove(key: string): Promise<void> {
    await this.#writer.write(['record', this.#kind, key, null]);
  }

  removeLater(key: string): void {
    this.#writer.writeLater(['record', this.#kind, key, null]);
  }
}

/** @returns undefined for what is no JSON, which an edit of the file by hand may leave */
function readJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}
