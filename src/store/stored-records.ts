import type { Log } from '../core/log.ts';
import type { Records } from '../core/ports.ts';

/** Records of one kind as a store keeps them: each value as JSON, made when it is given. */
export abstract class StoredRecords<T> implements Records<T> {
  protected readonly kind: string;
  readonly #log: Log;

  constructor(kind: string, log: Log) {
    this.kind = kind;
    this.#log = log;
  }

  *all(): Generator<readonly [key: string, value: T]> {
    const unreadable: string[] = [];
    for (const [key, text] of this.texts()) {
      const read = readJson(text);
      if (read === undefined) unreadable.push(key);
      // Of the type that was put: nobody else writes this kind.
      else yield [key, read.value as T];
    }
    if (unreadable.length === 0) return;
    this.#log.error(
      { kind: this.kind, count: unreadable.length, first: unreadable[0] },
      'stored records cannot be read and are left out',
    );
  }

  async put(key: string, value: T): Promise<void> {
    await this.write(key, JSON.stringify(value));
  }

  putLater(key: string, value: T): void {
    this.writeLater(key, JSON.stringify(value));
  }

  async remove(key: string): Promise<void> {
    await this.write(key, undefined);
  }

  removeLater(key: string): void {
    this.writeLater(key, undefined);
  }

  protected abstract texts(): Iterable<readonly [key: string, text: string]>;

  /** @param text undefined: removed */
  protected abstract write(key: string, text: string | undefined): Promise<unknown>;

  protected abstract writeLater(key: string, text: string | undefined): void;
}

/** @returns undefined for what is no JSON, or null, which is no record of any kind: somebody else's hand may leave both */
function readJson(text: string): { readonly value: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return value === null ? undefined : { value };
  } catch {
    return undefined;
  }
}
