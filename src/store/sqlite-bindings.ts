import type { Binding, BindingStore } from '../core/ports.ts';
import type { SqliteConnection } from './sqlite-driver.ts';
import type { SqliteWriter } from './sqlite-writer.ts';

/** The BindingStore on SQLite: one row per user, all of them in memory too. */
export class SqliteBindings implements BindingStore {
  readonly #writer: SqliteWriter;
  readonly #byUser = new Map<string, readonly Binding[]>();

  constructor(connection: SqliteConnection, writer: SqliteWriter) {
    this.#writer = writer;
    for (const row of connection.prepare('SELECT user, bindings FROM binding').all()) {
      const user = String(row['user']);
      const bindings = bindingsFromText(String(row['bindings']));
      if (bindings.length > 0) this.#byUser.set(user, bindings);
      else writer.writeLater(['bindings', user, null]);
    }
  }

  of(userKey: string, nowMs: number): readonly Binding[] {
    const bindings = this.#byUser.get(userKey);
    if (bindings === undefined) return [];
    return bindings.every(({ expiresAtMs }) => expiresAtMs > nowMs)
      ? bindings
      : bindings.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
  }

  async replace(userKey: string, bindings: readonly Binding[]): Promise<void> {
    const text = bindings.length === 0 ? null : JSON.stringify(bindings);
    // Two of the same user resolve in the order of the calls: the writer keeps it.
    await this.#writer.write(['bindings', userKey, text]);
    if (bindings.length === 0) this.#byUser.delete(userKey);
    else this.#byUser.set(userKey, [...bindings]);
  }

  users(): Iterable<string> {
    return this.#byUser.keys();
  }

  hasExpired(userKey: string, nowMs: number): boolean {
    return this.#byUser.get(userKey)?.some(({ expiresAtMs }) => expiresAtMs <= nowMs) === true;
  }

  removeExpired(userKey: string, nowMs: number): void {
    if (!this.hasExpired(userKey, nowMs)) return;
    const live = this.of(userKey, nowMs);
    if (live.length > 0) {
      // Not worth a write: whoever reads the row later knows the time too.
      this.#byUser.set(userKey, live);
      return;
    }
    this.#byUser.delete(userKey);
    this.#writer.writeLater(['bindings', userKey, null]);
  }

  count(nowMs: number): number {
    let count = 0;
    for (const bindings of this.#byUser.values()) {
      if (bindings.some(({ expiresAtMs }) => expiresAtMs > nowMs)) count += 1;
    }
    return count;
  }
}

/** What cannot be read is left out: its owner registers again within the hour. */
function bindingsFromText(text: string): Binding[] {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter(isBinding) : [];
  } catch {
    return [];
  }
}

function isBinding(value: unknown): value is Binding {
  if (typeof value !== 'object' || value === null) return false;
  const { contact, q, expiresAtMs, callId, cseq, instance, flow, userAgent } = value as Record<string, unknown>;
  return (
    typeof contact === 'string' &&
    typeof callId === 'string' &&
    [q, expiresAtMs, cseq].every((number) => typeof number === 'number') &&
    [instance, flow, userAgent].every((text) => text === undefined || typeof text === 'string')
  );
}
