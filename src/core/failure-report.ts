import { ContentError } from '../cpim/content-error.ts';
import type { Content } from '../cpim/content.ts';
import { type Readable, readableFromContent } from '../cpim/readable.ts';
import type { FailureReport, InstantMessage } from '../cpim/operation.ts';
import type { GatewayError } from './errors.ts';

const ID_LENGTH_MAX = 40;
const EXCERPT_LENGTH_MAX = 80;
const SAID_LENGTH_MAX = 300;
/** A URI or JID of sensible length: one word. */
const URI = /^[^\s\u0000-\u001f\u007f-\u009f]{1,512}$/;

/** What of a message its report needs, small enough to be kept for many messages. */
export type Reportable = Pick<InstantMessage, 'id' | 'source' | 'destination' | 'writtenTo' | 'thread' | 'senderId'> & {
  readonly subject?: string;
  readonly excerpt?: string;
};

export function reportableOf(message: InstantMessage): Reportable {
  const { id, source, destination, writtenTo, thread, senderId, subjects, content } = message;
  const readable = readableOf(content);
  const subject = (subjects ?? readable.subjects)?.[0]?.text;
  const excerpt = firstWords(readable.text);
  return {
    id,
    source,
    destination,
    ...(writtenTo === undefined ? {} : { writtenTo }),
    ...(thread === undefined ? {} : { thread }),
    ...(senderId === undefined ? {} : { senderId }),
    ...(subject === undefined ? {} : { subject: firstWords(subject) }),
    ...(excerpt === '' ? {} : { excerpt }),
  };
}

/** What its sender would know it by; nothing of what is no text, or cannot be read. */
function readableOf(content: Content): Pick<Readable, 'text' | 'subjects'> {
  if ('text' in content) return { text: content.text };
  try {
    return readableFromContent(content);
  } catch (thrown) {
    if (thrown instanceof ContentError) return { text: '' };
    throw thrown;
  }
}

/** Writes the report that tells the sender of a message why it was not delivered. Same message, same id. */
export function failureReport(
  about: Reportable,
  error: GatewayError,
  nowMs: number,
  lifetimeMs: number,
): FailureReport {
  const { text, alternative } = error.details;
  const said = text === undefined ? '' : withoutControls(text).slice(0, SAID_LENGTH_MAX);
  return {
    op: 'report',
    id: derivedId('r', about.id),
    source: about.writtenTo ?? about.destination,
    destination: about.source,
    acceptedAtMs: nowMs,
    expiresAtMs: nowMs + lifetimeMs,
    ...(about.thread === undefined ? {} : { thread: about.thread }),
    about: {
      id: about.id,
      ...(about.senderId === undefined ? {} : { senderId: about.senderId }),
      ...(about.subject === undefined ? {} : { subject: about.subject }),
      ...(about.excerpt === undefined ? {} : { excerpt: about.excerpt }),
    },
    code: error.code,
    ...(said === '' ? {} : { text: said }),
    ...(alternative === undefined || !URI.test(alternative) ? {} : { alternative }),
  };
}

/**
 * The id of what is said about a message: a letter and the message's id; one too long for that is shortened, with a sum
 * of the whole so that ids stay apart.
 */
export function derivedId(letter: 'r' | 'c' | 'd' | 's', messageId: string): string {
  const id = `${letter}-${messageId}`;
  return id.length <= ID_LENGTH_MAX ? id : `${letter}-${messageId.slice(-(ID_LENGTH_MAX - 10))}-${sumOf(messageId)}`;
}

/** FNV-1a, 32 bits, 7 characters. */
function sumOf(text: string): string {
  let sum = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193);
  return (sum >>> 0).toString(36).padStart(7, '0');
}

/** At most 80 characters of a text on one line, cut between characters. */
function firstWords(text: string): string {
  const line = withoutControls(text.slice(0, EXCERPT_LENGTH_MAX * 4)).trim();
  if (line.length <= EXCERPT_LENGTH_MAX) return line;
  const cut = line.slice(0, EXCERPT_LENGTH_MAX - 3);
  // Half of a surrogate pair is no character.
  const last = cut.charCodeAt(cut.length - 1);
  return `${last >= 0xd800 && last <= 0xdbff ? cut.slice(0, -1) : cut}...`;
}

/** Control characters, line breaks included, become spaces. */
function withoutControls(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
}
