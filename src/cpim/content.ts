import { type MediaType, parseMediaType } from './media-type.ts';
import { decodeUtf8, encodeUtf8 } from './utf8.ts';

/**
 * The content of a message: a media type and either text or bytes.
 *
 * Text is held decoded, because it crosses into XML; everything else is held byte for byte, because it may be signed
 * (RFC 3862, section 2.2: gateways change no octet of a message/cpim object).
 */
export type Content =
  | {
      /** Content-Type value as sent, parameters included; its type is text/plain in UTF-8 or US-ASCII. */
      readonly type: string;
      readonly text: string;
    }
  | {
      /** Content-Type value as sent, parameters included. */
      readonly type: string;
      /** The octets, base64 as they stand in the queue. */
      readonly base64: string;
    };

/**
 * Takes a body over. text/plain without charset, in UTF-8 or in US-ASCII, becomes text when it is valid UTF-8;
 * everything else, an unreadable Content-Type included, is kept as bytes.
 *
 * @param type Content-Type value as sent; kept as it is.
 * Guarantee: `bytesOf(contentFromBytes(type, bytes))` equals `bytes`.
 */
export function contentFromBytes(type: string, bytes: Uint8Array): Content {
  const text = isUnicodeText(type) ? decodeUtf8(bytes) : undefined;
  if (text !== undefined) return { type, text };
  return { type, base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') };
}

/** The octets of a body as they go on the wire. */
export function bytesOf(content: Content): Uint8Array {
  return 'text' in content ? encodeUtf8(content.text) : Buffer.from(content.base64, 'base64');
}

/** A Content-Type value taken apart; undefined when it is none. See `parseMediaType`. */
export function mediaTypeOf(type: string): MediaType | undefined {
  return parseMediaType(type);
}

/** Whether text/plain under this Content-Type is to be read as UTF-8. */
export function isUnicodeText(type: string): boolean {
  if (type === 'text/plain') return true;
  const media = parseMediaType(type);
  if (media?.type !== 'text/plain') return false;
  const charset = media.params.get('charset')?.toLowerCase();
  return charset === undefined || charset === 'utf-8' || charset === 'us-ascii' || charset === 'utf8';
}
