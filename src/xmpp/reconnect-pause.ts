import type { Random } from '../core/ports.ts';

const FIRST_MS = 1_000;
/** A try is one TCP connection; what waits for it are people. */
const LONGEST_MS = 5_000;
const REFUSED_MS = 15_000;

/**
 * How long to wait before the next attempt: half of it fixed, half by chance, so that many who lost the same server do
 * not come back in step. First 0.5 to 1 s, doubling to 2.5 to 5 s.
 *
 * @param failures attempts and short-lived streams since the link last stood well; 0 after one that did
 * @param refused the server said no in a way that only an operator mends: 15 to 25 s at once
 */
export function reconnectPauseMs(failures: number, refused: boolean, random: Random): number {
  if (refused) return Math.round(REFUSED_MS + 10_000 * random());
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 10));
  return Math.round(longest * (0.5 + 0.5 * random()));
}
