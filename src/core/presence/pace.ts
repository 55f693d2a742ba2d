/** How often a watcher wants to be told (RFC 6446), or is: as times between two notifications, ms. */
export type Pace = {
  /** No sooner than this after the last one. */
  readonly shortestMs?: number;
  /** No later, changed or not. */
  readonly longestMs?: number;
};

/** Nobody is told again and again, where nothing changes, in less than this. */
const LONGEST_MIN_MS = 5_000;

/**
 * What becomes of a wish (RFC 6446, sections 5.3 and 6.3): never faster than the server's own limit, and never so slow
 * that nothing would be told before the subscription ends.
 *
 * @param intervalMs the server's limit
 * @param lifetimeMs what is left of the subscription
 * @returns undefined where nothing is wished
 */
export function adoptedPace(wish: Pace | undefined, intervalMs: number, lifetimeMs: number): Pace | undefined {
  if (wish === undefined) return undefined;
  const { shortestMs, longestMs } = wish;
  const shortest = shortestMs === undefined ? undefined : Math.min(Math.max(shortestMs, intervalMs), lifetimeMs);
  const longest = longestMs === undefined ? undefined : Math.max(longestMs, LONGEST_MIN_MS, shortest ?? intervalMs);
  return {
    ...(shortest === undefined ? {} : { shortestMs: Math.round(shortest) }),
    ...(longest === undefined ? {} : { longestMs: Math.round(longest) }),
  };
}
