import type { Credential, CredentialStore } from '../core/ports.ts';
import type { SqliteConnection, SqliteStatement } from './sqlite-driver.ts';
import type { SqliteWriter } from './sqlite-writer.ts';

const LIST_MAX = 10_000;

/**
 * The CredentialStore on SQLite. `find` asks the file each time, a few microseconds by the primary key, so that a user
 * added by the command line can log in at once.
 */
export class SqliteCredentials implements CredentialStore {
  readonly #writer: SqliteWriter;
  readonly #find: SqliteStatement;
  readonly #list: SqliteStatement;

  constructor(connection: SqliteConnection, writer: SqliteWriter) {
    this.#writer = writer;
    this.#find = connection.prepare('SELECT user, md5, sha256 FROM credential WHERE user = ?');
    this.#list = connection.prepare('SELECT user FROM credential WHERE user > ? ORDER BY user LIMIT ?');
  }

  find(user: string): Credential | undefined {
    const row = this.#find.get(user);
    if (row === undefined) return undefined;
    return { user: String(row['user']), md5: String(row['md5']), sha256: String(row['sha256']) };
  }

  async put(credentials: readonly Credential[]): Promise<void> {
    if (credentials.length === 0) return;
    const rows = credentials.map(({ user, md5, sha256 }) => [user, md5, sha256]);
    await this.#writer.write(['credentials', JSON.stringify(rows)]);
  }

  async remove(user: string): Promise<boolean> {
    return (await this.#writer.write(['no-credential', user])) > 0;
  }

  list(limit: number, after = ''): readonly string[] {
    const bounded = Math.min(LIST_MAX, Math.max(0, Math.floor(limit)));
    return this.#list.all(after, bounded).map((row) => String(row['user']));
  }
}
