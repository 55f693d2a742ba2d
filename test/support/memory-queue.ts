import type { ErrorCode } from '../../src/core/errors.ts';
import type { Log } from '../../src/core/log.ts';
import type { Clock, DeliveryQueue, QueueBounds, QueueFilter } from '../../src/core/ports.ts';
import type { Operation } from '../../src/cpim/operation.ts';
import { EmbeddedQueue } from '../../src/store/embedded-queue.ts';
import type { DeadLetter, QueueMedium } from '../../src/store/embedded-queue.ts';
import type { LiveEntry } from '../../src/store/lanes/lane.ts';
import { RememberedIds } from '../../src/store/remembered-ids.ts';
import { GatewayError } from '../../src/core/errors.ts';

export type MemoryQueueOptions = {
  readonly clock: Clock;
  readonly bounds?: QueueBounds;
  readonly rememberSeconds?: number;
  readonly deadLetterSeconds?: number;
  readonly log?: Log;
  readonly medium?: MemoryMedium;
  /** Default: everything is kept in memory; 0 makes every entry be read from the medium. */
  readonly operationSizeMax?: number;
  readonly underWayPerHop?: number;
};

const NO_BOUNDS: QueueBounds = { total: 1e9, perHop: 1e9, perOwner: 1e9 };

const nothing = (): void => undefined;
export const silentLog: Log = {
  error: nothing,
  warn: nothing,
  info: nothing,
  debug: nothing,
  trace: nothing,
  child: () => silentLog,
};

/** A DeliveryQueue for tests: the real scheduling, on a medium that survives as long as the object does. */
export function memoryQueue(options: MemoryQueueOptions): DeliveryQueue {
  const medium = options.medium ?? new MemoryMedium(options.rememberSeconds ?? 900);
  return new EmbeddedQueue(medium, {
    clock: options.clock,
    log: options.log ?? silentLog,
    bounds: options.bounds ?? NO_BOUNDS,
    deadLetterSeconds: options.deadLetterSeconds ?? 2_592_000,
    ...(options.operationSizeMax === undefined ? {} : { operationSizeMax: options.operationSizeMax }),
    ...(options.underWayPerHop === undefined ? {} : { underWayPerHop: options.underWayPerHop }),
  });
}

type Kept = { entry: LiveEntry; readonly operation: string };

/** A medium that forgets nothing while it is there; a second queue on it finds what a crashed one left. */
export class MemoryMedium implements QueueMedium {
  readonly remembered: RememberedIds;
  lastPosition = 0;
  /** Set: every write fails as a full disk does. */
  isFailing = false;
  readonly #live = new Map<number, Kept>();
  readonly #dead = new Map<number, DeadLetter & { readonly operation: Operation; readonly diedAtMs: number }>();
  #isClean = true;

  constructor(rememberSeconds: number) {
    this.remembered = new RememberedIds([1, 2], rememberSeconds, 1_000_000);
  }

  get deadCount(): number {
    return this.#dead.size;
  }

  takeLive(): LiveEntry[] {
    const found = [...this.#live.values()].map(({ entry }) => ({
      ...entry,
      maybeSent: entry.maybeSent || !this.#isClean,
      operation: undefined,
    }));
    this.#isClean = false;
    return found;
  }

  async add(entry: LiveEntry, operation: string): Promise<void> {
    await Promise.resolve();
    if (this.isFailing) throw new GatewayError('store-unavailable', 'the test says so');
    this.lastPosition = entry.position;
    this.#live.set(entry.position, { entry: { ...entry }, operation });
  }

  async load(entries: readonly LiveEntry[]): Promise<void> {
    await Promise.resolve();
    for (const entry of entries) {
      const kept = this.#live.get(entry.position);
      if (kept !== undefined) entry.operation = JSON.parse(kept.operation) as Operation;
    }
  }

  delivered(position: number): void {
    this.#live.delete(position);
  }

  again(entry: LiveEntry): void {
    const kept = this.#live.get(entry.position);
    if (kept !== undefined) kept.entry = { ...entry, underWay: false };
  }

  dead(entry: LiveEntry, diedAtMs: number, code: ErrorCode, reason: string): void {
    const kept = this.#live.get(entry.position);
    if (kept === undefined) return;
    const { position, id, hop, lane, owner, acceptedAtMs, expiresAtMs, attempts } = entry;
    const state = 'dead';
    this.#dead.set(position, {
      position,
      item: { id, state, hop, lane, owner, acceptedAtMs, expiresAtMs, attempts, code, reason },
      operation: JSON.parse(kept.operation) as Operation,
      diedAtMs,
    });
    this.#live.delete(position);
  }

  async drop(position: number): Promise<void> {
    this.#live.delete(position);
  }

  async listDead(filter: QueueFilter): Promise<DeadLetter[]> {
    return [...this.#dead.values()]
      .filter(({ item: { hop, owner } }) => (filter.hop ?? hop) === hop && (filter.owner ?? owner) === owner)
      .slice(0, filter.limit);
  }

  async showDead(id: string): Promise<(DeadLetter & { readonly operation: Operation }) | undefined> {
    const found = [...this.#dead.values()].findLast(({ item }) => item.id === id);
    return found;
  }

  async restore(dead: DeadLetter, expiresAtMs: number): Promise<void> {
    const kept = this.#dead.get(dead.position);
    if (kept === undefined) return;
    this.#dead.delete(dead.position);
    this.#live.set(dead.position, {
      entry: {
        ...kept.item,
        position: kept.position,
        expiresAtMs,
        notBeforeMs: 0,
        maybeSent: true,
        underWay: false,
        gone: false,
        wakesSeen: 0,
        bucket: -1,
        operation: undefined,
        size: 0,
        code: kept.item.code,
        reason: kept.item.reason,
      },
      operation: JSON.stringify(kept.operation),
    });
  }

  async dropDead(position: number): Promise<void> {
    this.#dead.delete(position);
  }

  async purge(_nowMs: number, deadBeforeMs: number): Promise<number> {
    const old = [...this.#dead].filter(([, { diedAtMs }]) => diedAtMs < deadBeforeMs);
    for (const [position] of old) this.#dead.delete(position);
    return old.length;
  }

  async settle(suspects: readonly LiveEntry[]): Promise<void> {
    for (const { position } of suspects) {
      const kept = this.#live.get(position);
      if (kept !== undefined) kept.entry.maybeSent = true;
    }
    this.#isClean = true;
  }
}
