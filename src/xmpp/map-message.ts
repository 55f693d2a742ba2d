import { hash } from 'node:crypto';
import type { Disposition, FailureReport, InstantMessage, LocalizedText, Operation, Wants } from '../cpim/operation.ts';
import { hidesAuthor } from '../cpim/privacy.ts';
import { readableFromContent } from '../cpim/readable.ts';
import { readingContent } from '../core/content-failure.ts';
import { ERROR_CODES, type ErrorCode, GatewayError } from '../core/errors.ts';
import { formatJid } from './jid.ts';
import { type ComponentDomains, entityFromJid, jidFromEntity } from './map-address.ts';
import { legalLanguage } from './stanza-content.ts';
import { stanzaErrorFrom } from './stanza-error.ts';
import type { MessageStanza } from './stanza.ts';

/** XMPP counts no hops; a message from there starts with what RFC 3261, section 8.1.1.6 recommends. */
const HOPS = 70;
/** Who does not say who he is; the name of nobody's account. */
const ANONYMOUS_LOCAL = 'anonymous';
/** What waited longer than this is marked as delayed, ms. */
const DELAY_MS = 30_000;
/** A message with a longer id is not told about. */
const WANTED_ID_LENGTH_MAX = 256;
/** A clock that is further behind than this is not believed, ms. */
const SENT_BEFORE_MAX_MS = 7 * 86_400_000;

/**
 * The message that a stanza carries (RFC 7572, section 4). Its bodies are one text in several languages: one is taken,
 * in the language of the stanza if there is one.
 *
 * @param randomId names a message that has no origin-id: a token of at most 40 characters
 * @returns undefined when it carries no text: composing notices, receipts, markers
 * @throws GatewayError 'address-malformed' for a JID that no address can be made of
 */
export function messageFromStanza(
  stanza: MessageStanza,
  context: { readonly domains: ComponentDomains; readonly nowMs: number; readonly randomId: () => string },
): InstantMessage | undefined {
  const body = preferred(stanza.bodies, stanza.language);
  if (body === undefined || body.text === '') return undefined;
  const source = entityFromJid(stanza.from, context.domains);
  const destination = entityFromJid(stanza.to, context.domains);
  if (source === undefined || destination === undefined) {
    throw new GatewayError('address-malformed', 'JID that has no address');
  }
  const language = body.language ?? stanza.language;
  const subjects = subjectsFrom(stanza);
  const sentAtMs = sentAt(stanza, context.nowMs);
  const wants = wantsOf(stanza);
  return {
    op: 'message',
    id: stanza.originId === undefined ? context.randomId() : idOf(stanza, stanza.originId, body.text),
    source,
    destination,
    hops: HOPS,
    acceptedAtMs: context.nowMs,
    ...(sentAtMs === undefined ? {} : { sentAtMs }),
    ...(stanza.thread === undefined ? {} : { thread: stanza.thread }),
    ...(stanza.id === undefined ? {} : { senderId: stanza.id }),
    ...(wants === undefined ? {} : { wants }),
    ...(subjects.length === 0 ? {} : { subjects }),
    ...(language === undefined ? {} : { language }),
    content: { type: 'text/plain;charset=UTF-8', text: body.text },
  };
}

/**
 * The stanza that carries a message (RFC 7572, section 5): pager mode, so without a type.
 *
 * @param context.name what the message is called by which word of it is asked for (`ReceiptNames`)
 * @param context.maybeSent it may have gone out before: a delay stamp lets the recipient see that
 * @throws GatewayError 'content-unsupported' or 'content-malformed' for content without a text that can be read,
 * 'address-malformed' for an address that has no JID
 */
export function stanzaFromMessage(
  message: InstantMessage,
  context: {
    readonly domains: ComponentDomains;
    readonly nowMs: number;
    readonly maybeSent: boolean;
    readonly name?: string;
  },
): MessageStanza {
  const { domains, nowMs, maybeSent, name } = context;
  const readable = readingContent(() => readableFromContent(message.content));
  const { from, to } = addressed(message, domains);
  const isHidden = hidesAuthor(message.privacy);
  const language = legalLanguage(readable.language ?? message.language);
  // Not the DateTime of message/cpim (RFC 3922, section 4.2.4).
  const stampMs = stampOf(message.sentAtMs, message.acceptedAtMs);
  return {
    kind: 'message',
    type: 'normal',
    // Nobody can answer him, and nobody learns who he is (RFC 3325, section 5: outside of the trust domain).
    from: isHidden ? { local: ANONYMOUS_LOCAL, domain: domains.name } : from,
    to,
    // What the recipient says back, where he is asked to.
    id: name ?? message.id,
    ...(language === undefined ? {} : { language }),
    subjects: onePerLanguage(message.subjects ?? readable.subjects ?? []),
    bodies: [{ text: readable.text }],
    ...(message.thread === undefined ? {} : { thread: message.thread }),
    originId: message.id,
    ...(name !== undefined && message.wants?.delivered === true ? { wantsReceipt: true } : {}),
    ...(name !== undefined && message.wants?.displayed === true ? { isMarkable: true } : {}),
    ...(maybeSent || nowMs - stampMs > DELAY_MS ? { delay: { from: { domain: domains.name }, stampMs } } : {}),
  };
}

/**
 * The error stanza that a report becomes: as if the recipient's side had refused the stanza itself, with its id
 * (RFC 6120, section 8.3.1).
 *
 * @throws GatewayError 'address-malformed'
 */
export function stanzaFromReport(report: FailureReport, domains: ComponentDomains): MessageStanza {
  const { from, to } = addressed(report, domains);
  const { senderId } = report.about;
  const code = isErrorCode(report.code) ? report.code : 'internal';
  return {
    kind: 'message',
    type: 'error',
    from,
    to,
    ...(senderId === undefined ? {} : { id: senderId }),
    subjects: [],
    bodies: [],
    error: stanzaErrorFrom(code, {
      ...(report.text === undefined ? {} : { text: report.text }),
      ...(report.alternative === undefined ? {} : { alternative: report.alternative }),
    }),
  };
}

/**
 * The stanza that tells what became of a message (XEP-0184, section 4; XEP-0333, section 4).
 *
 * @throws GatewayError 'address-malformed'
 */
export function stanzaFromDisposition(disposition: Disposition, domains: ComponentDomains): MessageStanza {
  const { id, status, about } = disposition;
  const receipt = { status, id: about.id };
  return { kind: 'message', type: 'normal', ...addressed(disposition, domains), id, subjects: [], bodies: [], receipt };
}

/** Nothing is asked for without an id to name, nor of a message for all in a room. */
function wantsOf({ id, type, wantsReceipt, isMarkable }: MessageStanza): Wants | undefined {
  if (id === undefined || id === '' || id.length > WANTED_ID_LENGTH_MAX || type === 'groupchat') return undefined;
  if (wantsReceipt !== true && isMarkable !== true) return undefined;
  return {
    as: 'stanza',
    id,
    ...(wantsReceipt === true ? { delivered: true } : {}),
    ...(isMarkable === true ? { displayed: true } : {}),
  };
}

function addressed(operation: Operation, domains: ComponentDomains): Pick<MessageStanza, 'from' | 'to'> {
  const from = jidFromEntity(operation.source, domains);
  const to = jidFromEntity(operation.destination, domains);
  if (from === undefined || to === undefined) throw new GatewayError('address-malformed', 'address that has no JID');
  if (from.domain !== domains.name) {
    throw new GatewayError('sender-forbidden', 'the link does not stand for the domain of the sender');
  }
  return { from, to };
}

/**
 * Names a message by what its sender repeats when he sends it again, so that it is taken once. Lengths stand before the
 * parts, so that no two messages give one sum by moving characters from one part to the next.
 *
 * By an origin-id only, which is unique by definition (XEP-0359, section 3). The stanza's own id proves nothing: RFC
 * 6120, section 8.1.3 lets a client count from 1 with every stream, and whoever then says the same words again would
 * not be heard; and no stream of XEP-0114 brings a stanza twice by itself.
 */
function idOf(stanza: MessageStanza, originId: string, text: string): string {
  const parts = [formatJid(stanza.from), formatJid(stanza.to), originId, text];
  let whole = '';
  for (const part of parts) whole += `${part.length}:${part}`;
  return `x${hash('sha256', whole, 'base64url').slice(0, 31)}`;
}

/** The text in this language, else the first without one, else the first. */
function preferred(texts: readonly LocalizedText[], language: string | undefined): LocalizedText | undefined {
  return (
    texts.find((text) => text.language === language) ?? texts.find((text) => text.language === undefined) ?? texts[0]
  );
}

function subjectsFrom(stanza: MessageStanza): readonly LocalizedText[] {
  const { subjects, language } = stanza;
  const first = preferred(subjects, language);
  if (first === undefined) return [];
  const ordered = [first, ...subjects.filter((subject) => subject !== first)];
  return ordered
    .filter(({ text }) => text.trim() !== '')
    .map((subject) =>
      subject.language === undefined && language !== undefined ? { text: subject.text, language } : subject,
    );
}

/** One element per language is all that RFC 6121, section 5.2.4 allows. */
function onePerLanguage(texts: readonly LocalizedText[]): readonly LocalizedText[] {
  const seen = new Set<string>();
  const kept: LocalizedText[] = [];
  for (const { text, language: tag } of texts) {
    const language = legalLanguage(tag);
    const key = language?.toLowerCase() ?? '';
    if (text === '' || seen.has(key)) continue;
    seen.add(key);
    kept.push(language === undefined ? { text } : { text, language });
  }
  return kept;
}

/** A delay is believed when the sender's own domain states it (XEP-0203, section 4), and not when it lies ahead. */
function sentAt({ delay, from }: MessageStanza, nowMs: number): number | undefined {
  if (delay?.from?.domain !== from.domain) return undefined;
  return delay.stampMs >= 0 && delay.stampMs <= nowMs ? delay.stampMs : undefined;
}

/** When a message was sent, as far as its author's clock can be right. */
function stampOf(sentAtMs: number | undefined, acceptedAtMs: number): number {
  const isCredible =
    sentAtMs !== undefined && sentAtMs <= acceptedAtMs && sentAtMs >= acceptedAtMs - SENT_BEFORE_MAX_MS;
  return isCredible ? sentAtMs : acceptedAtMs;
}

function isErrorCode(code: string): code is ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(code);
}
