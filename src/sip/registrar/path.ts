import { GatewayError } from '../../core/errors.ts';
import { parseNameAddr } from '../header-values.ts';
import { isAtAddress } from '../host.ts';
import type { SipRequest } from '../message.ts';
import { parseSipUri, uriParam, type SipUri } from '../uri.ts';

const PATHS_MAX = 8;
const PATH_LENGTH_MAX = 512;

/** The proxies that a REGISTER has passed and wants to be passed by what goes to its contacts (RFC 3327). */
export type Path = {
  /** As Route values, the nearest first. */
  readonly routes: readonly string[];
  /** The proxy nearest to the phone holds its flow (RFC 5626, section 5.1: `ob`). */
  readonly hasOutbound: boolean;
};

/**
 * Reads Path, and makes sure that it leads nobody astray: what goes to a contact goes to the first of these proxies, and a
 * phone could name any machine there.
 *
 * The nearest one must be where the request came from, by its address or by its certificate, unless that is a place whose
 * word is taken: an edge proxy of ours, or a core that may speak for the user.
 *
 * @throws GatewayError 'request-malformed' for what is no loose route (RFC 3327, section 5.1: `lr`), or too much of it;
 *   'policy-violated' for a stranger's
 */
export function pathFrom(request: SipRequest, isTrusted: boolean): Path | undefined {
  const values = request.headers.all('Path');
  if (values.length === 0) return undefined;
  if (values.length > PATHS_MAX) throw malformed('too many proxies in Path');
  const uris = values.map((value) => {
    const uri = value.length > PATH_LENGTH_MAX ? undefined : parseSipUri(parseNameAddr(value)?.uri ?? '');
    if (uri === undefined || uriParam(uri, 'lr') === undefined) throw malformed('Path is no loose route');
    return uri;
  });
  const [nearest] = uris;
  if (nearest !== undefined && !isTrusted && !isWhereItCameFrom(nearest, request)) {
    throw new GatewayError('policy-violated', `Path names ${nearest.host}, which is not where the request came from`, {
      details: { text: 'The proxy that is named in Path is not where the request came from.' },
    });
  }
  const farthest = uris.at(-1);
  return { routes: values, hasOutbound: farthest !== undefined && uriParam(farthest, 'ob') !== undefined };
}

function isWhereItCameFrom({ host }: SipUri, { flow }: SipRequest): boolean {
  return isAtAddress(host, flow.remoteAddress) || flow.peerNames?.some((name) => name.toLowerCase() === host) === true;
}

function malformed(message: string): GatewayError {
  return new GatewayError('request-malformed', message);
}
