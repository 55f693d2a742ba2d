import { randomBytes } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import { atMost } from '../core/at-most.ts';
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import type { RedisClient, RedisConnection } from './redis-connection.ts';

/** What a BullMQ job says: attempt the head of this lane. `hop` is that of its head when the job was made. */
export type Token = { readonly lane: string; readonly hop: string };

export type RedisTokensOptions = {
  readonly connection: RedisConnection;
  readonly clock: Clock;
  readonly log: Log;
  /** Lanes that are attempted at once. */
  readonly lanesAtOnce: number;
  /** A process that was not heard of for so long has lost its jobs; they are given to another. */
  readonly lockSeconds: number;
};

const QUEUE_NAME = 'delivery';
const TRY_AGAIN_MS = 1_000;
/** BullMQ's own end sends commands that wait until Redis is back. */
const CLOSE_MS = 3_000;

/**
 * The tokens on BullMQ: it brings each to one worker, delays it, and gives it to another when a process dies.
 *
 * A job that cannot do its work (Redis away in the middle) is tried again for ever: its lane depends on it.
 */
export class RedisTokens {
  readonly #options: RedisTokensOptions;
  readonly #nonce = randomBytes(6).toString('hex');
  readonly #queueConnection: RedisClient;
  readonly #queue: Queue<Token>;
  #count = 0;
  #workerConnection: RedisClient | undefined;
  #worker: Worker<Token> | undefined;

  constructor(options: RedisTokensOptions) {
    this.#options = options;
    this.#queueConnection = options.connection.another('waits');
    this.#queue = new Queue<Token>(QUEUE_NAME, {
      connection: this.#queueConnection,
      prefix: options.connection.tag,
    });
    this.#queue.on('error', (error) => options.log.debug({ error: error.message }, 'redis connection failed'));
  }

  /** The id of a job that does not exist yet. BullMQ takes no ':' in it. */
  newJob(lane: string): string {
    this.#count += 1;
    return `${lane}-${this.#nonce}-${this.#count}`;
  }

  /** Part of the ids that a script makes itself. */
  newNonce(): string {
    this.#count += 1;
    return `${this.#nonce}-${this.#count}`;
  }

  /** Sends a granted token on its way. What fails here is found by the sweep: the lane says that it has a token. */
  async send(job: string, token: Token, delayMs = 0): Promise<void> {
    await this.#queue.add('lane', token, {
      jobId: job,
      delay: Math.max(0, Math.ceil(delayMs)),
      attempts: 1_000_000,
      backoff: { type: 'fixed', delay: TRY_AGAIN_MS },
      removeOnComplete: true,
      removeOnFail: true,
    });
  }

  async isAlive(job: string): Promise<boolean> {
    return (await this.#queue.getJob(job)) !== undefined;
  }

  start(attempt: (job: string, token: Token) => Promise<void>): void {
    const { connection, log, lanesAtOnce, lockSeconds } = this.#options;
    this.#workerConnection = connection.another('waits');
    this.#worker = new Worker<Token>(
      QUEUE_NAME,
      async (job) => {
        if (job.id !== undefined) await attempt(job.id, job.data);
      },
      {
        connection: this.#workerConnection,
        prefix: connection.tag,
        concurrency: lanesAtOnce,
        // After a lost connection; BullMQ would sit still for 15 s.
        runRetryDelay: TRY_AGAIN_MS,
        lockDuration: lockSeconds * 1_000,
        stalledInterval: Math.ceil((lockSeconds * 1_000) / 3),
        // A lane that was under way in every crash is attempted nevertheless.
        maxStalledCount: 1_000_000,
      },
    );
    this.#worker.on('error', (error) => log.debug({ error: error.message }, 'redis token failed'));
  }

  /** Takes no more tokens; those under way go on. */
  async pause(): Promise<void> {
    await this.#worker?.pause(true);
  }

  /**
   * Lets go of Redis: in order, unless that takes too long because Redis is going away itself. With `isForced` at once,
   * whatever is under way: it is given to another when its lock is over.
   * BullMQ takes only the first close of a worker seriously, so this is called once.
   */
  async close(isForced: boolean): Promise<void> {
    const closing = Promise.all([this.#worker?.close(isForced), this.#queue.close()]).catch(() => undefined);
    if (!isForced) await atMost(closing, CLOSE_MS, this.#options.clock);
    this.#workerConnection?.disconnect();
    this.#queueConnection.disconnect();
  }
}
