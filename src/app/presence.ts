import type { Admission } from '../core/admission.ts';
import type { NumberPlan } from '../core/number-plan.ts';
import type { PeerTable } from '../core/peers.ts';
import { PresenceService, type PresenceServiceDeps } from '../core/presence/presence-service.ts';
import type { RegistrationService } from '../core/registration-service.ts';
import type { Router } from '../core/router.ts';
import type { Gruus } from '../sip/gruu.ts';
import { sipPresence, type PresenceHandlers } from '../sip/presence-application.ts';
import type { SenderProofDeps } from '../sip/sender-proof.ts';
import type { SipStack } from '../sip/stack.ts';
import { XmppPresence } from '../xmpp/presence/xmpp-presence.ts';
import type { Accounts } from '../xmpp/account/accounts.ts';
import type { ContactSide } from './contacts.ts';
import type { NamedLink } from './links.ts';
import type { AppOptions } from './options.ts';
import type { Stores } from './stores.ts';
import { newToken } from './token.ts';

export type PresenceParts = {
  readonly store: Pick<Stores['store'], 'records'>;
  readonly stack: SipStack;
  readonly peers: PeerTable;
  readonly router: Router;
  readonly admission: Admission;
  readonly proof: SenderProofDeps;
  readonly links: ReadonlyMap<string, NamedLink>;
  readonly isUser: PresenceServiceDeps['isUser'];
  readonly contactsOf: RegistrationService['contactsOf'];
  readonly contacts: Pick<ContactSide, 'directory' | 'lastSeen'>;
  readonly numbers: NumberPlan;
  readonly reachableOf: RegistrationService['reachableOf'];
  readonly gruus: Gruus;
  /** Where users may link accounts. */
  readonly accounts: Pick<Accounts, 'users' | 'changed' | 'removeAll'> | undefined;
};

/** Presence with both its faces: everything that holds subscriptions in memory. */
export type PresenceSide = {
  readonly service: PresenceService;
  readonly xmpp: XmppPresence;
  readonly sipHandlers: PresenceHandlers;
  /** Takes up what an earlier process left; before the doors open. */
  load(): void;
  /** Tells watchers and watches elsewhere; when the ways out are open. */
  start(): void;
  /** Tells nobody any more; waits for answers at most so long. */
  stop(graceMs: number): Promise<void>;
};

/** Puts presence together; reads what an earlier process left. */
export function createPresence(parts: PresenceParts, { config, clock, random, log }: AppOptions): PresenceSide {
  const { store, stack, peers, router, admission, isUser, contactsOf, reachableOf, gruus } = parts;
  const sip = sipPresence({
    stack,
    peers,
    proof: parts.proof,
    contactsOf: reachableOf,
    gruus,
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
    cardOf: (userKey) => parts.contacts.directory.cardOf(userKey),
    stirred: (userKey) => parts.contacts.lastSeen.changed(userKey),
    upstreamOf: ({ kind }) => (kind === 'sip' ? sip.upstream : xmpp.upstream),
    notifierOf: (via) => (via === 'sip' ? sip.notifier : xmpp.notifier),
    permissions: {
      owners: () => [...xmpp.upstream.watchers(), ...(parts.accounts?.users() ?? [])],
      forget: (watcherKey) => xmpp.upstream.endAll(watcherKey),
      // An account before what is watched over it: its roster stays as it is.
      leave: (watcherKey) => parts.accounts?.removeAll(watcherKey),
    },
    ...(parts.accounts === undefined ? {} : { showing: parts.accounts }),
    newToken,
    clock,
    log,
  });
  return {
    service,
    xmpp,
    sipHandlers: sip.handlers,
    load: () => service.load(),
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
