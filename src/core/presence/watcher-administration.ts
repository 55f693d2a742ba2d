import { addressKey, type Address } from '../../cpim/address.ts';
import { GatewayError } from '../errors.ts';
import type { PresenceRules } from './presence-rules.ts';
import type { Rule, RuleSubject, WatcherAdministration, WatcherLine, WatcherListing } from './rules.ts';
import { ANONYMOUS, type Subscription } from './subscription.ts';

export type WatcherAdministrationDeps = {
  readonly rules: PresenceRules;
  readonly subscriptionsOf: (presentityKey: string) => readonly Subscription[];
  readonly isUser: (address: Address) => boolean;
  /** See `Departures.forget`. */
  readonly forget: (owner: Address) => Promise<void>;
};

/** The liveliest last. */
const LIVELINESS = ['waiting', 'pending', 'active'] as const;

/** What an operator may see and decide about the watchers of a user of ours. */
export class WatcherDesk implements WatcherAdministration {
  readonly #deps: WatcherAdministrationDeps;

  constructor(deps: WatcherAdministrationDeps) {
    this.#deps = deps;
  }

  list(owner: Address): WatcherListing {
    this.#checkOwner(owner);
    const { rules, subscriptionsOf } = this.#deps;
    const ownerKey = addressKey(owner);
    const lines = new Map<string, WatcherLine>();
    for (const subscription of subscriptionsOf(ownerKey)) {
      const { at } = subscription.state;
      if (at === 'terminated') continue;
      const key = subscription.watcher === ANONYMOUS ? 'anonymous' : addressKey(subscription.watcher);
      lines.set(key, folded(lines.get(key) ?? this.#line(ownerKey, subscription), subscription, at));
    }
    for (const [subject, rule] of rules.rulesOf(ownerKey)) {
      if (!lines.has(subject)) lines.set(subject, { watcher: subject, subscriptions: 0, ...rule, isOwnRule: true });
    }
    const watchers = [...lines.values()].sort((a, b) => (a.watcher < b.watcher ? -1 : 1));
    return { isInvisible: rules.isInvisible(ownerKey), watchers };
  }

  async set(owner: Address, subject: RuleSubject, rule: Rule): Promise<void> {
    this.#checkOwner(owner);
    await this.#deps.rules.set(owner, subject, rule);
  }

  async remove(owner: Address, subject: RuleSubject): Promise<boolean> {
    this.#checkOwner(owner);
    return this.#deps.rules.remove(owner, subject);
  }

  async setInvisible(owner: Address, isInvisible: boolean): Promise<void> {
    this.#checkOwner(owner);
    await this.#deps.rules.setInvisible(owner, isInvisible);
  }

  forget(owner: Address): Promise<void> {
    return this.#deps.forget(owner);
  }

  #line(ownerKey: string, { watcher }: Subscription): WatcherLine {
    const { action, isOwnRule, showsLocation } = this.#deps.rules.decide(ownerKey, watcher);
    return {
      watcher: watcher === ANONYMOUS ? 'anonymous' : watcher,
      subscriptions: 0,
      action,
      isOwnRule,
      ...(showsLocation === undefined ? {} : { showsLocation }),
    };
  }

  #checkOwner(owner: Address): void {
    if (!this.#deps.isUser(owner)) throw new GatewayError('recipient-unknown', `no user ${owner}`);
  }
}

function folded(
  line: WatcherLine,
  { subscribedAtMs, displayName }: Subscription,
  at: (typeof LIVELINESS)[number],
): WatcherLine {
  const isLivelier = line.state === undefined || LIVELINESS.indexOf(at) > LIVELINESS.indexOf(line.state);
  return {
    ...line,
    state: isLivelier ? at : line.state,
    subscriptions: line.subscriptions + 1,
    sinceMs: Math.min(line.sinceMs ?? subscribedAtMs, subscribedAtMs),
    ...(displayName === undefined ? {} : { displayName }),
  };
}
