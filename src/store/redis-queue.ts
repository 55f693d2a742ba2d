import { createHash, randomBytes } from 'node:crypto';
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
import { wasRefused, type RedisConnection } from './redis-connection.ts';
import { rowsOf, takenEntry } from './redis-entry.ts';
import type { TakenEntry } from './redis-entry.ts';
import { attemptRun } from './redis-lane-run.ts';
import { RedisFigures } from './redis-figures.ts';
import { listRedis, redisLetter, showRedis } from './redis-listing.ts';
import type { RedisScript } from './redis-scripts.ts';
import { outcomeValues, sixValues } from './redis-outcome.ts';
import { RedisProcesses } from './redis-processes.ts';
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
  /** After so long without a word a process counts as dead, and its lanes go to others. Default 5. */
  readonly lockSeconds?: number;
  /** This process among those that attempt lanes; no '.' in it. Default: a random name. */
  readonly process?: string;
  /** A process that is known to be gone: its lanes are free at once. */
  readonly formerProcess?: string;
  /** How often lifetimes, lost tokens and figures are looked at. Default 15. */
  readonly lookSeconds?: number;
};

/** A lane this process is at; `extend` begins what has been added behind. */
type RunningLane = { readonly job: string; readonly ended: Promise<void>; extend: (() => void) | undefined };

const RETRY_AFTER_SECONDS = 60;
const LOCK_SECONDS = 5;
const INSIST_MS = 200;
const AFTER_THROW_MS = 60_000;
const EXTRA_LIFETIME_MS = 24 * 3_600_000;
const LANES_PER_WAKE = 200;
const EXPIRED_AT_ONCE = 200;
const WINDOW_MAX = 128;

/**
 * A DeliveryQueue in Redis, on BullMQ. Survives what Redis survives: run it with `appendonly yes`, and with
 * `appendfsync always` where a power cut must take nothing either.
 *
 * BullMQ would let a message overtake one that waits for its retry. So entries stand in one Redis list per lane, and a
 * BullMQ job is only a token: "attempt the head of this lane". Scripts change a lane and its token together; a job that
 * got lost in between is found by a sweep. `figures` is what this process last heard.
 *
 * A lane that was empty needs no job: whoever adds to it attempts it himself, under a token of his own. BullMQ brings to a
 * process what has waited: for its time, for its hop, or because the process that was at it has gone. That one is missed
 * when it has not been heard of for `lockSeconds`.
 */
export class RedisQueue implements DeliveryQueue {
  readonly #options: RedisQueueOptions;
  readonly #clock: Clock;
  readonly #commands: RedisCommands;
  readonly #figures: RedisFigures;
  readonly #tokens: RedisTokens;
  readonly #rememberSeconds: number;
  readonly #processes: RedisProcesses;
  readonly #lanesAtOnce: number;
  /** Ids this process is attempting, until what came of it is noted, and lanes it is at. */
  readonly #underWay = new Map<string, { readonly noted: Promise<void>; readonly note: () => void }>();
  readonly #running = new Map<string, RunningLane>();
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
    const lockSeconds = options.lockSeconds ?? LOCK_SECONDS;
    this.#lanesAtOnce = options.lanesAtOnce ?? 1_024;
    this.#tokens = new RedisTokens({
      connection,
      clock: options.clock,
      log: options.log,
      lanesAtOnce: this.#lanesAtOnce,
      lockSeconds,
    });
    this.#processes = new RedisProcesses({
      commands: this.#commands,
      tokens: this.#tokens,
      clock: options.clock,
      log: options.log,
      name: options.process ?? randomBytes(9).toString('base64url'),
      lockSeconds,
      heard: (figures, acceptedAtMs) => this.#figures.heardAll(figures, acceptedAtMs),
      isAt: (lane) => this.#running.has(lane),
      send: (job, token) => this.#send(job, token),
      attempt: (token, lane) => void this.#attemptLane(token, lane),
    });
  }

  async add(entry: QueueEntry): Promise<'added' | 'known'> {
    if (this.#isStopped) throw new GatewayError('shutting-down', 'the queue has been stopped');
    const { id, hop, owner, expiresAtMs } = entry;
    const { total, perHop, perOwner } = this.#options.bounds;
    const lane = nameOf(entry.lane);
    const { acceptedAtMs } = entry.operation;
    const isOwn = this.#attempt !== undefined && this.#running.size < this.#lanesAtOnce;
    const token = isOwn ? this.#processes.newToken() : this.#tokens.newJob(lane);
    const about = [id, lane, hop, owner, scoreOf(expiresAtMs), acceptedAtMs, JSON.stringify(entry)];
    const answer = this.#commands.run('append', ...about, total, perHop, perOwner, token, isOwn ? 1 : 0);
    const [said, ...more] = rowsOf(
      await answer.catch((error: unknown) => {
        // It may have been done all the same, and then nobody else attempts the lane.
        if (isOwn && !wasRefused(error)) this.#processes.doubt(token, { lane, hop });
        throw error;
      }),
    );
    if (said === 'known') return 'known';
    if (said === 'full') {
      throw new GatewayError('queue-full', `the queue holds all the entries it may ${String(more[0])}`, {
        details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
      });
    }
    const [granted, figures, sequence, wakes] = more;
    this.#figures.heard(figures);
    this.#figures.added(acceptedAtMs);
    if (granted === 1 && isOwn) {
      const first = { id, entry, attempts: 0, wasSent: false, position: Number(sequence) };
      void this.#attemptLane(token, { lane, hop }, { first, wakes: Number(wakes) });
    } else if (granted === 1) this.#send(token, { lane, hop });
    else this.#running.get(lane)?.extend?.();
    return 'added';
  }

  async start(attempt: AttemptDelivery, window: (hop: HopId) => number): Promise<void> {
    this.#attempt = attempt;
    this.#window = window;
    await this.#processes.start(this.#options.formerProcess ?? '');
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
    this.#processes.stop();
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
    const isIdle = this.#running.size === 0 && this.#commands.isReady;
    // Whoever is still at a lane is missed in time: it must not be attempted twice at once before.
    if (isIdle) await this.#processes.leave();
    await this.#letGo(!isIdle);
  }

  /** Lets go of Redis at once, as a process that ends does. */
  async abandon(): Promise<void> {
    this.#isStopped = true;
    this.#processes.stop();
    this.#cancelLook?.();
    await this.#letGo(true);
  }

  async #letGo(isForced: boolean): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#processes.close();
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

  /**
   * What a token is for: attempts the lane from its head on, run after run, until it has to wait.
   *
   * @param begun the first run, where the lane was granted with it
   */
  async #attemptLane(token: string, { lane, hop }: Token, begun?: { first: TakenEntry; wakes: number }): Promise<void> {
    for (let other = this.#running.get(lane); other !== undefined; other = this.#running.get(lane)) {
      // A job whose lock was lost comes a second time; the first is still at it.
      if (other.job === token) return;
      // The lane was granted anew before its last run had quite ended.
      await other.ended;
    }
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    this.#running.set(lane, { job: token, ended, extend: undefined });
    try {
      await this.#attemptRuns(token, lane, hop, begun);
    } catch (error) {
      // Only when we stop: the lane is found again, by the next process at the latest.
      this.#options.log.debug({ error }, 'lane was left');
    } finally {
      this.#running.delete(lane);
      end();
      if (this.#running.size === 0) this.#idle?.();
    }
  }

  async #attemptRuns(
    token: string,
    lane: string,
    firstHop: string,
    begun: { first: TakenEntry; wakes: number } | undefined,
  ): Promise<void> {
    let hop = firstHop;
    let rows: readonly TakenEntry[] = begun === undefined ? [] : [begun.first];
    // As they were when the last attempts began: a wake since then must not be lost on those that come to 'held'.
    let wakesSeen: number | '' = begun?.wakes ?? '';
    for (;;) {
      const limit = Math.max(1, Math.min(WINDOW_MAX, this.#window(hop as HopId)));
      const running = this.#running.get(lane);
      const outcomes = await attemptRun({ lane, token, hop, limit }, rows, {
        onExtend: (extend) => {
          if (running !== undefined) running.extend = extend;
        },
        isUnderWay: (id) => this.#underWay.has(id),
        isStopped: () => this.#isStopped,
        attempt: (row) => this.#attemptOne(row),
        onNoted: (id) => this.#noted(id),
        commands: this.#commands,
        clock: this.#clock,
        log: this.#options.log,
      });
      const next = this.#tokens.newJob(lane);
      const nowMs = this.#clock.nowMs();
      const about = [lane, token, hop, this.#isStopped ? 0 : limit, nowMs, wakesSeen, next];
      const [figures, said, detail, ...more] = rowsOf(await this.#insist('next', ...about, ...outcomes.values));
      for (const id of outcomes.ids) this.#noted(id);
      this.#figures.heard(figures);
      rows = [];
      switch (said) {
        case 'run':
          wakesSeen = Number(detail);
          rows = more.map(takenEntry);
          break;
        case 'hop':
          hop = String(detail);
          break;
        case 'delayed':
          this.#send(next, { lane, hop }, Number(more[0]) - nowMs);
          return;
        case 'handed':
          await this.#tokens.send(next, { lane, hop });
          return;
        default: // lost, empty, held
          return;
      }
    }
  }

  /** @returns the outcome as the script takes it: six values, or none where it is attempted elsewhere in this process */
  async #attemptOne({ id, entry, attempts, wasSent, position }: TakenEntry): Promise<readonly string[]> {
    if (this.#attempt === undefined) return [];
    const other = this.#underWay.get(id);
    if (other !== undefined) {
      await other.noted;
      return [];
    }
    if (entry === undefined) {
      this.#options.log.error({ messageId: id }, 'queue entry cannot be read');
      return sixValues('drop', id, this.#rememberSeconds);
    }
    let note = (): void => undefined;
    const noted = new Promise<void>((resolve) => (note = resolve));
    this.#underWay.set(id, { noted, note });
    let outcome: AttemptOutcome;
    try {
      const sequence = sequenceOf(position);
      outcome = await this.#attempt({ ...entry, sequence, attempt: attempts + 1, maybeSent: wasSent || attempts > 0 });
    } catch (error) {
      this.#options.log.error({ messageId: id, error }, 'attempt threw');
      outcome = { kind: 'again', atMs: this.#clock.nowMs() + AFTER_THROW_MS };
    }
    return outcomeValues(outcome, {
      entry,
      position,
      attempts,
      wasSent,
      nowMs: this.#clock.nowMs(),
      rememberSeconds: this.#rememberSeconds,
    });
  }

  #noted(id: string): void {
    this.#underWay.get(id)?.note();
    this.#underWay.delete(id);
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
    await this.#processes.sweep(false);
    const deadLetterMs = (this.#options.deadLetterSeconds ?? 30 * 86_400) * 1_000;
    await this.#commands.run('purge', nowMs - deadLetterMs);
    await this.refresh();
  }

  async #handExpired(id: string): Promise<void> {
    if (this.#underWay.has(id)) return;
    const row = rowsOf(await this.#commands.run('hand', id));
    if (row.length === 0) return;
    const taken = takenEntry(row);
    const outcome = await this.#attemptOne(taken);
    if (outcome.length > 0) this.#figures.heard(await this.#insist('settle', ...outcome));
    this.#noted(id);
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
