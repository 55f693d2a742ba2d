import type { Config } from './core/config.ts';
import { Admission } from './core/admission.ts';
import { DeliveryService } from './core/delivery-service.ts';
import type { Log } from './core/log.ts';
import { MessageService } from './core/message-service.ts';
import { PeerTable } from './core/peers.ts';
import type { Clock, DeliveryQueue, HopId, Random } from './core/ports.ts';
import { RegistrationService } from './core/registration-service.ts';
import { Router } from './core/router.ts';
import type { Health, LinkHealth } from './http/routes-health.ts';
import { OperatorDoor } from './http/server.ts';
import type { SipListener, SipStack } from './sip/stack.ts';
import { createEmbeddedStack } from './sip/stack-embedded.ts';
import { sameSipUri, parseSipUri } from './sip/uri.ts';
import { openSqliteStore, type SqliteStore } from './store/sqlite-store.ts';
import { xmppDispatch } from './xmpp/dispatch.ts';
import { ComponentLink } from './xmpp/link-component.ts';
import { linkSender } from './xmpp/message-sender.ts';
import { sipApplication } from './sip/application.ts';

export type AppOptions = {
  readonly config: Config;
  readonly version: string;
  readonly controlSocket: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

/** How long the parts may take to end what is under way; together they stay under the 10 s an operator waits. */
const GRACE_MS = { sip: 2_000, queue: 3_000, links: 2_000 };

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
  readonly #handler: Parameters<SipStack['start']>[0];
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
    const router = new Router(this.#peers);
    const lifetimeMs = config.queue.lifetimeSeconds * 1_000;
    const contactsOf = (userKey: string) => this.#registrations.contactsOf(userKey);

    this.#stack = createEmbeddedStack({
      listeners: config.sip.listen,
      ...(config.sip.tls === undefined ? {} : { tls: config.sip.tls }),
      dnsServers: config.dns.servers,
      clock,
      log,
      serverName: `Interpres/${options.version}`,
    });
    const sip = sipApplication({
      stack: this.#stack,
      peers: this.#peers,
      credentials: store.credentials,
      registrations: { register: (user, request) => this.#registrations.register(user, request), contactsOf },
      accept: (message, origin) => this.#messages.accept(message, origin),
      listeners: () => this.#listeners,
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
    this.#delivery = new DeliveryService({
      queue,
      router,
      senders: {
        local: sip.contactSender,
        sip: sip.peerSender,
        link: linkSender({ linkOf: (name) => this.#linkOf(name), clock }),
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
    });
    this.#messages = new MessageService({
      admission: new Admission({ peers: this.#peers, limits: config.limits, rateLimits: config.rateLimits, clock }),
      router,
      peers: this.#peers,
      credentials: store.credentials,
      contactsOf,
      queue,
      delivery: this.#delivery,
      clock,
      log,
      lifetimeMs,
    });
    this.#handler = sip.handler;
    this.#door = new OperatorDoor({
      ...(config.http === undefined ? {} : { listen: config.http.listen }),
      controlSocket: options.controlSocket,
      log,
      health: { health: () => this.health() },
      queue: { queue },
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
    await this.#queue.start(
      (delivery) => this.#delivery.attempt(delivery),
      (hop) => this.#delivery.window(hop),
    );
    this.#listeners = await this.#stack.start(this.#handler);
  }

  async #close(): Promise<void> {
    await this.#opened?.catch(() => undefined);
    // SIP first: what it still accepts must find the queue open. Links last: the queue's attempts need them.
    await this.#stack.stop(GRACE_MS.sip);
    await this.#queue.stop(GRACE_MS.queue);
    await Promise.all([...this.#links.values()].map((link) => link.stop(GRACE_MS.links)));
    this.#delivery.stop();
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
    for (const { domain, link } of config.peers) {
      const hop: HopId = link === 'sip' ? `sip:${domain}` : `link:${link}`;
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
      registeredUsers: this.#store.bindings.count(nowMs),
    };
  }

  #linkOf(name: string): { link: ComponentLink; domains: { domain: string; name: string } } | undefined {
    const link = this.#links.get(name);
    const named = this.#options.config.links[name];
    return link === undefined || named === undefined ? undefined : { link, domains: named };
  }

  async #startLink(name: string, link: ComponentLink): Promise<void> {
    const { clock, log, version, config } = this.#options;
    const named = config.links[name];
    if (named === undefined) return;
    const dispatch = xmppDispatch({
      link: name,
      domains: named,
      post: (stanza) => link.post(stanza),
      isPeer: (domain) => this.#peers.isReachedOver(domain, name),
      accept: (message, origin) => this.#messages.accept(message, origin),
      failedLater: (id, error, from) => this.#delivery.failedLater(id, error, from),
      version,
      clock,
      log,
    });
    await link.start({
      onStanza: dispatch,
      onUp: () => this.#delivery.hopUp(`link:${name}`),
      onDown: () => this.#delivery.hopDown(`link:${name}`),
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

function sameContact(a: string, b: string): boolean {
  const [one, other] = [parseSipUri(a), parseSipUri(b)];
  return one !== undefined && other !== undefined ? sameSipUri(one, other) : a === b;
}
