import { ContentError } from './content-error.ts';
import { hexPair } from './hex.ts';
import { HEADER_LINES_MAX } from './limits.ts';
import { asBuffer, decodeUtf8 } from './utf8.ts';

/** One MIME object: its header fields, the first of each name, and its body as it stands, still encoded. */
export type MimePart = {
  /** Values by lower-case name, unfolded. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
};

/**
 * Reads a MIME object: header fields, blank line, body (RFC 2045, section 3). Folded fields and bare LF line ends are
 * read. An object that begins with a blank line has no header fields (RFC 2046, section 5.1: allowed in a multipart).
 *
 * @throws ContentError 'malformed': no blank line, a line without colon, invalid UTF-8 or too many header fields
 */
export function parseMimePart(bytes: Uint8Array): MimePart {
  const buffer = asBuffer(bytes);
  const headers = new Map<string, string>();
  let name: string | undefined;
  let start = 0;
  for (let count = 0; ; count += 1) {
    const end = buffer.indexOf(0x0a, start);
    if (end < 0) throw new ContentError('malformed', 'no blank line behind the MIME header fields');
    if (count > HEADER_LINES_MAX) throw new ContentError('malformed', 'too many MIME header fields');
    const stop = end > start && buffer[end - 1] === 0x0d ? end - 1 : end;
    if (stop === start) return { headers, body: buffer.subarray(end + 1) };
    const line = decodeUtf8(buffer.subarray(start, stop));
    if (line === undefined) throw new ContentError('malformed', 'MIME header field is not UTF-8');
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (name !== undefined) headers.set(name, `${headers.get(name) ?? ''} ${line.trim()}`);
    } else {
      name = addField(headers, line);
    }
    start = end + 1;
  }
}

/** Adds a field; gives its name when a folded line may follow that belongs to it. */
function addField(headers: Map<string, string>, line: string): string | undefined {
  const colon = line.indexOf(':');
  if (colon <= 0) throw new ContentError('malformed', 'MIME header field without a colon');
  const name = line.slice(0, colon).trimEnd().toLowerCase();
  if (headers.has(name)) return undefined;
  headers.set(name, line.slice(colon + 1).trim());
  return name;
}

/**
 * The body with its Content-Transfer-Encoding undone (RFC 2045, section 6).
 *
 * @throws ContentError 'unsupported' for an encoding that is not of RFC 2045, or any Content-Encoding
 */
export function decodedBody(part: MimePart): Uint8Array {
  const coding = part.headers.get('content-encoding')?.toLowerCase() ?? 'identity';
  if (coding !== 'identity') throw new ContentError('unsupported', 'part with a Content-Encoding');
  switch (part.headers.get('content-transfer-encoding')?.toLowerCase() ?? '8bit') {
    case '7bit':
    case '8bit':
    case 'binary':
      return part.body;
    case 'base64':
      // Characters outside of the alphabet are skipped, as section 6.8 wants it.
      return Buffer.from(asBuffer(part.body).toString('latin1'), 'base64');
    case 'quoted-printable':
      return decodeQuotedPrintable(part.body);
    default:
      throw new ContentError('unsupported', 'part with an unknown Content-Transfer-Encoding');
  }
}

/** RFC 2045, section 6.7. What is no escape stays as it is; blanks at the end of a line go. One pass. */
function decodeQuotedPrintable(bytes: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(bytes.length);
  let length = 0;
  /** Output length without the blanks that stand at its end now. */
  let solid = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === 0x3d) {
      const skip = softBreak(bytes, at + 1);
      if (skip > 0) {
        at += skip;
        solid = length;
        continue;
      }
      const value = hexPair(bytes[at + 1], bytes[at + 2]);
      out[length] = value < 0 ? byte : value;
      if (value >= 0) at += 2;
      length += 1;
      solid = length;
      continue;
    }
    if (byte === 0x0a || (byte === 0x0d && bytes[at + 1] === 0x0a)) length = solid;
    out[length] = byte;
    length += 1;
    if (byte !== 0x20 && byte !== 0x09) solid = length;
  }
  return out.subarray(0, solid);
}

/** How many bytes a soft line break behind an equals sign takes, 0 when there is none. */
function softBreak(bytes: Uint8Array, from: number): number {
  let at = from;
  // Blanks between the sign and the line end were added on the way; a line has at most 76 characters.
  while (at - from < 76 && (bytes[at] === 0x20 || bytes[at] === 0x09)) at += 1;
  if (bytes[at] === 0x0d && bytes[at + 1] === 0x0a) return at - from + 2;
  return bytes[at] === 0x0a || at === bytes.length ? at - from + 1 : 0;
}
