import { addressKey, type Address } from '../../cpim/address.ts';
import type { PresenceDocument } from '../../cpim/presence/document.ts';
import type { Clock } from '../ports.ts';
import { closedDocument, withoutLocation } from './polite-document.ts';
import type { LocalPresence } from './local-presence.ts';
import type { PresenceRules } from './presence-rules.ts';
import type { EventPackage, Notification, NotifyBody, SubscriptionState, UpstreamReport } from './subscription.ts';
import type { View, Watched, Watching } from './watched.ts';
import { watcherListFor } from './watcher-list.ts';

export type ViewsDeps = {
  readonly rules: Pick<PresenceRules, 'decide' | 'isInvisible'>;
  readonly local: Pick<LocalPresence, 'documentOf'>;
  readonly reportOf: (upstream: NonNullable<Watched['upstream']>) => UpstreamReport | undefined;
  readonly clock: Pick<Clock, 'nowMs'>;
};

/** What each watcher may see now. One document for all who may see the same. */
export class Views {
  readonly #deps: ViewsDeps;

  constructor(deps: ViewsDeps) {
    this.#deps = deps;
  }

  /** What the rules let a watcher see of somebody; what is elsewhere has rules of its own there. */
  viewFor(watched: Watched, watcher: Address): View {
    if (watched.upstream !== undefined) return 'all';
    const { rules } = this.#deps;
    const { action, showsLocation } = rules.decide(watched.key, watcher);
    if (action === 'polite-block') return 'closed';
    if (rules.isInvisible(watched.key) && addressKey(watcher) !== watched.key) return 'closed';
    return showsLocation === true || addressKey(watcher) === watched.key ? 'all' : 'no-location';
  }

  /** What somebody without a subscription may see. */
  bodyFor(watched: Watched, event: EventPackage, watcher: Address): NotifyBody | undefined {
    return this.#body(watched, event, this.viewFor(watched, watcher), undefined);
  }

  /** What one watcher is to be told now. */
  notificationOf(watching: Watching): Notification {
    const { record, says, watched } = watching;
    const state = says === 'deactivated' ? DEACTIVATED : stateToTell(record.state);
    const isOver = state.at === 'terminated';
    let body: NotifyBody | undefined;
    if (state.at === 'active') body = this.#body(watched, record.package, watching.view, watching.changes);
    // The last word to one who was let in: what he would see of somebody who has left (RFC 8048, section 5.3.3).
    else if (
      isOver &&
      record.state.at === 'terminated' &&
      state.reason === 'timeout' &&
      record.package === 'presence'
    ) {
      body = this.#presenceBody(watched, watched.upstream?.route.kind === 'link' ? 'closed' : watching.view);
    }
    return {
      subscription: record,
      state,
      ...(body === undefined ? {} : { body }),
      ...(says === 'suppressed' && !isOver ? { isBodySuppressed: true } : {}),
      ...(says === 'whole' ? { isWhole: true } : {}),
    };
  }

  #body(watched: Watched, event: EventPackage, view: View, changes: Watching['changes']): NotifyBody | undefined {
    if (event === 'presence') return this.#presenceBody(watched, view);
    return { kind: 'watchers', list: watcherListFor(watched, changes, this.#deps.clock.nowMs()) };
  }

  /** Undefined where nothing is known. */
  #presenceBody(watched: Watched, view: View): NotifyBody | undefined {
    const { local, reportOf } = this.#deps;
    const { upstream, presentity, key } = watched;
    const document = upstream === undefined ? local.documentOf(key) : reportOf(upstream)?.document;
    return document === undefined ? undefined : watched.body(document, view, () => seen(document, view, presentity));
  }
}

const DEACTIVATED = { at: 'terminated', reason: 'deactivated' } as const;
/** A subscription that waits has ended for its watcher: its time was over (RFC 3857, section 4.7.1). */
const TIMED_OUT = { at: 'terminated', reason: 'timeout' } as const;

function stateToTell(state: SubscriptionState): Notification['state'] {
  return state.at === 'waiting' ? TIMED_OUT : state;
}

function seen(document: PresenceDocument, view: View, presentity: Address): PresenceDocument {
  switch (view) {
    case 'all':
      return document;
    case 'no-location':
      return withoutLocation(document);
    case 'closed':
      return closedDocument(presentity);
  }
}
