import { addressKey, type Address } from '../../cpim/address.ts';
import type { ContactCard, PresenceDocument } from '../../cpim/presence/document.ts';
import type { Origin } from '../admission.ts';
import type { Config } from '../config.ts';
import { Departures, type DeparturesDeps } from './departures.ts';
import type { Log } from '../log.ts';
import type { Binding, Clock, Records } from '../ports.ts';
import { GatewayError } from '../errors.ts';
import { LocalPresence } from './local-presence.ts';
import { closedDocument, withoutLocation } from './polite-document.ts';
import { type Decision, PresenceRules } from './presence-rules.ts';
import { PublicationService } from './publication-service.ts';
import type { Publication, Published, PublishRequest } from './publication.ts';
import type { OwnerRules } from './rules.ts';
import { SubscriptionService } from './subscription-service.ts';
import type { Lease, Notifier, Pair, Upstream, UpstreamReport, UpstreamRoute } from './subscription.ts';
import type { PresenceRoute } from './subscription-table.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { StoredSubscription } from './watched.ts';
import { WatcherDesk } from './watcher-administration.ts';

export type PresenceServiceDeps = {
  readonly config: Config['presence'];
  readonly records: {
    readonly publications: Records<Publication>;
    readonly rules: Records<OwnerRules>;
    readonly subscriptions: Records<StoredSubscription>;
    readonly unsettled: Records<1>;
  };
  readonly isUser: (address: Address) => boolean;
  /** @throws GatewayError as `Router.presenceRouteOf`. */
  readonly routeOf: (pair: Pair) => PresenceRoute;
  /** Refuses whoever may not speak for the watcher, or asks too often. @throws GatewayError. */
  readonly admit: (watcher: Address, origin: Origin) => void;
  readonly bindingsOf: (userKey: string) => readonly Binding[];
  /** What the directory says of a user; absent: there is none. */
  readonly cardOf?: (userKey: string) => ContactCard | undefined;
  /** Told when contacts or publications of a user have changed. */
  readonly stirred?: (userKey: string) => void;
  readonly upstreamOf: (route: UpstreamRoute) => Upstream;
  readonly notifierOf: (via: Lease['via']) => Notifier | undefined;
  readonly isOwn: DeparturesDeps['isOwn'];
  readonly permissions: DeparturesDeps['permissions'];
  /** Those who are shown elsewhere as a whole, by accounts of their own there; told when what is shown has changed. */
  readonly showing?: { users(): Iterable<string>; changed(userKey: string): void };
  /** A token nobody can guess and that never comes again. */
  readonly newToken: () => string;
  readonly clock: Clock;
  readonly log: Log;
};

/**
 * What one may see who has not subscribed: nothing, because he would have to be allowed first; somebody who is never
 * there; one who hides himself and is no stranger; or the document made for him.
 */
export type Sight =
  | { readonly kind: 'nothing'; readonly document?: undefined }
  | { readonly kind: 'nobody' | 'invisible' | 'presence'; readonly document: PresenceDocument };

const NOTHING: Sight = { kind: 'nothing' };

/**
 * The presence server of our domains: what users publish, who may see it, and who watches whom, put together so that a
 * change in one reaches the others.
 */
export class PresenceService {
  readonly #publications: PublicationService;
  readonly #local: LocalPresence;
  readonly #subscriptions: SubscriptionService;
  readonly #departures: Departures;
  readonly #showing: PresenceServiceDeps['showing'];
  readonly #rules: PresenceRules;
  readonly #deps: PresenceServiceDeps;
  readonly watchers: WatcherDesk;

  constructor(deps: PresenceServiceDeps) {
    const { config, records, clock, log } = deps;
    this.#deps = deps;
    this.#publications = new PublicationService({
      records: records.publications,
      limits: { expires: config.expires, publicationsPerUser: config.limits.publicationsPerUser },
      clock,
      log,
      newToken: deps.newToken,
      beforeChange: (presentityKey) => this.#subscriptions.changes.beforeChange(presentityKey),
      changed: (presentityKey) => this.#stirred(presentityKey),
    });
    this.#local = new LocalPresence({
      publicationsOf: (presentityKey) => this.#publications.of(presentityKey),
      bindingsOf: deps.bindingsOf,
      cardOf: deps.cardOf ?? (() => undefined),
      policy: config.composition,
      clock,
      onChanged: (presentityKey) => {
        this.#subscriptions.changes.localChanged(presentityKey);
        deps.showing?.changed(presentityKey);
      },
    });
    const rules = (this.#rules = new PresenceRules({
      records: records.rules,
      defaultAction: config.default,
      log,
      beforeChange: (ownerKey) => this.#subscriptions.changes.beforeChange(ownerKey),
      changed: (ownerKey) => {
        this.#subscriptions.changes.rulesChanged(ownerKey);
        deps.showing?.changed(ownerKey);
      },
    }));
    this.#subscriptions = new SubscriptionService({
      ...deps,
      records: records.subscriptions,
      unsettled: records.unsettled,
      rules,
      local: this.#local,
      limits: config.limits,
      expires: config.expires,
      notifyIntervalMs: config.notifyIntervalSeconds * 1_000,
      waitingMs: config.waitingDays * 86_400_000,
    });
    this.#departures = new Departures({
      ...deps,
      rules,
      publications: this.#publications,
      subscriptions: this.#subscriptions.changes,
    });
    this.watchers = new WatcherDesk({
      rules,
      forget: (owner) => this.#departures.forget(owner),
      subscriptionsOf: (presentityKey) => this.#subscriptions.of(presentityKey),
      isUser: deps.isUser,
    });
  }

  get subscriptions(): Subscriptions {
    return this.#subscriptions;
  }

  get figures(): { readonly publications: number; readonly subscriptions: number; readonly unanswered: number } {
    return { publications: this.#publications.count(), ...this.#subscriptions.figures };
  }

  /** @throws as `PublicationService.publish`. */
  publish(request: PublishRequest): Promise<Published> {
    return this.#publications.publish(request);
  }

  /** From now on changes of a user are told to `showing`. */
  follow(userKey: string): void {
    this.#local.follow(userKey);
  }

  unfollow(userKey: string): void {
    this.#local.unfollow(userKey);
  }

  /** What a user lets be seen by whoever may see anything; undefined where he lets nothing be seen. */
  shownOf(userKey: string): PresenceDocument | undefined {
    return this.#rules.isInvisible(userKey) ? undefined : this.#local.documentOf(userKey);
  }

  /** What his rules make of a watcher. */
  decide(userKey: string, watcher: Address): Decision {
    return this.#rules.decide(userKey, watcher);
  }

  /** The registrations of a user are about to change: called before that is stored. */
  beforeRegistration(userKey: string): void {
    this.#subscriptions.changes.beforeChange(userKey);
  }

  /** They have changed. */
  registered(userKey: string): void {
    this.#stirred(userKey);
  }

  /** What the directory says of a user is about to become another: called before that is stored. */
  beforeProfile(userKey: string): void {
    this.#subscriptions.changes.beforeChange(userKey);
  }

  /** It has. */
  profileChanged(userKey: string): void {
    this.#changed(userKey);
  }

  /** Whether a user has published anything that counts at present. */
  hasPublished(userKey: string): boolean {
    return this.#publications.of(userKey).length > 0;
  }

  /**
   * What somebody may see of a user of ours at this moment, without subscribing. Tells nobody, and keeps nothing.
   *
   * @param via where his subscription would be, for users who are known to a core behind us alone
   */
  seenBy(pair: Pair, via: Lease['via']): Sight {
    const route = this.#routeOf(pair);
    if (route === undefined) return NOTHING;
    const { watcher, presentity } = pair;
    if (route.kind !== 'local') {
      if (this.#subscriptions.findOn(via, pair)?.state.at !== 'active') return NOTHING;
      const document = this.#deps.upstreamOf(route).reportOf(pair)?.document;
      return { kind: 'presence', document: document ?? closedDocument(presentity) };
    }
    const userKey = addressKey(presentity);
    const { action, showsLocation } = this.#rules.decide(userKey, watcher);
    if (action === 'block' || action === 'confirm') return NOTHING;
    if (action === 'polite-block') return { kind: 'nobody', document: closedDocument(presentity) };
    const isSelf = addressKey(watcher) === userKey;
    if (this.#rules.isInvisible(userKey) && !isSelf) return { kind: 'invisible', document: closedDocument(presentity) };
    const document = this.#local.documentOf(userKey);
    return { kind: 'presence', document: showsLocation === true || isSelf ? document : withoutLocation(document) };
  }

  /** Whether a user of ours lets somebody see when he is there: as nobody else, and not as one who is hidden. */
  maySee(ownerKey: string, watcher: Address): boolean {
    return !this.#rules.isInvisible(ownerKey) && this.#rules.decide(ownerKey, watcher).action === 'allow';
  }

  /**
   * The registrations of a user have changed on another node, which has left a mark that his watchers were not told.
   */
  registeredElsewhere(userKey: string): void {
    this.beforeRegistration(userKey);
    this.registered(userKey);
    // Where nobody watches him there is nothing to tell.
    if (!this.#subscriptions.changes.isWatched(userKey)) this.#deps.records.unsettled.removeLater(userKey);
  }

  /** What the far side lets a pair know has changed. */
  upstreamReported(pair: Pair, report: UpstreamReport): void {
    this.#subscriptions.changes.upstreamReported(pair, report);
  }

  /** See `SubscriptionService.isWanted`. */
  isWanted(pair: Pair, isStillThere: (pair: Pair) => Promise<boolean>): Promise<boolean> {
    return this.#subscriptions.isWanted(pair, isStillThere);
  }

  /** Takes up what an earlier process left; before the doors open. What the upstreams restore must be there. */
  load(): void {
    this.#subscriptions.load();
    this.#publications.start();
    for (const userKey of this.#showing?.users() ?? []) this.#local.follow(userKey);
  }

  /** Lets go of former users, tells watchers, watches presentities elsewhere again; when the ways out are open. */
  start(): void {
    this.#departures.sweep();
    this.#subscriptions.start();
  }

  /** Tells nobody any more; waits for answers at most so long. What was not told is told by the next process. */
  async stop(graceMs: number): Promise<void> {
    this.#publications.stop();
    this.#local.stop();
    await this.#subscriptions.stop(graceMs);
  }

  #routeOf(pair: Pair): PresenceRoute | undefined {
    try {
      return this.#deps.routeOf(pair);
    } catch (thrown) {
      // A domain that is no peer may see nobody.
      if (thrown instanceof GatewayError) return undefined;
      throw thrown;
    }
  }

  #stirred(userKey: string): void {
    this.#deps.stirred?.(userKey);
    this.#changed(userKey);
  }

  #changed(presentityKey: string): void {
    this.#local.changed(presentityKey);
    this.#subscriptions.changes.afterChange(presentityKey);
  }
}
