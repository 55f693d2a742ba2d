import { addressKey, type Address } from '../../cpim/address.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import type { Pace } from '../../core/presence/pace.ts';
import {
  ANONYMOUS,
  type EventPackage,
  type Notification,
  type NotifyBody,
  type Notifier,
  type Subscription,
} from '../../core/presence/subscription.ts';
import type { FetchRequest, Subscriptions } from '../../core/presence/subscriptions.ts';
import { compactText } from '../compact-text.ts';
import { contactFlow } from '../registrar/contact-flow.ts';
import { parseExpires, parseNameAddr } from '../header-values.ts';
import { entityFromUriText } from '../map-address.ts';
import type { HeaderField, SipReply, SipRequest } from '../message.ts';
import { withPlainNumber, type NumberUris } from '../numbers.ts';
import type { WatcherProof } from '../sender-proof.ts';
import type { VerifySignature } from '../trust/verified.ts';
import type { SipHandler } from '../stack.ts';
import type { SipUri } from '../uri.ts';
import { acceptedType } from './accept.ts';
import { contactUriOf, dialogFromSubscribe, replaceTarget, tagOf, takeRemoteCseq, targetFrom } from './dialog.ts';
import { EVENT_PACKAGES, parseEvent, servedPackage } from './event-header.ts';
import { etagOf, formatsOf, type DocumentFormat } from './presence-bodies.ts';
import { asSipLease, reserveWithSubscribe, type SipLease } from './subscription-lease.ts';

export type SubscribeDeps = {
  readonly prove: (request: SipRequest) => WatcherProof;
  readonly subscriptions: Pick<Subscriptions, 'subscribe' | 'refresh' | 'fetch' | 'find'>;
  /** Absent: signatures are not looked at. */
  readonly verify?: VerifySignature;
  /** Absent: nobody is found by a number. */
  readonly numbers?: NumberUris;
  /** Who is meant by an address of ours; absent: whoever has it. @throws GatewayError as `NumberPlan.destinationOf` */
  readonly presentityOf?: (address: Address) => Address | Promise<Address>;
  /** For those who look once: nothing of them is kept. */
  readonly notify: Notifier['notify'];
  /** The URI of our Contact for whoever sent the request. */
  readonly contactFor: (request: SipRequest) => Promise<string>;
  /** Makes the id of a subscription, which is our tag in its dialog. */
  readonly newId: () => string;
  readonly run: number;
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  readonly log: Log;
};

const NAME_LENGTH_MAX = 100;
/** As nobody's name: controls, line ends, and what XML cannot hold. */
const NO_NAME = /[\u0000-\u001F\u007F-\u009F\u2028\u2029\uFFFE\uFFFF]+/g;
/** What is left of a character that was cut through. */
const HALF_CHARACTER = /[\uD800-\uDBFF]$/;
const ETAG_LENGTH_MAX = 256;

type Asked = {
  readonly watcher: WatcherProof & { readonly kind: 'proved' | 'anonymous' };
  readonly package: EventPackage;
  readonly eventId: string | undefined;
  readonly pace: Pace | undefined;
  /** Undefined: as usual. */
  readonly expiresSeconds: number | undefined;
};

/**
 * Answers SUBSCRIBE as the notifier (RFC 6665, section 4.2.1; RFC 3856; RFC 3857): a new dialog for who asks for the
 * first time, one look for `Expires: 0` outside of a dialog, a refresh or the end within one. The To tag of a dialog is
 * the id of its subscription.
 *
 * Nothing is sent to a Contact before its owner has proved who he is. A 2xx says that the subscription is stored; whether
 * it is pending or active the NOTIFY says that follows. A body is not looked at: filters are at our discretion (RFC 3856,
 * section 6.3), and there are none.
 */
export function subscribeHandler(deps: SubscribeDeps): SipHandler {
  return async (request): Promise<SipReply> => {
    const proof = deps.prove(request);
    if (proof.kind === 'challenge') return { status: 401, headers: proof.headers };
    const checking = deps.verify?.(request, proof.origin);
    if (checking !== undefined) await checking;
    const { headers } = request;
    const event = parseEvent(headers.get('Event') ?? '');
    const name = event === undefined ? undefined : servedPackage(event.package);
    if (event === undefined || name === undefined) throw new GatewayError('event-unsupported', 'no such event package');
    const asked: Asked = {
      watcher: proof,
      package: name,
      eventId: event.id,
      pace: event.pace,
      expiresSeconds: parseExpires(headers.get('Expires')),
    };
    const tag = tagOf(headers.get('To'));
    return tag === undefined ? begin(request, asked, deps) : goOn(request, asked, tag, deps);
  };
}

async function begin(request: SipRequest, asked: Asked, deps: SubscribeDeps): Promise<SipReply> {
  const { subscriptions, run } = deps;
  const format = formatFrom(request, asked.package) ?? formatsOf(asked.package)[0];
  const id = deps.newId();
  const lease: SipLease = {
    via: 'sip',
    dialog: dialogFromSubscribe(request, id, flowTo(contactUriOf(request), request)),
    ...(asked.eventId === undefined ? {} : { eventId: asked.eventId }),
    format,
    contact: await deps.contactFor(request),
    run,
    unanswered: 0,
    failed: 0,
  };
  reserveWithSubscribe(lease, run);
  const wish = fetchRequestFrom(request, asked, await presentityFrom(request, deps));
  const hasBody = knownBody(request, format);
  let seconds = 0;
  try {
    if (asked.expiresSeconds === 0) await look(id, lease, wish, hasBody, deps);
    else {
      const { expiresSeconds: expires } = asked;
      const granted = await subscriptions.subscribe({
        ...wish,
        id,
        lease,
        ...(expires === undefined ? {} : { expires }),
        ...(asked.pace === undefined ? {} : { pace: asked.pace }),
        ...(hasBody === undefined ? {} : { hasBody }),
      });
      seconds = granted.expiresSeconds;
    }
  } catch (cause) {
    throw asked.watcher.kind === 'anonymous' ? anonymityRefused(GatewayError.of(cause)) : cause;
  }
  const headers: HeaderField[] = request.headers.all('Record-Route').map((value) => ['Record-Route', value]);
  headers.push(
    ['Expires', String(seconds)],
    ['Contact', `<${lease.contact}>`],
    ['Allow-Events', EVENT_PACKAGES.join(', ')],
  );
  return { status: 200, toTag: id, headers };
}

function presentityFrom(request: SipRequest, { numbers, presentityOf }: SubscribeDeps): Address | Promise<Address> {
  const { uri } = numbers === undefined ? request : withPlainNumber(request, numbers);
  const { address } = entityFromUriText(uri);
  return presentityOf?.(address) ?? address;
}

/** Tells one who looks once what he may see now, after he has been answered (RFC 6665, section 4.4.3). */
async function look(
  id: string,
  lease: SipLease,
  wish: FetchRequest,
  hasBody: ((body: NotifyBody | undefined) => boolean) | undefined,
  deps: SubscribeDeps,
): Promise<void> {
  const { body } = await deps.subscriptions.fetch(wish);
  const state = { at: 'terminated', reason: 'timeout' } as const;
  const { watcher, presentity, package: name } = wish;
  const notification: Notification = {
    subscription: { id, package: name, watcher, presentity, state, subscribedAtMs: deps.clock.nowMs(), lease },
    state,
    ...(body === undefined ? {} : { body }),
    // Outside of a dialog it is sent in any case, without what is known (RFC 5839, section 6.2).
    ...(hasBody?.(body) === true ? { isBodySuppressed: true } : {}),
  };
  deps.clock.after(0, () => void deps.notify(notification));
  deps.log.info(
    { subscriptionId: id, watcher, presentity, callId: lease.dialog.callId },
    'presence was looked up once',
  );
}

async function goOn(request: SipRequest, asked: Asked, tag: string, deps: SubscribeDeps): Promise<SipReply> {
  const contact = await deps.contactFor(request);
  const subscription = deps.subscriptions.find(tag);
  const lease = asSipLease(subscription?.lease);
  if (subscription === undefined || lease === undefined || !isOf(request, asked, subscription, lease)) {
    throw new GatewayError('dialog-unknown', 'no such subscription');
  }
  const { dialog } = lease;
  // Not ours to report as a fault of the server (RFC 3261, section 12.2.2): a later request has been here before.
  if (!takeRemoteCseq(dialog, request)) return { status: 500, reason: 'CSeq Out Of Order' };
  const format = formatFrom(request, asked.package) ?? lease.format;
  const hasBody = knownBody(request, format);
  const putBack = changeLease(lease, request, format, contact, deps.run);
  let isAccepted = false;
  try {
    const { expiresSeconds, isSuppressed } = await deps.subscriptions.refresh(tag, {
      ...(asked.expiresSeconds === undefined ? {} : { expiresSeconds: asked.expiresSeconds }),
      ...(asked.pace === undefined ? {} : { pace: asked.pace }),
      ...(hasBody === undefined ? {} : { hasBody }),
    });
    isAccepted = true;
    const headers: HeaderField[] = [
      ['Expires', String(expiresSeconds)],
      ['Contact', `<${lease.contact}>`],
    ];
    return { status: isSuppressed ? 204 : 200, headers };
  } finally {
    if (!isAccepted) putBack();
  }
}

/**
 * Takes over what a request within the dialog changes, to be stored with the refresh.
 *
 * @returns puts everything back: a request that is refused changes nothing (RFC 3261, section 12.2.2)
 */
function changeLease(
  lease: SipLease,
  request: SipRequest,
  format: DocumentFormat,
  contact: string,
  run: number,
): () => void {
  const { dialog } = lease;
  const uri = contactUriOf(request);
  const isTargeted = request.headers.get('Contact') !== undefined;
  const target = isTargeted ? { remoteTarget: targetFrom(request), flow: flowTo(uri, request) } : dialog;
  const before = { format: lease.format, contact: lease.contact, reserved: dialog.localCseqReserved };
  lease.format = format;
  lease.contact = contact;
  const targetBefore = replaceTarget(dialog, target);
  reserveWithSubscribe(lease, run);
  const number = dialog.remoteCseq;
  return () => {
    // Another one may have come meanwhile, and been accepted.
    if (dialog.remoteCseq !== number) return;
    replaceTarget(dialog, targetBefore);
    lease.format = before.format;
    lease.contact = before.contact;
    dialog.localCseqReserved = before.reserved;
  };
}

/** Whether a request within a dialog is about this subscription, and from its watcher. */
function isOf(request: SipRequest, asked: Asked, subscription: Subscription, { dialog, eventId }: SipLease): boolean {
  const { headers } = request;
  return (
    headers.get('Call-ID') === dialog.callId &&
    tagOf(headers.get('From')) === dialog.remoteTag &&
    asked.package === subscription.package &&
    asked.eventId === eventId &&
    addressKey(watcherOf(asked)) === addressKey(subscription.watcher)
  );
}

function watcherOf({ watcher }: Asked): Address {
  return watcher.kind === 'anonymous' ? ANONYMOUS : watcher.sender.address;
}

function fetchRequestFrom(request: SipRequest, asked: Asked, presentity: Address): FetchRequest {
  const displayName = asked.watcher.kind === 'anonymous' ? undefined : displayNameOf(request);
  return {
    watcher: watcherOf(asked),
    presentity,
    package: asked.package,
    origin: asked.watcher.origin,
    ...(displayName === undefined ? {} : { displayName }),
  };
}

function displayNameOf(request: SipRequest): string | undefined {
  const display = parseNameAddr(request.headers.get('From') ?? '')?.display ?? '';
  const name = display.replace(NO_NAME, ' ').trim().slice(0, NAME_LENGTH_MAX).replace(HALF_CHARACTER, '');
  return name === '' ? undefined : compactText(name);
}

/**
 * The media type that the watcher takes; undefined where he says nothing.
 *
 * @throws GatewayError 'not-acceptable' when he takes none that there is
 */
function formatFrom(request: SipRequest, name: EventPackage): DocumentFormat | undefined {
  const values = request.headers.all('Accept');
  if (values.length === 0) return undefined;
  const offered = formatsOf(name);
  const format = acceptedType(values, offered);
  if (format !== undefined) return format;
  throw new GatewayError('not-acceptable', 'Accept names no format of the package', {
    details: { text: `There is ${offered.join(' and ')}.` },
  });
}

/** Whether the watcher has a body, by the tag that he names (RFC 5839, section 5); undefined where he names none. */
function knownBody(
  request: SipRequest,
  format: DocumentFormat,
): ((body: NotifyBody | undefined) => boolean) | undefined {
  const tag = request.headers.get('Suppress-If-Match');
  if (tag === undefined || tag.length > ETAG_LENGTH_MAX) return undefined;
  return (body) => tag === '*' || tag === etagOf(body, format);
}

/** The way back over which the Contact is reached, where that is better than the Contact itself. */
function flowTo(contact: SipUri | undefined, { flow }: SipRequest): string | undefined {
  return contact === undefined ? undefined : contactFlow([contact], flow);
}

/** Why an anonymous watcher is refused: for being anonymous (RFC 5079, section 5), where who he is would have counted. */
function anonymityRefused(error: GatewayError): GatewayError {
  if (error.code !== 'sender-forbidden') return error;
  return new GatewayError(error.code, error.message, { cause: error, details: { ...error.details, status: 433 } });
}
