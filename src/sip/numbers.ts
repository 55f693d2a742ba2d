import { GatewayError } from '../core/errors.ts';
import { parsePhoneNumber } from '../core/phone-number.ts';
import type { SipRequest } from './message.ts';
import { decodedUser, formatSipUri, parseSipUri, schemeOf, uriParam } from './uri.ts';

export type NumberUris = {
  /** The domain of ours that a `tel:` URI belongs to; absent: they lead nowhere here. */
  readonly telDomain?: string | undefined;
  readonly isOwn: (domain: string) => boolean;
};

/**
 * The same request with a number in its Request-URI as a user part of a domain of ours (RFC 3261, section 19.1.6):
 * `tel:+1-555-1234` and `sip:+1-555-1234@sip.example;user=phone` are both `sip:+15551234@sip.example`. All others are left
 * as they are, numbers of other domains too.
 *
 * @throws GatewayError 'recipient-unknown' with status 484 for a number that is not global (RFC 3966, section 5.1.5): it
 *   means nothing without knowing where its author is.
 */
export function withPlainNumber(request: SipRequest, { telDomain, isOwn }: NumberUris): SipRequest {
  if (telDomain === undefined) return request;
  const uri = parseSipUri(request.uri);
  if (uri === undefined) {
    if (schemeOf(request.uri) !== 'tel') return request;
    return { ...request, uri: `sip:${globalNumber(request.uri.slice(4))}@${telDomain}` };
  }
  const user = uriParam(uri, 'user');
  if (typeof user !== 'string' || user.toLowerCase() !== 'phone' || !isOwn(uri.host)) return request;
  const params = uri.params.filter(([name]) => name.toLowerCase() !== 'user');
  return { ...request, uri: formatSipUri({ ...uri, user: globalNumber(decodedUser(uri) ?? ''), params }) };
}

/** Parameters (`ext`, `isub`, `rn` and others) say nothing about who it is. */
function globalNumber(text: string): string {
  const number = parsePhoneNumber(text.split(';', 1)[0] ?? '');
  if (number !== undefined) return number;
  throw new GatewayError('recipient-unknown', 'a number that is not global', { details: { status: 484 } });
}
