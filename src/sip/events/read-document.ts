import { decodeCharset } from '../../cpim/charset.ts';
import { ContentError } from '../../cpim/content-error.ts';
import { parseMediaType } from '../../cpim/media-type.ts';
import type { PresenceDocument } from '../../cpim/presence/document.ts';
import { readPresence } from '../../cpim/presence/presence-formats.ts';
import { contentFailure } from '../../core/content-failure.ts';
import { GatewayError } from '../../core/errors.ts';
import { decodedBody } from '../content-encoding.ts';
import type { SipRequest } from '../message.ts';

export type DocumentLimits = {
  /** How large it may be, also once its Content-Encoding is undone. */
  readonly bytesMax: number;
  /** Media types that are read: what a 415 offers. */
  readonly accept: readonly string[];
};

/**
 * The presence document in the body of a request; undefined where there is no body.
 *
 * @throws GatewayError 'content-unsupported' (with `accept`) for a type or coding that is not read, 'content-malformed'
 *   for a body without a type or that is not what it says, 'content-too-large'
 */
export function documentFromRequest(
  { body, headers }: Pick<SipRequest, 'body' | 'headers'>,
  { bytesMax, accept }: DocumentLimits,
): PresenceDocument | undefined {
  if (body.length === 0) return undefined;
  if (body.length > bytesMax) {
    throw new GatewayError('content-too-large', 'presence document is too large', {
      details: { sizeMax: bytesMax, text: `A presence document may have ${bytesMax} bytes.` },
    });
  }
  const media = parseMediaType(headers.get('Content-Type') ?? '');
  if (media === undefined) throw new GatewayError('content-malformed', 'body without a Content-Type that can be read');
  if (!accept.includes(media.type)) {
    throw new GatewayError('content-unsupported', `${media.type} is no presence document that is read`, {
      details: { accept: accept.join(', '), text: 'This is not read as presence.' },
    });
  }
  const bytes = decodedBody(body, headers, bytesMax);
  try {
    // Phones write ids that are none of XML, and are understood all the same.
    return readPresence(media.type, decodeCharset(bytes, media.params.get('charset')), { lenient: true });
  } catch (thrown) {
    if (!(thrown instanceof ContentError)) throw thrown;
    const { code, message, details } = contentFailure(thrown);
    throw new GatewayError(code, message, {
      cause: thrown,
      details: { ...details, text: 'The presence document cannot be read.' },
    });
  }
}
