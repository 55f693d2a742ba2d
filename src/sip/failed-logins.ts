import { hostNetwork } from '../core/cidr.ts';
import type { Clock } from '../core/ports.ts';

type Failures = { count: number; readonly sinceMs: number };

const WINDOW_MS = 60_000;
const ENTRIES_MAX = 20_000;

/** Wrong passwords within a minute from one host. */
const PER_SOURCE_MAX = 100;
/** The same for one user: enough for a phone with an old password, too few to guess one. */
const PER_SOURCE_AND_USER_MAX = 10;

/**
 * Counts wrong passwords, so that nobody can try many.
 *
 * By where they come from, never by user alone: that would let a stranger lock a user out. Bounded: of too many the
 * oldest are forgotten.
 */
export class FailedLogins {
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock;
  }

  /** Seconds until this source may try again for this user; 0 when it may now. */
  pauseSeconds(address: string, userKey: string): number {
    const source = hostNetwork(address);
    return Math.max(this.#pause(source, PER_SOURCE_MAX), this.#pause(key(source, userKey), PER_SOURCE_AND_USER_MAX));
  }

  add(address: string, userKey: string): void {
    const source = hostNetwork(address);
    this.#count(source);
    this.#count(key(source, userKey));
  }

  #pause(entry: string, max: number): number {
    const failures = this.#failures.get(entry);
    if (failures === undefined || failures.count < max) return 0;
    const leftMs = failures.sinceMs + WINDOW_MS - this.#clock.nowMs();
    // After the clock was set back the rest would be longer than a whole window.
    return leftMs <= 0 ? 0 : Math.ceil(Math.min(leftMs, WINDOW_MS) / 1_000);
  }

  #count(entry: string): void {
    const nowMs = this.#clock.nowMs();
    const failures = this.#failures.get(entry);
    if (failures !== undefined && Math.abs(nowMs - failures.sinceMs) < WINDOW_MS) {
      failures.count += 1;
      return;
    }
    this.#failures.delete(entry);
    if (this.#failures.size >= ENTRIES_MAX) {
      const oldest = this.#failures.keys().next();
      if (oldest.done !== true) this.#failures.delete(oldest.value);
    }
    this.#failures.set(entry, { count: 1, sinceMs: nowMs });
  }
}

function key(source: string, userKey: string): string {
  // Neither an IP address nor an address key holds a blank.
  return `${source} ${userKey}`;
}
