import { randomBytes, randomInt } from 'node:crypto';
import { addressKey, domainOf } from '../cpim/address.ts';
import { parseImUri } from '../cpim/im-uri.ts';
import type { InstantMessage } from '../cpim/operation.ts';
import { PRESENCE_TYPES_READ } from '../cpim/presence/presence-formats.ts';
import { READABLE_TYPES } from '../cpim/readable.ts';
import type { Origin } from '../core/admission.ts';
import { parseIpAddress } from '../core/cidr.ts';
import { failureText } from '../core/failure-text.ts';
import type { Log } from '../core/log.ts';
import type { PeerTable } from '../core/peers.ts';
import type { Binding, Clock, CredentialStore, OperationSender, Random, Records } from '../core/ports.ts';
import type { Published, PublishRequest } from '../core/presence/publication.ts';
import type { Notifier, OnUpstreamReport, Pair } from '../core/presence/subscription.ts';
import type { IsUser, Subscriptions } from '../core/presence/subscriptions.ts';
import type { RegistrationService } from '../core/registration-service.ts';
import { ACCEPTED_ENCODINGS } from './content-encoding.ts';
import { DigestCheck } from './digest-check.ts';
import { dispatcher } from './dispatch.ts';
import { bare } from './engine/certificate-names.ts';
import { EVENT_PACKAGES } from './events/event-header.ts';
import { LocalContacts, type FarEnd } from './events/local-contact.ts';
import { SipNotifier } from './events/notifier.ts';
import { notifyHandler } from './events/notify-handler.ts';
import { publishHandler } from './events/publish-handler.ts';
import { subscribeHandler } from './events/subscribe-handler.ts';
import type { SipRoute } from './events/subscribe-request.ts';
import { SipSubscriber } from './events/subscriber.ts';
import type { UpstreamRecord } from './events/subscriber-records.ts';
import { messageHandler } from './message-handler.ts';
import { MessageSender } from './message-sender.ts';
import { optionsHandler } from './options-handler.ts';
import { paced, PRESENCE_PACE } from './paced-handler.ts';
import { registerHandler } from './register-handler.ts';
import { proveSender, proveWatcher, type SenderProofDeps } from './sender-proof.ts';
import type { SipHandler, SipListener, SipStack } from './stack.ts';
import { parseSipUri, uriParam } from './uri.ts';

export type SipApplicationDeps = {
  readonly stack: Pick<SipStack, 'request' | 'reachableAt'>;
  readonly peers: PeerTable;
  readonly credentials: Pick<CredentialStore, 'find'>;
  readonly registrations: Pick<RegistrationService, 'register' | 'contactsOf'>;
  readonly accept: (message: InstantMessage, origin: Origin) => Promise<'delivered' | 'queued'>;
  /** Where the stack listens; asked for each request, since ports may be known late. */
  readonly listeners: () => readonly SipListener[];
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  readonly log: Log;
  /** How large a body may be once its Content-Encoding is undone; 1 MiB when absent. */
  readonly bodyBytesMax?: number;
  readonly presence: SipPresenceDeps;
};

/** What the presence server of the core has for the SIP side. */
export type SipPresenceDeps = {
  readonly subscriptions: Pick<Subscriptions, 'subscribe' | 'refresh' | 'fetch' | 'find' | 'saveLease'>;
  readonly publish: (request: PublishRequest) => Promise<Published>;
  readonly isUser: IsUser;
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

export type SipApplication = {
  /** For `SipStack.start`. */
  readonly handler: SipHandler;
  /** For routes to the contacts of local users. */
  readonly contactSender: OperationSender;
  /** For routes to SIP peers. */
  readonly peerSender: OperationSender;
  /** Tells watchers whose lease is `sip`. */
  readonly notifier: Notifier;
  /** Watches presentities behind other SIP servers. */
  readonly upstream: SipSubscriber;
};

const BODY_BYTES_MAX = 1024 * 1024;
/** Of the id of a subscription: nobody guesses one of 120 bits. */
const ID_BYTES = 15;
const RUN_MAX = 0x7fff_ffff;

/** Puts the SIP side together: what is served, for whom, and how operations leave. */
export function sipApplication(deps: SipApplicationDeps): SipApplication {
  const { peers, clock, log, presence } = deps;
  const isOwn = (domain: string): boolean => peers.own(domain) !== undefined;
  const mayActFor = peers.mayActFor.bind(peers);
  const mainDomain = peers.ownDomains[0] ?? 'localhost';
  const digest = new DigestCheck({ find: (user) => deps.credentials.find(user), clock, log });
  const proofDeps = { isOwn, mayActFor, checkDigest: digest.check.bind(digest) };
  const bodyBytesMax = deps.bodyBytesMax ?? BODY_BYTES_MAX;
  const contactsOf = (userKey: string): readonly Binding[] => deps.registrations.contactsOf(userKey);
  const run = randomInt(RUN_MAX);
  const notifier = new SipNotifier({
    request: (outgoing) => deps.stack.request(outgoing),
    saveLease: (id) => presence.subscriptions.saveLease(id),
    flowOf: (user, contact) => contactsOf(addressKey(user)).find((binding) => binding.contact === contact)?.flow,
    nextHopOf: (domain) => nextHopOf(domain, peers),
    clock,
    log,
    run,
  });
  const contacts = new LocalContacts(deps.stack);
  const upstream = new SipSubscriber({
    records: presence.upstreamRecords,
    request: (outgoing) => deps.stack.request(outgoing),
    contactFor: (watcher, route) => {
      const domain = domainOf(watcher);
      return contacts.towards(farEndOf(route), isOwn(domain) ? domain : mainDomain, false);
    },
    onReport: presence.onReport,
    isWanted: presence.isWanted,
    clock,
    random: presence.random,
    log,
    expiresSeconds: presence.expiresSeconds,
  });
  const handlers: Record<string, SipHandler> = {
    MESSAGE: messageHandler({
      prove: (request) => proveSender(request, proofDeps),
      accept: deps.accept,
      clock,
      bodyBytesMax,
    }),
    REGISTER: registerHandler({
      ...proofDeps,
      register: (user, request) => deps.registrations.register(user, request),
      listeners: deps.listeners,
      clock,
    }),
    ...presenceHandlers(deps, { proofDeps, notifier, upstream, contacts, run, mainDomain }),
  };
  handlers['OPTIONS'] = optionsHandler({
    isServed: (domain) => isOwn(domain) || peers.peer(domain) !== undefined,
    allow: [...Object.keys(handlers), 'OPTIONS'].sort(),
    accept: [...READABLE_TYPES, ...PRESENCE_TYPES_READ],
    acceptEncoding: ACCEPTED_ENCODINGS,
    allowEvents: EVENT_PACKAGES,
  });
  const handler = dispatcher({
    handlers,
    accept: READABLE_TYPES,
    acceptEncoding: ACCEPTED_ENCODINGS,
    allowEvents: EVENT_PACKAGES,
    textOf: failureText,
    warnAgent: mainDomain,
    log,
  });
  const sender = new MessageSender({
    request: async (outgoing) => {
      const response = await deps.stack.request(outgoing);
      const { method, uri, body } = outgoing;
      log.trace({ method, uri, status: response.status, bytes: body?.length ?? 0 }, 'request sent and answered');
      return response;
    },
    contactsOf,
    isOwn,
    mainDomain,
    clock,
    log,
  });
  return { handler, contactSender: sender, peerSender: sender, notifier, upstream };
}

/** The next hop of a domain whose SIP server the configuration names. */
function nextHopOf(domain: string, peers: PeerTable): string | undefined {
  return peers.own(domain)?.nextHop ?? peers.peersOf(domain).find(({ link }) => link === 'sip')?.nextHop;
}

type PresenceParts = {
  readonly proofDeps: SenderProofDeps;
  readonly notifier: Notifier;
  readonly upstream: SipSubscriber;
  readonly contacts: LocalContacts;
  readonly run: number;
  readonly mainDomain: string;
};

function presenceHandlers(
  { peers, clock, log, presence }: SipApplicationDeps,
  { proofDeps, notifier, upstream, contacts, run, mainDomain }: PresenceParts,
): Record<string, SipHandler> {
  const { subscriptions, publish, isUser, documentBytesMax } = presence;
  const watcherDeps = { ...proofDeps, trustedDomain: peers.domainActedFor.bind(peers) };
  const subscribe = subscribeHandler({
    prove: (request) => proveWatcher(request, watcherDeps),
    subscriptions,
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

/** Stands for a next hop whose address is not known before it is looked up: the way out into the world (RFC 5737). */
const SOMEWHERE = '192.0.2.1';

/** Over what a next hop is reached, as the resolver sees it (RFC 3263, section 4.1; RFC 5630, section 3.1.3). */
function farEndOf({ nextHop }: SipRoute): FarEnd {
  const uri = nextHop === undefined ? undefined : parseSipUri(nextHop);
  const named = uri === undefined ? undefined : uriParam(uri, 'transport');
  const transport = uri?.scheme === 'sips' ? 'tls' : typeof named === 'string' ? named.toLowerCase() : 'udp';
  const address = uri === undefined || parseIpAddress(uri.host) === undefined ? SOMEWHERE : bare(uri.host);
  return { transport: transport === 'tcp' || transport === 'tls' ? transport : 'udp', remoteAddress: address };
}
