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
  /** What came of this one is in Redis. */
  readonly onNoted: (id: string) => void;
  readonly commands: Pick<RedisCommands, 'run'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
};

/** One that was begun; no outcome: it is under way. `isOwn`: by this run. */
type Begun = {
  readonly id: string;
  readonly isOwn: boolean;
  readonly ended: Promise<void>;
  outcome?: readonly string[];
};

/**
 * Attempts the first of a lane side by side, as many as the window takes, also those that are added meanwhile, until all
 * have ended. After the first that was not delivered none is begun.
 *
 * With each look for what was added, those delivered are noted that have none under way before them. A run may last as
 * long as messages come, and what is not noted when the process is killed is delivered again.
 *
 * @returns the ids that were attempted here, and what came of them, as scripts take it, but for what has been noted
 */
export async function attemptRun(
  { lane, token, hop, limit }: LanePlace,
  rows: readonly TakenEntry[],
  deps: LaneRunDeps,
): Promise<{ readonly ids: readonly string[]; readonly values: readonly string[] }> {
  if (rows.length === 0) return { ids: [], values: [] };
  /** All of this run, in their order; the first of them have been noted. */
  const all: Begun[] = [];
  let noted = 0;
  let isOpen = true;
  const begin = (row: TakenEntry): void => {
    const isOwn = !deps.isUnderWay(row.id);
    const ended = deps.attempt(row).then((outcome) => {
      begun.outcome = outcome;
      if (outcome[0] !== 'delivered') isOpen = false;
    });
    const begun: Begun = { id: row.id, isOwn, ended };
    all.push(begun);
  };
  rows.forEach(begin);
  let extending: Promise<void> | undefined;
  let isMore = false;
  const extend = (): void => {
    isMore = extending !== undefined;
    if (isMore || !isOpen || all.length >= limit || deps.isStopped()) return;
    const noting = all.slice(
      noted,
      firstNot(all, noted, ({ outcome }) => outcome?.[0] === 'delivered'),
    );
    const gone = noted + noting.length;
    const about = [lane, token, hop, all.length - gone, all.at(-1)?.id ?? '', limit - gone, deps.clock.nowMs()];
    extending = deps.commands
      .run('more', ...about, ...valuesOf(noting))
      .then((found) => {
        noted = gone;
        for (const { id, isOwn } of noting) if (isOwn) deps.onNoted(id);
        if (isOpen) rowsOf(found).map(takenEntry).forEach(begin);
      })
      .catch((error: unknown) => deps.log.debug({ error }, 'lane was not extended'))
      .finally(() => {
        extending = undefined;
        if (isMore) extend();
      });
  };
  deps.onExtend(extend);
  for (let ended = -1; ended < all.length;) {
    ended = all.length;
    await Promise.all(all.map((begun) => begun.ended));
    await extending;
  }
  deps.onExtend(undefined);
  const left = all.slice(noted);
  return { ids: left.filter(({ isOwn }) => isOwn).map(({ id }) => id), values: valuesOf(left) };
}

function valuesOf(begun: readonly Begun[]): readonly string[] {
  return begun.flatMap(({ outcome }) => outcome ?? []);
}

/** The first place from here on of which that does not hold. */
function firstNot<T>(all: readonly T[], from: number, holds: (one: T) => boolean): number {
  let at = from;
  for (let one = all[at]; one !== undefined && holds(one); one = all[at]) at += 1;
  return at;
}
