import type { Clock } from '../core/ports.ts';
import type { LinkState } from './link.ts';

/** Where a link stands, and since when. One that is stopped stays so. */
export class LinkStanding {
  readonly #clock: Pick<Clock, 'nowMs'>;
  #state: Omit<LinkState, 'unconfirmed'>;

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock;
    this.#state = { at: 'down', sinceMs: clock.nowMs(), reason: 'not started' };
  }

  get at(): LinkState['at'] {
    return this.#state.at;
  }

  /** Why it stands so. */
  get reason(): string | undefined {
    return this.#state.reason;
  }

  become(at: LinkState['at'], reason?: string): void {
    if (this.#state.at === 'stopped') return;
    const sinceMs = this.#state.at === at ? this.#state.sinceMs : this.#clock.nowMs();
    this.#state = { at, sinceMs, ...(reason === undefined ? {} : { reason }) };
  }

  with(unconfirmed: number): LinkState {
    return { ...this.#state, unconfirmed };
  }
}
