import { ContentError } from './content-error.ts';
import { BOUNDARY_LENGTH_MAX, MULTIPART_PARTS_MAX } from './limits.ts';
import { asBuffer } from './utf8.ts';

const DASH = 0x2d;

/**
 * Splits a multipart body into its parts, each from its first header field to the line end before the next delimiter
 * (RFC 2046, section 5.1). Preamble and epilogue are left out. Bare LF line ends are read; when the closing delimiter is
 * missing, the last part goes to the end. One pass, whatever the input.
 *
 * @throws ContentError 'malformed': no boundary or an overlong one, no part, more than 64 parts
 */
export function splitMultipart(bytes: Uint8Array, boundary: string | undefined): Uint8Array[] {
  if (boundary === undefined || boundary === '' || boundary.length > BOUNDARY_LENGTH_MAX) {
    throw new ContentError('malformed', 'multipart without a usable boundary');
  }
  const buffer = asBuffer(bytes);
  const needle = Buffer.from(`--${boundary}`, 'utf8');
  const parts: Uint8Array[] = [];
  let partStart = -1;
  let from = 0;
  for (;;) {
    const found = buffer.indexOf(needle, from);
    if (found < 0) break;
    from = found + needle.length;
    if (found > 0 && buffer[found - 1] !== 0x0a) continue;
    const isClosing = buffer[from] === DASH && buffer[from + 1] === DASH;
    const next = lineEnd(buffer, isClosing ? from + 2 : from);
    if (next < 0) continue;
    if (partStart >= 0) addPart(parts, buffer, partStart, found);
    if (isClosing) return checked(parts);
    partStart = next;
    from = next;
  }
  if (partStart >= 0) addPart(parts, buffer, partStart, buffer.length);
  return checked(parts);
}

function checked(parts: Uint8Array[]): Uint8Array[] {
  if (parts.length === 0) throw new ContentError('malformed', 'multipart without a part');
  return parts;
}

/** Where the line behind a delimiter begins, when nothing but blanks stands between; -1 otherwise. */
function lineEnd(buffer: Buffer, from: number): number {
  let at = from;
  while (buffer[at] === 0x20 || buffer[at] === 0x09) at += 1;
  if (buffer[at] === 0x0d && buffer[at + 1] === 0x0a) return at + 2;
  if (buffer[at] === 0x0a) return at + 1;
  return at === buffer.length ? at : -1;
}

function addPart(parts: Uint8Array[], buffer: Buffer, start: number, delimiter: number): void {
  if (parts.length >= MULTIPART_PARTS_MAX) throw new ContentError('malformed', 'multipart with too many parts');
  let end = delimiter;
  // The line end before a delimiter belongs to it.
  if (end < buffer.length && end > start) end -= buffer[end - 2] === 0x0d && end - 2 >= start ? 2 : 1;
  parts.push(buffer.subarray(start, Math.max(start, end)));
}
