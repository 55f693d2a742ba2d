import { createHash } from 'node:crypto';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type {
  AttemptDelivery,
  AttemptOutcome,
  Clock,
  DeliveryQueue,
  HopId,
  QueueBounds,
  QueueEntry,
  QueueFigures,
  QueueFilter,
  QueueItem,
} from '../core/ports.ts';
import type { Operation } from '../cpim/operation.ts';
import { sequenceOf } from './lanes/lane.ts';
import { RedisCommands } from './redis-commands.ts';
import type { RedisConnection } from './redis-connection.ts';
import { letterText, rowsOf, takenEntry } from './redis-entry.ts';
import type { TakenEntry } from './redis-entry.ts';
import { RedisFigures } from './redis-figures.ts';
import { listRedis, redisLetter, showRedis } from './redis-listing.ts';
import type { RedisScript } from './redis-scripts.ts';
import { RedisTokens } from './redis-tokens.ts';
import type { Token } from './redis-tokens.ts';

export type RedisQueueOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly bounds: QueueBounds;
  /** Default 900. */
  readonly rememberSeconds?: number;
  /** Default 30 days. */
  readonly deadLetterSeconds?: number;
  /** Lanes attempted at once. Default 1,024. */
  readonly lanesAtOnce?: number;
  /** After so long without a word a process counts as dead. Default 15. */
  readonly lockSeconds?: number;
  /** How often lifetimes, lost tokens and figures are looked at. Default 15. */
  readonly lookSeconds?: number;
};

const RETRY_AFTER_SECONDS = 60;
const INSIST_MS = 500;
const AFTER_THROW_MS = 60_000;
const EXTRA_LIFETIME_MS = 24 * 3_600_000;
const LANES_PER_WAKE = 200;
const EXPIRED_AT_ONCE = 200;
const LANES_PER_LOOK = 500;

/**
 * A DeliveryQueue in Redis, on BullMQ. Survives what Redis survives: run it with `appendonly yes`, and with
 * `appendfsync always` where a power cut must take nothing either.
 *
 * BullMQ would let a message overtake one that waits for its retry. So entries stand in one Redis list per lane, and a
 * BullMQ job is only a token: "attempt the head of this lane". Scripts change a lane and its token together; a job that
 * got lost in between is found by a sweep. `figures` is what this process last heard.
 */
export class RedisQueue implements DeliveryQueue {
  readonly #options: RedisQueueOptions;
  readonly #clock: Clock;
  readonly #commands: RedisCommands;
  readonly #figures: RedisFigures;
  readonly #tokens: RedisTokens;
  readonly #rememberSeconds: number;
  /** Ids this process is attempting, and lanes it is at. */
  readonly #underWay = new Set<string>();
  readonly #running = new Map<string, { readonly job: string; readonly ended: Promise<void> }>();
  #attempt: AttemptDelivery | undefined;
  #window: (hop: HopId) => number = () => 1;
  #isStopped = false;
  #isClosed = false;
  #idle: (() => void) | undefined;
  #cancelLook: (() => void) | undefined;

  /** @param connection stays open when the queue is closed */
  constructor(connection: RedisConnection, options: RedisQueueOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#commands = new RedisCommands(connection);
    this.#figures = new RedisFigures(this.#commands);
    this.#rememberSeconds = options.rememberSeconds ?? 900;
    this.#tokens = new RedisTokens({
      connection,
      log: options.log,
      lanesAtOnce: options.lanesAtOnce ?? 1_024,
      lockSeconds: options.lockSeconds ?? 15,
    });
  }

  async add(entry: QueueEntry): Promise<'added' | 'known'> {
    if (this.#isStopped) throw new GatewayError('shutting-down', 'the queue has been stopped');
    const { id, hop, owner, expiresAtMs } = entry;
    const { total, perHop, perOwner } = this.#options.bounds;
    const lane = nameOf(entry.lane);
    const job = this.#tokens.newJob(lane);
    const { acceptedAtMs } = entry.operation;
    const about = [id, lane, hop, owner, scoreOf(expiresAtMs), acceptedAtMs, JSON.stringify(entry)];
    const [said, ...more] = rowsOf(await this.#commands.run('append', ...about, total, perHop, perOwner, job));
    if (said === 'known') return 'known';
    if (said === 'full') {
      throw new GatewayError('queue-full', `the queue holds all the entries it may ${String(more[0])}`, {
        details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
      });
    }
    this.#figures.heard(more[1]);
    this.#figures.added(acceptedAtMs);
    if (more[0] === 1) this.#send(job, { lane, hop });
    return 'added';
  }

  async start(attempt: AttemptDelivery, window: (hop: HopId) => number): Promise<void> {
    this.#attempt = attempt;
    this.#window = window;
    await this.#sweep(true);
    this.#tokens.start((job, token) => this.#attemptLane(job, token));
    this.#lookLater();
  }

  wake(hop: HopId, lanesMax?: number): void {
    void this.#wake(hop, lanesMax).catch((error: unknown) =>
      this.#options.log.warn({ nextHop: hop, error }, 'wake failed'),
    );
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cancelLook?.();
    await this.#tokens.pause().catch(() => undefined);
    if (this.#running.size === 0 || graceMs <= 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(graceMs, resolve);
      this.#idle = () => {
        cancel();
        resolve();
      };
    });
  }

  async close(): Promise<void> {
    await this.stop(0);
    await this.#letGo(this.#running.size > 0 || !this.#commands.isReady);
  }

  /** Lets go of Redis at once, as a process that ends does. */
  async abandon(): Promise<void> {
    this.#isStopped = true;
    this.#cancelLook?.();
    await this.#letGo(true);
  }

  async #letGo(isForced: boolean): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#tokens.close(isForced);
  }

  figures(): QueueFigures {
    return this.#figures.figures(this.#underWay.size);
  }

  list(filter: QueueFilter): Promise<readonly QueueItem[]> {
    return listRedis(this.#commands, filter, (id) => this.#underWay.has(id));
  }

  show(id: string): Promise<(QueueItem & { readonly operation: Operation }) | undefined> {
    return showRedis(this.#commands, id, this.#underWay.has(id));
  }

  async retry(id: string): Promise<boolean> {
    const job = this.#tokens.newJob('retry');
    const [lane, granted] = rowsOf(await this.#commands.run('retry', id, job));
    if (typeof lane === 'string') {
      if (granted === 1) this.#send(job, { lane, hop: '' });
      return true;
    }
    const letter = await redisLetter(this.#commands, id);
    if (letter === undefined) return false;
    const { position, entry } = letter;
    const nowMs = this.#clock.nowMs();
    const expiresAtMs = entry.expiresAtMs > nowMs ? entry.expiresAtMs : nowMs + EXTRA_LIFETIME_MS;
    const name = nameOf(entry.lane);
    const about = [id, name, entry.hop, entry.owner, position, JSON.stringify(entry), letter.item.attempts];
    const raised = rowsOf(
      await this.#commands.run('raise', ...about, entry.operation.acceptedAtMs, scoreOf(expiresAtMs), job),
    );
    if (raised.length === 0) return false;
    this.#figures.heard(raised[1]);
    if (raised[0] === 1) this.#send(job, { lane: name, hop: entry.hop });
    return true;
  }

  async drop(id: string): Promise<boolean> {
    const [was, lane, figures] = rowsOf(await this.#commands.run('drop', id, this.#rememberSeconds));
    if (was === undefined) return false;
    this.#figures.heard(figures);
    if (was === 'live' && typeof lane === 'string') await this.#resume(lane);
    return true;
  }

  /** Asks Redis for the figures: others may have added and delivered. */
  refresh(): Promise<void> {
    return this.#figures.refresh();
  }

  /** What a token is for: attempts the lane from its head on, run after run, until it has to wait. */
  async #attemptLane(job: string, token: Token): Promise<void> {
    const { lane } = token;
    for (let other = this.#running.get(lane); other !== undefined; other = this.#running.get(lane)) {
      // A job whose lock was lost comes a second time; the first is still at it.
      if (other.job === job) return;
      // The lane was granted anew before its last run had quite ended.
      await other.ended;
    }
    let end = (): void => undefined;
    this.#running.set(lane, { job, ended: new Promise((resolve) => (end = resolve)) });
    try {
      let { hop } = token;
      // As they were when the last attempts began: a wake since then must not be lost on those that come to 'held'.
      let wakesSeen: number | undefined;
      while (!this.#isStopped) {
        const limit = Math.max(1, Math.min(128, this.#window(hop as HopId)));
        const nowMs = this.#clock.nowMs();
        const [said, detail, ...rows] = rowsOf(await this.#commands.run('take', lane, job, hop, limit, nowMs));
        if (said === 'lost') return;
        if (said === 'hop') {
          hop = String(detail);
          continue;
        }
        await Promise.all(rows.map((row) => this.#attemptOne(takenEntry(row))));
        if (rows.length > 0) wakesSeen = Number(detail);
        else if (!(await this.#release(lane, job, hop, wakesSeen ?? Number(detail)))) return;
      }
      await this.#handOn(lane, job, hop);
    } finally {
      this.#running.delete(lane);
      end();
      if (this.#running.size === 0) this.#idle?.();
    }
  }

  /** @returns whether the lane can go on after all */
  async #release(lane: string, job: string, hop: string, wakesSeen: number): Promise<boolean> {
    const next = this.#tokens.newJob(lane);
    const nowMs = this.#clock.nowMs();
    const [said, , atMs] = rowsOf(await this.#commands.run('release', lane, job, nowMs, wakesSeen, next));
    if (said === 'delayed') this.#send(next, { lane, hop }, Number(atMs) - nowMs);
    return said === 'go';
  }

  /** We stop: whoever starts next goes on with the lane. */
  async #handOn(lane: string, job: string, hop: string): Promise<void> {
    const next = this.#tokens.newJob(lane);
    if ((await this.#commands.run('grant', lane, next, job, 0)) === 1) await this.#tokens.send(next, { lane, hop });
  }

  async #attemptOne({ id, entry, attempts, wasSent, position }: TakenEntry): Promise<void> {
    if (this.#attempt === undefined || this.#underWay.has(id)) return;
    if (entry === undefined) {
      this.#options.log.error({ messageId: id }, 'queue entry cannot be read');
      await this.#insist('drop', id, this.#rememberSeconds);
      return;
    }
    this.#underWay.add(id);
    let outcome: AttemptOutcome;
    try {
      const sequence = sequenceOf(position);
      outcome = await this.#attempt({ ...entry, sequence, attempt: attempts + 1, maybeSent: wasSent || attempts > 0 });
    } catch (error) {
      this.#options.log.error({ messageId: id, error }, 'attempt threw');
      outcome = { kind: 'again', atMs: this.#clock.nowMs() + AFTER_THROW_MS };
    }
    try {
      this.#figures.heard(await this.#settle(entry, outcome, attempts, wasSent, position));
    } finally {
      this.#underWay.delete(id);
    }
  }

  #settle(
    entry: QueueEntry,
    outcome: AttemptOutcome,
    attempts: number,
    wasSent: boolean,
    position: number,
  ): Promise<unknown> {
    const { id } = entry;
    switch (outcome.kind) {
      case 'delivered':
        return this.#insist('settle', 'delivered', id, this.#rememberSeconds);
      case 'dead': {
        const letter = letterText(entry, position, attempts, outcome.code, outcome.reason);
        return this.#insist('settle', 'dead', id, this.#rememberSeconds, letter, this.#clock.nowMs());
      }
      case 'again': {
        const atMs = Math.max(1, Math.ceil(outcome.atMs));
        return this.#insist('settle', 'again', id, attempts + 1, atMs, outcome.code ?? '', outcome.reason ?? '');
      }
      case 'held':
        return this.#insist('settle', 'held', id, wasSent ? 1 : 0);
    }
  }

  async #wake(hop: HopId, lanesMax: number | undefined): Promise<void> {
    const beforeMs = this.#clock.nowMs();
    for (let left = lanesMax ?? Infinity, isFirst = true; left > 0; isFirst = false) {
      const max = Math.min(left, LANES_PER_WAKE);
      const isFull = isFirst && lanesMax === undefined ? 1 : 0;
      const granted = rowsOf(await this.#insist('wake', hop, max, beforeMs, isFull, this.#tokens.newNonce()));
      for (const row of granted) {
        const [lane, job] = rowsOf(row);
        this.#send(String(job), { lane: String(lane), hop });
      }
      left -= max;
      if (granted.length < max) return;
    }
  }

  async #resume(lane: string): Promise<void> {
    const job = this.#tokens.newJob(lane);
    if ((await this.#commands.run('resume', lane, job)) === 1) this.#send(job, { lane, hop: '' });
  }

  /** Finds lanes with entries and no job. At the start also lanes held by a process that may be gone. */
  async #sweep(isStart: boolean): Promise<void> {
    let cursor = '0';
    do {
      const [next, lanes] = await this.#commands.ask((redis) =>
        redis.sscan(this.#commands.key('lanes'), cursor, 'COUNT', String(LANES_PER_LOOK)),
      );
      cursor = next;
      for (const lane of lanes) {
        if (this.#running.has(lane)) continue;
        const token = await this.#commands.ask((redis) => redis.hget(this.#commands.key(`state:${lane}`), 'token'));
        if (token !== null && (await this.#tokens.isAlive(token))) continue;
        const job = this.#tokens.newJob(lane);
        const granted = await this.#commands.run('grant', lane, job, token ?? '', isStart ? 1 : 0);
        if (granted === 1) this.#send(job, { lane, hop: '' });
      }
    } while (cursor !== '0');
  }

  #lookLater(): void {
    this.#cancelLook = this.#clock.after((this.#options.lookSeconds ?? 15) * 1_000, () => {
      this.#look()
        .catch((error: unknown) => this.#options.log.debug({ error }, 'look at redis failed'))
        .finally(() => {
          if (!this.#isStopped) this.#lookLater();
        });
    });
  }

  async #look(): Promise<void> {
    const nowMs = this.#clock.nowMs();
    const ids = await this.#commands.ask((redis) =>
      redis.zrangebyscore(this.#commands.key('expiry'), '-inf', nowMs, 'LIMIT', 0, EXPIRED_AT_ONCE),
    );
    await Promise.all(ids.map((id) => this.#handExpired(id)));
    await this.#sweep(false);
    const deadLetterMs = (this.#options.deadLetterSeconds ?? 30 * 86_400) * 1_000;
    await this.#commands.run('purge', nowMs - deadLetterMs);
    await this.refresh();
  }

  async #handExpired(id: string): Promise<void> {
    if (this.#underWay.has(id)) return;
    const row = rowsOf(await this.#commands.run('hand', id));
    if (row.length === 0) return;
    const taken = takenEntry(row);
    await this.#attemptOne(taken);
    if (taken.entry !== undefined) await this.#resume(nameOf(taken.entry.lane));
  }

  #send(job: string, token: Token, delayMs = 0): void {
    this.#tokens
      .send(job, token, delayMs)
      .catch((error: unknown) => this.#options.log.debug({ error }, 'redis token was not sent'));
  }

  /** What became of an attempt is told until it is heard: the alternative is to deliver it again. */
  async #insist(name: RedisScript, ...values: Array<string | number>): Promise<unknown> {
    for (;;) {
      try {
        return await this.#commands.run(name, ...values);
      } catch (error) {
        if (this.#isStopped) throw error;
        await new Promise<void>((resolve) => this.#clock.after(INSIST_MS, resolve));
      }
    }
  }
}

/** A lane's name in keys and job ids: addresses contain ':', which BullMQ does not take. */
function nameOf(lane: string): string {
  return createHash('sha256').update(lane).digest('hex').slice(0, 40);
}

/** A score of a sorted set; a time without end becomes the largest there is. */
function scoreOf(ms: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(ms));
}
