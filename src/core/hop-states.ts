import { Breaker } from './breaker.ts';
import type { Log } from './log.ts';
import type { Clock, HopId, Random } from './ports.ts';
import { Turnstile } from './turnstile.ts';

/** What is known of one hop while something is under way to it, or about its health. */
export type HopState = {
  underWay: number;
  /** How often it was woken: an attempt that fails sees whether it missed one. */
  wakes: number;
  /** Bounds what is under way at once; links have a window of their own. */
  readonly turnstile?: Turnstile;
  /** SIP peers only: a link says itself whether it is up, and a user's contacts come back by REGISTER. */
  readonly breaker?: Breaker;
};

export type HopStatesDeps = {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Requests under way at once to one SIP peer or local user. */
  readonly concurrency: number;
  readonly wake: (hop: HopId, lanesMax?: number) => void;
};

/** The state of every hop that has one; users leave no trace when nothing is under way to them. */
export class HopStates {
  readonly #deps: HopStatesDeps;
  readonly #states = new Map<HopId, HopState>();
  readonly #linksUp = new Set<HopId>();

  constructor(deps: HopStatesDeps) {
    this.#deps = deps;
  }

  /** Begins an attempt; `leave` must follow. */
  enter(hop: HopId): HopState {
    let state = this.#states.get(hop);
    if (state === undefined) {
      state = this.#fresh(hop);
      this.#states.set(hop, state);
    }
    state.underWay += 1;
    return state;
  }

  leave(hop: HopId, state: HopState): void {
    state.underWay -= 1;
    if (state.underWay === 0 && hop.startsWith('user:')) this.#states.delete(hop);
  }

  /** A link is up, or a user has registered: what waits for it may go. */
  up(hop: HopId): void {
    if (hop.startsWith('link:')) this.#linksUp.add(hop);
    this.#wake(hop);
  }

  /** A link is down: what is for it waits until it is up. */
  down(hop: HopId): void {
    this.#linksUp.delete(hop);
  }

  /** Whether attempts go out at present. */
  isReachable(hop: HopId): boolean {
    if (hop.startsWith('link:')) return this.#linksUp.has(hop);
    return this.#states.get(hop)?.breaker?.isClosed ?? true;
  }

  stop(): void {
    for (const state of this.#states.values()) state.breaker?.stop();
  }

  #wake(hop: HopId): void {
    const state = this.#states.get(hop);
    if (state !== undefined) state.wakes += 1;
    this.#deps.wake(hop);
  }

  #fresh(hop: HopId): HopState {
    if (hop.startsWith('link:')) return { underWay: 0, wakes: 0 };
    const turnstile = new Turnstile(this.#deps.concurrency);
    if (hop.startsWith('user:')) return { underWay: 0, wakes: 0, turnstile };
    const { clock, random, log, wake } = this.#deps;
    const breaker = new Breaker({
      clock,
      random,
      opened: () => log.warn({ nextHop: hop }, 'peer does not answer, its messages wait'),
      probe: () => wake(hop, 1),
      closed: () => {
        log.info({ nextHop: hop }, 'peer answers again');
        this.#wake(hop);
      },
    });
    return { underWay: 0, wakes: 0, turnstile, breaker };
  }
}
