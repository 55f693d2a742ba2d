import type { InstantMessage } from '../cpim/operation.ts';
import { READABLE_TYPES } from '../cpim/readable.ts';
import type { Origin } from '../core/admission.ts';
import { failureText } from '../core/failure-text.ts';
import type { Log } from '../core/log.ts';
import type { PeerTable } from '../core/peers.ts';
import type { Clock, CredentialStore, OperationSender } from '../core/ports.ts';
import type { RegistrationService } from '../core/registration-service.ts';
import { ACCEPTED_ENCODINGS } from './content-encoding.ts';
import { DigestCheck } from './digest-check.ts';
import { dispatcher } from './dispatch.ts';
import { messageHandler } from './message-handler.ts';
import { MessageSender } from './message-sender.ts';
import { optionsHandler } from './options-handler.ts';
import { registerHandler } from './register-handler.ts';
import { proveSender } from './sender-proof.ts';
import type { SipHandler, SipListener, SipStack } from './stack.ts';

export type SipApplicationDeps = {
  readonly stack: Pick<SipStack, 'request'>;
  readonly peers: PeerTable;
  readonly credentials: Pick<CredentialStore, 'find'>;
  readonly registrations: Pick<RegistrationService, 'register' | 'contactsOf'>;
  readonly accept: (message: InstantMessage, origin: Origin) => Promise<'delivered' | 'queued'>;
  /** Where the stack listens; asked for each request, since ports may be known late. */
  readonly listeners: () => readonly SipListener[];
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  /** How large a body may be once its Content-Encoding is undone; 1 MiB when absent. */
  readonly bodyBytesMax?: number;
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

/** Puts the SIP side together: what is served, for whom, and how operations leave. */
export function sipApplication(deps: SipApplicationDeps): SipApplication {
  const { peers, clock, log } = deps;
  const isOwn = (domain: string): boolean => peers.own(domain) !== undefined;
  const mayActFor = peers.mayActFor.bind(peers);
  const mainDomain = peers.ownDomains[0] ?? 'localhost';
  const digest = new DigestCheck({ find: (user) => deps.credentials.find(user), clock, log });
  const checkDigest = digest.check.bind(digest);
  const allow = ['MESSAGE', 'OPTIONS', 'REGISTER'];

  const handler = dispatcher({
    handlers: {
      MESSAGE: messageHandler({
        prove: (request) => proveSender(request, { isOwn, mayActFor, checkDigest }),
        accept: deps.accept,
        clock,
        bodyBytesMax: deps.bodyBytesMax ?? BODY_BYTES_MAX,
      }),
      OPTIONS: optionsHandler({
        isServed: (domain) => isOwn(domain) || peers.peer(domain) !== undefined,
        allow,
        accept: READABLE_TYPES,
        acceptEncoding: ACCEPTED_ENCODINGS,
      }),
      REGISTER: registerHandler({
        isOwn,
        mayActFor,
        checkDigest,
        register: (user, request) => deps.registrations.register(user, request),
        listeners: deps.listeners,
        clock,
      }),
    },
    accept: READABLE_TYPES,
    acceptEncoding: ACCEPTED_ENCODINGS,
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
    contactsOf: (userKey) => deps.registrations.contactsOf(userKey),
    isOwn,
    mainDomain,
    clock,
    log,
  });
  return { handler, contactSender: sender, peerSender: sender };
}
