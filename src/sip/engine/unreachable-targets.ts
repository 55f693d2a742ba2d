import type { Clock } from '../../core/ports.ts';
import { targetKey, type Target } from './targets.ts';

const AVOID_MS = 30_000;
const ENTRIES_MAX = 10_000;

/**
 * Targets that failed a short while ago. They are tried last, not left out: each may be the only one
 * (RFC 3263, section 4.3).
 */
export class UnreachableTargets {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  failed(target: Target): void {
    const key = targetKey(target);
    this.#until.delete(key);
    if (this.#until.size >= ENTRIES_MAX) {
      const oldest = this.#until.keys().next();
      if (oldest.done !== true) this.#until.delete(oldest.value);
    }
    this.#until.set(key, this.#clock.nowMs() + AVOID_MS);
  }

  worked(target: Target): void {
    if (this.#until.size > 0) this.#until.delete(targetKey(target));
  }

  isAvoided(target: Target): boolean {
    const untilMs = this.#until.get(targetKey(target));
    if (untilMs === undefined) return false;
    if (untilMs > this.#clock.nowMs()) return true;
    this.#until.delete(targetKey(target));
    return false;
  }

  /** The same targets, those that failed lately at the end, order kept otherwise. */
  lastOnes(targets: readonly Target[]): readonly Target[] {
    if (this.#until.size === 0 || targets.length < 2) return targets;
    const avoided = targets.filter((target) => this.isAvoided(target));
    if (avoided.length === 0) return targets;
    return [...targets.filter((target) => !avoided.includes(target)), ...avoided];
  }
}
