import { GatewayError } from '../../core/errors.ts';
import { compactText } from '../compact-text.ts';
import { parseCSeq, parseNameAddr } from '../header-values.ts';
import type { HeaderField, SipOutgoing, SipRequest } from '../message.ts';
import { parseSipUri, requestUriFrom, schemeOf, uriParam, type SipUri } from '../uri.ts';

/**
 * A dialog of a subscription (RFC 3261, section 12; RFC 6665, section 4.4.1): what a request within it is made of. Plain
 * data, stored as JSON before any packet that depends on it leaves.
 */
export type Dialog = {
  readonly callId: string;
  readonly localTag: string;
  /** Absent while the far side has not answered. */
  remoteTag?: string;
  /** The URI of our From, without brackets. */
  readonly localUri: string;
  /** The URI of our To, without brackets. */
  readonly remoteUri: string;
  /** The far side's Contact, a URI without brackets: where requests within the dialog go. */
  remoteTarget: string;
  /** Route values in the order of sending, as they stood in Record-Route. */
  routeSet: readonly string[];
  /** The flow the far side's last request came over, where it is the way back (an opaque name of the SIP engine). */
  flow?: string | undefined;
  /** The CSeq number of our last request; 0 before the first. */
  localCseq: number;
  /**
   * Numbers up to this one may be used without storing the dialog again. After a crash the next one is above it: gaps are
   * allowed, repetitions are not (RFC 3261, section 12.2.2).
   */
  localCseqReserved: number;
  /** The CSeq number of the far side's last request; 0 before the first. */
  remoteCseq: number;
};

/** What of a request concerns a dialog that is there. */
export type DialogRequest = Pick<SipRequest, 'uri' | 'headers'>;

const CALL_ID_LENGTH_MAX = 512;
export const TAG_LENGTH_MAX = 256;
const URI_LENGTH_MAX = 1_024;
const ROUTE_LENGTH_MAX = 512;
const ROUTES_MAX = 16;
/** RFC 3261, section 8.1.1.5. */
const CSEQ_MAX = 0x7fff_ffff;

const NO_ROUTES: readonly string[] = [];

/**
 * The dialog that a SUBSCRIBE opens when its 2xx has this tag (RFC 3261, section 12.1.1). Holds no part of the request's
 * memory.
 *
 * @param flow the way back to the Contact, where it is better than the Contact itself
 * @throws GatewayError 'request-malformed' without exactly one Contact that a request can be sent to, and for anything
 *   that is longer than a dialog may keep
 */
export function dialogFromSubscribe(request: SipRequest, localTag: string, flow: string | undefined): Dialog {
  const { headers } = request;
  const from = parseNameAddr(headers.get('From') ?? '');
  const to = parseNameAddr(headers.get('To') ?? '');
  const callId = headers.get('Call-ID');
  const cseq = parseCSeq(headers.get('CSeq') ?? '');
  if (from === undefined || to === undefined || callId === undefined || cseq === undefined) {
    throw malformed('From, To, Call-ID or CSeq cannot be read');
  }
  const tag = from.params.get('tag');
  if (callId.length > CALL_ID_LENGTH_MAX || from.uri.length > URI_LENGTH_MAX || to.uri.length > URI_LENGTH_MAX) {
    throw malformed('Call-ID, From or To is too long for a dialog');
  }
  if (typeof tag === 'string' && tag.length > TAG_LENGTH_MAX) throw malformed('From tag is too long for a dialog');
  return {
    callId: compactText(callId),
    localTag,
    // A sender of RFC 2543 has no tag (RFC 3261, section 12.1.1).
    ...(typeof tag === 'string' ? { remoteTag: compactText(tag) } : {}),
    localUri: compactText(to.uri),
    remoteUri: compactText(from.uri),
    remoteTarget: targetFrom(request),
    // Where there are routes they lead the way (RFC 3261, section 12.2.1.1).
    routeSet: routeSetFrom(headers.all('Record-Route')),
    flow: headers.get('Record-Route') === undefined ? flow : undefined,
    localCseq: 0,
    localCseqReserved: 0,
    remoteCseq: cseq.number,
  };
}

/**
 * The URI in the Contact of a request, as a Request-URI.
 *
 * @throws GatewayError 'request-malformed' without exactly one SIP URI there
 */
export function targetFrom(request: DialogRequest): string {
  const uri = contactUriOf(request);
  const target = uri === undefined ? undefined : targetOf(uri);
  if (uri === undefined || target === undefined) throw malformed('not one Contact with a SIP URI');
  // RFC 3261, section 8.1.1.8: whoever asks for TLS must be reached by TLS.
  if (uri.scheme !== 'sips' && schemeOf(request.uri) === 'sips') throw malformed('sips with a sip Contact');
  return target;
}

/** The tag of a From or To value. */
export function tagOf(value: string | undefined): string | undefined {
  const tag = value === undefined ? undefined : parseNameAddr(value)?.params.get('tag');
  return typeof tag === 'string' && tag !== '' ? tag : undefined;
}

/** The URI of a Contact as a Request-URI; undefined when it is longer than a dialog may keep. */
export function targetOf(uri: SipUri): string | undefined {
  const target = requestUriFrom(uri);
  return target.length > URI_LENGTH_MAX ? undefined : compactText(target);
}

/** The SIP URI in the only Contact of a request; undefined when there is no such thing. */
export function contactUriOf({ headers }: Pick<DialogRequest, 'headers'>): SipUri | undefined {
  const contacts = headers.all('Contact');
  return contacts.length === 1 ? parseSipUri(parseNameAddr(contacts[0] ?? '')?.uri ?? '') : undefined;
}

/**
 * Record-Route values as a route set, in the order given.
 *
 * @throws GatewayError 'request-malformed' for one that is no SIP URI, and for more or longer ones than a dialog may keep
 */
export function routeSetFrom(values: readonly string[]): readonly string[] {
  if (values.length === 0) return NO_ROUTES;
  if (values.length > ROUTES_MAX) throw malformed('too many Record-Route values for a dialog');
  return values.map((value) => {
    if (!isRoute(value)) throw malformed('Record-Route is no SIP URI');
    return compactText(value);
  });
}

/** Whether `routeSetFrom` takes them. */
export function isRouteSet(values: readonly string[]): boolean {
  return values.length <= ROUTES_MAX && values.every(isRoute);
}

function isRoute(value: string): boolean {
  return value.length <= ROUTE_LENGTH_MAX && parseSipUri(parseNameAddr(value)?.uri ?? '') !== undefined;
}

/**
 * Whether the number of a request within the dialog follows those before it (RFC 3261, section 12.2.2), and takes it.
 * One that does not is answered 500. The same number again is one that was repeated over a restart of ours.
 */
export function takeRemoteCseq(dialog: Dialog, { headers }: DialogRequest): boolean {
  const number = parseCSeq(headers.get('CSeq') ?? '')?.number;
  if (number === undefined || number < dialog.remoteCseq) return false;
  dialog.remoteCseq = number;
  return true;
}

/** What a target refresh request may change of a dialog (RFC 3261, section 12.2.2): where requests go, and over what. */
export type Target = Pick<Dialog, 'remoteTarget' | 'flow'>;

/** @returns what was there, to be put back if the request is refused */
export function replaceTarget(dialog: Dialog, { remoteTarget, flow }: Target): Target {
  const before: Target = { remoteTarget: dialog.remoteTarget, flow: dialog.flow };
  dialog.remoteTarget = remoteTarget;
  dialog.flow = dialog.routeSet.length > 0 ? undefined : flow;
  return before;
}

/** The number of our next request; undefined when those that are reserved are used up. */
export function nextCseq(dialog: Dialog): number | undefined {
  if (dialog.localCseq >= dialog.localCseqReserved) return undefined;
  dialog.localCseq += 1;
  return dialog.localCseq;
}

/**
 * Makes so many numbers available; they may be used once the dialog is stored.
 *
 * @throws GatewayError 'internal' after 2^31 requests, where a dialog ends
 */
export function reserveCseqs(dialog: Dialog, count: number): void {
  if (dialog.localCseq + count > CSEQ_MAX) throw new GatewayError('internal', 'the dialog has no numbers left');
  dialog.localCseqReserved = Math.max(dialog.localCseqReserved, dialog.localCseq + count);
}

/** Goes on with a dialog read from the store: what was reserved may have been used. */
export function resumeDialog(dialog: Dialog): void {
  dialog.localCseq = dialog.localCseqReserved;
}

/** A request within a dialog before it has its number. */
export type DialogRequestParts = {
  readonly method: string;
  readonly cseq: number;
  /** Fields other than Route, From, To, Call-ID and CSeq. */
  readonly headers: readonly HeaderField[];
  readonly body?: Uint8Array;
};

/**
 * Writes a request within a dialog (RFC 3261, section 12.2.1.1), over its flow where it has one.
 *
 * A first route that is a strict router (without `lr`) becomes the Request-URI, and the remote target the last route.
 */
export function requestInDialog(dialog: Dialog, parts: DialogRequestParts): SipOutgoing {
  const { routeSet, remoteTarget, remoteTag, flow } = dialog;
  const headers: HeaderField[] = [];
  let uri = remoteTarget;
  let nextHop: SipOutgoing['nextHop'] = flow === undefined ? undefined : { flow };
  if (routeSet.length > 0) {
    const first = parseSipUri(parseNameAddr(routeSet[0] ?? '')?.uri ?? '');
    const isStrict = first !== undefined && uriParam(first, 'lr') === undefined;
    if (isStrict) uri = requestUriFrom(first);
    for (let at = isStrict ? 1 : 0; at < routeSet.length; at++) headers.push(['Route', routeSet[at] ?? '']);
    if (isStrict) {
      headers.push(['Route', `<${remoteTarget}>`]);
      nextHop = { uri };
    }
  }
  headers.push(
    ['From', `<${dialog.localUri}>;tag=${dialog.localTag}`],
    ['To', remoteTag === undefined ? `<${dialog.remoteUri}>` : `<${dialog.remoteUri}>;tag=${remoteTag}`],
    ['Call-ID', dialog.callId],
    ['CSeq', `${parts.cseq} ${parts.method}`],
  );
  for (const field of parts.headers) headers.push(field);
  const { method, body } = parts;
  return {
    method,
    uri,
    headers,
    ...(body === undefined ? {} : { body }),
    ...(nextHop === undefined ? {} : { nextHop }),
  };
}

/** Whether a value out of the store is a dialog. */
export function isDialog(value: unknown): value is Dialog {
  if (typeof value !== 'object' || value === null) return false;
  const dialog = value as Partial<Record<keyof Dialog, unknown>>;
  return (
    typeof dialog.callId === 'string' &&
    typeof dialog.localTag === 'string' &&
    (dialog.remoteTag === undefined || typeof dialog.remoteTag === 'string') &&
    typeof dialog.localUri === 'string' &&
    typeof dialog.remoteUri === 'string' &&
    typeof dialog.remoteTarget === 'string' &&
    (dialog.flow === undefined || typeof dialog.flow === 'string') &&
    Array.isArray(dialog.routeSet) &&
    dialog.routeSet.every((route) => typeof route === 'string') &&
    typeof dialog.localCseq === 'number' &&
    typeof dialog.localCseqReserved === 'number' &&
    typeof dialog.remoteCseq === 'number'
  );
}

function malformed(message: string): GatewayError {
  return new GatewayError('request-malformed', message);
}
