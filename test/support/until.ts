import { setTimeout as pause } from 'node:timers/promises';

export type UntilOptions = {
  /** Read when it fails: what was waited for. */
  readonly what: string;
  /** Default 10,000 ms. */
  readonly withinMs?: number;
  /** Between two looks; default 20 ms. */
  readonly everyMs?: number;
  /** Adds what would help whoever reads the failure, such as a log. */
  readonly detail?: () => string;
};

/**
 * Looks again and again until `probe` gives something other than undefined, null or false, and returns it.
 * A probe that throws counts as not yet; its error is named when the time is over. For real processes only.
 */
export async function until<T>(
  probe: () => T | Promise<T>,
  options: UntilOptions,
): Promise<Exclude<T, undefined | null | false>> {
  const withinMs = options.withinMs ?? 10_000;
  const endsAtMs = Date.now() + withinMs;
  let thrown: unknown;
  for (;;) {
    try {
      const seen = await probe();
      if (seen !== undefined && seen !== null && seen !== false) return seen as Exclude<T, undefined | null | false>;
      thrown = undefined;
    } catch (error) {
      thrown = error;
    }
    if (Date.now() >= endsAtMs) break;
    await pause(options.everyMs ?? 20);
  }
  const detail = options.detail === undefined ? '' : `\n${options.detail()}`;
  throw new Error(`not within ${withinMs} ms: ${options.what}${detail}`, { cause: thrown });
}
