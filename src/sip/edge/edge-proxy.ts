import { addressKey, domainOf } from '../../cpim/address.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { PeerEvidence } from '../../core/peers.ts';
import { isInDialog, maxForwards } from '../dispatch.ts';
import { parseNameAddr } from '../header-values.ts';
import { entityFromSipUri } from '../map-address.ts';
import type { HeaderField, SipOutgoing, SipReply, SipRequest, SipResponse } from '../message.ts';
import { namesExpectedOf } from '../next-hop.ts';
import { evidenceOf } from '../sender-proof.ts';
import { isAtListener, type SipHandler, type SipListener } from '../stack.ts';
import { formatSipUri, parseSipUri, type SipUri } from '../uri.ts';
import type { FlowTokens } from './flow-tokens.ts';
import { forwarded, handedBack } from './forwarding.ts';

export type EdgeProxyDeps = {
  readonly request: (outgoing: SipOutgoing) => Promise<SipResponse>;
  readonly isFlowOpen: (flow: string) => boolean;
  readonly tokens: FlowTokens;
  /** The SIP core of a domain of ours whose phones come by way of this server: its next hop, a SIP URI. */
  readonly coreOf: (domain: string) => string | undefined;
  readonly mayActFor: (domain: string, evidence: PeerEvidence) => boolean;
  readonly isOwn: (domain: string) => boolean;
  /** Whether a user is served here rather than by the core. */
  readonly isKnownHere: (userKey: string) => boolean;
  /** The URI at which a core reaches this server, without user part. */
  readonly ownUri: (nextHop: string, domain: string) => Promise<string>;
  readonly listeners: () => readonly SipListener[];
  readonly log: Log;
};

/** Requests that phones send to the core and the core to phones; calls are not carried. */
const CARRIED: ReadonlySet<string> = new Set(['REGISTER', 'MESSAGE', 'SUBSCRIBE', 'NOTIFY', 'PUBLISH', 'OPTIONS']);
/** What only somebody who is trusted may say: a phone that does would speak for others with our voice. Lower case. */
const NOT_FROM_PHONES: ReadonlySet<string> = new Set([
  ...['p-asserted-identity', 'remote-party-id', 'p-served-user', 'p-asserted-service', 'identity'],
  ...['p-charging-vector', 'p-charging-function-addresses', 'p-visited-network-id', 'p-user-database', 'p-profile-key'],
  ...['path', 'record-route', 'service-route'],
]);
const NOTHING: ReadonlySet<string> = new Set();

/**
 * The edge of a SIP core (RFC 5626, section 5): phones of users whom only the core knows come by way of this server, which
 * keeps their flows. A REGISTER goes on with our Path, a SUBSCRIBE with our Record-Route; both hold a flow token, by which
 * what the core sends comes back to the very connection.
 *
 * Whatever a phone sends goes to the core of its domain and nowhere else, and only that core may use the flow: this is no
 * relay for strangers. Who a phone is the core finds out; what only trusted elements may assert is taken away.
 *
 * @param others answers what is not for the core
 */
export function edgeProxy(deps: EdgeProxyDeps, others: SipHandler): SipHandler {
  return async (request): Promise<SipReply> => {
    if (!CARRIED.has(request.method)) return others(request);
    try {
      const way = wayOf(request, deps);
      if (way === undefined) return await others(request);
      const hops = maxForwards(request);
      const outgoing = forwarded(request, hops, await forwardingOf(way, request, deps));
      const reply = handedBack(await answerTo(outgoing, way, deps));
      deps.log.debug(fieldsOf(request, way, reply.status), 'request handed on');
      return reply;
    } catch (thrown) {
      const error = GatewayError.of(thrown);
      const status = error.details.status ?? STATUS[error.code] ?? 500;
      deps.log[error.code === 'internal' ? 'error' : 'info'](
        { method: request.method, callId: request.headers.get('Call-ID') ?? '', status, reason: error.message },
        'request not handed on',
      );
      return { status };
    }
  };
}

/** RFC 3261, section 16.6; never 408, which RFC 4320 forbids. */
const STATUS: Readonly<Record<string, number>> = {
  'hops-exhausted': 483,
  'peer-unreachable': 504,
  'peer-timeout': 504,
  'request-malformed': 400,
  'shutting-down': 503,
};

type Way =
  /** From a phone to the core of its domain. */
  | { readonly to: 'core'; readonly domain: string; readonly core: string; readonly isRouteTaken: boolean }
  /** From the core to a phone. */
  | { readonly to: 'phone'; readonly domain: string; readonly flow: string; readonly route: SipUri };

/** Where a request goes that concerns the edge; undefined when it does not. */
function wayOf(request: SipRequest, deps: EdgeProxyDeps): Way | undefined {
  const route = parseSipUri(parseNameAddr(request.headers.get('Route') ?? '')?.uri ?? '');
  if (route?.user !== undefined && isHere(route, request, deps)) return wayOfToken(route.user, route, request, deps);
  const party = request.method === 'REGISTER' ? 'To' : 'From';
  const uri = parseSipUri(parseNameAddr(request.headers.get(party) ?? '')?.uri ?? '');
  if (uri?.user === undefined) return undefined;
  const core = deps.coreOf(uri.host);
  if (core === undefined || deps.mayActFor(uri.host, evidenceOf(request))) return undefined;
  const { address } = entityFromSipUri(uri);
  if (deps.isKnownHere(addressKey(address))) return undefined;
  return {
    to: 'core',
    domain: domainOf(address),
    core,
    isRouteTaken: route !== undefined && isHere(route, request, deps),
  };
}

function wayOfToken(token: string, route: SipUri, request: SipRequest, deps: EdgeProxyDeps): Way {
  const known = deps.tokens.read(token);
  const core = known === undefined ? undefined : deps.coreOf(known.domain);
  if (known === undefined || core === undefined) throw refusal(403, 'a flow token that is none of this server');
  const { domain, flow } = known;
  // Over the very flow: the phone itself goes on in its dialog (RFC 5626, section 5.3).
  if (flow === request.flow.id) return { to: 'core', domain, core, isRouteTaken: true };
  if (!deps.isFlowOpen(flow)) throw refusal(430, 'the flow is gone');
  if (!deps.mayActFor(domain, evidenceOf(request))) throw refusal(403, 'a flow is used by who may not');
  return { to: 'phone', domain, flow, route };
}

async function forwardingOf(way: Way, request: SipRequest, deps: EdgeProxyDeps) {
  const { headers, method } = request;
  const isDialogForming = method === 'SUBSCRIBE' && !isInDialog(request);
  if (way.to === 'phone') {
    const recorded = { ...way.route, params: way.route.params.filter(([name]) => name.toLowerCase() !== 'ob') };
    const added: HeaderField[] = isDialogForming ? [['Record-Route', `<${formatSipUri(recorded)}>`]] : [];
    return { nextHop: { flow: way.flow }, added, isRouteTaken: true, removed: NOTHING };
  }
  const { core, domain, isRouteTaken } = way;
  const added: HeaderField[] = [];
  if (method === 'REGISTER' || isDialogForming) {
    const isFirst = headers.all('Via').length === 1;
    const uri = await tokenUri(way, request, method === 'REGISTER' && isFirst, deps);
    added.push([method === 'REGISTER' ? 'Path' : 'Record-Route', `<${uri}>`]);
  }
  return {
    nextHop: { uri: core },
    expectNames: namesExpectedOf(domain, core),
    added,
    isRouteTaken,
    removed: NOT_FROM_PHONES,
  };
}

async function tokenUri(
  { domain, core }: Extract<Way, { to: 'core' }>,
  { flow }: SipRequest,
  isFirstHop: boolean,
  { ownUri, tokens }: EdgeProxyDeps,
): Promise<string> {
  const own = parseSipUri(await ownUri(core, domain));
  if (own === undefined) throw new GatewayError('internal', 'no address of this server for its core');
  const params: SipUri['params'] = [
    ...own.params,
    ['lr', undefined],
    ...(isFirstHop ? [['ob', undefined] as const] : []),
  ];
  return formatSipUri({ ...own, user: tokens.write({ flow: flow.id, domain }), params });
}

async function answerTo(outgoing: SipOutgoing, way: Way, deps: EdgeProxyDeps): Promise<SipResponse> {
  try {
    return await deps.request(outgoing);
  } catch (cause) {
    const error = GatewayError.of(cause);
    if (way.to !== 'phone' || error.code !== 'peer-unreachable') throw error;
    throw refusal(430, 'the flow is gone');
  }
}

/** Whether a Route names this server: a domain of ours without more, or where it listens. */
function isHere({ host, port }: SipUri, request: SipRequest, deps: EdgeProxyDeps): boolean {
  const isOwn = deps.isOwn(host);
  if (port === undefined && isOwn) return true;
  const { localAddress } = request.flow;
  return deps
    .listeners()
    .filter((listener) => port === undefined || port === listener.port)
    .some((listener) => isOwn || isAtListener(host, listener, localAddress));
}

function refusal(status: number, message: string): GatewayError {
  return new GatewayError('peer-unreachable', message, { details: { status } });
}

function fieldsOf(request: SipRequest, way: Way, status: number) {
  return {
    method: request.method,
    callId: request.headers.get('Call-ID') ?? '',
    to: way.to,
    domain: way.domain,
    status,
  };
}
