import type { Clock } from './ports.ts';

/** The wall clock may jump: it is looked at this often at least. */
export const LOOK_MS = 60_000;

type Due<T> = { readonly atMs: number; readonly item: T };

/**
 * Calls back with each item at its time: a binary heap and one timer for all of them.
 *
 * Times are wall clock, ms since the epoch. The timer never runs longer than `lookMs`, because the wall clock may jump.
 */
export class DueList<T> {
  readonly #clock: Clock;
  readonly #lookMs: number;
  readonly #onDue: (item: T) => void;
  readonly #heap: Array<Due<T>> = [];
  #timer: { atMs: number; cancel: () => void } | undefined;
  #stopped = false;

  constructor(clock: Clock, lookMs: number, onDue: (item: T) => void) {
    this.#clock = clock;
    this.#lookMs = lookMs;
    this.#onDue = onDue;
  }

  add(atMs: number, item: T): void {
    const heap = this.#heap;
    const due = { atMs, item };
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || parent.atMs <= atMs) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = due;
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    const atMs = this.#heap[0]?.atMs;
    if (atMs === undefined || this.#stopped || (this.#timer !== undefined && this.#timer.atMs <= atMs)) return;
    this.#timer?.cancel();
    const delayMs = Math.min(this.#lookMs, Math.max(0, atMs - this.#clock.nowMs()));
    const cancel = this.#clock.after(delayMs, () => {
      this.#timer = undefined;
      const nowMs = this.#clock.nowMs();
      for (let item = this.#take(nowMs); item !== undefined; item = this.#take(nowMs)) this.#onDue(item);
      this.#arm();
    });
    this.#timer = { atMs, cancel };
  }

  #take(nowMs: number): T | undefined {
    const heap = this.#heap;
    const top = heap[0];
    if (top === undefined || top.atMs > nowMs) return undefined;
    const last = heap.pop();
    if (last !== undefined && heap.length > 0) this.#sink(last);
    return top.item;
  }

  #sink(due: Due<T>): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      const left = heap[below];
      if (left === undefined) break;
      const right = heap[below + 1];
      let child = left;
      if (right !== undefined && right.atMs < left.atMs) {
        below += 1;
        child = right;
      }
      if (child.atMs >= due.atMs) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = due;
  }
}
