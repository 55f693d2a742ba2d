import { CertificateWatch, watchedCertificates } from './app/certificate-watch.ts';
import { createCommands, type CommandSide } from './app/commands.ts';
import { createFederations, type Federations } from './app/federation.ts';
import { createAccounts } from './app/accounts.ts';
import { healthOf } from './app/health.ts';
import { createLinks, startLink, type LinkServices, type NamedLink } from './app/links.ts';
import { numberPlan } from './app/numbers.ts';
import type { AppOptions } from './app/options.ts';
import { receiptNames } from './app/receipt-names.ts';
import { createSipStack, registerSettings } from './app/sip-stack.ts';
import { derivedKey, durableSecret } from './app/durable-secret.ts';
import {
  deliveryElsewhere,
  joinNodes,
  nodesReport,
  otherListeners,
  sharedNonces,
  shownAddresses,
} from './app/nodes.ts';
import type { Nodes } from './app/nodes.ts';
import { presenceFace } from './app/presence.ts';
import type { PresenceFace } from './app/presence-face.ts';
import type { AccountsFace } from './app/shared-accounts.ts';
import { createPeerRequests, createSignatureCheck } from './app/trust.ts';
import { openStores, type Stores } from './app/stores.ts';
import { Admission } from './core/admission.ts';
import { DeliveryService } from './core/delivery-service.ts';
import { MessageService } from './core/message-service.ts';
import { PeerTable } from './core/peers.ts';
import type { HopId } from './core/ports.ts';
import { ReceiptService } from './core/receipts/receipt-service.ts';
import { RegistrationService } from './core/registration-service.ts';
import { Router } from './core/router.ts';
import { UserTable } from './core/user-table.ts';
import type { Health } from './http/routes-health.ts';
import type { NodesReport } from './http/routes-nodes.ts';
import { OperatorDoor } from './http/server.ts';
import { senderProof, sipApplication, type SipApplication } from './sip/application.ts';
import { Gruus } from './sip/registrar/gruu.ts';
import type { SipListener, SipStack } from './sip/stack.ts';
import { sameSipUri, parseSipUri } from './sip/uri.ts';
import { linkSender } from './xmpp/message-sender.ts';

/** How long the parts may take to end what is under way; together they stay under the 10 s an operator waits. */
const GRACE_MS = { sip: 2_000, presence: 1_000, queue: 3_000, links: 2_000 };

/** The server: every adapter is constructed here and nowhere else. */
export class App {
  readonly #options: AppOptions;
  readonly #startedAtMs: number;
  readonly #stores: Stores;
  readonly #nodes: Nodes | undefined;
  readonly #peers: PeerTable;
  readonly #delivery: DeliveryService;
  readonly #registrations: RegistrationService;
  readonly #messages: MessageService;
  readonly #receipts: ReceiptService;
  readonly #federations: Federations;
  /** Those of accounts come and go. */
  readonly #links: Map<string, NamedLink>;
  readonly #accounts: AccountsFace | undefined;
  readonly #stack: SipStack;
  readonly #sip: SipApplication;
  readonly #commands: CommandSide;
  readonly #presence: PresenceFace;
  readonly #door: OperatorDoor;
  readonly #certificates: CertificateWatch;
  #listeners: readonly SipListener[] = [];
  #status: Health['status'] = 'starting';
  #opened: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  /** Opens the store and puts the parts together; nothing listens yet. @throws GatewayError 'store-unavailable'. */
  static async create(options: AppOptions): Promise<App> {
    const stores = await openStores(options);
    let nodes: Nodes | undefined;
    try {
      nodes = await joinNodes(options);
      const stack = await createSipStack(options, { onUp: () => app.#sipIsUp() }, nodes);
      // Named for the first thing it was used for.
      const secret = nodes?.secrets.gruu ?? (await durableSecret(stores.store.records('secret'), 'gruu'));
      const app = new App(options, stores, { stack, secret, nodes });
      return app;
    } catch (thrown) {
      await nodes?.close();
      await stores.close();
      throw thrown;
    }
  }

  private constructor(
    options: AppOptions,
    stores: Stores,
    {
      stack,
      secret,
      nodes,
    }: { readonly stack: SipStack; readonly secret: Uint8Array; readonly nodes: Nodes | undefined },
  ) {
    const { config, clock, random, log } = options;
    const { store, queue } = stores;
    this.#options = options;
    this.#stores = stores;
    this.#nodes = nodes;
    this.#startedAtMs = clock.nowMs();
    this.#peers = new PeerTable(config);
    const lifetimeMs = config.queue.lifetimeSeconds * 1_000;
    const contactsOf = (userKey: string) => this.#registrations.contactsOf(userKey);
    const reachableOf = (userKey: string, device?: string) => this.#registrations.reachableOf(userKey, device);
    const isOwn = (domain: string) => this.#peers.own(domain) !== undefined;
    const gruus = new Gruus({ secret, isOwn, contactsOf });
    const users = new UserTable({ peers: this.#peers, credentials: store.credentials, contactsOf });
    const isUser = users.isUser.bind(users);
    const numbers = numberPlan(this.#peers, users, options);
    this.#federations = createFederations(options, nodes, queue, secret);
    this.#links = new Map([...createLinks(options, nodes), ...this.#federations.links]);
    const accountParts = { stores, nodes, links: this.#links, isUser, services: () => this.#services() };
    const accounts = createAccounts(accountParts, options);
    this.#accounts = accounts?.face;
    const names = receiptNames(secret);
    const router = new Router(this.#peers, users.isKnownHere.bind(users), this.#accounts);
    const admission = new Admission({
      peers: this.#peers,
      limits: config.limits,
      rateLimits: config.rateLimits,
      subscriptionsPerWatcher: config.presence.limits.subscriptionsPerWatcher,
      clock,
    });

    this.#receipts = new ReceiptService({
      names,
      admission,
      router,
      maySee: (userKey, watcher) => this.#presence.maySee(userKey, watcher),
      isOwn,
      queue,
      clock,
      log,
      lifetimeMs,
    });
    this.#certificates = new CertificateWatch(watchedCertificates(config), clock, log);
    this.#stack = stack;
    const nonces = nodes === undefined ? {} : { nonces: sharedNonces(nodes, (use) => proof.usedElsewhere(use)) };
    const proof: ReturnType<typeof senderProof> = senderProof({
      peers: this.#peers,
      credentials: store.credentials,
      numbers,
      clock,
      log,
      ...nonces,
    });
    const verify = createSignatureCheck(this.#peers, options);
    const toPeers = createPeerRequests({ stack, peers: this.#peers, numbers }, options);
    this.#commands = createCommands(
      {
        peers: this.#peers,
        credentials: store.credentials,
        queue,
        router,
        isUser,
        contactsOf,
        watchers: () => this.#presence.watchers,
        accounts: this.#accounts,
        delivery: () => this.#delivery,
      },
      options,
    );
    this.#presence = presenceFace(
      {
        stores,
        nodes,
        stack: this.#stack,
        peers: this.#peers,
        router,
        admission,
        proof,
        toPeers,
        verify,
        links: this.#links,
        isUser,
        contactsOf,
        numbers,
        reachableOf,
        gruus,
        accounts: this.#accounts,
        keepAccounts: accounts?.keep,
        commands: this.#commands,
        startedAtMs: this.#startedAtMs,
      },
      options,
    );
    this.#sip = sipApplication({
      stack: this.#stack,
      peers: this.#peers,
      proof,
      register: (user, request) => this.#registrations.register(user, request),
      contactsOf: reachableOf,
      gruus,
      registerSettings: registerSettings(config.registration),
      toPeers,
      verify,
      accept: (message, origin) => this.#messages.accept(message, origin),
      listeners: () => [...this.#listeners, ...config.sip.advertise, ...otherListeners(nodes)],
      presence: this.#presence.sipHandlers,
      telDomain: config.telDomain,
      receipts: { nameOf: names.nameOf, delivered: (message) => this.#receipts.delivered(message) },
      ...(config.domains.some(({ edge }) => edge === true)
        ? {
            edge: { flowTokenKey: derivedKey(secret, 'flow token'), stack, isKnownHere: users.isKnownHere.bind(users) },
          }
        : {}),
      clock,
      log,
    });
    this.#delivery = new DeliveryService({
      queue,
      router,
      senders: {
        local: this.#sip.contactSender,
        sip: this.#sip.peerSender,
        link: linkSender({ linkOf: (name) => this.#links.get(name), nameOf: names.nameOf, clock }),
      },
      contactsOf: reachableOf,
      isService: (address) => this.#commands.services.isService(address),
      clock,
      random,
      log,
      lifetimeMs,
      ...(nodes === undefined ? {} : { elsewhere: deliveryElsewhere(nodes, () => this.#delivery) }),
      retry: { firstMs: config.queue.retry.firstSeconds * 1_000, maxMs: config.queue.retry.maxSeconds * 1_000 },
    });
    this.#registrations = new RegistrationService({
      store: store.bindings,
      limits: config.registration,
      sameContact,
      isFlowOpen: (flow) => this.#stack.isFlowOpen(flow),
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
      contactsOf: reachableOf,
      queue,
      chat: this.#commands.chat,
      receipts: this.#receipts,
      delivery: this.#delivery,
      numbers,
      clock,
      log,
      lifetimeMs,
      ...(nodes === undefined ? {} : { node: nodes.members.name }),
    });
    this.#door = new OperatorDoor({
      ...config.http,
      controlSocket: options.controlSocket,
      log,
      health: { health: () => this.health() },
      queue: { queue },
      watchers: { watchers: this.#presence.watchers },
      profiles: { profiles: this.#presence.profiles },
      nodes: { nodes: () => this.nodes },
      ...(this.#accounts === undefined ? {} : { accounts: { accounts: this.#accounts } }),
    });
  }

  get listeners(): readonly SipListener[] {
    return this.#listeners;
  }

  /** The nodes on its store, as it sees them; undefined: the store is its own. */
  get nodes(): NodesReport | undefined {
    return this.#nodes === undefined ? undefined : nodesReport(this.#nodes);
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
      const services = this.#services();
      const links = [...this.#links].filter(([, { owner }]) => owner === undefined);
      await this.#federations.start();
      this.#accounts?.start();
      await Promise.all(links.map(([name, link]) => startLink(name, link, services, this.#options)));
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

  #services(): LinkServices {
    return {
      peers: this.#peers,
      messages: this.#messages,
      receipts: this.#receipts,
      delivery: this.#delivery,
      presence: this.#presence,
      commands: this.#commands,
    };
  }

  async #open(): Promise<void> {
    await this.#door.open();
    this.#certificates.start();
    this.#presence.load();
    this.#registrations.start();
    await this.#stores.queue.start(
      (delivery) => this.#delivery.attempt(delivery),
      (hop) => this.#delivery.window(hop),
    );
    this.#listeners = await this.#stack.start(this.#sip.handler);
    this.#nodes?.members.setAddresses(shownAddresses(this.#listeners));
    this.#presence.start();
  }

  async #close(): Promise<void> {
    await this.#opened?.catch(() => undefined);
    // What this node alone does goes to others first, while it still takes what is sent to it.
    await this.#nodes?.members.prepareToLeave();
    await this.#presence.stop(GRACE_MS.presence);
    // SIP first: what it still accepts must find the queue open. Links last: the queue's attempts need them.
    await this.#stack.stop(GRACE_MS.sip);
    await this.#stores.queue.stop(GRACE_MS.queue);
    this.#presence.leave();
    await Promise.all([
      this.#accounts?.stop(GRACE_MS.links),
      ...[...this.#links.values()].map(({ link }) => link.stop(GRACE_MS.links)),
    ]);
    await this.#federations.stop();
    this.#delivery.stop();
    this.#commands.adhoc.stop();
    this.#certificates.stop();
    this.#registrations.stop();
    // Before the store: it removes the control socket, and once the folder is let go that may be another server's.
    await this.#door.close();
    await this.#nodes?.close();
    await this.#stores.close();
  }

  /** What waits for SIP peers and for the contacts of users may go. */
  #sipIsUp(): void {
    for (const hop of Object.keys(this.#stores.queue.figures().perHop) as HopId[]) {
      if (!hop.startsWith('link:')) this.#delivery.hopUp(hop);
    }
  }

  #isStopping(): boolean {
    return this.#status === 'stopping';
  }

  health(): Health {
    return healthOf(
      {
        queue: this.#stores.queue,
        delivery: this.#delivery,
        presence: this.#presence,
        nodes: this.#nodes,
        store: this.#stores.store,
        links: this.#links,
        stack: this.#stack,
        accounts: this.#accounts,
        listeners: this.#listeners,
        certificates: this.#certificates,
        status: this.#status,
        startedAtMs: this.#startedAtMs,
      },
      this.#options,
    );
  }
}

function sameContact(a: string, b: string): boolean {
  const [one, other] = [parseSipUri(a), parseSipUri(b)];
  return one !== undefined && other !== undefined ? sameSipUri(one, other) : a === b;
}
