const scratch = Buffer.allocUnsafe(4_096);

/**
 * The same text in one piece of memory of its own. What is put together from slices of a message, or is one, otherwise
 * keeps the whole message in memory for as long as it lives.
 */
export function compactText(text: string): string {
  if (text.length > scratch.length || Buffer.byteLength(text) !== text.length) return Buffer.from(text).toString();
  return scratch.toString('latin1', 0, scratch.write(text, 'latin1'));
}
