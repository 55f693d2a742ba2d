import { GatewayError } from '../../core/errors.ts';
import { PRIVACY_KINDS, type Privacy, type PrivacyKind } from '../../cpim/privacy.ts';
import { parseNameAddr } from '../header-values.ts';
import type { SipRequest } from '../message.ts';
import { parseSipUri } from '../uri.ts';

/**
 * What the author of a request wishes to keep to himself: the values of Privacy (RFC 3323, section 4.2; commas between
 * them are read, too), and `id` for whoever has put the anonymous address into From by himself (section 4.1.1.3).
 * Undefined: nothing, which is what `none` says as well.
 *
 * @throws GatewayError 'policy-violated' with status 500 for a kind that this server does not know where it is critical
 *   (RFC 3323, section 5), 'request-malformed' for `none` beside others (section 4.2)
 */
export function privacyFrom(request: SipRequest): Privacy | undefined {
  const words = request.headers
    .all('Privacy')
    .flatMap((value) => value.split(/[;,]/))
    .map((word) => word.trim().toLowerCase())
    .filter((word) => word !== '');
  if (words.includes('none')) {
    if (words.some((word) => word !== 'none')) throw new GatewayError('request-malformed', 'Privacy: none beside more');
    return undefined;
  }
  const unknown = words.find((word) => !isKind(word));
  if (unknown !== undefined && words.includes('critical')) {
    throw new GatewayError('policy-violated', 'a critical kind of privacy that is not known here', {
      details: { status: 500, text: 'That kind of privacy is not to be had here.' },
    });
  }
  const kinds = new Set(words.filter(isKind));
  if (isAnonymous(request)) kinds.add('id');
  return kinds.size === 0 ? undefined : [...kinds];
}

/** Whether From is the one of those who do not say who they are (RFC 3323, section 4.1.1.3). */
export function isAnonymous(request: SipRequest): boolean {
  const uri = parseSipUri(parseNameAddr(request.headers.get('From') ?? '')?.uri ?? '');
  return uri?.host === 'anonymous.invalid';
}

function isKind(word: string): word is PrivacyKind {
  return (PRIVACY_KINDS as readonly string[]).includes(word);
}
