import { addressKey } from '../../cpim/address.ts';
import type { NotificationService } from './notification-service.ts';
import type { PresenceRules } from './presence-rules.ts';
import {
  pairKey,
  type EndReason,
  type Pair,
  type Upstream,
  type UpstreamReport,
  type UpstreamRoute,
} from './subscription.ts';
import type { SubscriptionEvent } from './subscription-machine.ts';
import type { SubscriptionTable } from './subscription-table.ts';
import type { Views } from './views.ts';
import type { Watched, Watching } from './watched.ts';

export type SubscriptionChangesDeps = {
  readonly table: SubscriptionTable;
  readonly telling: NotificationService;
  readonly views: Views;
  readonly rules: Pick<PresenceRules, 'decide'>;
  readonly upstreamOf: (route: UpstreamRoute) => Upstream;
  /** Carries out one event of the machine. */
  readonly move: (watching: Watching, event: SubscriptionEvent) => void;
  readonly saveLater: (watching: Watching) => void;
};

/** What documents, rules and far sides that change make of the subscriptions they concern, and of no others. */
export class SubscriptionChanges {
  readonly #deps: SubscriptionChangesDeps;

  constructor(deps: SubscriptionChangesDeps) {
    this.#deps = deps;
  }

  /** What a user of ours lets others see is about to change: called before the change is stored. */
  beforeChange(presentityKey: string): void {
    const watched = this.#deps.table.watched(presentityKey);
    if (watched !== undefined) this.#deps.telling.unsettle(watched);
  }

  isWatched(presentityKey: string): boolean {
    return this.#deps.table.watched(presentityKey) !== undefined;
  }

  /** The change is stored, and whoever it concerns was marked. */
  afterChange(presentityKey: string): void {
    const watched = this.#deps.table.watched(presentityKey);
    if (watched !== undefined) this.#deps.telling.settleIfTold(watched);
  }

  /** The composed document of a user of ours has changed. */
  localChanged(presentityKey: string): void {
    const watched = this.#deps.table.watched(presentityKey);
    if (watched === undefined) return;
    this.#deps.telling.unsettle(watched);
    for (const watching of watched.presence) {
      // A closed view never changes: a NOTIFY would tell that something did.
      if (watching.record.state.at === 'active' && watching.view !== 'closed') this.#deps.telling.mark(watching, false);
    }
    this.#deps.telling.settleIfTold(watched);
  }

  /** What the far side lets a pair know has changed. */
  upstreamReported(pair: Pair, report: UpstreamReport): void {
    const watched = this.#deps.table.watched(pairKey(pair));
    if (watched === undefined) return;
    this.#deps.telling.unsettle(watched);
    this.follow(watched, report);
    // Not held back: a watcher who was let in is to see something then, and it follows on the word that he may.
    const isFirst = report.document !== undefined && !watched.isKnown;
    watched.isKnown ||= isFirst;
    for (const watching of watched.presence) {
      if (watching.record.state.at === 'active') this.#deps.telling.mark(watching, isFirst);
    }
    this.#deps.telling.settleIfTold(watched);
  }

  /** The rules of a user of ours have changed: each of his watchers is looked at again. */
  rulesChanged(ownerKey: string): void {
    const watched = this.#deps.table.watched(ownerKey);
    if (watched === undefined || watched.upstream !== undefined) return;
    for (const watching of [...watched.presence]) this.#decideAgain(watching);
    this.#deps.telling.settleIfTold(watched);
  }

  /** Address keys of the users who are watched, or watch somebody elsewhere. */
  *users(): Iterable<string> {
    for (const { key, upstream } of this.#deps.table.all()) {
      yield upstream === undefined ? key : addressKey(upstream.pair.watcher);
    }
  }

  /**
   * Somebody is a user no more: whoever watches him is told that there is nobody, and what he himself watches is given
   * up. Walks through all subscriptions; users go seldom.
   */
  userGone(userKey: string): void {
    for (const { key, presence, winfo, upstream } of [...this.#deps.table.all()]) {
      for (const watching of [...presence, ...winfo]) {
        if (key !== userKey && addressKey(watching.record.watcher) !== userKey) continue;
        if (upstream !== undefined) this.#deps.upstreamOf(upstream.route).end(upstream.pair);
        this.#deps.move(watching, { type: 'ended', reason: 'noresource' });
      }
    }
  }

  /** Brings the subscriptions of a pair where the far side says they are. */
  follow({ presence }: Watched, { state }: UpstreamReport): void {
    for (const watching of [...presence]) {
      if (state.at === 'ended') this.#end(watching, state.reason);
      else if (state.at === 'active' && watching.record.state.at === 'pending') {
        this.#deps.move(watching, { type: 'approved' });
      }
    }
  }

  #decideAgain(watching: Watching): void {
    const { record, watched } = watching;
    const { at } = record.state;
    const view = this.#deps.views.viewFor(watched, record.watcher);
    const isNewView = view !== watching.view;
    watching.view = view;
    const { action } = this.#deps.rules.decide(watched.key, record.watcher);
    if (action === 'block') this.#end(watching, 'rejected');
    // Without a change of policy towards him: he may ask again, and then waits (RFC 6665, section 4.1.3).
    else if (action === 'confirm' && at === 'active') this.#end(watching, 'deactivated');
    else if (action !== 'confirm' && (at === 'pending' || at === 'waiting'))
      this.#deps.move(watching, { type: 'approved' });
    else if (at === 'active' && isNewView) {
      this.#deps.telling.unsettle(watched);
      this.#deps.telling.mark(watching, true);
    }
  }

  #end(watching: Watching, reason: EndReason): void {
    if (reason === 'deactivated' && watching.isLive() && watching.record.lease?.via !== 'sip') {
      // An XMPP user does not ask again by himself: he goes back to where he waits for the owner.
      this.#deps.telling.unsettle(watching.watched);
      watching.record = { ...watching.record, state: { at: 'pending' } };
      watching.says = 'deactivated';
      this.#deps.saveLater(watching);
      this.#deps.telling.announce(watching, 'deactivated');
      this.#deps.telling.mark(watching, true);
      return;
    }
    this.#deps.move(watching, endingEvent(reason));
  }
}

function endingEvent(reason: EndReason): SubscriptionEvent {
  switch (reason) {
    case 'rejected':
      return { type: 'rejected' };
    case 'giveup':
      return { type: 'gave-up' };
    case 'timeout':
      return { type: 'expired' };
    case 'deactivated':
    case 'probation':
    case 'noresource':
      return { type: 'ended', reason };
  }
}
