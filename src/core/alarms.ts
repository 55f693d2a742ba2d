import { DueList, LOOK_MS } from './due-list.ts';
import type { Clock } from './ports.ts';

type Alarm = {
  readonly key: string;
  /** When it shall ring; absent: not at all. */
  atMs: number | undefined;
  /** When the due list looks at it next. */
  lookAtMs: number;
};

/**
 * One time for each key, which may be moved and taken away: a due list that forgets nothing early and keeps one entry a
 * key, however often its time is moved to a later one. Times are wall clock, ms since the epoch.
 */
export class Alarms {
  readonly #clock: Clock;
  readonly #onRing: (key: string) => void;
  readonly #due: DueList<Alarm>;
  readonly #alarms = new Map<string, Alarm>();

  constructor(clock: Clock, onRing: (key: string) => void) {
    this.#clock = clock;
    this.#onRing = onRing;
    this.#due = new DueList(clock, LOOK_MS, (alarm) => this.#look(alarm));
  }

  /** Keys that have, or had until lately, a time. */
  get size(): number {
    return this.#alarms.size;
  }

  /** Moves the alarm of a key; absent: takes it away. One whose time is past rings soon, not within the call. */
  set(key: string, atMs: number | undefined): void {
    const known = this.#alarms.get(key);
    if (known === undefined) {
      if (atMs === undefined) return;
      const alarm = { key, atMs, lookAtMs: atMs };
      this.#alarms.set(key, alarm);
      this.#due.add(atMs, alarm);
      return;
    }
    known.atMs = atMs;
    if (atMs !== undefined && atMs < known.lookAtMs) this.#lookAgain(known, atMs);
  }

  /** Rings when the first of them is over; none: takes the alarm away. */
  setFirst(key: string, timed: Iterable<{ readonly expiresAtMs: number }>): void {
    let firstMs = Infinity;
    for (const { expiresAtMs } of timed) firstMs = Math.min(firstMs, expiresAtMs);
    this.set(key, firstMs === Infinity ? undefined : firstMs);
  }

  stop(): void {
    this.#due.stop();
  }

  #look(alarm: Alarm): void {
    const nowMs = this.#clock.nowMs();
    // An entry of before its time was moved nearer.
    if (alarm.lookAtMs > nowMs || this.#alarms.get(alarm.key) !== alarm) return;
    if (alarm.atMs !== undefined && alarm.atMs > nowMs) {
      this.#lookAgain(alarm, alarm.atMs);
      return;
    }
    this.#alarms.delete(alarm.key);
    if (alarm.atMs !== undefined) this.#onRing(alarm.key);
  }

  #lookAgain(alarm: Alarm, atMs: number): void {
    alarm.lookAtMs = atMs;
    this.#due.add(atMs, alarm);
  }
}
