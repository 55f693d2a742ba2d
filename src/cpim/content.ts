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
