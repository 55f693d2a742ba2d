import type { InstantMessage } from '../cpim/operation.ts';
import { PRESENCE_TYPES_READ } from '../cpim/presence/presence-formats.ts';
import { READABLE_TYPES } from '../cpim/readable.ts';
import type { Origin } from '../core/admission.ts';
import { failureText } from '../core/failure-text.ts';
import type { Log } from '../core/log.ts';
import type { NumberPlan } from '../core/number-plan.ts';
import type { PeerTable } from '../core/peers.ts';
import type { Clock, CredentialStore, OperationSender } from '../core/ports.ts';
import type { RegistrationService } from '../core/registration-service.ts';
import { ACCEPTED_ENCODINGS } from './content-encoding.ts';
import { DigestCheck, type DigestCheckDeps } from './digest-check.ts';
import { dispatcher } from './dispatch.ts';
import { edgeProxy } from './edge/edge-proxy.ts';
import { FlowTokens } from './edge/flow-tokens.ts';
import { EVENT_PACKAGES } from './events/event-header.ts';
import { farEndOf, LocalContacts } from './events/local-contact.ts';
import type { Gruus } from './registrar/gruu.ts';
import { messageHandler } from './message-handler.ts';
import { MessageSender, type MessageSenderDeps } from './message-sender.ts';
import { optionsHandler } from './options-handler.ts';
import type { PresenceHandlers } from './presence-application.ts';
import { registerHandler, type RegisterSettings } from './registrar/register-handler.ts';
import { proveSender, type SenderProofDeps } from './sender-proof.ts';
import type { PeerRequests } from './trust/peer-requests.ts';
import type { VerifySignature } from './trust/verified.ts';
import type { SipHandler, SipListener, SipStack } from './stack.ts';
import { tracedRequest } from './traced-request.ts';

export type SipApplicationDeps = {
  readonly stack: Pick<SipStack, 'request' | 'takesRoutes' | 'answersKeepAlives'>;
  readonly peers: PeerTable;
  readonly register: RegistrationService['register'];
  /** Contacts that can be reached now; of one device alone where it is named. */
  readonly contactsOf: RegistrationService['reachableOf'];
  readonly gruus: Gruus;
  readonly registerSettings: RegisterSettings;
  readonly accept: (message: InstantMessage, origin: Origin) => Promise<'delivered' | 'queued'>;
  /** Where the stack listens; asked for each request, since ports may be known late. */
  readonly listeners: () => readonly SipListener[];
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  readonly log: Log;
  /** How large a body may be once its Content-Encoding is undone; 1 MiB when absent. */
  readonly bodyBytesMax?: number;
  /** Absent: signatures are not looked at. */
  readonly verify?: VerifySignature;
  /** The way to peers. */
  readonly toPeers?: PeerRequests;
  /** Who sends, as `senderProof` makes it. */
  readonly proof: SenderProofDeps;
  readonly presence: PresenceHandlers;
  /** What concerns receipts when messages leave; absent: nobody gets any. */
  readonly receipts?: Pick<MessageSenderDeps, 'nameOf' | 'delivered'>;
  /** There where this server is the edge of a SIP core. */
  readonly edge?: EdgeParts;
  /** See `NumberUris`. */
  readonly telDomain?: string | undefined;
};

/** What the edge of a core needs beside. */
export type EdgeParts = {
  /** Of the tokens of flows alone; stays the same over restarts. */
  readonly flowTokenKey: Uint8Array;
  readonly stack: Pick<SipStack, 'isFlowOpen' | 'reachableAt'>;
  /** Whether a user of ours is served here rather than by the core of his domain. */
  readonly isKnownHere: (userKey: string) => boolean;
};

export type SipApplication = {
  /** For `SipStack.start`. */
  readonly handler: SipHandler;
  /** For routes to the contacts of local users. */
  readonly contactSender: OperationSender;
  /** For routes to SIP peers. */
  readonly peerSender: OperationSender;
};

const BODY_BYTES_MAX = 1024 * 1024;

/** How the senders of requests prove who they are, in one place for all methods: a nonce is good for any of them. */
export function senderProof({
  peers,
  credentials,
  numbers,
  clock,
  log,
  nonces,
}: {
  readonly peers: PeerTable;
  readonly credentials: Pick<CredentialStore, 'find'>;
  /** Who has which other addresses; absent: nobody has any. */
  readonly numbers?: Pick<NumberPlan, 'userOf'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  readonly nonces?: DigestCheckDeps['nonces'];
}): SenderProofDeps & Pick<DigestCheck, 'usedElsewhere'> {
  const digest = new DigestCheck({
    find: (user) => credentials.find(user),
    clock,
    log,
    ...(nonces === undefined ? {} : { nonces }),
  });
  return {
    isOwn: (domain) => peers.own(domain) !== undefined,
    mayActFor: peers.mayActFor.bind(peers),
    believes: peers.believes.bind(peers),
    mainDomain: peers.ownDomains[0],
    trustedDomain: peers.domainActedFor.bind(peers),
    ...(numbers === undefined ? {} : { userOf: numbers.userOf.bind(numbers) }),
    checkDigest: digest.check.bind(digest),
    usedElsewhere: digest.usedElsewhere.bind(digest),
  };
}

/** Puts the SIP side together: what is served, for whom, and how operations leave. */
export function sipApplication(deps: SipApplicationDeps): SipApplication {
  const { peers, proof: proofDeps, toPeers, clock, log, presence } = deps;
  const { isOwn } = proofDeps;
  const mainDomain = peers.ownDomains[0] ?? 'localhost';
  const bodyBytesMax = deps.bodyBytesMax ?? BODY_BYTES_MAX;
  const { contactsOf, gruus } = deps;
  const handlers: Record<string, SipHandler> = {
    MESSAGE: messageHandler({
      prove: (request) => proveSender(request, proofDeps),
      addressed: (uri) => gruus.withoutTemporary(uri),
      accept: deps.accept,
      ...(deps.verify === undefined ? {} : { verify: deps.verify }),
      clock,
      bodyBytesMax,
      numbers: { telDomain: deps.telDomain, isOwn },
    }),
    REGISTER: registerHandler({
      ...proofDeps,
      register: deps.register,
      listeners: deps.listeners,
      gruus,
      settings: deps.registerSettings,
      stack: deps.stack,
      clock,
    }),
    ...presence,
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
    servesNumbers: deps.telDomain !== undefined,
    textOf: failureText,
    warnAgent: mainDomain,
    log,
  });
  const sender = new MessageSender({
    request: tracedRequest(deps.stack, log),
    ...(toPeers === undefined ? {} : { toPeer: toPeers.request.bind(toPeers) }),
    contactsOf,
    ...deps.receipts,
    isOwn,
    mainDomain,
    clock,
    log,
  });
  const { edge } = deps;
  return {
    handler: edge === undefined ? handler : atTheEdge(edge, deps, handler),
    contactSender: sender,
    peerSender: sender,
  };
}

function atTheEdge(
  { flowTokenKey, stack, isKnownHere }: EdgeParts,
  deps: SipApplicationDeps,
  others: SipHandler,
): SipHandler {
  const { peers, proof, listeners, log } = deps;
  const contacts = new LocalContacts(stack);
  return edgeProxy(
    {
      request: (outgoing) => deps.stack.request(outgoing),
      isFlowOpen: (flow) => stack.isFlowOpen(flow),
      tokens: new FlowTokens(flowTokenKey),
      coreOf: (domain) => {
        const own = peers.own(domain);
        return own?.isEdge === true ? own.nextHop : undefined;
      },
      mayActFor: proof.mayActFor,
      isOwn: proof.isOwn,
      isKnownHere,
      ownUri: (nextHop, domain) => contacts.towards(farEndOf(nextHop), domain, false),
      listeners,
      log,
    },
    others,
  );
}
