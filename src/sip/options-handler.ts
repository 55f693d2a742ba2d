import { GatewayError } from '../core/errors.ts';
import { parseIpAddress } from '../core/cidr.ts';
import type { HeaderField, SipReply } from './message.ts';
import type { SipHandler } from './stack.ts';
import { parseSipUri } from './uri.ts';

export type OptionsDeps = {
  /** Whether a domain is ours or one that is reached through us. */
  readonly isServed: (domain: string) => boolean;
  readonly allow: readonly string[];
  readonly accept: readonly string[];
  readonly acceptEncoding: readonly string[];
  /** Event packages (RFC 6665, section 4.4.4); empty where nothing may be subscribed to. */
  readonly allowEvents: readonly string[];
};

/**
 * Answers OPTIONS for this server itself (RFC 3261, section 11.2): what it serves, and that it is there.
 *
 * The answer is the same whoever is asked for, so that nobody learns from it who exists.
 */
export function optionsHandler(deps: OptionsDeps): SipHandler {
  const headers: HeaderField[] = [
    ['Allow', deps.allow.join(', ')],
    ['Accept', deps.accept.join(', ')],
    ['Accept-Encoding', deps.acceptEncoding.join(', ')],
  ];
  if (deps.allowEvents.length > 0) headers.push(['Allow-Events', deps.allowEvents.join(', ')]);
  return (request): Promise<SipReply> => {
    const host = parseSipUri(request.uri)?.host ?? '';
    // Peers and monitors ask by address, too.
    if (!deps.isServed(host) && parseIpAddress(host) === undefined) {
      return Promise.reject(new GatewayError('peer-unknown', `${host} is not served here`));
    }
    return Promise.resolve({ status: 200, headers });
  };
}
