import { randomBytes } from 'node:crypto';
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import { redisFailure } from './redis-connection.ts';
import type { RedisClient, RedisConnection } from './redis-connection.ts';
import { storedRecord } from './redis-replica.ts';
import type { RedisReplica, StoredRecord } from './redis-replica.ts';

export type RedisChangesOptions = {
  readonly connection: RedisConnection;
  readonly replica: RedisReplica;
  readonly clock: Clock;
  readonly log: Log;
  readonly writer: OwnWriter;
};

/** One whose changes come into the replica by another way. */
export type OwnWriter = {
  readonly id: string;
  hasConfirmed(version: number): boolean;
  /** Redis seems to have lost something. */
  suspect(): void;
};

const BLOCK_MS = 1_000;
const BATCHES_PER_READ = 200;
const PAGE = 1_000;
const TRY_AGAIN_MS = 200;
/** Without a word for so long, what others change is not known any more. */
const SILENCE_MS = 4_000;
const CATCH_UP_MS = 4_000;

/** Where the stream of changes was when the records were read. */
type Position = { readonly id: string; readonly version: number };

/**
 * Follows what other processes change in Redis, into the replica.
 *
 * Each batch of changes leaves an entry in one stream, numbered without gaps. So whoever was cut off for a while goes on
 * where he was; who was away for longer than the stream reaches back, or finds its numbers wrong, reads everything anew.
 * As long as nothing is heard at all `isCurrent` is false, which is said in the log.
 */
export class RedisChanges {
  readonly #options: RedisChangesOptions;
  #id = '0-0';
  #version = 0;
  #birth: string | undefined;
  #mustRead = false;
  #heardAtMs = 0;
  #isSilent = false;
  #isClosed = false;
  /** The version up to which everything is in the replica. */
  #applied = 0;
  readonly #own: Map<string, OwnWriter>;
  #client: RedisClient | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: RedisChangesOptions) {
    this.#options = options;
    this.#own = new Map([[options.writer.id, options.writer]]);
  }

  /** The changes of a further writer of this process come into the replica by another way, too. */
  addWriter(writer: OwnWriter): void {
    this.#own.set(writer.id, writer);
  }

  /** Resolves when everything that was stored before the call is known here. @throws GatewayError 'store-unavailable' */
  async catchUp(): Promise<void> {
    const { connection, clock } = this.#options;
    const stands = Number((await connection.ask((client) => client.get(connection.key('version')))) ?? 0);
    const untilMs = clock.nowMs() + CATCH_UP_MS;
    while (this.#applied < stands) {
      if (clock.nowMs() > untilMs) throw redisFailure(new Error('changes of other processes have not come'));
      await new Promise<void>((resolve) => setTimeout(resolve, 5));
    }
  }

  get birth(): string | undefined {
    return this.#birth;
  }

  get version(): number {
    return this.#version;
  }

  /** Whether what others changed some seconds ago is known here. */
  get isCurrent(): boolean {
    return this.#options.clock.nowMs() - this.#heardAtMs < SILENCE_MS;
  }

  /** Reads all records of these kinds, or of all. @throws GatewayError 'store-unavailable' */
  async read(kinds?: readonly string[]): Promise<void> {
    const { connection, replica } = this.#options;
    const { id, version } = await this.#position();
    const found = kinds ?? (await connection.ask((client) => client.smembers(connection.key('kinds'))));
    const unreadable: string[] = [];
    for (const kind of new Set([...found, ...(kinds === undefined ? replica.kinds() : [])])) {
      replica.replace(kind, await this.#readKind(kind, unreadable), version);
    }
    if (unreadable.length > 0) {
      const { log } = this.#options;
      log.error({ count: unreadable.length, first: unreadable[0] }, 'stored records cannot be read and are left out');
    }
    this.#id = id;
    this.#version = version;
    this.#applied = version;
    this.#heardAtMs = this.#options.clock.nowMs();
  }

  /** Reads one record now, as another process may have changed it. @throws GatewayError 'store-unavailable' */
  async refresh(kind: string, key: string): Promise<void> {
    const { connection } = this.#options;
    const version = await connection.ask((client) => client.get(connection.key('version')));
    await this.#readKeys(kind, new Map([[key, Number(version ?? 0)]]));
  }

  /** Everything is to be read anew. */
  readAgain(): void {
    this.#mustRead = true;
  }

  follow(): void {
    this.#client = this.#options.connection.another('listens');
    this.#ended = this.#follow(this.#client);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#client?.disconnect();
    await this.#ended;
  }

  async #follow(client: RedisClient): Promise<void> {
    while (!this.#hasEnded()) {
      try {
        if (this.#mustRead) {
          this.#mustRead = false;
          await this.read().catch((error: unknown) => {
            this.#mustRead = true;
            throw error;
          });
        }
        await this.#hear(client);
        this.#heard();
      } catch (error) {
        if (this.#hasEnded()) return;
        this.#unheard(error);
        await new Promise<void>((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
      }
    }
  }

  async #hear(client: RedisClient): Promise<void> {
    const { connection } = this.#options;
    const stream = connection.key('changes');
    const answer = await client.xread('COUNT', BATCHES_PER_READ, 'BLOCK', BLOCK_MS, 'STREAMS', stream, this.#id);
    const entries = answer?.[0]?.[1] ?? [];
    if (entries.length > 0) {
      await this.#take(entries);
      return;
    }
    // Nothing new: is it still the same store, and are we where it is?
    const [birth, version] = await client.mget(connection.key('birth'), connection.key('version'));
    const isOther = this.#birth !== undefined && birth !== this.#birth;
    this.#birth ??= birth ?? undefined;
    if (!isOther && Number(version ?? 0) >= this.#version) return;
    this.#birth = birth ?? undefined;
    this.#suspect();
    this.#mustRead = true;
  }

  async #take(entries: ReadonlyArray<readonly [id: string, fields: readonly string[]]>): Promise<void> {
    const changed = new Map<string, Map<string, number>>();
    const writers = [...this.#own.values()];
    let isGap = false;
    let isAmiss = false;
    for (const [, fields] of entries) {
      const version = Number(fields[1]);
      if (version !== this.#version + 1) isAmiss = true;
      this.#version = version;
      if (this.#own.has(fields[3] ?? '')) continue;
      // A number that was confirmed to this process has been used again: its own change was lost.
      if (writers.some((writer) => writer.hasConfirmed(version))) isAmiss = true;
      for (let at = 4; at + 1 < fields.length; at += 2) {
        const [kind = '', key = ''] = [fields[at], fields[at + 1]];
        if (key === '*') isGap = true;
        else changed.set(kind, (changed.get(kind) ?? new Map<string, number>()).set(key, version));
      }
    }
    this.#id = entries.at(-1)?.[0] ?? this.#id;
    // Trimmed while we were away, or counted anew by a store that was emptied.
    if (isAmiss) this.#suspect();
    if (isGap || isAmiss) {
      this.#mustRead = true;
      return;
    }
    try {
      await Promise.all([...changed].map(([kind, keys]) => this.#readKeys(kind, keys)));
      this.#applied = this.#version;
    } catch (error) {
      // These entries do not come a second time.
      this.#mustRead = true;
      throw error;
    }
  }

  #suspect(): void {
    for (const writer of this.#own.values()) writer.suspect();
  }

  async #readKeys(kind: string, keys: ReadonlyMap<string, number>): Promise<void> {
    const { connection, replica } = this.#options;
    const names = [...keys.keys()];
    const hash = connection.key(`kind:${kind}`);
    for (let from = 0; from < names.length; from += PAGE) {
      const page = names.slice(from, from + PAGE);
      const values = await connection.ask((client) => client.hmget(hash, ...page));
      page.forEach((key, at) => {
        const value = values[at];
        const record = typeof value === 'string' ? storedRecord(value) : undefined;
        if (record === undefined) replica.remove(kind, key, keys.get(key) ?? 0, false);
        else replica.put(kind, key, record, false);
      });
    }
  }

  async #readKind(kind: string, unreadable: string[]): Promise<Map<string, StoredRecord>> {
    const { connection } = this.#options;
    const hash = connection.key(`kind:${kind}`);
    const found = new Map<string, StoredRecord>();
    let cursor = '0';
    do {
      const [next, pairs] = await connection.ask((client) => client.hscan(hash, cursor, 'COUNT', PAGE));
      cursor = next;
      for (let at = 0; at + 1 < pairs.length; at += 2) {
        const [key = '', value = ''] = [pairs[at], pairs[at + 1]];
        const record = storedRecord(value);
        if (record === undefined) unreadable.push(`${kind} ${key}`);
        else found.set(key, record);
      }
    } while (cursor !== '0');
    return found;
  }

  async #position(): Promise<Position> {
    const { connection } = this.#options;
    // A new store gets its mark before anybody reads it; where nothing can be written, with the first change.
    const mark = randomBytes(9).toString('base64url');
    await connection.client.set(connection.key('birth'), mark, 'NX').catch(() => undefined);
    // In this order: a change between the two is then heard twice, and not never.
    const [birth, version] = await connection.ask((client) =>
      client.mget(connection.key('birth'), connection.key('version')),
    );
    const last = await connection.ask((client) => client.xrevrange(connection.key('changes'), '+', '-', 'COUNT', 1));
    this.#birth = birth ?? undefined;
    return { id: last[0]?.[0] ?? '0-0', version: Number(last[0]?.[1][1] ?? version ?? 0) };
  }

  #hasEnded(): boolean {
    return this.#isClosed;
  }

  #heard(): void {
    this.#heardAtMs = this.#options.clock.nowMs();
    if (!this.#isSilent) return;
    this.#isSilent = false;
    this.#options.log.info({ redis: this.#options.connection.where }, 'changes of other processes are known again');
  }

  #unheard(error: unknown): void {
    if (this.#isSilent || this.isCurrent) return;
    this.#isSilent = true;
    const said = error instanceof Error ? error.message : String(error);
    const fields = { redis: this.#options.connection.where, error: said };
    this.#options.log.warn(fields, 'changes of other processes are not known');
  }
}
