/**
 * Strict reading of UTF-8. A leading byte order mark is kept as U+FEFF, so that writing gives the same bytes again.
 */
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of UTF-8 bytes, or undefined when they are not valid UTF-8. `encodeUtf8` of the result gives them back. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  // Buffer's decoder is several times faster and marks each fault with U+FFFD; only a text that holds one is in doubt.
  const text = asBuffer(bytes).toString('utf8');
  if (!text.includes('\uFFFD')) return text;
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** UTF-8 bytes of a text; a lone surrogate becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

/** The same memory as a Buffer; nothing is copied. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
