import type { Config } from './core/config.ts';
import { randomBytes } from 'node:crypto';
import { Admission } from './core/admission.ts';
import { DeliveryService } from './core/delivery-service.ts';
import type { Log } from './core/log.ts';
import { MessageService } from './core/message-service.ts';
import { PeerTable } from './core/peers.ts';
import { PresenceService } from './core/presence/presence-service.ts';
import type { Clock, DeliveryQueue, HopId, Random } from './core/ports.ts';
import { RegistrationService } from './core/registration-service.ts';
import { linkHop, Router, sipHop } from './core/router.ts';
import { UserTable } from './core/user-table.ts';
import type { Health, LinkHealth } from './http/routes-health.ts';
import { OperatorDoor } from './http/server.ts';
import { sipApplication, type SipApplication } from './sip/application.ts';
import type { SipListener, SipStack } from './sip/stack.ts';
import { createEmbeddedStack } from './sip/stack-embedded.ts';
import { sameSipUri, parseSipUri } from './sip/uri.ts';
import { openSqliteStore, type SqliteStore } from './store/sqlite-store.ts';
import { xmppDispatch } from './xmpp/dispatch.ts';
import { ComponentLink } from './xmpp/link-component.ts';
import { linkSender } from './xmpp/message-sender.ts';
import { XmppPresence } from './xmpp/presence/xmpp-presence.ts';

export type AppOptions = {
  readonly config: Config;
  readonly version: string;
  readonly controlSocket: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

/** How long the parts may take to end what is under way; together they stay under the 10 s an operator waits. */
const GRACE_MS = { sip: 2_000, presence: 1_000, queue: 3_000, links: 2_000 };
/** Of a token that nobody guesses. */
const TOKEN_BYTES = 15;

/** The server: every adapter is constructed here and nowhere else. */
export class App {
  readonly #options: AppOptions;
  readonly #startedAtMs: number;
  readonly #store: SqliteStore;
  readonly #queue: DeliveryQueue;
  readonly #closeQueue: () => Promise<void>;
  readonly #peers: PeerTable;
  readonly #delivery: DeliveryService;
  readonly #registrations: RegistrationService;
  readonly #messages: MessageService;
  readonly #links: ReadonlyMap<string, ComponentLink>;
  readonly #stack: SipStack;
  readonly #sip: SipApplication;
  readonly #presence: PresenceService;
  readonly #xmppPresence: XmppPresence;
  readonly #door: OperatorDoor;
  #listeners: readonly SipListener[] = [];
  #status: Health['status'] = 'starting';
  #opened: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  /** Opens the store and puts the parts together; nothing listens yet. @throws GatewayError 'store-unavailable'. */
  static async create(options: AppOptions): Promise<App> {
    const store = await openSqliteStore(storeOptions(options));
    try {
      const { queue, close } = await openQueue(options, store);
      return new App(options, store, queue, close);
    } catch (thrown) {
      await store.close();
      throw thrown;
    }
  }

  private constructor(options: AppOptions, store: SqliteStore, queue: DeliveryQueue, closeQueue: () => Promise<void>) {
    const { config, clock, random, log } = options;
    this.#options = options;
    this.#store = store;
    this.#queue = queue;
    this.#closeQueue = closeQueue;
    this.#startedAtMs = clock.nowMs();
    this.#peers = new PeerTable(config);
    const lifetimeMs = config.queue.lifetimeSeconds * 1_000;
    const contactsOf = (userKey: string) => this.#registrations.contactsOf(userKey);
    const users = new UserTable({ peers: this.#peers, credentials: store.credentials, contactsOf });
    const isUser = users.isUser.bind(users);
    const router = new Router(this.#peers, users.isKnownHere.bind(users));
    const admission = new Admission({
      peers: this.#peers,
      limits: config.limits,
      rateLimits: config.rateLimits,
      subscriptionsPerWatcher: config.presence.limits.subscriptionsPerWatcher,
      clock,
    });

    this.#stack = createEmbeddedStack({
      listeners: config.sip.listen,
      ...(config.sip.tls === undefined ? {} : { tls: config.sip.tls }),
      dnsServers: config.dns.servers,
      clock,
      log,
      serverName: `Interpres/${options.version}`,
    });
    this.#sip = sipApplication({
      stack: this.#stack,
      peers: this.#peers,
      credentials: store.credentials,
      registrations: { register: (user, request) => this.#registrations.register(user, request), contactsOf },
      accept: (message, origin) => this.#messages.accept(message, origin),
      listeners: () => this.#listeners,
      presence: {
        // Not the thing itself: it needs the SIP side to be there first.
        subscriptions: {
          subscribe: (request) => this.#presence.subscriptions.subscribe(request),
          refresh: (id, request) => this.#presence.subscriptions.refresh(id, request),
          fetch: (request) => this.#presence.subscriptions.fetch(request),
          find: (id) => this.#presence.subscriptions.find(id),
          saveLease: (id) => this.#presence.subscriptions.saveLease(id),
        },
        publish: (request) => {
          admission.admitPublisher(request.presentity);
          return this.#presence.publish(request);
        },
        isUser,
        upstreamRecords: store.records('sip-upstream'),
        onReport: (pair, report) => this.#presence.upstreamReported(pair, report),
        isWanted: (pair) => this.#presence.isWanted(pair, this.#xmppPresence.isStillThere),
        documentBytesMax: config.presence.limits.documentBytes,
        expiresSeconds: config.presence.expires.default,
        random,
      },
      clock,
      log,
    });
    this.#links = new Map(
      Object.entries(config.links).map(([name, link]) => [
        name,
        new ComponentLink({
          name,
          host: link.host,
          port: link.port,
          component: link.name,
          secret: link.secret,
          clock,
          random,
          log,
          limits: { stanzaBytesMax: config.limits.stanzaBytes },
        }),
      ]),
    );
    const linksByName = new Map(
      [...this.#links].map(([name, link]) => [name, { link, domains: known(config.links[name]) }] as const),
    );
    this.#xmppPresence = new XmppPresence({
      links: linksByName,
      records: store.records('xmpp-upstream'),
      subscriptions: () => this.#presence.subscriptions,
      onReport: (pair, report) => this.#presence.upstreamReported(pair, report),
      newToken,
      clock,
      random,
      log,
    });
    this.#presence = new PresenceService({
      config: config.presence,
      records: {
        publications: store.records('publication'),
        rules: store.records('rules'),
        subscriptions: store.records('subscription'),
        unsettled: store.records('unsettled'),
      },
      isUser,
      isOwn: (domain) => this.#peers.own(domain) !== undefined,
      routeOf: ({ watcher, presentity }) => router.presenceRouteOf(watcher, presentity),
      admit: (watcher, origin) => admission.admitWatcher(watcher, origin),
      bindingsOf: contactsOf,
      upstreamOf: ({ kind }) => (kind === 'sip' ? this.#sip.upstream : this.#xmppPresence.upstream),
      notifierOf: (via) => (via === 'sip' ? this.#sip.notifier : this.#xmppPresence.notifier),
      permissions: {
        owners: () => this.#xmppPresence.upstream.watchers(),
        forget: (watcherKey) => this.#xmppPresence.upstream.endAll(watcherKey),
      },
      newToken,
      clock,
      log,
    });
    this.#delivery = new DeliveryService({
      queue,
      router,
      senders: {
        local: this.#sip.contactSender,
        sip: this.#sip.peerSender,
        link: linkSender({ linkOf: (name) => linksByName.get(name), clock }),
      },
      contactsOf,
      clock,
      random,
      log,
      lifetimeMs,
      retry: { firstMs: config.queue.retry.firstSeconds * 1_000, maxMs: config.queue.retry.maxSeconds * 1_000 },
    });
    this.#registrations = new RegistrationService({
      store: store.bindings,
      limits: config.registration,
      sameContact,
      clock,
      log,
      wake: (hop) => this.#delivery.hopUp(hop),
      beforeChange: (userKey) => this.#presence.beforeRegistration(userKey),
      changed: (userKey) => this.#presence.registered(userKey),
    });
    this.#messages = new MessageService({
      admission,
      router,
      isUser,
      contactsOf,
      queue,
      delivery: this.#delivery,
      clock,
      log,
      lifetimeMs,
    });
    this.#door = new OperatorDoor({
      ...config.http,
      controlSocket: options.controlSocket,
      log,
      health: { health: () => this.health() },
      queue: { queue },
      watchers: { watchers: this.#presence.watchers },
    });
  }

  get listeners(): readonly SipListener[] {
    return this.#listeners;
  }

  /**
   * Opens the doors in the order in which they depend on each other: operator, queue, SIP, links. Resolves when SIP
   * listens and every link has been tried once, whatever came of it.
   *
   * @throws when a port or the store cannot be had; what was opened is closed again.
   */
  async start(): Promise<void> {
    try {
      this.#opened = this.#open();
      await this.#opened;
      if (this.#isStopping()) return;
      await Promise.all([...this.#links.entries()].map(([name, link]) => this.#startLink(name, link)));
      if (!this.#isStopping()) this.#status = 'ok';
    } catch (thrown) {
      await this.stop();
      throw thrown;
    }
  }

  /**
   * Takes nothing new, ends what is under way, keeps the rest on disk; under 10 s. At any time, also during the start:
   * a link that is being tried for the first time is given up.
   */
  stop(): Promise<void> {
    this.#status = 'stopping';
    this.#stopped ??= this.#close();
    return this.#stopped;
  }

  async #open(): Promise<void> {
    await this.#door.open();
    this.#presence.load();
    this.#registrations.start();
    await this.#queue.start(
      (delivery) => this.#delivery.attempt(delivery),
      (hop) => this.#delivery.window(hop),
    );
    this.#listeners = await this.#stack.start(this.#sip.handler);
    this.#sip.upstream.start();
    this.#presence.start();
  }

  async #close(): Promise<void> {
    await this.#opened?.catch(() => undefined);
    await this.#presence.stop(GRACE_MS.presence);
    this.#sip.upstream.stop();
    this.#xmppPresence.stop();
    // SIP first: what it still accepts must find the queue open. Links last: the queue's attempts need them.
    await this.#stack.stop(GRACE_MS.sip);
    await this.#queue.stop(GRACE_MS.queue);
    await Promise.all([...this.#links.values()].map((link) => link.stop(GRACE_MS.links)));
    this.#delivery.stop();
    this.#registrations.stop();
    // Before the store: it removes the control socket, and once the folder is let go that may be another server's.
    await this.#door.close();
    await this.#closeQueue();
    await this.#store.close();
  }

  #isStopping(): boolean {
    return this.#status === 'stopping';
  }

  health(): Health {
    const { clock, version, config } = this.#options;
    const nowMs = clock.nowMs();
    const figures = this.#queue.figures();
    const links: Record<string, LinkHealth> = {};
    for (const [name, link] of this.#links) links[name] = link.state();
    const peers: Record<string, { reachable: boolean; waiting: number }> = {};
    const hops: ReadonlyArray<readonly [domain: string, hop: HopId]> = [
      ...config.peers.map(({ domain, link }) => [domain, link === 'sip' ? sipHop(domain) : linkHop(link)] as const),
      // A domain of ours behind a SIP core: what is for those whom only the core knows goes there.
      ...config.domains.flatMap(({ name, nextHop }) => (nextHop === undefined ? [] : [[name, sipHop(name)] as const])),
    ];
    for (const [domain, hop] of hops) {
      peers[domain] = { reachable: this.#delivery.isReachable(hop), waiting: figures.perHop[hop] ?? 0 };
    }
    return {
      status: this.#status,
      version,
      uptimeSeconds: Math.floor((nowMs - this.#startedAtMs) / 1_000),
      sip: this.#listeners,
      links,
      peers,
      queue: figures,
      presence: this.#presence.figures,
      registeredUsers: this.#store.bindings.count(nowMs),
    };
  }

  async #startLink(name: string, link: ComponentLink): Promise<void> {
    const { clock, log, version, config } = this.#options;
    const presence = known(this.#xmppPresence.forLink(name));
    const dispatch = xmppDispatch({
      link: name,
      domains: known(config.links[name]),
      post: (stanza) => link.post(stanza),
      isPeer: (domain) => this.#peers.isReachedOver(domain, name),
      accept: (message, origin) => this.#messages.accept(message, origin),
      presence,
      failedLater: (id, error, from) => this.#delivery.failedLater(id, error, from),
      version,
      clock,
      log,
    });
    const hop = linkHop(name);
    await link.start({
      onStanza: dispatch,
      onUp: () => {
        this.#delivery.hopUp(hop);
        presence.up();
        this.#presence.subscriptions.wake(hop);
      },
      onDown: () => {
        this.#delivery.hopDown(hop);
        presence.down();
      },
    });
  }
}

/** The queue of a server that is not running, for the operator's commands; its attempts are never started. */
export async function openQueueOffline(
  options: Pick<AppOptions, 'config' | 'clock' | 'log'>,
): Promise<{ readonly queue: DeliveryQueue; close(): Promise<void> }> {
  const store = await openSqliteStore({ ...storeOptions(options), commits: 'here' });
  const { queue, close } = await openQueue(options, store);
  return {
    queue,
    close: async () => {
      await close();
      await store.close();
    },
  };
}

function storeOptions({ config, clock, log }: Pick<AppOptions, 'config' | 'clock' | 'log'>) {
  const { limits, rememberSeconds, deadLetterSeconds } = config.queue;
  return {
    folder: config.data,
    clock,
    log,
    bounds: { total: limits.total, perHop: limits.perPeer, perOwner: limits.perSender },
    rememberSeconds,
    deadLetterSeconds,
  };
}

/** The queue where the configuration wants it: in the data folder, or in Redis. */
async function openQueue(
  { config, clock, log }: Pick<AppOptions, 'config' | 'clock' | 'log'>,
  store: SqliteStore,
): Promise<{ queue: DeliveryQueue; close: () => Promise<void> }> {
  if (config.queue.redis === undefined) return { queue: store.queue, close: () => Promise.resolve() };
  // Loaded when wanted: a server on the embedded store does not pay for BullMQ at its start.
  const { openRedisQueue } = await import('./store/redis-queue.ts');
  const { limits, rememberSeconds, deadLetterSeconds } = config.queue;
  return openRedisQueue({
    url: config.queue.redis,
    clock,
    log,
    bounds: { total: limits.total, perHop: limits.perPeer, perOwner: limits.perSender },
    rememberSeconds,
    deadLetterSeconds,
  });
}

/** A token of `A-Z a-z 0-9 - _` that begins with a letter, so that none is an option of the command line. */
function newToken(): string {
  return `t${randomBytes(TOKEN_BYTES).toString('base64url')}`;
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a link that the configuration does not know');
  return value;
}

function sameContact(a: string, b: string): boolean {
  const [one, other] = [parseSipUri(a), parseSipUri(b)];
  return one !== undefined && other !== undefined ? sameSipUri(one, other) : a === b;
}
