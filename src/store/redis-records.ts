import type { Log } from '../core/log.ts';
import type { Records } from '../core/ports.ts';
import type { RedisReplica } from './redis-replica.ts';
import type { RedisWriter } from './redis-writer.ts';

/** Records of one kind in Redis. `all` answers from memory: what is stored, by whichever process. */
export class RedisRecords<T> implements Records<T> {
  readonly #replica: RedisReplica;
  readonly #writer: RedisWriter;
  readonly #kind: string;
  readonly #log: Log;

  constructor(replica: RedisReplica, writer: RedisWriter, kind: string, log: Log) {
    this.#replica = replica;
    this.#writer = writer;
    this.#kind = kind;
    this.#log = log;
  }

  *all(): Generator<readonly [key: string, value: T]> {
    const unreadable: string[] = [];
    for (const [key, { text }] of this.#replica.kind(this.#kind)) {
      const read = readJson(text);
      if (read === undefined) unreadable.push(key);
      // Of the type that was put: nobody else writes this kind.
      else yield [key, read.value as T];
    }
    if (unreadable.length === 0) return;
    this.#log.error(
      { kind: this.#kind, count: unreadable.length, first: unreadable[0] },
      'stored records cannot be read and are left out',
    );
  }

  async put(key: string, value: T): Promise<void> {
    await this.#writer.write([{ kind: this.#kind, key, text: JSON.stringify(value) }]);
  }

  putLater(key: string, value: T): void {
    this.#writer.writeLater({ kind: this.#kind, key, text: JSON.stringify(value) });
  }

  async remove(key: string): Promise<void> {
    await this.#writer.write([{ kind: this.#kind, key, text: undefined }]);
  }

  removeLater(key: string): void {
    this.#writer.writeLater({ kind: this.#kind, key, text: undefined });
  }
}

/** @returns undefined for what is no JSON, which somebody else's hand may leave */
function readJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}
