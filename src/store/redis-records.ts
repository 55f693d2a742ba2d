import type { Log } from '../core/log.ts';
import type { RedisReplica } from './redis-replica.ts';
import type { RedisWriter } from './redis-writer.ts';
import { StoredRecords } from './stored-records.ts';

/** Records of one kind in Redis. `all` answers from memory: what is stored, by whichever process. */
export class RedisRecords<T> extends StoredRecords<T> {
  readonly #replica: RedisReplica;
  readonly #writer: RedisWriter;

  constructor(replica: RedisReplica, writer: RedisWriter, kind: string, log: Log) {
    super(kind, log);
    this.#replica = replica;
    this.#writer = writer;
  }

  protected override *texts(): Generator<readonly [key: string, text: string]> {
    for (const [key, { text }] of this.#replica.kind(this.kind)) yield [key, text];
  }

  protected override write(key: string, text: string | undefined): Promise<unknown> {
    return this.#writer.write([{ kind: this.kind, key, text }]);
  }

  protected override writeLater(key: string, text: string | undefined): void {
    this.#writer.writeLater({ kind: this.kind, key, text });
  }
}
