import { ContentError } from './content-error.ts';
import { asBuffer, decodeUtf8 } from './utf8.ts';

/** Charsets that are read as strict UTF-8. US-ASCII is a part of it; its high bytes then must be UTF-8 (RFC 3261: UTF-8). */
const UTF8_NAMES: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii']);

/**
 * Decodes text in a named charset; no name means UTF-8. A byte order mark is dropped. Every charset of the WHATWG
 * encoding standard is known; UTF-16 without a mark is big-endian (RFC 2781, section 4.3).
 *
 * @throws ContentError 'unsupported' for an unknown charset, 'malformed' for bytes that it does not have
 */
export function decodeCharset(bytes: Uint8Array, charset: string | undefined): string {
  const name = charset?.trim().toLowerCase() ?? 'utf-8';
  if (UTF8_NAMES.has(name)) {
    const text = decodeUtf8(bytes);
    if (text === undefined) throw new ContentError('malformed', 'text is not valid UTF-8');
    return text.startsWith('\uFEFF') ? text.slice(1) : text;
  }
  let decoder: InstanceType<typeof TextDecoder>;
  try {
    decoder = new TextDecoder(name === 'utf-16' ? utf16Order(bytes) : name, { fatal: true });
  } catch {
    throw new ContentError('unsupported', 'text in an unknown charset');
  }
  try {
    return decoder.decode(asBuffer(bytes));
  } catch {
    throw new ContentError('malformed', 'text is not valid in its charset');
  }
}

function utf16Order(bytes: Uint8Array): string {
  return bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-16be';
}
