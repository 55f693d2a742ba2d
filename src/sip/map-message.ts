import { createHash } from 'node:crypto';
import { domainOf, localpartOf } from '../cpim/address.ts';
import { bytesOf, contentFromBytes, mediaTypeOf } from '../cpim/content.ts';
import { writeNotification } from '../cpim/imdn.ts';
import type { Disposition, Entity, FailureReport, InstantMessage, Operation } from '../cpim/operation.ts';
import { isDeviceName } from '../core/devices.ts';
import { hidesAuthor, hidesDevice, hidesTexts, type Privacy } from '../cpim/privacy.ts';
import { GatewayError } from '../core/errors.ts';
import { failureText } from '../core/failure-text.ts';
import { parseDigits } from './characters.ts';
import { decodedBody } from './content-encoding.ts';
import { formatSipDate, parseCSeq, parseNameAddr, parseSipDate } from './header-values.ts';
import { entityFromSipUri, entityFromUriText, sipUriFromAddress, sipUriFromEntity } from './map-address.ts';
import { callIdFromThread, threadFromCallId } from './map-call-id.ts';
import { HOPS_START, type HeaderField, type SipOutgoing, type SipRequest } from './message.ts';
import { parseSipUri } from './uri.ts';

export type MessageContext = {
  /** Who sent it, as proved; From is not looked at again but for its tag. */
  readonly sender: Entity;
  /** What he wishes to keep to himself. */
  readonly privacy?: Privacy;
  readonly nowMs: number;
  /** How large a body may be once its Content-Encoding is undone. */
  readonly bodyBytesMax: number;
};

/** End-to-end header fields that go on to another SIP hop as they came. */
const EXTRAS: ReadonlySet<string> = new Set([
  'Accept-Language',
  'Content-Disposition',
  'Content-ID',
  'In-Reply-To',
  'MIME-Version',
  'Organization',
  'Priority',
  'User-Agent',
]);
/** Which of them tell something about the author's device, and which about himself (RFC 3323, sections 5.1 and 5.3). */
const OF_DEVICE: ReadonlySet<string> = new Set(['User-Agent', 'Content-ID', 'In-Reply-To', 'Organization']);
const OF_AUTHOR: ReadonlySet<string> = new Set([
  'Accept-Language',
  'Content-ID',
  'In-Reply-To',
  'Organization',
  'User-Agent',
]);
const EXTRA_LENGTH_MAX = 512;
const EXTRAS_MAX = 16;

const ID_LENGTH = 32;
const EXPIRES_SECONDS_MAX = 4_294_967_295;
/** `Expires: 0` wants delivery now or never: now takes as long as a SIP transaction may. */
const ONE_ATTEMPT_MS = 32_000;
/** Older than this a message shows when it was written; fresher ones arrive when they were written. */
const DEFERRED_AFTER_MS = 10_000;
const SUBJECT_LENGTH_MAX = 1_000;
/** RFC 5646 in outline: what may stand in Content-Language. */
const LANGUAGE = /^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,7}$/;

/**
 * Reads a MESSAGE with a body as an instant message (RFC 7572, section 5; MAPPING sections 4.2 to 4.6 and 7).
 *
 * Pure. The id is a hash of what every copy of one request has in common: the sender, the Request-URI's address,
 * Call-ID, CSeq, From tag (RFC 3261, section 8.2.2.2), body and credentials; so a request that comes twice, over
 * whatever transaction, is one message.
 *
 * @throws GatewayError 'address-malformed', 'scheme-unsupported', 'request-malformed', 'content-malformed' (a body
 *   without a Content-Type that can be read), 'content-unsupported' and 'content-too-large' (see `decodedBody`)
 */
export function messageFromRequest(request: SipRequest, context: MessageContext): InstantMessage {
  const { headers } = request;
  const { sender, nowMs, privacy } = context;
  const uri = parseSipUri(request.uri);
  const destination = uri === undefined ? entityFromUriText(request.uri) : entityFromSipUri(uri);
  const type = headers.get('Content-Type');
  if (type === undefined || mediaTypeOf(type) === undefined) {
    throw new GatewayError('content-malformed', 'body without a Content-Type that can be read');
  }
  const callId = headers.get('Call-ID') ?? '';
  // An id that his device made may have the name of his machine in it (RFC 3323, section 5.3).
  const thread = hidesDevice(privacy) ? undefined : threadFromCallId(callId, sender.address, destination.address);
  const sentAtMs = parseSipDate(headers.get('Date') ?? '');
  const expiresAtMs = expiresAtMsOf(request, sentAtMs, nowMs);
  const subject = hidesTexts(privacy) ? '' : (headers.get('Subject') ?? '');
  const language = languageFrom(headers.get('Content-Language'));
  const extras = extrasOf(request, privacy);
  const isSecure = uri?.scheme === 'sips' || isSips(headers.get('To'));
  return {
    op: 'message',
    id: idOf(request, sender, destination, callId),
    source: sender,
    destination,
    hops: parseDigits(headers.get('Max-Forwards') ?? '', 255) ?? HOPS_START,
    acceptedAtMs: nowMs,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    ...(sentAtMs === undefined ? {} : { sentAtMs: Math.min(sentAtMs, nowMs) }),
    ...(thread === undefined ? {} : { thread }),
    ...(subject === '' ? {} : { subjects: [{ text: subject }] }),
    ...(language === undefined ? {} : { language }),
    content: contentFromBytes(type, decodedBody(request.body, headers, context.bodyBytesMax)),
    ...(destination.instance !== undefined && isDeviceName(destination.instance) ? { isForInstanceOnly: true } : {}),
    ...(privacy === undefined ? {} : { privacy }),
    ...(isSecure ? { secure: true } : {}),
    ...(extras.length === 0 ? {} : { extras }),
  };
}

/**
 * COMPAT(libpurple 2.14, 2026-11): its Call-ID and tag come from an unseeded source, so that after a restart the same
 * words may be the same request to the byte. The credentials tell them apart: each use of a nonce is another one.
 */
function idOf(request: SipRequest, sender: Entity, destination: Entity, callId: string): string {
  const cseq = parseCSeq(request.headers.get('CSeq') ?? '')?.number ?? 0;
  const tag = parseNameAddr(request.headers.get('From') ?? '')?.params.get('tag') ?? '';
  const parts = [
    sender.address,
    sender.instance ?? '',
    destination.address,
    destination.instance ?? '',
    callId,
    cseq,
    tag,
    ...request.headers.all('Authorization'),
  ];
  // JSON, so that no part can run over into the next.
  const hash = createHash('sha256').update(JSON.stringify(parts)).update(request.body);
  // A letter first: an operator types it after `queue show`, where a hyphen would begin an option.
  return `s${hash.digest('base64url').slice(0, ID_LENGTH - 1)}`;
}

/** RFC 3428, section 7: Expires counts from Date where there is one, else from now. */
function expiresAtMsOf(request: SipRequest, sentAtMs: number | undefined, nowMs: number): number | undefined {
  const seconds = parseDigits(request.headers.get('Expires') ?? '', EXPIRES_SECONDS_MAX);
  if (seconds === undefined) return undefined;
  if (seconds === 0) return nowMs + ONE_ATTEMPT_MS;
  // A clock that runs ahead of ours makes no message live longer.
  return Math.min(sentAtMs ?? nowMs, nowMs) + seconds * 1_000;
}

function languageFrom(value: string | undefined): string | undefined {
  const first = value?.split(',', 1)[0]?.trim() ?? '';
  return LANGUAGE.test(first) ? first : undefined;
}

function extrasOf(request: SipRequest, privacy: Privacy | undefined): HeaderField[] {
  return request.headers.fields
    .filter(([name]) => EXTRAS.has(name) && !(OF_DEVICE.has(name) && hidesDevice(privacy)))
    .filter(([name]) => !(OF_AUTHOR.has(name) && hidesTexts(privacy)))
    .filter(([, value]) => value !== '' && value.length <= EXTRA_LENGTH_MAX)
    .slice(0, EXTRAS_MAX);
}

function isSips(to: string | undefined): boolean {
  return to !== undefined && parseSipUri(parseNameAddr(to)?.uri ?? '')?.scheme === 'sips';
}

/** RFC 3323, section 4.1.1.3. */
export const ANONYMOUS_FROM = '"Anonymous" <sip:anonymous@anonymous.invalid>';

/** Where an operation goes as a request. */
export type MessageTarget = {
  /** Request-URI. */
  readonly uri: string;
  /** CSeq number; grows with each operation, and is the same when one is repeated. */
  readonly sequence: number;
  readonly nowMs: number;
  /** A contact of a local user, not another server: each message needs a Call-ID of its own. */
  readonly isPhone?: boolean;
  /** What a message is called by which a phone may tell what became of it (`ReceiptNames`). */
  readonly name?: string;
};

/**
 * Writes an instant message as a MESSAGE outside any dialog (RFC 3428, section 4; RFC 7572, section 4).
 *
 * Pure. A repeated attempt has the same Call-ID, CSeq and From tag, so that the far side can tell it from a second
 * message. There is no Contact (RFC 3428, section 4).
 */
export function outgoingFromMessage(message: InstantMessage, target: MessageTarget): SipOutgoing {
  const { source, destination, subjects, language, content, sentAtMs, acceptedAtMs, expiresAtMs } = message;
  const { nowMs } = target;
  const scheme = message.secure === true ? 'sips' : 'sip';
  // Also where it is trusted: From is what is shown to everybody behind it. Who it is says P-Asserted-Identity.
  const from = hidesAuthor(message.privacy) ? ANONYMOUS_FROM : `<${sipUriFromEntity(source, scheme)}>`;
  const headers = startOf(message, from, sipUriFromAddress(destination.address, scheme), target);
  headers.push(['Max-Forwards', String(Math.min(message.hops, HOPS_START))]);
  const writtenAtMs = sentAtMs ?? (nowMs - acceptedAtMs > DEFERRED_AFTER_MS ? acceptedAtMs : undefined);
  if (writtenAtMs !== undefined) headers.push(['Date', formatSipDate(writtenAtMs)]);
  if (expiresAtMs !== undefined) {
    // Date has whole seconds; what it leaves off must not lengthen a life.
    const fromMs = writtenAtMs === undefined ? nowMs : Math.floor(writtenAtMs / 1_000) * 1_000;
    headers.push(['Expires', String(Math.max(1, Math.floor((expiresAtMs - fromMs) / 1_000)))]);
  }
  const subject = oneLine(subjects?.[0]?.text ?? '').slice(0, SUBJECT_LENGTH_MAX);
  if (subject !== '') headers.push(['Subject', subject]);
  headers.push(['Content-Type', content.type]);
  if (language !== undefined && LANGUAGE.test(language)) headers.push(['Content-Language', language]);
  headers.push(...(message.extras ?? []));
  return { method: 'MESSAGE', uri: target.uri, headers, body: bytesOf(content) };
}

/**
 * Writes a report as a MESSAGE in words to the sender of what failed: what it was, whom it was for, and why.
 *
 * @param postmaster whom it is from
 */
export function outgoingFromReport(report: FailureReport, postmaster: Entity, target: MessageTarget): SipOutgoing {
  const to = sipUriFromAddress(report.destination.address);
  const headers = startOf(report, `<${sipUriFromEntity(postmaster)}>`, to, target);
  headers.push(['Max-Forwards', String(HOPS_START)]);
  headers.push(['Content-Type', 'text/plain;charset=UTF-8'], ['Content-Language', 'en']);
  return { method: 'MESSAGE', uri: target.uri, headers, body: Buffer.from(reportText(report)) };
}

/**
 * Writes a word about a message as a notification in message/cpim (RFC 5438, sections 7.2.1 and 12): who asked in
 * message/cpim reads it. Nothing in it asks for a word in return.
 */
export function outgoingFromDisposition(disposition: Disposition, target: MessageTarget): SipOutgoing {
  const { id, source, destination, status, about, acceptedAtMs } = disposition;
  const to = sipUriFromAddress(destination.address);
  const headers = startOf(disposition, `<${sipUriFromEntity(source)}>`, to, target);
  headers.push(['Max-Forwards', String(HOPS_START)], ['Content-Type', 'message/cpim']);
  const from = sipUriFromAddress(source.address);
  const body = writeNotification({ id, from, to, about, status, atMs: acceptedAtMs });
  return { method: 'MESSAGE', uri: target.uri, headers, body };
}

/** The report as its reader sees it. */
export function reportText(report: FailureReport): string {
  const { source, about, code, text, alternative } = report;
  const localpart = localpartOf(source.address);
  const recipient = localpart === undefined ? domainOf(source.address) : `${localpart}@${domainOf(source.address)}`;
  const lines = [`Your message to ${recipient} could not be delivered. ${failureText(code)}`];
  if (alternative !== undefined) lines.push(`The other address: ${alternative}`);
  if (text !== undefined && text !== '') lines.push(`The other side said: ${text}`);
  if (about.subject !== undefined) lines.push(`Subject of the message: ${about.subject}`);
  if (about.excerpt !== undefined) lines.push(`The message began: ${about.excerpt}`);
  return lines.join('\n');
}

function startOf(operation: Operation, from: string, to: string, target: MessageTarget): HeaderField[] {
  const { source, destination, id } = operation;
  const thread = operation.op === 'disposition' ? undefined : operation.thread;
  // COMPAT(liblinphone 5.1, 2026-11): it answers 200 to a MESSAGE with a Call-ID it has seen and shows it to nobody.
  // Nothing is lost by it here: a phone sends no thread back, since pager messages have no dialog (RFC 3428).
  const hasOwnCallId = target.isPhone === true || (operation.op === 'message' && hidesDevice(operation.privacy));
  const callId = hasOwnCallId
    ? `${target.name ?? id}@interpres`
    : callIdFromThread(thread, source.address, destination.address);
  return [
    ['From', `${from};tag=${id}`],
    ['To', `<${to}>`],
    ['Call-ID', callId],
    ['CSeq', `${target.sequence} MESSAGE`],
  ];
}

/** Line breaks and other controls become one blank each: a header field has one line. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001F\u007F-\u009F\u2028\u2029]+/g, ' ').trim();
}
