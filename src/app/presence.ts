import { parseAddress } from '../cpim/address.ts';
import type { Admission } from '../core/admission.ts';
import type { NumberPlan } from '../core/number-plan.ts';
import type { PeerTable } from '../core/peers.ts';
import { PresenceService, type PresenceServiceDeps } from '../core/presence/presence-service.ts';
import type { RegistrationService } from '../core/registration-service.ts';
import type { Router } from '../core/router.ts';
import type { Gruus } from '../sip/registrar/gruu.ts';
import { sipPresence, type PresenceHandlers } from '../sip/presence-application.ts';
import type { SenderProofDeps } from '../sip/sender-proof.ts';
import type { PeerRequests } from '../sip/trust/peer-requests.ts';
import type { VerifySignature } from '../sip/trust/verified.ts';
import type { SipStack } from '../sip/stack.ts';
import type { Gateway } from '../xmpp/gateway/gateway.ts';
import type { IqDesk } from '../xmpp/gateway/iq-desk.ts';
import { XmppPresence } from '../xmpp/presence/xmpp-presence.ts';
import type { AccountSide } from './accounts.ts';
import type { CommandSide } from './commands.ts';
import { createContacts, type ContactSide } from './contacts.ts';
import { createIqDesk } from './iq.ts';
import { createLinkGateway } from './link-gateway.ts';
import type { NamedLink } from './links.ts';
import type { Nodes } from './nodes.ts';
import type { AppOptions } from './options.ts';
import { ownPresence, type PresenceFace } from './presence-face.ts';
import type { AccountsFace } from './shared-accounts.ts';
import { SharedPresence } from './shared-presence.ts';
import type { Stores } from './stores.ts';
import { newToken } from './token.ts';

export type PresenceParts = {
  readonly store: Pick<Stores['store'], 'records'>;
  readonly stack: SipStack;
  readonly peers: PeerTable;
  readonly router: Router;
  readonly admission: Admission;
  readonly proof: SenderProofDeps;
  readonly toPeers: PeerRequests;
  readonly verify: VerifySignature;
  readonly links: ReadonlyMap<string, NamedLink>;
  readonly isUser: PresenceServiceDeps['isUser'];
  readonly contactsOf: RegistrationService['contactsOf'];
  readonly numbers: NumberPlan;
  readonly reachableOf: RegistrationService['reachableOf'];
  readonly gruus: Gruus;
  /** Where users may link accounts. */
  readonly accounts: Pick<AccountsFace, 'users' | 'changed' | 'removeAll'> | undefined;
  readonly commands: CommandSide;
  /** Of the server, ms since the epoch. */
  readonly startedAtMs: number;
};

/** Presence of this server: kept here, or by one node of several. */
export function presenceFace(
  {
    stores,
    nodes,
    keepAccounts,
    ...parts
  }: Omit<PresenceParts, 'store'> & {
    readonly stores: Stores;
    readonly nodes: Nodes | undefined;
    readonly keepAccounts: AccountSide['keep'];
  },
  options: AppOptions,
): PresenceFace {
  const { store } = stores;
  const { ownedRecords } = stores;
  if (nodes === undefined || ownedRecords === undefined) {
    return ownPresence(createPresence({ ...parts, store }, options));
  }
  const { members, bus } = nodes;
  const { clock, log } = options;
  const face = new SharedPresence({
    members,
    bus,
    open: async (fence) => {
      const owned = await ownedRecords('presence', fence);
      const side = createPresence({ ...parts, store: owned }, options);
      return { side, ...keepAccounts?.(side, owned.records, fence), end: () => owned.close() };
    },
    unsettled: store.records('unsettled'),
    onRegistered: (listener) => void store.onChange('bindings', listener),
    clock,
    log,
  });
  // `users remove` asks the server beside it to forget him; where none is, the others hear of it this way.
  store.onChange('credentials', (key, isThere) => {
    const user = isThere ? undefined : parseAddress(key);
    if (user === undefined) return;
    face.watchers
      .forget(user)
      .catch((error: unknown) => log.debug({ aor: key, error }, 'a user who was removed is not forgotten yet'));
  });
  return face;
}

/** Presence with both its faces: everything that holds subscriptions in memory. */
export type PresenceSide = {
  readonly service: PresenceService;
  readonly xmpp: XmppPresence;
  readonly sipHandlers: PresenceHandlers;
  readonly contacts: ContactSide;
  /** What a link is as a gateway; a user's own account is a client of its service, and none to anybody. */
  gatewayFor(name: string): Gateway | undefined;
  /** The server stops: gateways take their leave. */
  leave(): void;
  /** What answers the iq requests of a link. */
  iqFor(name: string): IqDesk;
  /** Takes up what an earlier process left; before the doors open. */
  load(): void;
  /** Tells watchers and watches elsewhere; when the ways out are open. */
  start(): void;
  /** Tells nobody any more; waits for answers at most so long. */
  stop(graceMs: number): Promise<void>;
};

const NO_GATEWAY: Pick<Gateway, 'served' | 'features'> = { served: new Map(), features: [] };

/** Puts presence together; reads what an earlier process left. */
export function createPresence(parts: PresenceParts, options: AppOptions): PresenceSide {
  const { config, clock, random, log } = options;
  const { store, stack, peers, router, admission, isUser, contactsOf, reachableOf, gruus, startedAtMs } = parts;
  const contacts = createContacts({ store, isUser, contactsOf, presence: () => service }, options);
  const sip = sipPresence({
    stack,
    peers,
    proof: parts.proof,
    contactsOf: reachableOf,
    gruus,
    toPeers: parts.toPeers,
    verify: parts.verify,
    // Not the thing itself: it needs the SIP side to be there first.
    subscriptions: {
      subscribe: (request) => service.subscriptions.subscribe(request),
      refresh: (id, request) => service.subscriptions.refresh(id, request),
      fetch: (request) => service.subscriptions.fetch(request),
      find: (id) => service.subscriptions.find(id),
      saveLease: (id) => service.subscriptions.saveLease(id),
    },
    publish: (request) => {
      admission.admitPublisher(request.presentity);
      return service.publish(request);
    },
    isUser,
    numbers: parts.numbers,
    telDomain: config.telDomain,
    upstreamRecords: store.records('sip-upstream'),
    onReport: (pair, report) => service.upstreamReported(pair, report),
    isWanted: (pair) => service.isWanted(pair, xmpp.isStillThere),
    documentBytesMax: config.presence.limits.documentBytes,
    expiresSeconds: config.presence.expires.default,
    clock,
    random,
    log,
  });
  const xmpp: XmppPresence = new XmppPresence({
    links: parts.links,
    records: store.records('xmpp-upstream'),
    subscriptions: () => service.subscriptions,
    onReport: (pair, report) => service.upstreamReported(pair, report),
    newToken,
    clock,
    random,
    log,
  });
  const service: PresenceService = new PresenceService({
    config: config.presence,
    records: {
      publications: store.records('publication'),
      rules: store.records('rules'),
      subscriptions: store.records('subscription'),
      unsettled: store.records('unsettled'),
    },
    isUser,
    isOwn: (domain) => peers.own(domain) !== undefined,
    routeOf: ({ watcher, presentity }) => router.presenceRouteOf(watcher, presentity),
    admit: (watcher, origin) => admission.admitWatcher(watcher, origin),
    bindingsOf: contactsOf,
    cardOf: (userKey) => contacts.directory.cardOf(userKey),
    stirred: (userKey) => contacts.lastSeen.changed(userKey),
    upstreamOf: ({ kind }) => (kind === 'sip' ? sip.upstream : xmpp.upstream),
    notifierOf: (via) => (via === 'sip' ? sip.notifier : xmpp.notifier),
    permissions: {
      owners: () => [...xmpp.upstream.contacts.watchers(), ...(parts.accounts?.users() ?? [])],
      forget: (watcherKey) => xmpp.upstream.endAll(watcherKey),
      // An account before what is watched over it: its roster stays as it is.
      leave: (watcherKey) => parts.accounts?.removeAll(watcherKey),
    },
    ...(parts.accounts === undefined ? {} : { showing: parts.accounts }),
    newToken,
    clock,
    log,
  });
  const linkNamed = (name: string): NamedLink => {
    const link = parts.links.get(name);
    if (link === undefined) throw new Error('a link that presence does not know');
    return link;
  };
  const gateways = new Map<string, Gateway>();
  const gatewayFor = (name: string): Gateway | undefined => {
    if (linkNamed(name).owner !== undefined) return undefined;
    let gateway = gateways.get(name);
    if (gateway === undefined) {
      gateway = createLinkGateway(name, linkNamed(name), { xmpp, contacts, commands: parts.commands, store }, options);
      gateways.set(name, gateway);
    }
    return gateway;
  };
  return {
    service,
    xmpp,
    sipHandlers: sip.handlers,
    contacts,
    gatewayFor,
    leave: () => {
      for (const gateway of gateways.values()) gateway.leave();
    },
    iqFor: (name) => {
      const { domains } = linkNamed(name);
      const gateway = gatewayFor(name) ?? NO_GATEWAY;
      return createIqDesk(name, domains, { gateway, contacts, commands: parts.commands, startedAtMs }, options);
    },
    load: () => {
      service.load();
      contacts.directory.sweep();
    },
    start: () => {
      sip.upstream.start();
      service.start();
    },
    stop: async (graceMs) => {
      await service.stop(graceMs);
      sip.upstream.stop();
      xmpp.stop();
    },
  };
}
