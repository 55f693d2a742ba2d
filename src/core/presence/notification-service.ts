import type { WatcherEntry } from '../../cpim/presence/watcherinfo.ts';
import type { Clock, Records } from '../ports.ts';
import { FanOut } from './fan-out.ts';
import type { Lease, NotifyOutcome, Notifier } from './subscription.ts';
import type { Views } from './views.ts';
import type { Watched, Watching } from './watched.ts';
import { watcherEntry } from './watcher-list.ts';

export type NotificationServiceDeps = {
  readonly views: Views;
  readonly notifierOf: (via: Lease['via']) => Notifier | undefined;
  /** Keys of those whose watchers have not all been told the newest. */
  readonly unsettled: Records<1>;
  /** At most one notification per subscription in so many ms; 0: no limit. */
  readonly notifyIntervalMs: number;
  readonly clock: Clock;
  /** One has been told everything there is, or, with a reason, cannot be told any more. */
  readonly settled: (watching: Watching, lostBecause: string | undefined) => void;
};

/**
 * Sees to it that every watcher is told the newest, over a crash too: whoever is watched is marked in the store before
 * he changes, and the mark goes when all of his watchers know. That is two writes for a change, however many watch.
 */
export class NotificationService {
  readonly #deps: NotificationServiceDeps;
  readonly #fanOut: FanOut<Watching>;

  constructor(deps: NotificationServiceDeps) {
    this.#deps = deps;
    this.#fanOut = new FanOut({
      clock: deps.clock,
      intervalOf: ({ record }) => record.pace?.shortestMs ?? deps.notifyIntervalMs,
      repeatOf: ({ record }) => record.pace?.longestMs,
      repeat: (watching) => {
        if (watching.at >= 0 && watching.record.state.at === 'active') this.mark(watching, false);
      },
      tell: (watching) => this.#tell(watching),
      settled: (watching, outcome) => {
        this.closed(watching);
        deps.settled(watching, outcome.kind === 'gone' ? outcome.reason : undefined);
      },
      wayOf: ({ record }) => record.lease?.via ?? '',
    });
  }

  /** Tells nobody before this: what is marked waits. */
  start(): void {
    this.#fanOut.start();
  }

  get unanswered(): number {
    return this.#fanOut.unanswered;
  }

  /** There is something to tell; `isUrgent` where the rate limit does not count: the first word, the last, an answer. */
  mark(watching: Watching, isUrgent: boolean): void {
    if (!watching.isStored) return;
    if (!watching.isOpen) {
      watching.isOpen = true;
      watching.watched.open += 1;
    }
    this.#fanOut.mark(watching, isUrgent);
  }

  /** Lets whoever is watched see in the list of his watchers what became of one of them. */
  announce(watching: Watching, event: WatcherEntry['event'], status = watching.record.state.at): void {
    const { record, watched } = watching;
    if (watched.winfo.length === 0 || record.package !== 'presence') return;
    const entry = watcherEntry(record, event, this.#deps.clock.nowMs(), status);
    for (const owner of watched.winfo) {
      owner.changes?.set(record.id, entry);
      if (owner.isLive()) this.mark(owner, false);
    }
  }

  /** Before whoever is watched changes. */
  unsettle(watched: Watched): void {
    if (watched.isUnsettled) return;
    watched.isUnsettled = true;
    this.#deps.unsettled.putLater(watched.key, 1);
  }

  /** After it was marked for everybody whom it concerns. */
  settleIfTold(watched: Watched): void {
    if (watched.open > 0 || !watched.isUnsettled) return;
    watched.isUnsettled = false;
    this.#deps.unsettled.removeLater(watched.key);
  }

  /** Nothing more is told to it. */
  drop(watching: Watching): void {
    this.#fanOut.drop(watching);
    this.closed(watching);
  }

  wake(via: Lease['via']): void {
    this.#fanOut.wake(via);
  }

  stop(graceMs: number): Promise<void> {
    return this.#fanOut.stop(graceMs);
  }

  closed(watching: Watching): void {
    if (!watching.isOpen) return;
    watching.isOpen = false;
    watching.watched.open -= 1;
    this.settleIfTold(watching.watched);
  }

  async #tell(watching: Watching): Promise<NotifyOutcome> {
    const { lease } = watching.record;
    const notifier = lease === undefined ? undefined : this.#deps.notifierOf(lease.via);
    if (notifier === undefined) return { kind: 'gone', reason: 'there is no way to the watcher any more' };
    const { says } = watching;
    const notification = this.#deps.views.notificationOf(watching);
    if (watching.record.package === 'presence.winfo') watching.changes = new Map();
    const outcome = await notifier.notify(notification);
    if (outcome.kind !== 'told') watching.changes = undefined;
    else if (watching.says === says) watching.says = 'nothing';
    return outcome;
  }
}
