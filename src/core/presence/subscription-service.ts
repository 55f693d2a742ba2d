import { addressKey } from '../../cpim/address.ts';
import { GatewayError } from '../errors.ts';
import type { LogFields, Log } from '../log.ts';
import type { Clock, Records } from '../ports.ts';
import { grantedSeconds, type ExpiresLimits } from '../granted-seconds.ts';
import type { LocalPresence } from './local-presence.ts';
import { NotificationService } from './notification-service.ts';
import { adoptedPace, type Pace } from './pace.ts';
import type { PresenceRules } from './presence-rules.ts';
import {
  pairKey,
  type Lease,
  type Notification,
  type NotifyBody,
  type Notifier,
  type Pair,
  type Subscription,
  type Upstream,
  type UpstreamRoute,
} from './subscription.ts';
import { SubscriptionAdmission, type SubscriptionAdmissionDeps } from './subscription-admission.ts';
import { SubscriptionChanges } from './subscription-changes.ts';
import { stepSubscription, type SubscriptionEvent } from './subscription-machine.ts';
import { SubscriptionRegister } from './subscription-register.ts';
import type { PresenceRoute } from './subscription-table.ts';
import type { FetchRequest, Granted, RefreshRequest, SubscribeRequest, Subscriptions } from './subscriptions.ts';
import { UpstreamWatches } from './upstream-watches.ts';
import { Views } from './views.ts';
import type { StoredSubscription, Watched, Watching } from './watched.ts';
import { entryEventOf } from './watcher-list.ts';

export type SubscriptionServiceDeps = Omit<SubscriptionAdmissionDeps, 'reportOf' | 'countOf' | 'total'> & {
  readonly records: Records<StoredSubscription>;
  /** Keys of those whose watchers have not all been told the newest. */
  readonly unsettled: Records<1>;
  readonly rules: Pick<PresenceRules, 'decide' | 'isInvisible'>;
  readonly local: Pick<LocalPresence, 'documentOf' | 'watch' | 'unwatch'>;
  readonly upstreamOf: (route: UpstreamRoute) => Upstream;
  readonly notifierOf: (via: Lease['via']) => Notifier | undefined;
  readonly expires: ExpiresLimits;
  /** At most one notification per subscription in so many ms; 0: no limit. */
  readonly notifyIntervalMs: number;
  /** How long a watcher is kept for the owner to decide. */
  readonly waitingMs: number;
  readonly clock: Clock;
  readonly log: Log;
};

/** Longer than any transaction: what was accepted so shortly before a crash may not have been told. */
const UNTOLD_MS = 35_000;

/**
 * The subscriptions of all watchers here: who may watch whom, until when, and what each is to be told. Durable: what was
 * granted is stored before the watcher hears of it, and goes on after a restart.
 */
export class SubscriptionService implements Subscriptions {
  readonly #deps: SubscriptionServiceDeps;
  readonly #admission: SubscriptionAdmission;
  readonly #views: Views;
  readonly #telling: NotificationService;
  readonly #register: SubscriptionRegister;
  readonly #upstreams: UpstreamWatches;
  /** Told by whoever knows what watchers see. */
  readonly changes: SubscriptionChanges;
  /** Numbers the records of those who only looked once. */
  #looks = 0;

  constructor(deps: SubscriptionServiceDeps) {
    this.#deps = deps;
    const upstreams = (this.#upstreams = new UpstreamWatches(deps));
    const reportOf = upstreams.reportOf.bind(upstreams);
    this.#views = new Views({ ...deps, reportOf });
    this.#admission = new SubscriptionAdmission({
      ...deps,
      reportOf,
      countOf: (watcher) => this.#register.table.countOf(watcher),
      total: () => this.#register.table.size,
    });
    this.#telling = new NotificationService({
      ...deps,
      views: this.#views,
      settled: (watching, lostBecause) => this.#settled(watching, lostBecause),
    });
    this.#register = new SubscriptionRegister({ ...deps, ended: (watching, event) => this.#moved(watching, event) });
    this.changes = new SubscriptionChanges({
      table: this.#register.table,
      telling: this.#telling,
      views: this.#views,
      rules: deps.rules,
      upstreamOf: deps.upstreamOf,
      move: (watching, event) => this.#moved(watching, event),
      saveLater: (watching) => this.#register.saveLater(watching),
    });
  }

  /**
   * Takes up what an earlier process left, once; before the doors open. Rules that were changed in its last moment are
   * carried out, and what may not have been told is told again.
   */
  load(): void {
    const { records, unsettled, clock } = this.#deps;
    let newestMs = 0;
    for (const [, record] of records.all()) {
      newestMs = Math.max(newestMs, record.refreshedAtMs);
      this.#restore(record);
    }
    const untoldSinceMs = Math.min(newestMs, clock.nowMs()) - UNTOLD_MS;
    const keys = new Set([...unsettled.all()].map(([key]) => key));
    for (const watched of this.#register.table.all()) {
      if (keys.delete(watched.key)) watched.isUnsettled = true;
      for (const watching of [...watched.presence, ...watched.winfo]) {
        const { lease, refreshedAtMs, pace } = watching.record;
        if (lease === undefined) continue;
        const isFresh = refreshedAtMs > untoldSinceMs || pace?.longestMs !== undefined;
        if (!watching.isLive() || isFresh || watched.isUnsettled) this.#telling.mark(watching, false);
      }
      if (watched.upstream === undefined) this.changes.rulesChanged(watched.key);
      else this.changes.follow(watched, this.#upstreams.reportOf(watched.upstream));
      this.#telling.settleIfTold(watched);
    }
    for (const key of keys) unsettled.removeLater(key);
  }

  /** Tells watchers, and watches presentities elsewhere again for them. Once, when the ways out are there. */
  start(): void {
    this.#telling.start();
    for (const { upstream, presence } of this.#register.table.all()) {
      if (upstream !== undefined && presence.some((watching) => watching.isLive())) {
        this.#upstreams.watchAgain(upstream);
      }
    }
  }

  /** Tells nobody any more; what was not told is told by the next process. */
  stop(graceMs: number): Promise<void> {
    this.#register.stop();
    return this.#telling.stop(graceMs);
  }

  get figures(): { readonly subscriptions: number; readonly unanswered: number } {
    return { subscriptions: this.#register.table.size, unanswered: this.#telling.unanswered };
  }

  find(id: string): Subscription | undefined {
    return this.#register.table.get(id)?.record;
  }

  findOn(via: Lease['via'], pair: Pair): Subscription | undefined {
    return this.#register.table.onLink(via, pair)?.record;
  }

  /** All subscriptions to the presence of a user of ours. */
  of(presentityKey: string): readonly Subscription[] {
    return this.#register.table.watched(presentityKey)?.presence.map(({ record }) => record) ?? [];
  }

  async subscribe(request: SubscribeRequest): Promise<Granted> {
    const { clock, expires, log } = this.#deps;
    const { watcher, presentity, id, lease } = request;
    const route = this.#admission.routeFor(request);
    const seconds = request.expires === 'never' ? undefined : grantedSeconds(request.expires, expires);
    if (
      this.#register.table.get(id) !== undefined ||
      (lease.via !== 'sip' && this.findOn(lease.via, request) !== undefined)
    ) {
      throw new GatewayError('conflict', 'there is this subscription already');
    }
    const watched = this.#register.watchedOf(request, route);
    this.#checkBounds(watched, request);
    const nowMs = clock.nowMs();
    const record: StoredSubscription = {
      id,
      package: request.package,
      watcher,
      presentity,
      state: {
        at: this.#admission.isAllowed(watched, request) ? 'active' : 'pending',
        ...(seconds === undefined ? {} : { expiresAtMs: nowMs + seconds * 1_000 }),
      },
      subscribedAtMs: nowMs,
      refreshedAtMs: nowMs,
      ...(request.displayName === undefined ? {} : { displayName: request.displayName }),
      ...this.#paceFor(request.pace, seconds),
      lease,
    };
    const watching = this.#add(record, watched);
    await this.#store(watching);
    if (request.hasBody?.(this.#shownTo(watching)) === true) watching.says = 'suppressed';
    this.#forgetWaiting(watching);
    this.#telling.mark(watching, true);
    this.#telling.announce(watching, 'subscribe');
    log.info({ ...fieldsOf(record), state: record.state.at, expiresSeconds: seconds }, 'subscription accepted');
    return { expiresSeconds: seconds ?? 0 };
  }

  async refresh(id: string, request: RefreshRequest): Promise<Granted & { readonly isSuppressed: boolean }> {
    const { clock, expires, records } = this.#deps;
    const watching = this.#register.table.get(id);
    if (watching?.isLive() !== true) throw unknownDialog();
    if (request.expiresSeconds === 0) {
      const { state } = stepSubscription(watching.record.state, { type: 'unsubscribed' });
      await records.put(id, { ...watching.record, state });
      if (watching.isLive()) this.#moved(watching, { type: 'unsubscribed' });
      return { expiresSeconds: 0, isSuppressed: false };
    }
    const seconds = grantedSeconds(request.expiresSeconds, expires);
    const nowMs = clock.nowMs();
    const event = { type: 'refreshed', expiresAtMs: nowMs + seconds * 1_000 } as const;
    const before = watching.record;
    const refreshed = (record: StoredSubscription): StoredSubscription => {
      const { state } = stepSubscription(record.state, event);
      return { ...withoutPace(record), state, refreshedAtMs: nowMs, ...this.#paceFor(request.pace, seconds) };
    };
    await records.put(id, refreshed(before));
    if (!this.#register.table.has(watching) || !watching.isLive()) throw unknownDialog();
    // It may have been approved while that was being stored.
    const isAnother = watching.record !== before;
    watching.record = refreshed(watching.record);
    if (isAnother) this.#register.saveLater(watching);
    this.#register.arm(watching);
    const isSuppressed = !watching.isDue && request.hasBody?.(this.#shownTo(watching)) === true;
    if (!isSuppressed) this.#telling.mark(watching, true);
    return { expiresSeconds: seconds, isSuppressed };
  }

  async fetch(request: FetchRequest): Promise<Pick<Notification, 'body'>> {
    const route = this.#admission.routeFor(request);
    if (route.kind !== 'local') {
      const { document } = await this.#deps.upstreamOf(route).fetch(request, route);
      return document === undefined ? {} : { body: { kind: 'presence', document } };
    }
    const watched = this.#register.watchedOf(request, route);
    try {
      if (!this.#admission.isAllowed(watched, request)) {
        await this.#wait(watched, request);
        return {};
      }
      const body = this.#views.bodyFor(watched, request.package, request.watcher);
      return body === undefined ? {} : { body };
    } finally {
      this.#register.release(watched);
    }
  }

  saveLease(id: string): Promise<void> {
    const watching = this.#register.table.get(id);
    if (watching === undefined) return Promise.reject(unknownDialog());
    return this.#register.save(watching);
  }

  saveLeaseLater(id: string): void {
    const watching = this.#register.table.get(id);
    if (watching !== undefined) this.#register.saveLater(watching);
  }

  async forget(id: string): Promise<void> {
    const watching = this.#register.table.get(id);
    if (watching === undefined) return;
    await this.#deps.records.remove(id);
    if (!this.#register.table.has(watching)) return;
    const { record, watched } = watching;
    this.#telling.announce(watching, 'timeout', 'terminated');
    this.#takeOut(watching);
    this.#upstreams.end(watched);
    this.#deps.log.info(fieldsOf(record), 'subscription given up by its watcher');
  }

  attend(id: string, isThere: boolean): void {
    const watching = this.#register.table.get(id);
    if (watching === undefined || watching.isThere === isThere) return;
    watching.isThere = isThere;
    const { upstream } = watching.watched;
    if (upstream === undefined) return;
    if (isThere) this.#upstreams.watchAgain(upstream);
    else this.#upstreams.rest(watching.watched);
  }

  tellAgain(id: string): void {
    const watching = this.#register.table.get(id);
    if (watching?.record.state.at !== 'active') return;
    if (watching.says === 'nothing') watching.says = 'whole';
    this.#telling.mark(watching, true);
  }

  wake(via: Lease['via']): void {
    this.#telling.wake(via);
  }

  /**
   * Whether a watcher is there to see what is about to be asked for again on his behalf (RFC 8048, section 8.1): a phone
   * says so by its own refreshes, an XMPP user is looked for. Where he is not, the presentity is let rest.
   */
  async isWanted(pair: Pair, isStillThere: (pair: Pair) => Promise<boolean>): Promise<boolean> {
    const live = this.#register.table.watched(pairKey(pair))?.presence.filter((watching) => watching.isLive()) ?? [];
    if (live.some(({ isThere, record }) => isThere && record.lease?.via === 'sip')) return true;
    const wanted = live.length > 0 && (await isStillThere(pair));
    if (!wanted) for (const { record } of live) this.attend(record.id, false);
    return wanted;
  }

  /**
   * Carries out one event of the machine. Need not be durable before the watcher hears of it: the rule or the report that
   * brought it is, and so is the time at which it ends; after a crash they come to the same.
   */
  #moved(watching: Watching, event: SubscriptionEvent): void {
    const { log } = this.#deps;
    const before = watching.record;
    const { state, notifies } = stepSubscription(before.state, event);
    if (state === before.state) return;
    watching.record = { ...before, state };
    log.info({ ...fieldsOf(before), state: state.at, event: event.type }, 'subscription changed');
    this.#telling.announce(watching, entryEventOf(event));
    if (before.lease !== undefined && notifies) {
      this.#telling.unsettle(watching.watched);
      this.#register.saveLater(watching);
      this.#telling.mark(watching, true);
    } else if (state.at === 'terminated') this.#over(watching);
  }

  #settled(watching: Watching, lostBecause: string | undefined): void {
    if (!this.#register.table.has(watching)) return;
    if (lostBecause !== undefined) {
      this.#deps.log.info({ ...fieldsOf(watching.record), reason: lostBecause }, 'subscription lost its watcher');
      const { record } = watching;
      const { state } = stepSubscription(record.state, { type: 'expired' });
      if (state !== record.state) {
        watching.record = { ...record, state };
        this.#telling.announce(watching, 'timeout');
      }
    }
    if (!watching.isLive()) this.#over(watching);
  }

  #paceFor(wish: Pace | undefined, seconds: number | undefined): { readonly pace?: Pace } {
    const lifetimeMs = seconds === undefined ? Number.POSITIVE_INFINITY : seconds * 1_000;
    const pace = adoptedPace(wish, this.#deps.notifyIntervalMs, lifetimeMs);
    return pace === undefined ? {} : { pace };
  }

  /** Those of a presentity that nobody watches any more must not be left behind by a refusal. */
  #checkBounds(watched: Watched, request: FetchRequest): void {
    try {
      this.#admission.checkBounds(watched, request);
    } catch (thrown) {
      this.#register.release(watched);
      throw thrown;
    }
  }

  #restore(record: StoredSubscription): void {
    const { routeOf, records, log } = this.#deps;
    let route: PresenceRoute;
    try {
      route = routeOf(record);
    } catch (thrown) {
      // The configuration has changed: there is no way between the two any more.
      const reason = GatewayError.of(thrown).message;
      log.warn({ ...fieldsOf(record), reason }, 'subscription dropped: its domains are not served any more');
      records.removeLater(record.id);
      return;
    }
    const watching = this.#register.restore(record, route);
    watching.view = this.#views.viewFor(watching.watched, record.watcher);
  }

  #add(record: StoredSubscription, watched: Watched): Watching {
    const watching = this.#register.table.add(record, watched);
    watching.view = this.#views.viewFor(watched, record.watcher);
    return watching;
  }

  async #store(watching: Watching): Promise<void> {
    const { upstream } = watching.watched;
    try {
      await this.#register.store(watching, upstream === undefined ? undefined : this.#upstreams.watch(upstream));
    } finally {
      if (!watching.isStored) this.#upstreams.rest(watching.watched);
    }
  }

  /** A subscription is over and its watcher knows, or cannot: what the owner still has to decide is kept. */
  #over(watching: Watching): void {
    if (watching.record.state.at === 'waiting') this.#register.keepWaiting(watching);
    else this.#takeOut(watching);
    this.#upstreams.rest(watching.watched);
  }

  #takeOut(watching: Watching): void {
    this.#telling.drop(watching);
    this.#register.remove(watching);
  }

  /** RFC 3857, section 4.7.1: a new subscription makes one that waits redundant. */
  #forgetWaiting({ record, watched }: Watching): void {
    if (watched.undecided === 0 || record.package !== 'presence') return;
    const watcherKey = addressKey(record.watcher);
    const waiting = watched.presence.filter(
      (other) => other.record.state.at === 'waiting' && addressKey(other.record.watcher) === watcherKey,
    );
    for (const other of waiting) this.#moved(other, { type: 'gave-up' });
  }

  /** Keeps one who only wanted to look once, for the owner to decide about him (RFC 3857, section 4.7.1). */
  async #wait(watched: Watched, request: FetchRequest): Promise<void> {
    const { watcher, presentity, displayName } = request;
    const watcherKey = addressKey(watcher);
    if (watched.presence.some(({ record }) => addressKey(record.watcher) === watcherKey)) return;
    this.#admission.checkBounds(watched, request);
    const nowMs = this.#deps.clock.nowMs();
    this.#looks += 1;
    const record: StoredSubscription = {
      id: `look-${nowMs.toString(36)}-${this.#looks.toString(36)}`,
      package: 'presence',
      watcher,
      presentity,
      state: { at: 'waiting' },
      subscribedAtMs: nowMs,
      refreshedAtMs: nowMs,
      ...(displayName === undefined ? {} : { displayName }),
    };
    const watching = this.#add(record, watched);
    await this.#store(watching);
    this.#telling.announce(watching, 'timeout');
  }

  /** What he is shown at present, as far as he may see anything. */
  #shownTo(watching: Watching): NotifyBody | undefined {
    return this.#views.notificationOf(watching).body;
  }
}

function withoutPace(record: StoredSubscription): StoredSubscription {
  const { pace, ...rest } = record;
  return pace === undefined ? record : rest;
}

function unknownDialog(): GatewayError {
  return new GatewayError('dialog-unknown', 'there is no such subscription');
}

function fieldsOf({ id, watcher, presentity, package: event }: Subscription): LogFields {
  return { subscriptionId: id, watcher, presentity, ...(event === 'presence' ? {} : { event }) };
}
