import type { Random } from './ports.ts';

/** How pauses grow, ms. */
export type Backoff = { readonly firstMs: number; readonly maxMs: number };

/**
 * The pause before the next attempt: doubled with each failure up to the longest, and of that a random part between
 * half and the whole, so that what failed together does not come back together.
 *
 * @param failures how many attempts have failed, 1 or more.
 */
export function pauseMs(backoff: Backoff, failures: number, random: Random): number {
  const doublings = Math.min(Math.max(0, failures - 1), 30);
  const full = Math.min(backoff.firstMs * 2 ** doublings, backoff.maxMs);
  return Math.round(full * (0.5 + 0.5 * random()));
}
