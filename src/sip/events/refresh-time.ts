import type { WatchFacts } from './subscriber-states.ts';

/** No refresh sooner, whatever the far side grants; ms. */
const REFRESH_MIN_MS = 5_000;

/**
 * When to refresh what ends then: at 80 % of the time or 60 s before the end, whichever is earlier, but not before half
 * of it is over; of that up to a tenth sooner by chance, so that what began together does not stay together.
 */
export function refreshTimeMs(endsAtMs: number, { nowMs, chance }: Pick<WatchFacts, 'nowMs' | 'chance'>): number {
  const leftMs = Math.max(0, endsAtMs - nowMs);
  const latestMs = Math.max(Math.min(leftMs * 0.8, leftMs - 60_000), leftMs * 0.5);
  return nowMs + Math.max(REFRESH_MIN_MS, Math.round(latestMs * (1 - 0.1 * chance)));
}
