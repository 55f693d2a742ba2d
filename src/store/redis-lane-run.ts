import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import type { RedisCommands } from './redis-commands.ts';
import { rowsOf, takenEntry } from './redis-entry.ts';
import type { TakenEntry } from './redis-entry.ts';

/** The lane, who may attempt it, and how many at once. */
export type LanePlace = { readonly lane: string; readonly token: string; readonly hop: string; readonly limit: number };

export type LaneRunDeps = {
  /** Given what begins those that are added behind, for as long as the run lasts. */
  readonly onExtend: (extend: (() => void) | undefined) => void;
  readonly isUnderWay: (id: string) => boolean;
  readonly isStopped: () => boolean;
  /** @returns the outcome as scripts take it; none where it is attempted elsewhere in this process */
  readonly attempt: (row: TakenEntry) => Promise<readonly string[]>;
  readonly commands: Pick<RedisCommands, 'run'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
};

/**
 * Attempts the first of a lane side by side, as many as the window takes, also those that are added meanwhile, until all
 * have ended. After the first that was not delivered none is begun.
 *
 * @returns the ids that were attempted here, and what came of them, as scripts take it
 */
export async function attemptRun(
  { lane, token, hop, limit }: LanePlace,
  rows: readonly TakenEntry[],
  deps: LaneRunDeps,
): Promise<{ readonly ids: readonly string[]; readonly values: readonly string[] }> {
  if (rows.length === 0) return { ids: [], values: [] };
  const ids: string[] = [];
  const values: string[] = [];
  const attempts: Array<Promise<void>> = [];
  let last = '';
  let isOpen = true;
  const begin = (row: TakenEntry): void => {
    last = row.id;
    if (!deps.isUnderWay(row.id)) ids.push(row.id);
    const attempt = deps.attempt(row).then((outcome) => {
      values.push(...outcome);
      if (outcome[0] !== 'delivered') isOpen = false;
    });
    attempts.push(attempt);
  };
  rows.forEach(begin);
  let extending: Promise<void> | undefined;
  let isMore = false;
  const extend = (): void => {
    isMore = extending !== undefined;
    if (isMore || !isOpen || attempts.length >= limit || deps.isStopped()) return;
    extending = deps.commands
      .run('more', lane, token, hop, attempts.length, last, limit, deps.clock.nowMs())
      .then((found) => {
        if (isOpen) rowsOf(found).map(takenEntry).forEach(begin);
      })
      .catch((error: unknown) => deps.log.debug({ error }, 'lane was not extended'))
      .finally(() => {
        extending = undefined;
        if (isMore) extend();
      });
  };
  deps.onExtend(extend);
  for (let ended = -1; ended < attempts.length;) {
    ended = attempts.length;
    await Promise.all(attempts);
    await extending;
  }
  deps.onExtend(undefined);
  return { ids, values };
}
