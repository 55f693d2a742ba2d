import { randomBytes } from 'node:crypto';
import type { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import { CHANGE_SCRIPTS, changeArguments } from './redis-change-scripts.ts';
import type { RedisChange } from './redis-change-scripts.ts';
import { redisFailure, wasRefused } from './redis-connection.ts';
import type { RedisConnection } from './redis-connection.ts';
import type { RedisReplica } from './redis-replica.ts';

export type RedisWriterOptions = {
  readonly connection: RedisConnection;
  readonly replica: RedisReplica;
  readonly clock: Clock;
  readonly log: Log;
  /** Redis is not the one, or not as far, that this process knew: what others have stored must be read again. */
  readonly onLoss: () => void;
  /** By which lease it writes: when somebody else holds that, nothing of it is stored any more. */
  readonly guard?: { readonly name: string; readonly fence: number };
};

/** `made`: a put made the record, or a remove found it. `refused`: its condition did not hold, nothing was done. */
export type ChangeResult = 'made' | 'changed' | 'refused';
type Waiter = {
  readonly resolve: (results: readonly ChangeResult[]) => void;
  readonly reject: (error: GatewayError) => void;
};
/** Changes that belong together; `waiter` is gone when nobody waits, or he was refused. */
type Write = { readonly changes: readonly RedisChange[]; waiter: Waiter | undefined; readonly isWaitedFor: boolean };
type Batch = { readonly number: number; readonly writes: readonly Write[]; readonly sentAtMs: number };

const RESULTS: Readonly<Record<string, ChangeResult>> = { '1': 'made', '0': 'changed', x: 'refused' };
/** What one script applies at most: it keeps everybody else waiting. */
const BATCH_MAX = 500;
/** Of one call alone, which is not divided: Redis takes about a million arguments. */
export const CHANGES_AT_ONCE_MAX = 200_000;
const LATER_MS = 5;
const TRY_AGAIN_MS = 500;
/** Whoever waits is told by then, whatever became of the batch. */
const WAIT_MS = 3_000;
/** As in the embedded store: writes nobody waits for that are kept while Redis is away. */
const KEPT_MAX = 200_000;
const THINNED_FROM = 50_000;
/** So many batches a failover may lose and have written again in any case. */
const RECENT_MAX = 5_000;

/**
 * The one way by which a process changes records in Redis: a group commit, one script for all that has gathered.
 *
 * One batch is under way at a time, so changes become durable in the order of the calls. What was refused for good
 * (out of memory, read-only, loading) is refused to whoever waits, and kept in its place where nobody does. A batch
 * whose answer was lost is asked after before anything else is sent: it counts as done, or is sent again. Memory follows:
 * the replica has a change when Redis has confirmed it, not before.
 *
 * Should Redis come back without something it had confirmed, that is said, and written again from the replica.
 */
export class RedisWriter {
  readonly id = randomBytes(9).toString('base64url');
  readonly #options: RedisWriterOptions;
  #writes: Write[] = [];
  #unknown: Batch | undefined;
  #batches = 0;
  /** Confirmed last: by this process, and of the whole store. */
  #confirmed = { batch: 0, version: 0 };
  /** Batches confirmed of late, in their order: since when Redis is another one, should it know only the earlier ones. */
  #recent: Array<{ readonly batch: number; readonly version: number }> = [];
  #birth: string | undefined;
  #epoch = 0;
  #isRecovered = false;
  #isRunning = false;
  #isFailing = false;
  #isClosed = false;
  #isBarred = false;
  #thinAt = THINNED_FROM;
  #dropped = 0;
  #later: NodeJS.Timeout | undefined;
  #again: NodeJS.Timeout | undefined;
  #idle: Array<() => void> = [];

  constructor(options: RedisWriterOptions) {
    this.#options = options;
    const { connection } = options;
    connection.define('store-apply', CHANGE_SCRIPTS.apply);
    connection.define('store-recover', CHANGE_SCRIPTS.recover);
    connection.define('store-bar', CHANGE_SCRIPTS.bar);
    connection.on('ready', this.#onReady);
    connection.on('away', this.#onAway);
  }

  /** What the store was when it was read: so that a loss before the first write is seen too. */
  begin(birth: string | undefined, version: number): void {
    this.#birth = birth;
    this.#confirmed = { batch: 0, version };
  }

  /**
   * Stores changes, all or none; resolves with what came of each.
   *
   * @throws GatewayError 'store-unavailable'; it may then have been stored all the same, if the answer was lost
   */
  write(changes: readonly RedisChange[]): Promise<readonly ChangeResult[]> {
    if (this.#isClosed || this.#isBarred) return Promise.reject(unavailable('it has been closed'));
    if (changes.length > CHANGES_AT_ONCE_MAX) {
      return Promise.reject(unavailable(`it takes at most ${CHANGES_AT_ONCE_MAX} records at once`));
    }
    if (!this.#options.connection.isReady) return Promise.reject(unavailable('it is not connected'));
    return new Promise((resolve, reject) => {
      this.#writes.push({ changes, waiter: { resolve, reject }, isWaitedFor: true });
      if (!this.#isRunning) setImmediate(() => void this.#run());
    });
  }

  /** Stores a change as soon as may be, in order; tried again until it is stored. */
  writeLater(change: RedisChange): void {
    if (this.#isClosed || this.#isBarred) return;
    this.#writes.push({ changes: [change], waiter: undefined, isWaitedFor: false });
    if (this.#isFailing || !this.#options.connection.isReady) this.#bound();
    else this.#later ??= setTimeout(() => void this.#run(), LATER_MS);
  }

  /** Whether a batch of this writer was confirmed with this version, as far as that is remembered. */
  hasConfirmed(version: number): boolean {
    return this.#recent.findLast((confirmed) => confirmed.version <= version)?.version === version;
  }

  /** Redis may have lost something: asks it now. */
  suspect(): void {
    if (this.#isClosed || this.#isBarred) return;
    this.#isRecovered = false;
    void this.#run();
  }

  /** Writes what is left, if Redis takes it now. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    while (this.#isRunning) await new Promise<void>((resolve) => this.#idle.push(resolve));
    if (this.#writes.length > 0 || this.#unknown !== undefined) await this.#run();
    const left = this.#writes.length + (this.#unknown?.writes.length ?? 0);
    if (left > 0) this.#options.log.error({ changes: left }, 'changes could not be stored before the end');
    this.#isClosed = true;
    clearTimeout(this.#later);
    clearTimeout(this.#again);
    this.#options.connection.off('ready', this.#onReady);
    this.#options.connection.off('away', this.#onAway);
  }

  readonly #onReady = (): void => {
    // Another server may have answered to the same address.
    this.#isRecovered = false;
    void this.#run();
  };

  readonly #onAway = (): void => this.#refuse(unavailable('the connection was lost'));

  async #run(): Promise<void> {
    clearTimeout(this.#later);
    clearTimeout(this.#again);
    this.#later = undefined;
    this.#again = undefined;
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      while (await this.#step());
      this.#worked();
    } catch (error) {
      this.#failed(redisFailure(error));
    } finally {
      this.#isRunning = false;
      this.#goOn();
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  /** With what was given while the last step ended. */
  #goOn(): void {
    if (this.#writes.length > 0 && this.#again === undefined) setImmediate(() => void this.#run());
  }

  /** @returns whether there is more to do now. @throws when Redis does not take it now. */
  async #step(): Promise<boolean> {
    if (!this.#isRecovered || this.#unknown !== undefined) await this.#recover();
    const batch = this.#nextBatch();
    if (batch === undefined) return false;
    const args = batch.writes.flatMap(({ changes }) => changes.flatMap(changeArguments));
    let answer: unknown;
    try {
      const { guard, connection } = this.#options;
      const by = [guard?.name ?? '', guard?.fence ?? 0] as const;
      const numbers = [this.#epoch, this.#confirmed.batch, batch.number];
      answer = await connection.run('store-apply', this.id, ...numbers, ...by, args);
    } catch (error) {
      if (wasRefused(error)) this.#putBack(batch);
      else this.#keepUnknown(batch);
      throw error;
    }
    if (Array.isArray(answer) && answer[0] === 'barred') {
      this.#bar(batch);
      return false;
    }
    if (!Array.isArray(answer) || answer[0] !== 'done') {
      // Redis does not know us any more, or not what it had confirmed to us, so it has not done it.
      this.#isRecovered = false;
      this.#unknown = batch;
      return true;
    }
    this.#done(batch, Number(answer[1]), String(answer[2]));
    return true;
  }

  /** Another process holds the lease: what this one would still write is void. */
  #bar(batch: Batch): void {
    const left = [...batch.writes, ...this.#writes];
    this.#isBarred = true;
    this.#unknown = undefined;
    this.#writes = [];
    refuse(left, unavailable('another node writes there now'));
    const changes = left.reduce((sum, write) => sum + write.changes.length, 0);
    this.#options.log.warn(
      { lease: this.#options.guard?.name ?? '', changes },
      'changes of a former owner were not stored',
    );
  }

  #nextBatch(): Batch | undefined {
    let changes = 0;
    let writes = 0;
    for (const write of this.#writes) {
      if (writes > 0 && changes + write.changes.length > BATCH_MAX) break;
      changes += write.changes.length;
      writes += 1;
    }
    if (writes === 0) return undefined;
    this.#batches += 1;
    return { number: this.#batches, writes: this.#writes.splice(0, writes), sentAtMs: this.#options.clock.nowMs() };
  }

  /** Asks what Redis has of us, with a new epoch, so that nothing older is done after the answer. */
  async #recover(): Promise<void> {
    const { connection, replica, log } = this.#options;
    this.#epoch += 1;
    // Another one than before: a store that was emptied must not pass for the same.
    const birth = randomBytes(9).toString('base64url');
    const answer = await connection.run('store-recover', this.id, this.#epoch, birth);
    if (!Array.isArray(answer)) throw unavailable('its answer is not in our form');
    const [batch, version, results, isBorn, storeVersion] = answer as unknown[];
    const has = Number(batch);
    // A failover may have lost changes whose numbers others have used again since.
    const stands = Math.min(Number(storeVersion), this.#commonUpTo(batch === '' ? Infinity : has));
    const unknown = this.#unknown;
    const isUnknownDone = unknown !== undefined && batch === String(unknown.number);
    const isOther = this.#birth !== undefined && isBorn !== this.#birth;
    if (isOther || stands < this.#confirmed.version) {
      const lost = replica.newerThan(isOther ? 0 : stands);
      const fields = { redis: connection.where, hadVersion: this.#confirmed.version, hasVersion: stands };
      log.error({ ...fields, writtenAgain: lost.length }, 'redis has lost what it had confirmed');
      replica.restart(isOther ? 0 : stands);
      this.#confirmed = { ...this.#confirmed, version: stands };
      this.#recent = this.#recent.filter((confirmed) => confirmed.batch <= has);
      this.#writes.unshift(...lost.map((change) => ({ changes: [change], waiter: undefined, isWaitedFor: false })));
      this.#options.onLoss();
    }
    this.#confirmed = { ...this.#confirmed, batch: has };
    this.#birth = String(isBorn);
    this.#isRecovered = true;
    if (unknown === undefined) return;
    this.#unknown = undefined;
    if (isUnknownDone) this.#done(unknown, Number(version), String(results));
    else this.#putBack(unknown);
  }

  /** Up to which version a Redis that has our batches up to this one is what we know; Infinity: it has all of them. */
  #commonUpTo(batch: number): number {
    const lost = this.#recent.find((confirmed) => confirmed.batch > batch);
    return lost === undefined ? Infinity : lost.version - 1;
  }

  #done({ number, writes }: Batch, version: number, results: string): void {
    const { replica, log } = this.#options;
    this.#recent.push({ batch: number, version });
    if (this.#recent.length > 2 * RECENT_MAX) this.#recent.splice(0, RECENT_MAX);
    this.#confirmed = { batch: number, version: Math.max(version, this.#confirmed.version) };
    let at = 0;
    let refused = 0;
    for (const { changes, waiter, isWaitedFor } of writes) {
      const done: ChangeResult[] = [];
      for (const { kind, key, text } of changes) {
        const result = RESULTS[results[at] ?? ''] ?? 'refused';
        at += 1;
        done.push(result);
        // As others have it: they tell.
        if (result === 'refused') continue;
        if (text === undefined) replica.remove(kind, key, version, true);
        else replica.put(kind, key, { version, text }, true);
      }
      if (isWaitedFor && waiter === undefined) refused += changes.length;
      waiter?.resolve(done);
    }
    if (refused > 0)
      log.warn({ changes: refused }, 'changes were stored that had been refused, as their answer was lost');
  }

  /** Nothing of it was done. */
  #putBack({ writes }: Batch): void {
    this.#writes.unshift(...writes.filter(({ waiter, isWaitedFor }) => !isWaitedFor || waiter !== undefined));
  }

  /** Whoever waits goes on waiting, but not for ever: it may soon be known. */
  #keepUnknown(batch: Batch): void {
    this.#unknown = batch;
    const leftMs = Math.max(0, batch.sentAtMs + WAIT_MS - this.#options.clock.nowMs());
    const timer = setTimeout(() => refuse(batch.writes, unavailable('its answer was lost')), leftMs);
    timer.unref();
  }

  #failed(error: GatewayError): void {
    const { connection, log } = this.#options;
    if (!this.#isFailing && connection.isReady)
      log.error({ redis: connection.where, error: error.message }, 'store cannot be written');
    this.#isFailing = true;
    this.#refuse(error);
    this.#bound();
    if (this.#isClosed) return;
    if (this.#writes.length > 0 || this.#unknown !== undefined || !this.#isRecovered) {
      this.#again ??= setTimeout(() => void this.#run(), TRY_AGAIN_MS);
    }
  }

  #worked(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#thinAt = THINNED_FROM;
    const lost = this.#dropped === 0 ? {} : { dropped: this.#dropped };
    this.#dropped = 0;
    this.#options.log.info({ redis: this.#options.connection.where, ...lost }, 'store can be written again');
  }

  /** Whoever waits would wait for what stands before him, and that cannot be written. */
  #refuse(error: GatewayError): void {
    refuse(this.#writes, error);
    this.#writes = this.#writes.filter(({ isWaitedFor }) => !isWaitedFor);
  }

  /** Keeps what waits for Redis to a size that fits into memory. */
  #bound(): void {
    if (this.#writes.length < this.#thinAt) return;
    this.#writes = thinned(this.#writes);
    this.#thinAt = Math.min(KEPT_MAX, Math.max(THINNED_FROM, 2 * this.#writes.length));
    const surplus = this.#writes.length - KEPT_MAX * 0.9;
    if (this.#writes.length < KEPT_MAX || surplus <= 0) return;
    if (this.#dropped === 0) {
      this.#options.log.error({ kept: KEPT_MAX }, 'store fails for so long that changes had to be dropped');
    }
    this.#writes.splice(0, surplus);
    this.#dropped += surplus;
  }
}

function refuse(writes: readonly Write[], error: GatewayError): void {
  for (const write of writes) {
    write.waiter?.reject(error);
    write.waiter = undefined;
  }
}

/** Without the changes of a record that a later one has made void; everything else in its order. */
function thinned(writes: readonly Write[]): Write[] {
  const seen = new Set<string>();
  return writes
    .toReversed()
    .filter(({ changes: [change, more] }) => {
      if (change === undefined || more !== undefined) return true;
      const record = `${change.kind}\n${change.key}`;
      if (seen.has(record)) return false;
      seen.add(record);
      return true;
    })
    .toReversed();
}

function unavailable(said: string): GatewayError {
  return redisFailure(new Error(said));
}
