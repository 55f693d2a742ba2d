import { readFileSync } from 'node:fs';

/**
 * The bytes of a torture message from its readable form (RFC 4475, section 2): lines between `<allOneLine>` tags are
 * one line, `<repeat count=N>` repeats, `<hex>` holds bytes, and every other line ends with CRLF.
 *
 * The last line end of the file belongs to the file, not to the message.
 */
export function bytesFromMarkup(text: string): Buffer {
  const unfolded = text.replace(/<allOneLine>\n([^]*?)\n<\/allOneLine>/g, (_tags, lines: string) =>
    lines.replaceAll('\n', ''),
  );
  const repeated = unfolded.replace(/<repeat count=(\d+)>([^<]*)<\/repeat>/g, (_tags, count: string, value: string) =>
    value.repeat(Number(count)),
  );
  const parts = repeated.replace(/\n$/, '').split(/<hex>([\dA-F\s]*)<\/hex>/);
  // Odd parts are what stood between the tags.
  return Buffer.concat(
    parts.map((part, i) =>
      i % 2 === 1 ? Buffer.from(part.replace(/\s/g, ''), 'hex') : Buffer.from(part.replaceAll('\n', '\r\n'), 'latin1'),
    ),
  );
}

/** The bytes of `test/vectors/<document>/<file>`. */
export function tortureMessage(document: string, file: string): Buffer {
  return bytesFromMarkup(readFileSync(new URL(`../${document}/${file}`, import.meta.url), 'latin1'));
}
