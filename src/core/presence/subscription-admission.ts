import { addressKey, localpartOf, type Address } from '../../cpim/address.ts';
import { isReturn, type Origin } from '../admission.ts';
import type { PresenceConfig } from '../config.ts';
import { GatewayError } from '../errors.ts';
import type { PresenceRules } from './presence-rules.ts';
import { ANONYMOUS, type Pair, type UpstreamReport } from './subscription.ts';
import type { PresenceRoute } from './subscription-table.ts';
import type { FetchRequest } from './subscriptions.ts';
import type { Watched } from './watched.ts';

export type SubscriptionLimits = Pick<
  PresenceConfig['limits'],
  'subscriptions' | 'subscriptionsPerWatcher' | 'watchersPerUser' | 'pendingPerUser'
>;

export type SubscriptionAdmissionDeps = {
  /** @throws GatewayError as `Router.presenceRouteOf`. */
  readonly routeOf: (pair: Pair) => PresenceRoute;
  readonly isUser: (address: Address) => boolean;
  /** Refuses whoever may not speak for the watcher, or asks too often. @throws GatewayError. */
  readonly admit: (watcher: Address, origin: Origin) => void;
  readonly rules: Pick<PresenceRules, 'decide'>;
  readonly reportOf: (upstream: NonNullable<Watched['upstream']>) => UpstreamReport;
  readonly limits: SubscriptionLimits;
  /** Subscriptions of one watcher, and of all. */
  readonly countOf: (watcher: Address) => number;
  readonly total: () => number;
};

const RETRY_AFTER_SECONDS = 30;

/** Decides who may subscribe to whom at all, and who may see something at once. */
export class SubscriptionAdmission {
  readonly #deps: SubscriptionAdmissionDeps;

  constructor(deps: SubscriptionAdmissionDeps) {
    this.#deps = deps;
  }

  /**
   * The way to the presentity, for one who may ask for it.
   *
   * @throws GatewayError 'recipient-unknown', 'sender-forbidden', 'event-unsupported', 'peer-unknown', 'rate-exceeded'.
   */
  routeFor(request: FetchRequest): PresenceRoute {
    const { admit, routeOf, isUser, rules } = this.#deps;
    const { watcher, presentity } = request;
    admit(watcher, request.origin);
    const route = routeOf(request);
    if (route.kind !== 'local') {
      if (isReturn(route, request.origin)) throw new GatewayError('loop-detected', 'neither we nor the core know him');
      if (request.package !== 'presence') throw new GatewayError('event-unsupported', 'only presence crosses');
      // Whoever is watched elsewhere must be told by whom.
      if (watcher === ANONYMOUS) throw new GatewayError('sender-forbidden', 'anonymous watcher of somebody elsewhere');
      return route;
    }
    if (localpartOf(presentity) === undefined || !isUser(presentity)) {
      throw new GatewayError('recipient-unknown', `no user ${presentity}`);
    }
    const ownerKey = addressKey(presentity);
    if (request.package === 'presence.winfo') {
      if (addressKey(watcher) === ownerKey) return route;
      throw new GatewayError('sender-forbidden', 'the list of watchers is for its owner alone');
    }
    if (rules.decide(ownerKey, watcher).action === 'block') {
      throw new GatewayError('sender-forbidden', `${presentity} blocks ${watcher}`);
    }
    return route;
  }

  /** Whether the watcher is let in at once, rather than when somebody has decided. */
  isAllowed(watched: Watched, { package: event, watcher }: FetchRequest): boolean {
    if (watched.upstream !== undefined) return this.#deps.reportOf(watched.upstream).state.at === 'active';
    if (event === 'presence.winfo') return true;
    const { action } = this.#deps.rules.decide(watched.key, watcher);
    return action === 'allow' || action === 'polite-block';
  }

  /** @throws GatewayError 'queue-full' or 'policy-violated' where there is no room for one more. */
  checkBounds(watched: Watched, request: FetchRequest): void {
    const { limits, countOf, total } = this.#deps;
    const { presence, winfo, undecided } = watched;
    if (total() >= limits.subscriptions) {
      const details = { retryAfterSeconds: RETRY_AFTER_SECONDS };
      throw new GatewayError('queue-full', 'no room for another subscription', { details });
    }
    const isOver =
      countOf(request.watcher) >= limits.subscriptionsPerWatcher ||
      presence.length + winfo.length >= limits.watchersPerUser ||
      // Those who wait keep nobody out whom the owner has let in.
      (undecided >= limits.pendingPerUser && !this.isAllowed(watched, request));
    if (isOver) throw new GatewayError('policy-violated', 'too many subscriptions of one watcher, or to one user');
  }
}
