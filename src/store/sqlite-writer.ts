import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import type { SqliteFailure, SqliteRow } from './sqlite-driver.ts';
import type { BatchExecutor } from './sqlite-executor.ts';
import type { BatchResult, ReadOp, WriteOp } from './sqlite-writes.ts';

export type SqliteWriterOptions = {
  readonly executor: BatchExecutor;
  readonly clock: Clock;
  readonly log: Log;
  /** For the log. */
  readonly file: string;
};

type Waiter<T> = { readonly resolve: (value: T) => void; readonly reject: (error: GatewayError) => void };
type Write = { readonly op: WriteOp; readonly waiter: Waiter<number> | undefined };
type Read = { readonly op: ReadOp; readonly waiter: Waiter<readonly SqliteRow[]> };

/** What one transaction takes at most: more would make those behind it wait too long. */
const BATCH_MAX = 2_000;
/** From so many writes per ms on, a batch goes no sooner than GATHER_MS after the one before it. */
const GATHER_FROM_PER_MS = 2;
const GATHER_MS = 2;
/**
 * Writes nobody waits for go with the next that somebody waits for, or after this time: a delivered message then costs
 * hardly a commit of its own. What a crash makes of it: deliveries of the last few ms come again, as `maybeSent`.
 */
const LATER_MS = 5;
/** Weight of the newest batch in the rate. */
const RATE_WEIGHT = 0.2;
const TRY_AGAIN_MS = 1_000;
/** Writes nobody waits for that are kept while the medium fails. */
const KEPT_MAX = 200_000;
/** So many are left of them when some have to be dropped, the oldest. */
const KEPT_LEFT = 180_000;
/** From so many on, only the newest of several changes of one record is kept. */
const THINNED_FROM = 50_000;
const RETRY_AFTER_SECONDS = 30;

/**
 * The one way by which the server writes to its store: a group commit.
 *
 * While one batch is being committed, the next gathers. With little to do a write goes at once; under load the next
 * batch waits until 2 ms after the last began, because a commit costs the same for one write as for fifty.
 *
 * Writes become durable in the order in which they were given. One that fails and that nobody waits for keeps its
 * place; while nothing can be written, those that somebody waits for are refused wherever they stand. Only when an
 * outage is so long that changes of records had to be thinned out, a crash while they are written after it may leave a
 * newer change without an older one.
 */
export class SqliteWriter {
  readonly #options: SqliteWriterOptions;
  #writes: Write[] = [];
  #reads: Read[] = [];
  /** Nothing of the last batch could be written. */
  #isDown = false;
  #thinAt = THINNED_FROM;
  #dropped = 0;
  #isBusy = false;
  #scheduled: 'now' | 'later' | undefined;
  #laterTimer: NodeJS.Timeout | undefined;
  #perMs = 0;
  #lastBeganAt = 0;
  #isFailing = false;
  #isClosed = false;
  #cancelRetry: (() => void) | undefined;
  #idle: Array<() => void> = [];

  constructor(options: SqliteWriterOptions) {
    this.#options = options;
  }

  /** Whether the medium refused what was last written. */
  get isFailing(): boolean {
    return this.#isFailing;
  }

  /**
   * Resolves with the number of changed rows (for the writes that count them) when it is durable.
   *
   * @throws GatewayError 'store-unavailable'
   */
  write(op: WriteOp): Promise<number> {
    if (this.#isClosed) return Promise.reject(unavailable('it has been closed'));
    return new Promise((resolve, reject) => {
      this.#writes.push({ op, waiter: { resolve, reject } });
      this.#schedule('now');
    });
  }

  /** Writes as soon as may be, in order; tries again until the medium takes it. Nothing happens after `close`. */
  writeLater(op: WriteOp): void {
    if (this.#isClosed) return;
    this.#writes.push({ op, waiter: undefined });
    if (!this.#isDown) this.#schedule('later');
    else {
      this.#bound();
      this.#tryAgainSoon();
    }
  }

  /** Reads after everything that was given before. @throws GatewayError 'store-unavailable' */
  read(op: ReadOp): Promise<readonly SqliteRow[]> {
    if (this.#isClosed) return Promise.reject(unavailable('it has been closed'));
    return new Promise((resolve, reject) => {
      this.#reads.push({ op, waiter: { resolve, reject } });
      this.#schedule('now');
    });
  }

  /** Resolves when everything given so far has been tried. */
  async settled(): Promise<void> {
    if (this.#scheduled === 'later') this.#schedule('now');
    while (this.#isBusy || this.#scheduled !== undefined)
      await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async close(): Promise<void> {
    await this.settled();
    // What has failed so far is tried once more, in batches, until one of them fails.
    for (let left = Infinity; this.#writes.length > 0 && this.#writes.length < left;) {
      left = this.#writes.length;
      this.#schedule('now');
      await this.settled();
    }
    this.#isClosed = true;
    this.#cancelRetry?.();
    await this.#options.executor.close();
  }

  #schedule(when: 'now' | 'later'): void {
    if (this.#isBusy || this.#scheduled === 'now' || this.#scheduled === when) return;
    clearTimeout(this.#laterTimer);
    this.#scheduled = when;
    if (when === 'later') {
      this.#laterTimer = setTimeout(() => void this.#commit(), LATER_MS);
      return;
    }
    const waitMs = this.#perMs >= GATHER_FROM_PER_MS ? this.#lastBeganAt + GATHER_MS - performance.now() : 0;
    // Half a millisecond is not worth a timer.
    if (waitMs > 0.5) setTimeout(() => void this.#commit(), waitMs);
    else setImmediate(() => void this.#commit());
  }

  async #commit(): Promise<void> {
    this.#scheduled = undefined;
    this.#isBusy = true;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    const writes = this.#writes.length > BATCH_MAX ? this.#writes.splice(0, BATCH_MAX) : this.#writes;
    if (writes === this.#writes) this.#writes = [];
    // What is read must see what was written before: not in a batch that leaves some of it for the next. While nothing
    // can be written, that would be never.
    const reads = this.#writes.length === 0 || this.#isDown ? this.#reads : [];
    if (reads === this.#reads) this.#reads = [];
    const beganAt = performance.now();
    this.#perMs += (writes.length / Math.max(0.1, beganAt - this.#lastBeganAt) - this.#perMs) * RATE_WEIGHT;
    this.#lastBeganAt = beganAt;
    let result: BatchResult;
    try {
      result = await this.#options.executor.run({
        writes: writes.map(({ op }) => op),
        reads: reads.map(({ op }) => op),
      });
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      result = {
        failed: writes.map((_, index) => [index, 'io', said] as const),
        changes: [],
        rows: reads.map(() => said),
      };
    }
    this.#isBusy = false;
    this.#answer(writes, reads, result);
    if (this.#reads.length > 0 || this.#writes.some(({ waiter }) => waiter !== undefined)) this.#schedule('now');
    else if (this.#writes.length > 0) {
      if (result.failed.length > 0) this.#tryAgainSoon();
      else this.#schedule('later');
    }
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #tryAgainSoon(): void {
    this.#cancelRetry ??= this.#options.clock.after(TRY_AGAIN_MS, () => {
      this.#cancelRetry = undefined;
      this.#schedule('now');
    });
  }

  #answer(writes: readonly Write[], reads: readonly Read[], { failed, changes, rows }: BatchResult): void {
    const first = failed[0];
    if (first !== undefined) this.#failed(first[1], first[2]);
    else if (writes.length > 0) this.#worked();
    const failures = new Map(failed.map(([index, failure, said]) => [index, { failure, said }]));
    const counts = new Map(changes);
    const again: Write[] = [];
    writes.forEach((write, index) => {
      const { op, waiter } = write;
      const why = failures.get(index);
      if (why === undefined) {
        waiter?.resolve(counts.get(index) ?? 0);
        return;
      }
      const isRefused = why.failure === 'other';
      if (isRefused) this.#options.log.error({ write: op[0], error: why.said }, 'store refused a write');
      if (waiter !== undefined) waiter.reject(unavailable(why.said));
      else if (!isRefused) again.push(write);
    });
    if (again.length > 0) this.#writes = [...again, ...this.#writes];
    if (writes.length > 0) {
      this.#isDown = failed.length === writes.length && failed.some(([, failure]) => failure !== 'other');
    }
    if (this.#isDown) this.#refuseWaiting(first?.[2] ?? '');
    this.#bound();
    reads.forEach(({ waiter }, index) => {
      const found = rows[index] ?? 'no answer';
      if (typeof found === 'string') waiter.reject(unavailable(found));
      else waiter.resolve(found);
    });
  }

  /** Whoever waits would wait for what stands before him, and that cannot be written. */
  #refuseWaiting(said: string): void {
    const waiting = this.#writes.filter(({ waiter }) => waiter !== undefined);
    if (waiting.length === 0) return;
    this.#writes = this.#writes.filter(({ waiter }) => waiter === undefined);
    for (const { waiter } of waiting) waiter?.reject(unavailable(said));
  }

  /** Keeps what waits for the medium to a size that fits into memory. */
  #bound(): void {
    if (!this.#isDown) {
      this.#thinAt = THINNED_FROM;
      return;
    }
    if (this.#writes.length < this.#thinAt) return;
    this.#writes = thinned(this.#writes);
    this.#thinAt = Math.min(KEPT_MAX, Math.max(THINNED_FROM, 2 * this.#writes.length));
    if (this.#writes.length < KEPT_MAX) return;
    // Of messages what is lost is the note that one was delivered: it will be delivered again after a restart.
    const surplus = this.#writes.length - KEPT_LEFT;
    this.#writes.splice(0, surplus);
    this.#thinAt = KEPT_MAX;
    if (this.#dropped === 0) {
      this.#options.log.error({ kept: KEPT_MAX }, 'store fails for so long that changes had to be dropped');
    }
    this.#dropped += surplus;
  }

  #failed(failure: SqliteFailure, said: string): void {
    if (this.#isFailing || failure === 'other') return;
    this.#isFailing = true;
    this.#options.log.error({ file: this.#options.file, failure, error: said }, 'store cannot be written');
  }

  #worked(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    const lost = this.#dropped === 0 ? {} : { dropped: this.#dropped };
    this.#dropped = 0;
    this.#options.log.info({ file: this.#options.file, ...lost }, 'store can be written again');
  }
}

/** Without the changes of a record that a later one has made void; everything else in its order. */
function thinned(writes: readonly Write[]): Write[] {
  const seen = new Set<string>();
  return writes
    .toReversed()
    .filter(({ op }) => {
      if (op[0] !== 'record') return true;
      const record = `${op[1]}\n${op[2]}`;
      if (seen.has(record)) return false;
      seen.add(record);
      return true;
    })
    .toReversed();
}

function unavailable(said: string): GatewayError {
  return new GatewayError('store-unavailable', `the store failed: ${said}`, {
    details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
  });
}
