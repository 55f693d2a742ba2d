import { decodeCharset } from './charset.ts';
import { ContentError } from './content-error.ts';
import { bytesOf, type Content, isUnicodeText } from './content.ts';
import { textFromHtml } from './html-text.ts';
import { CONTENT_DEPTH_MAX, CPIM_DEPTH_MAX } from './limits.ts';
import { type MediaType, parseMediaType } from './media-type.ts';
import { type CpimMessage, missingFeature, parseMessageCpim } from './message-cpim.ts';
import { decodedBody, type MimePart, parseMimePart } from './mime-part.ts';
import { splitMultipart } from './multipart.ts';
import type { LocalizedText } from './operation.ts';

/** What a human is shown of a content. */
export type Readable = {
  /** Lines end with LF. May hold characters that XML does not have; the XML writer replaces them. */
  readonly text: string;
  /** Of message/cpim, one per language, each on one line. */
  readonly subjects?: readonly LocalizedText[];
  /** Content-Language inside of message/cpim or multipart, its first tag. */
  readonly language?: string;
  /** DateTime of message/cpim, ms since the epoch. */
  readonly sentAtMs?: number;
};

/** What `readableFromContent` reads: the value of Accept in a 415 (RFC 3261, section 20.1: media ranges). */
export const READABLE_TYPES = ['text/plain', 'text/html', 'message/cpim', 'multipart/*'] as const;

/** How good a reading is: text meant to be plain is better than text taken out of markup. */
type Reading = { readonly readable: Readable; readonly isPlain: boolean };
type Depth = { readonly all: number; readonly cpim: number };

/**
 * Reads a content for a side that knows plain text only (MAPPING: RFC 7572, section 7; RFC 3922, section 4.2.9).
 *
 * text/plain in any charset that TextDecoder knows; text/html as its text; message/cpim unwrapped, twice at most;
 * multipart/* by its best text part, multipart/signed by what is signed. CRLF becomes LF, and one CRLF at the end goes.
 * Who is named inside of message/cpim is not looked at: identity comes from the operation alone.
 *
 * @param cpim the content, where it has been read as message/cpim already
 * @throws ContentError 'unsupported' (415): another type, receipts and composing notices included, an unknown charset or
 * encoding, too many layers; 'malformed' (400): what breaks its own format, or requires a feature that we do not have
 */
export function readableFromContent(content: Content, cpim?: CpimMessage): Readable {
  if (cpim !== undefined) return readCpim(cpim, { all: 1, cpim: 1 }).readable;
  if ('text' in content && isUnicodeText(content.type)) {
    const { text } = content;
    return { text: plainLines(text.startsWith('\uFEFF') ? text.slice(1) : text) };
  }
  return read(content.type, bytesOf(content), { all: 0, cpim: 0 }).readable;
}

function read(type: string, bytes: Uint8Array, depth: Depth): Reading {
  const media = parseMediaType(type);
  if (media === undefined) throw new ContentError('malformed', 'unreadable Content-Type');
  if (depth.all > CONTENT_DEPTH_MAX) throw new ContentError('unsupported', 'content wrapped too often');
  switch (media.type) {
    case 'text/plain':
      return { readable: { text: plainLines(decodeCharset(bytes, media.params.get('charset'))) }, isPlain: true };
    case 'text/html':
      return { readable: { text: textFromHtml(decodeCharset(bytes, media.params.get('charset'))) }, isPlain: false };
    case 'message/cpim':
      if (depth.cpim >= CPIM_DEPTH_MAX) throw new ContentError('unsupported', 'message/cpim wrapped too often');
      return readCpim(parseMessageCpim(bytes), { all: depth.all + 1, cpim: depth.cpim + 1 });
    default:
      if (media.type.startsWith('multipart/')) return readMultipart(media, bytes, { ...depth, all: depth.all + 1 });
      throw new ContentError('unsupported', `no text in ${media.type}`);
  }
}

function readCpim(message: CpimMessage, depth: Depth): Reading {
  const missing = missingFeature(message);
  if (missing !== undefined) {
    throw new ContentError('malformed', 'message/cpim requires a feature that is not there', missing.written);
  }
  const inner = readPart(message.part, depth);
  const { sentAtMs } = message;
  const subjects = message.subjects.map((subject) => ({ ...subject, text: onOneLine(subject.text) }));
  const readable = {
    ...(subjects.length === 0 ? {} : { subjects }),
    ...(sentAtMs === undefined ? {} : { sentAtMs }),
    // What was wrapped first is the message; what wraps it only speaks where that is silent.
    ...inner.readable,
  };
  return { ...inner, readable };
}

function readPart(part: MimePart, depth: Depth): Reading {
  const language = part.headers.get('content-language')?.split(',', 1)[0]?.trim();
  const type = part.headers.get('content-type') ?? 'text/plain; charset=us-ascii';
  const inner = read(type, decodedBody(part), depth);
  if (language === undefined || !/^[A-Za-z0-9-]{1,64}$/.test(language)) return inner;
  return { ...inner, readable: { language, ...inner.readable } };
}

function readMultipart(media: MediaType, bytes: Uint8Array, depth: Depth): Reading {
  const raw = splitMultipart(bytes, media.params.get('boundary'));
  // What is signed comes first, the signature behind it (RFC 1847, section 2.1).
  const parts = media.type === 'multipart/signed' ? raw.slice(0, 1) : raw;
  const isAlternative = media.type === 'multipart/alternative';
  let best: Reading | undefined;
  let fault: ContentError | undefined;
  for (const bytesOfPart of parts) {
    const reading = tryPart(bytesOfPart, depth);
    if (reading instanceof ContentError) {
      if (fault === undefined || fault.kind === 'unsupported') fault = reading;
    } else if (best === undefined || (isAlternative && (reading.isPlain || !best.isPlain))) {
      best = reading;
    }
  }
  if (best !== undefined) return best;
  throw fault ?? new ContentError('unsupported', 'multipart without text');
}

function tryPart(bytes: Uint8Array, depth: Depth): Reading | ContentError {
  try {
    const part = parseMimePart(bytes);
    if (/^attachment\b/i.test(part.headers.get('content-disposition') ?? '')) {
      return new ContentError('unsupported', 'part is an attachment');
    }
    return readPart(part, depth);
  } catch (thrown) {
    // Another part may still be readable; the caller throws this when none is.
    if (thrown instanceof ContentError) return thrown;
    throw thrown;
  }
}

/** Lines end with LF, one CRLF at the very end is gone: SIP bodies often have it, XMPP ones keep every character. */
function plainLines(text: string): string {
  if (!text.includes('\r')) return text;
  return (text.endsWith('\r\n') ? text.slice(0, -2) : text).replaceAll('\r\n', '\n');
}

function onOneLine(text: string): string {
  return text.replace(/[\u0000-\u001F\u007F]+/g, ' ').trim();
}
