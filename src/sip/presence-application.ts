import { randomBytes, randomInt } from 'node:crypto';
import { addressKey, domainOf } from '../cpim/address.ts';
import { parseImUri } from '../cpim/im-uri.ts';
import type { Log } from '../core/log.ts';
import type { NumberPlan } from '../core/number-plan.ts';
import type { PeerTable } from '../core/peers.ts';
import type { Clock, Random, Records } from '../core/ports.ts';
import type { Published, PublishRequest } from '../core/presence/publication.ts';
import type { Notifier, OnUpstreamReport, Pair } from '../core/presence/subscription.ts';
import type { IsUser, Subscriptions } from '../core/presence/subscriptions.ts';
import type { RegistrationService } from '../core/registration-service.ts';
import { deviceRequests } from './registrar/device-requests.ts';
import { farEndOf, LocalContacts } from './events/local-contact.ts';
import { SipNotifier } from './events/notifier.ts';
import { notifyHandler } from './events/notify-handler.ts';
import { publishHandler } from './events/publish-handler.ts';
import { subscribeHandler } from './events/subscribe-handler.ts';
import { SipSubscriber } from './events/subscriber.ts';
import type { UpstreamRecord } from './events/subscriber-records.ts';
import type { Gruus } from './registrar/gruu.ts';
import type { SipOutgoing, SipResponse } from './message.ts';
import { paced, PRESENCE_PACE } from './paced-handler.ts';
import { proveSender, proveWatcher, type SenderProofDeps } from './sender-proof.ts';
import { PeerRequests } from './trust/peer-requests.ts';
import type { VerifySignature } from './trust/verified.ts';
import type { SipHandler, SipStack } from './stack.ts';
import { parseSipUri } from './uri.ts';

/** What the presence server of the core has for the SIP side. */
export type SipPresenceDeps = {
  readonly stack: Pick<SipStack, 'request' | 'reachableAt'>;
  readonly peers: PeerTable;
  readonly proof: SenderProofDeps;
  /** Contacts that can be reached now; of one device alone where it is named. */
  readonly contactsOf: RegistrationService['reachableOf'];
  readonly gruus: Pick<Gruus, 'entityOf'>;
  /** Absent: signatures are not looked at. */
  readonly verify?: VerifySignature;
  /** The way to peers; absent: one by the peer table alone. */
  readonly toPeers?: PeerRequests;
  readonly clock: Clock;
  readonly log: Log;
  readonly subscriptions: Pick<Subscriptions, 'subscribe' | 'refresh' | 'fetch' | 'find' | 'saveLease'>;
  readonly publish: (request: PublishRequest) => Promise<Published>;
  readonly isUser: IsUser;
  /** Who is meant by an address of ours; absent: whoever has it. */
  readonly numbers?: Pick<NumberPlan, 'destinationOf'>;
  /** See `NumberUris`. */
  readonly telDomain?: string | undefined;
  /** Kind `sip-upstream`. */
  readonly upstreamRecords: Records<UpstreamRecord>;
  readonly onReport: OnUpstreamReport;
  /** Whether anybody is there to see what is asked for again (RFC 8048, section 8.1). */
  readonly isWanted: (pair: Pair) => Promise<boolean>;
  /** Largest document that is read, bytes. */
  readonly documentBytesMax: number;
  /** What is asked for when we subscribe. */
  readonly expiresSeconds: number;
  readonly random: Random;
};

/** The methods of presence. */
export const PRESENCE_METHODS = ['SUBSCRIBE', 'PUBLISH', 'NOTIFY'] as const;

/** One handler for each method of presence. */
export type PresenceHandlers = Readonly<Record<(typeof PRESENCE_METHODS)[number], SipHandler>>;

export type SipPresence = {
  /** Their failures are errors; the dispatcher turns them into answers. */
  readonly handlers: PresenceHandlers;
  /** Tells watchers whose lease is `sip`. */
  readonly notifier: Notifier;
  /** Watches presentities behind other SIP servers. */
  readonly upstream: SipSubscriber;
};

/** Of the id of a subscription: nobody guesses one of 120 bits. */
const ID_BYTES = 15;
const RUN_MAX = 0x7fff_ffff;

/** Puts the presence of the SIP side together; reads what an earlier process has left. */
export function sipPresence(deps: SipPresenceDeps): SipPresence {
  const { peers, clock, log, contactsOf } = deps;
  const isOwn = (domain: string): boolean => peers.own(domain) !== undefined;
  const mainDomain = peers.ownDomains[0] ?? 'localhost';
  const run = randomInt(RUN_MAX);
  const toPeers = deps.toPeers ?? new PeerRequests({ request: (outgoing) => deps.stack.request(outgoing), peers });
  const toDevices = (request: (outgoing: SipOutgoing) => Promise<SipResponse>) =>
    deviceRequests({ request, gruus: deps.gruus, contactsOf });
  const notifier = new SipNotifier({
    request: (outgoing, domain) => toDevices((sent) => toPeers.request(domain, sent))(outgoing),
    saveLease: (id) => deps.subscriptions.saveLease(id),
    flowOf: (user, contact) => contactsOf(addressKey(user)).find((binding) => binding.contact === contact)?.flow,
    nextHopOf: (domain) => nextHopOf(domain, peers),
    clock,
    log,
    run,
  });
  const contacts = new LocalContacts(deps.stack);
  const upstream = new SipSubscriber({
    records: deps.upstreamRecords,
    request: (outgoing, domain, watcher) => toPeers.request(domain, outgoing, { author: watcher }),
    contactFor: (watcher, route) => {
      const domain = domainOf(watcher);
      return contacts.towards(farEndOf(route.nextHop), isOwn(domain) ? domain : mainDomain, false);
    },
    onReport: deps.onReport,
    isWanted: deps.isWanted,
    clock,
    random: deps.random,
    log,
    expiresSeconds: deps.expiresSeconds,
  });
  const handlers = presenceHandlers(deps, { notifier, upstream, contacts, run, mainDomain });
  return { handlers, notifier, upstream };
}

/** The next hop of a domain whose SIP server the configuration names. */
function nextHopOf(domain: string, peers: PeerTable): string | undefined {
  return peers.own(domain)?.nextHop ?? peers.peersOf(domain).find(({ link }) => link === 'sip')?.nextHop;
}

type PresenceParts = {
  readonly notifier: Notifier;
  readonly upstream: SipSubscriber;
  readonly contacts: LocalContacts;
  readonly run: number;
  readonly mainDomain: string;
};

function presenceHandlers(
  { proof: proofDeps, clock, log, subscriptions, publish, isUser, documentBytesMax, ...deps }: SipPresenceDeps,
  { notifier, upstream, contacts, run, mainDomain }: PresenceParts,
): PresenceHandlers {
  const subscribe = subscribeHandler({
    prove: (request) => proveWatcher(request, proofDeps),
    subscriptions,
    ...(deps.verify === undefined ? {} : { verify: deps.verify }),
    numbers: { telDomain: deps.telDomain, isOwn: proofDeps.isOwn },
    presentityOf: (address) => deps.numbers?.destinationOf(address, 'pres') ?? address,
    notify: (notification) => notifier.notify(notification),
    contactFor: ({ uri, flow }) => {
      const parsed = parseSipUri(uri);
      const presentity = parsed === undefined ? parseImUri(uri)?.address : undefined;
      const host = presentity === undefined ? parsed?.host : domainOf(presentity);
      const domain = host !== undefined && proofDeps.isOwn(host) ? host : mainDomain;
      return contacts.towards(flow, domain, parsed?.scheme === 'sips');
    },
    // A letter first: an operator may type it after an option.
    newId: () => `s${randomBytes(ID_BYTES).toString('base64url')}`,
    run,
    clock,
    log,
  });
  // Thousands of phones that start at once must not keep messages waiting.
  const inPace = paced(PRESENCE_PACE);
  return {
    SUBSCRIBE: inPace(subscribe),
    PUBLISH: inPace(
      publishHandler({
        prove: (request) => proveSender(request, proofDeps),
        isUser,
        publish,
        bodyBytesMax: documentBytesMax,
      }),
    ),
    NOTIFY: notifyHandler({
      find: (tag) => upstream.find(tag),
      mayActFor: proofDeps.mayActFor,
      documentBytesMax,
      log,
    }),
  };
}
