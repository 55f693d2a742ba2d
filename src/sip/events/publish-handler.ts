import { addressKey } from '../../cpim/address.ts';
import { PRESENCE_TYPES_READ } from '../../cpim/presence/presence-formats.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Published, PublishRequest } from '../../core/presence/publication.ts';
import type { IsUser } from '../../core/presence/subscriptions.ts';
import { isToken } from '../characters.ts';
import { parseExpires } from '../header-values.ts';
import { entityFromUriText } from '../map-address.ts';
import type { SipReply, SipRequest } from '../message.ts';
import type { SenderProof } from '../sender-proof.ts';
import type { SipHandler } from '../stack.ts';
import { parseEvent } from './event-header.ts';
import { documentFromRequest } from './read-document.ts';

export type PublishDeps = {
  readonly prove: (request: SipRequest) => SenderProof;
  readonly isUser: IsUser;
  readonly publish: (request: PublishRequest) => Promise<Published>;
  readonly bodyBytesMax: number;
};

const ETAG_LENGTH_MAX = 128;

/**
 * Answers PUBLISH as the event state compositor of our users (RFC 3903, section 6): each publishes for himself, or the
 * trusted core that vouches for him does. Contact and Record-Route are passed over, as that section says.
 */
export function publishHandler(deps: PublishDeps): SipHandler {
  return async (request): Promise<SipReply> => {
    const proof = deps.prove(request);
    if (proof.kind === 'challenge') return { status: 401, headers: proof.headers };
    const presentity = entityFromUriText(request.uri).address;
    if (!deps.isUser(presentity)) throw new GatewayError('recipient-unknown', `${presentity} is no user of ours`);
    if (addressKey(proof.sender.address) !== addressKey(presentity)) {
      throw new GatewayError('sender-forbidden', `${proof.sender.address} may not publish for ${presentity}`);
    }
    if (parseEvent(request.headers.get('Event') ?? '')?.package !== 'presence') {
      throw new GatewayError('event-unsupported', 'only presence may be published');
    }
    const ifMatch = ifMatchOf(request);
    const expiresSeconds = parseExpires(request.headers.get('Expires'));
    const document = documentFromRequest(request, { bytesMax: deps.bodyBytesMax, accept: PRESENCE_TYPES_READ });
    if (ifMatch === undefined && document === undefined) {
      throw new GatewayError('request-malformed', 'neither entity-tag nor body', {
        details: { text: 'There is neither a body nor a SIP-If-Match.' },
      });
    }
    const published = await deps.publish({
      presentity,
      ...(ifMatch === undefined ? {} : { ifMatch }),
      ...(expiresSeconds === undefined ? {} : { expiresSeconds }),
      ...(document === undefined ? {} : { document }),
    });
    return {
      status: 200,
      headers: [
        ['SIP-ETag', published.etag],
        ['Expires', String(published.expiresSeconds)],
      ],
    };
  };
}

/** @throws GatewayError 'request-malformed' for more than one entity-tag (RFC 3903, section 6, step 3) */
function ifMatchOf(request: SipRequest): string | undefined {
  const tags = request.headers.all('SIP-If-Match');
  const [tag] = tags;
  if (tag === undefined) return undefined;
  if (tags.length > 1 || tag.length > ETAG_LENGTH_MAX || !isToken(tag)) {
    throw new GatewayError('request-malformed', 'SIP-If-Match is not one entity-tag');
  }
  return tag;
}
