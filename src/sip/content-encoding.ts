import { gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import { GatewayError } from '../core/errors.ts';
import type { SipHeaders } from './message.ts';

/** Content codings that are undone; the value of Accept-Encoding. */
export const ACCEPTED_ENCODINGS = ['deflate', 'gzip', 'identity'] as const;

/**
 * The body of a request with its Content-Encoding undone (RFC 3261, section 20.12). liblinphone deflates its receipts.
 *
 * @param bytesMax how large it may become; a small body that unfolds to more is refused before it is whole
 * @throws GatewayError 'content-unsupported' for another coding or more than one, 'content-malformed' for what is not
 *   in its coding, 'content-too-large' with `sizeMax`
 */
export function decodedBody(body: Uint8Array, headers: SipHeaders, bytesMax: number): Uint8Array {
  const codings = headers
    .all('Content-Encoding')
    .flatMap((value) => value.toLowerCase().split(','))
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity');
  const [coding, ...more] = codings;
  if (coding === undefined) return body;
  if (more.length > 0) throw new GatewayError('content-unsupported', 'more than one Content-Encoding');
  const options = { maxOutputLength: bytesMax };
  try {
    switch (coding) {
      case 'gzip':
      case 'x-gzip':
        return gunzipSync(body, options);
      case 'deflate':
        // Some senders leave the wrapping of RFC 1950 out that the name asks for (RFC 9110, section 8.4.1.2).
        return isZlib(body) ? inflateSync(body, options) : inflateRawSync(body, options);
      default:
        break;
    }
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new GatewayError('content-too-large', 'body unfolds to too much', {
        cause,
        details: { sizeMax: bytesMax },
      });
    }
    throw new GatewayError('content-malformed', 'body is not in its Content-Encoding', { cause });
  }
  throw new GatewayError('content-unsupported', 'unknown Content-Encoding');
}

/** RFC 1950, section 2.2: method 8, and a header that is a multiple of 31. */
function isZlib(body: Uint8Array): boolean {
  const [first = 0, second = 0] = body;
  return (first & 0x0f) === 8 && (first * 256 + second) % 31 === 0;
}
