import type { Binding, BindingStore } from '../core/ports.ts';
import { BindingTable } from './binding-table.ts';
import type { SqliteConnection } from './sqlite-driver.ts';
import type { SqliteWriter } from './sqlite-writer.ts';
import { bindingsFromText } from './stored-binding.ts';

/** The BindingStore on SQLite: one row per user, all of them in memory too. */
export class SqliteBindings extends BindingTable implements BindingStore {
  readonly #writer: SqliteWriter;

  constructor(connection: SqliteConnection, writer: SqliteWriter) {
    super();
    this.#writer = writer;
    for (const row of connection.prepare('SELECT user, bindings FROM binding').all()) {
      const user = String(row['user']);
      const bindings = bindingsFromText(String(row['bindings']));
      this.set(user, bindings);
      if (bindings.length === 0) this.forget(user);
    }
  }

  async replace(userKey: string, bindings: readonly Binding[]): Promise<void> {
    const text = bindings.length === 0 ? null : JSON.stringify(bindings);
    // Two of the same user resolve in the order of the calls: the writer keeps it.
    await this.#writer.write(['bindings', userKey, text]);
    this.set(userKey, bindings);
  }

  protected override forget(userKey: string): void {
    this.#writer.writeLater(['bindings', userKey, null]);
  }
}
