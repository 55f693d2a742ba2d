import type { PresenceDocument } from '../../cpim/presence/document.ts';
import type { Pair } from '../../core/presence/subscription.ts';
import { isDialog, type Dialog } from './dialog.ts';
import type { AnswerPlace } from './notify-handler.ts';
import type { SipRoute } from './subscribe-request.ts';
import { wordOf, type WatchState } from './subscriber-states.ts';

/** One pair as it is kept; the key is that of the pair. */
export type UpstreamRecord = Pair & {
  readonly route: SipRoute;
  readonly state: WatchState;
  /** While there is one, or one is asked for. */
  readonly dialog?: Dialog;
  readonly place?: AnswerPlace;
  /** The newest there was. */
  readonly document?: PresenceDocument;
};

/** One that has ended is known for so long, for whoever has not taken notice before a restart; ms. */
const ENDED_KEPT_MS = 7 * 86_400_000;

/**
 * A record as it can be gone on with; undefined for one that is worth nothing any more. One that should have a dialog
 * and has none that can be read asks for another at once.
 */
export function restoredRecord(record: UpstreamRecord, nowMs: number): UpstreamRecord | undefined {
  const { state, dialog } = record;
  if (state.at === 'ended' && nowMs - state.sinceMs >= ENDED_KEPT_MS) return undefined;
  const needsDialog = state.at === 'pending' || state.at === 'active' || state.at === 'asking';
  if (!needsDialog || isDialog(dialog)) return record;
  const word = wordOf(state).at;
  const told = word === 'ended' ? 'asked' : word;
  const { watcher, presentity, route, document } = record;
  return {
    watcher,
    presentity,
    route,
    ...(document === undefined ? {} : { document }),
    state: { at: 'retry', told, failures: 0, atMs: nowMs },
  };
}
