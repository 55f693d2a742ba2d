import type { GatewayError } from './errors.ts';
import type { Clock } from './ports.ts';
import { RecentMap } from './recent-map.ts';

/** What became of the first attempt of an operation, for a sender who is still on the line. */
export type Settlement =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'failed'; readonly error: GatewayError }
  /** Not yet: it will be attempted again, or the patience was over. */
  | { readonly kind: 'pending' };

/** Somebody's wait for an operation. */
export type Waiting = {
  /** Resolves with what became of it, at the latest when the patience is over. */
  readonly settled: Promise<Settlement>;
  /** He is off the line: what becomes of it must be told otherwise. */
  readonly leave: () => void;
};

type Waiter = { readonly id: string; readonly atMs: number; readonly resolve: (settlement: Settlement) => void };

const PENDING: Settlement = { kind: 'pending' };
/** A repeated request comes within 64*T1 (RFC 3261, section 17.1.2.2), with a margin. */
const REMEMBER_MS = 64_000;
const REMEMBER_MAX = 10_000;

/**
 * Brings senders who wait and outcomes together, and remembers outcomes for as long as a request may be repeated.
 *
 * All wait equally long, so they run out in the order they came: one timer serves them all.
 */
export class Settlements {
  readonly #clock: Clock;
  readonly #patienceMs: number;
  readonly #waiting = new Map<string, Set<Waiter>>();
  readonly #inOrder = new Set<Waiter>();
  readonly #recent = new RecentMap<Settlement>({ keepMs: REMEMBER_MS, max: REMEMBER_MAX });
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock, patienceMs: number) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
  }

  /** Begins to wait for what becomes of an operation. */
  wait(id: string): Waiting {
    let resolve: (settlement: Settlement) => void = () => undefined;
    const settled = new Promise<Settlement>((resolver) => {
      resolve = resolver;
    });
    const waiter: Waiter = { id, atMs: this.#clock.nowMs(), resolve };
    const same = this.#waiting.get(id);
    if (same === undefined) this.#waiting.set(id, new Set([waiter]));
    else same.add(waiter);
    this.#inOrder.add(waiter);
    this.#arm();
    return { settled, leave: () => this.#leave(waiter) };
  }

  /** What an operation that settled a short while ago became. */
  recent(id: string): Settlement | undefined {
    return this.#recent.get(id, this.#clock.nowMs());
  }

  /** @returns whether somebody was waiting and has been told. */
  settle(id: string, settlement: Settlement): boolean {
    const waiters = this.#waiting.get(id);
    if (waiters === undefined) return false;
    this.#waiting.delete(id);
    this.#recent.set(id, settlement, this.#clock.nowMs());
    for (const waiter of waiters) {
      this.#inOrder.delete(waiter);
      waiter.resolve(settlement);
    }
    return true;
  }

  /** Sends everybody away with 'pending'. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (const id of [...this.#waiting.keys()]) this.settle(id, PENDING);
  }

  #arm(): void {
    if (this.#cancelTimer !== undefined) return;
    for (const first of this.#inOrder) {
      const delayMs = Math.max(0, first.atMs + this.#patienceMs - this.#clock.nowMs());
      this.#cancelTimer = this.#clock.after(delayMs, () => {
        this.#cancelTimer = undefined;
        this.#runOut();
      });
      return;
    }
  }

  #runOut(): void {
    const untilMs = this.#clock.nowMs() - this.#patienceMs;
    for (const waiter of this.#inOrder) {
      // The wall clock may have jumped back; then nobody is kept longer than one more patience.
      if (waiter.atMs > untilMs && waiter.atMs <= this.#clock.nowMs()) break;
      this.#recent.set(waiter.id, PENDING, this.#clock.nowMs());
      this.#leave(waiter);
    }
    this.#arm();
  }

  #leave(waiter: Waiter): void {
    this.#inOrder.delete(waiter);
    const same = this.#waiting.get(waiter.id);
    same?.delete(waiter);
    if (same?.size === 0) this.#waiting.delete(waiter.id);
    waiter.resolve(PENDING);
  }
}
