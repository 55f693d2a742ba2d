import type { Clock } from '../../core/ports.ts';

/** Makes many calls, a number at a time with a pause between, so that a link that has come up is not flooded. */
export class PacedCalls {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #perTick: number;
  readonly #tickMs: number;
  #calls: ReadonlyArray<() => void> = [];
  #next = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Pick<Clock, 'after'>, perTick: number, tickMs: number) {
    this.#clock = clock;
    this.#perTick = perTick;
    this.#tickMs = tickMs;
  }

  /** Begins with these; what was left of earlier ones is not made. */
  start(calls: ReadonlyArray<() => void>): void {
    this.stop();
    this.#calls = calls;
    this.#next = 0;
    this.#tick();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#calls = [];
  }

  #tick(): void {
    this.#cancel = undefined;
    const calls = this.#calls.slice(this.#next, this.#next + this.#perTick);
    this.#next += calls.length;
    for (const call of calls) call();
    if (this.#next < this.#calls.length) this.#cancel = this.#clock.after(this.#tickMs, () => this.#tick());
    else this.#calls = [];
  }
}
