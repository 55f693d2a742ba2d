import { GatewayError } from '../core/errors.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type {
  AttemptDelivery,
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
import type { LiveEntry } from './lanes/lane.ts';
import { LaneScheduler } from './lanes/lane-scheduler.ts';
import type { LaneJournal } from './lanes/lane-scheduler.ts';
import { QueueCounts } from './queue-counts.ts';
import type { IdHash, RememberedIds } from './remembered-ids.ts';

/** An entry that died, as the medium keeps it. */
export type DeadLetter = { readonly position: number; readonly item: QueueItem };

/**
 * What keeps the entries of an EmbeddedQueue.
 *
 * A promise resolves when the change is durable and rejects with GatewayError('store-unavailable') when the medium
 * fails. What returns nothing is written as soon as may be, in the order of the calls, and tried again until it is.
 */
export interface QueueMedium {
  /** Live entries, oldest first, as the last process left them; without their operations. Given up with the call. */
  takeLive(): LiveEntry[];
  readonly deadCount: number;
  /** Positions up to this one have been used. */
  readonly lastPosition: number;
  readonly remembered: RememberedIds;
  add(entry: LiveEntry, operation: string): Promise<void>;
  load(entries: readonly LiveEntry[]): Promise<void>;
  delivered(position: number, id: IdHash): void;
  again(entry: LiveEntry): void;
  dead(entry: LiveEntry, diedAtMs: number, code: ErrorCode, reason: string, id: IdHash): void;
  drop(position: number, id: IdHash): Promise<void>;
  listDead(filter: QueueFilter): Promise<DeadLetter[]>;
  showDead(id: string): Promise<(DeadLetter & { readonly operation: Operation }) | undefined>;
  /** Makes a dead letter a live entry again, in its old place. */
  restore(dead: DeadLetter, expiresAtMs: number): Promise<void>;
  dropDead(position: number): Promise<void>;
  /** Dead letters that died before this time. @returns how many */
  purge(nowMs: number, deadBeforeMs: number): Promise<number>;
  /** Writes what is left to write, and that the end was an orderly one: only `suspects` were under way. */
  settle(suspects: readonly LiveEntry[]): Promise<void>;
}

export type EmbeddedQueueOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly bounds: QueueBounds;
  /** Dead letters are kept this long. */
  readonly deadLetterSeconds: number;
  /** Default 4,096. */
  readonly underWayPerHop?: number;
  /** Default 16 million characters, which take about 32 MB. */
  readonly operationSizeMax?: number;
};

const PURGE_EVERY_MS = 60_000;
/** What the operator retries although its lifetime is over gets this much more of it. */
const EXTRA_LIFETIME_MS = 24 * 3_600_000;

/**
 * The DeliveryQueue of one process: everything but the operations themselves in memory, and a medium behind it.
 *
 * `maybeSent` is true from the second attempt on, and for everything that an earlier process left without having been
 * stopped in order: no note is written before an attempt, which would cost a commit per message, so after a crash any
 * entry may have been on the wire. After an orderly stop it is true for those that were attempted, and no others.
 */
export class EmbeddedQueue implements DeliveryQueue, LaneJournal {
  readonly #options: EmbeddedQueueOptions;
  readonly #clock: Clock;
  readonly #medium: QueueMedium;
  readonly #counts: QueueCounts;
  readonly #lanes: LaneScheduler;
  readonly #byId = new Map<string, LiveEntry>();
  /** Entries being written: whoever adds one of them again hears of it when the first does. */
  readonly #adding = new Map<string, Promise<void>>();
  #lastPosition: number;
  #dead: number;
  #isStopped = false;
  #cancelPurge: (() => void) | undefined;

  constructor(medium: QueueMedium, options: EmbeddedQueueOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#medium = medium;
    this.#counts = new QueueCounts(options.bounds);
    this.#lanes = new LaneScheduler({
      clock: options.clock,
      log: options.log,
      journal: this,
      underWayPerHop: options.underWayPerHop ?? 4_096,
      operationSizeMax: options.operationSizeMax ?? 16_000_000,
    });
    this.#lastPosition = medium.lastPosition;
    this.#dead = medium.deadCount;
    for (const entry of medium.takeLive()) {
      this.#counts.count(entry.hop, entry.owner);
      this.#byId.set(entry.id, entry);
      this.#lanes.insert(entry);
    }
  }

  async add(entry: QueueEntry): Promise<'added' | 'known'> {
    if (this.#isStopped) throw new GatewayError('shutting-down', 'the queue has been stopped');
    const { id, lane, hop, owner } = entry;
    if (this.#byId.has(id)) return 'known';
    const adding = this.#adding.get(id);
    if (adding !== undefined) {
      // Known must mean durable here too.
      await adding;
      return 'known';
    }
    if (this.#medium.remembered.has(this.#medium.remembered.hash(id), this.#clock.nowMs())) return 'known';
    this.#counts.take(hop, owner);
    const operation = JSON.stringify(entry.operation);
    this.#lastPosition += 1;
    const live: LiveEntry = {
      position: this.#lastPosition,
      id,
      lane,
      hop,
      owner,
      acceptedAtMs: entry.operation.acceptedAtMs,
      expiresAtMs: entry.expiresAtMs,
      attempts: 0,
      notBeforeMs: 0,
      maybeSent: false,
      underWay: false,
      gone: false,
      wakesSeen: 0,
      bucket: -1,
      operation: entry.operation,
      size: operation.length,
      code: undefined,
      reason: undefined,
    };
    const written = this.#medium.add(live, operation);
    this.#adding.set(id, written);
    try {
      await written;
    } catch (error) {
      this.#counts.giveBack(hop, owner);
      throw error;
    } finally {
      this.#adding.delete(id);
    }
    this.#byId.set(id, live);
    this.#lanes.insert(live);
    return 'added';
  }

  start(attempt: AttemptDelivery, window: (hop: HopId) => number): Promise<void> {
    this.#lanes.start(attempt, window);
    this.#purge();
    return Promise.resolve();
  }

  wake(hop: HopId, lanesMax?: number): void {
    this.#lanes.wake(hop, lanesMax);
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cancelPurge?.();
    const isClean = await this.#lanes.stop(graceMs);
    await this.#medium.settle(isClean ? [] : [...this.#byId.values()].filter((entry) => entry.underWay));
  }

  figures(): QueueFigures {
    const [oldest] = this.#byId.values();
    return {
      live: this.#byId.size,
      dead: this.#dead,
      underWay: this.#lanes.underWay,
      perHop: this.#counts.perHop(),
      ...(oldest === undefined ? {} : { oldestAtMs: oldest.acceptedAtMs }),
    };
  }

  async list(filter: QueueFilter): Promise<readonly QueueItem[]> {
    const limit = Math.min(10_000, Math.max(1, Math.floor(filter.limit)));
    const items: QueueItem[] = [];
    if (filter.state !== 'dead') {
      for (const entry of this.#byId.values()) {
        if (filter.hop !== undefined && entry.hop !== filter.hop) continue;
        if (filter.owner !== undefined && entry.owner !== filter.owner) continue;
        items.push(this.#itemOf(entry));
        if (items.length === limit) break;
      }
    }
    if (filter.state !== 'live') {
      for (const { item } of await this.#medium.listDead({ ...filter, limit })) items.push(item);
    }
    return items.sort((one, other) => one.acceptedAtMs - other.acceptedAtMs).slice(0, limit);
  }

  async show(id: string): Promise<(QueueItem & { readonly operation: Operation }) | undefined> {
    const entry = this.#byId.get(id);
    if (entry === undefined) {
      const dead = await this.#medium.showDead(id);
      return dead === undefined ? undefined : { ...dead.item, operation: dead.operation };
    }
    let { operation } = entry;
    if (operation === undefined) {
      const copy = { ...entry };
      await this.#medium.load([copy]);
      ({ operation } = copy);
    }
    return operation === undefined ? undefined : { ...this.#itemOf(entry), operation };
  }

  async retry(id: string): Promise<boolean> {
    const entry = this.#byId.get(id);
    if (entry !== undefined) {
      this.#lanes.retry(entry);
      return true;
    }
    const dead = await this.#medium.showDead(id);
    if (dead === undefined || this.#byId.has(id)) return dead !== undefined;
    const { position, item, operation } = dead;
    const nowMs = this.#clock.nowMs();
    const expiresAtMs = item.expiresAtMs > nowMs ? item.expiresAtMs : nowMs + EXTRA_LIFETIME_MS;
    await this.#medium.restore(dead, expiresAtMs);
    this.#dead -= 1;
    this.#counts.count(item.hop, item.owner);
    const live: LiveEntry = {
      position,
      id,
      lane: item.lane,
      hop: item.hop,
      owner: item.owner,
      acceptedAtMs: item.acceptedAtMs,
      expiresAtMs,
      attempts: item.attempts,
      notBeforeMs: 0,
      maybeSent: true,
      underWay: false,
      gone: false,
      wakesSeen: 0,
      bucket: -1,
      operation,
      size: JSON.stringify(operation).length,
      code: item.code,
      reason: item.reason,
    };
    this.#byId.set(id, live);
    this.#lanes.insert(live);
    this.#lanes.retry(live);
    return true;
  }

  async drop(id: string): Promise<boolean> {
    const entry = this.#byId.get(id);
    if (entry !== undefined) {
      const hash = this.#leave(entry);
      this.#lanes.remove(entry);
      await this.#medium.drop(entry.position, hash);
      return true;
    }
    const dead = await this.#medium.showDead(id);
    if (dead === undefined) return false;
    await this.#medium.dropDead(dead.position);
    this.#dead -= 1;
    return true;
  }

  // What the scheduler reports:

  load(entries: readonly LiveEntry[]): Promise<void> {
    return this.#medium.load(entries);
  }

  delivered(entry: LiveEntry): void {
    this.#medium.delivered(entry.position, this.#leave(entry));
  }

  again(entry: LiveEntry): void {
    this.#medium.again(entry);
  }

  dead(entry: LiveEntry, code: ErrorCode, reason: string): void {
    this.#dead += 1;
    this.#medium.dead(entry, this.#clock.nowMs(), code, reason, this.#leave(entry));
  }

  #leave(entry: LiveEntry): IdHash {
    this.#byId.delete(entry.id);
    this.#counts.giveBack(entry.hop, entry.owner);
    const { remembered } = this.#medium;
    const hash = remembered.hash(entry.id);
    remembered.add(hash, this.#clock.nowMs());
    return hash;
  }

  #itemOf(entry: LiveEntry): QueueItem {
    const isTimed = entry.notBeforeMs > 0 && entry.notBeforeMs !== Infinity;
    return {
      id: entry.id,
      state: entry.underWay ? 'under-way' : this.#lanes.isHeld(entry) ? 'held' : 'waiting',
      hop: entry.hop,
      lane: entry.lane,
      owner: entry.owner,
      acceptedAtMs: entry.acceptedAtMs,
      expiresAtMs: entry.expiresAtMs,
      attempts: entry.attempts,
      ...(isTimed ? { notBeforeMs: entry.notBeforeMs } : {}),
      ...(entry.code === undefined ? {} : { code: entry.code }),
      ...(entry.reason === undefined ? {} : { reason: entry.reason }),
    };
  }

  #purge(): void {
    const nowMs = this.#clock.nowMs();
    this.#medium.purge(nowMs, nowMs - this.#options.deadLetterSeconds * 1_000).then(
      (purged) => (this.#dead -= purged),
      () => undefined, // said by whoever writes to the medium; comes again in a minute
    );
    this.#cancelPurge = this.#clock.after(PURGE_EVERY_MS, () => this.#purge());
  }
}
