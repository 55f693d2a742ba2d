import { pauseMs, type Backoff } from './backoff.ts';
import type { Clock, Random } from './ports.ts';

/** Pauses between two tries whether a peer is back: 1 s doubling to 30 s. */
const PROBE: Backoff = { firstMs: 1_000, maxMs: 30_000 };

export type BreakerDeps = {
  readonly clock: Clock;
  readonly random: Random;
  /** The peer has stopped answering. */
  readonly opened: () => void;
  /** The peer is to be tried: let one attempt come. */
  readonly probe: () => void;
  /** The peer is back: let all that wait come. */
  readonly closed: () => void;
};

/**
 * Keeps attempts away from a peer that does not answer, and finds out with one attempt at a time whether it is back.
 *
 * closed: everything may go. open: nothing may, until the pause is over. probing: one attempt may, its outcome decides.
 */
export class Breaker {
  readonly #deps: BreakerDeps;
  #state: 'closed' | 'open' | 'probing' = 'closed';
  /** In state probing: the one attempt has been let through. */
  #isTaken = false;
  #failures = 0;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;

  constructor(deps: BreakerDeps) {
    this.#deps = deps;
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Whether `admit` would let an attempt through. */
  get isOpen(): boolean {
    return this.#state === 'open' || (this.#state === 'probing' && this.#isTaken);
  }

  /** Whether an attempt may be made now. Who gets true must say `answered` or `failed` afterwards. */
  admit(): boolean {
    if (this.#state === 'closed') return true;
    if (this.#state === 'open' || this.#isTaken) return false;
    this.#isTaken = true;
    return true;
  }

  /** The peer answered an attempt, well or badly: it is there. */
  answered(): void {
    this.#answeredAtMs = this.#deps.clock.nowMs();
    if (this.#state === 'closed') return;
    this.stop();
    this.#state = 'closed';
    this.#failures = 0;
    this.#deps.closed();
  }

  /**
   * The peer did not answer an attempt that began at `startedAtMs`. One that has answered another attempt since then
   * is there all the same, and stays so.
   */
  failed(startedAtMs: number): void {
    if (this.#state === 'open') return;
    if (this.#state === 'closed' && this.#answeredAtMs > startedAtMs) return;
    if (this.#state === 'closed') this.#deps.opened();
    this.#failures += 1;
    this.#pause();
  }

  /** The attempt that was let come to try the peer ended before it was made: another one is to come. */
  skipped(): void {
    if (this.#state === 'probing' && !this.#isTaken) this.#pause();
  }

  /** Lets no timer fire any more. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #pause(): void {
    this.#state = 'open';
    this.#cancelTimer = this.#deps.clock.after(pauseMs(PROBE, this.#failures, this.#deps.random), () => {
      this.#cancelTimer = undefined;
      this.#state = 'probing';
      this.#isTaken = false;
      this.#deps.probe();
    });
  }
}
