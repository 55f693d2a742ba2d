import type { Reportable } from './failure-report.ts';

const REMEMBER_MS = 10 * 60_000;
const REMEMBER_MAX = 100_000;

/**
 * What has been delivered lately, for errors that come after the delivery (RFC 6120, section 8.3: an error stanza names
 * nothing but the id). Bounded in number and time; the oldest go first. Lost with the process.
 */
export class RecentDeliveries {
  readonly #max: number;
  readonly #kept = new Map<string, { readonly atMs: number; readonly about: Reportable }>();

  constructor(max = REMEMBER_MAX) {
    this.#max = max;
  }

  put(about: Reportable, nowMs: number): void {
    this.#kept.delete(about.id);
    this.#kept.set(about.id, { atMs: nowMs, about });
    for (const [id, { atMs }] of this.#kept) {
      if (this.#kept.size <= this.#max && atMs + REMEMBER_MS > nowMs) break;
      this.#kept.delete(id);
    }
  }

  get(id: string, nowMs: number): Reportable | undefined {
    const kept = this.#kept.get(id);
    return kept === undefined || kept.atMs + REMEMBER_MS <= nowMs ? undefined : kept.about;
  }

  forget(id: string): void {
    this.#kept.delete(id);
  }

  get size(): number {
    return this.#kept.size;
  }
}
