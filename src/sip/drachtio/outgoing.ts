import { isUtf8 } from 'node:buffer';

import { GatewayError } from '../../core/errors.ts';
import { byteLengthOf, requestText } from '../engine/serializer.ts';
import { parseNameAddr, splitList } from '../header-values.ts';
import { canonicalName } from '../headers.ts';
import { sameHost } from '../host.ts';
import { HOPS_START, type HeaderField, type SipOutgoing } from '../message.ts';
import { formatSipUri, parseSipUri, uriParam, type SipUri } from '../uri.ts';
import { FRAME_BYTES_MAX, toWireText } from './control-frame.ts';
import { flowUri, type DrachtioFlow } from './flow-id.ts';
import { tooLarge } from './refusal.ts';

/** A request as the library is given it; text has one character per byte. */
export type LibraryRequest = {
  readonly method: string;
  readonly uri: string;
  /** Several fields of one name are one value with the line ends and names between them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Where the server is to send it instead of to the Request-URI. */
  readonly proxy?: string;
};

/** Over this a request leaves UDP, since it might not fit one packet (RFC 3261, section 18.1.1); bytes. */
const DATAGRAM_BYTES_MAX = 1_300;
/** What the server adds: Via, and Contact where there is none. */
const ADDED_BYTES = 200;
/** The id, the kind and the fields in front of the message. */
const FIELD_BYTES = 100;

/** What a drachtio server sends outside of calls; its stack knows no others, and INVITE is not for this server. */
const METHODS: ReadonlySet<string> = new Set(
  'OPTIONS REGISTER MESSAGE SUBSCRIBE NOTIFY PUBLISH INFO REFER UPDATE BYE PRACK'.split(' '),
);
const REQUIRED = ['From', 'To', 'Call-ID', 'CSeq'] as const;

export type OutgoingContext = {
  /** Value of User-Agent; undefined: none. */
  readonly serverName: string | undefined;
  /** The flow of `nextHop`, read. */
  readonly flow?: DrachtioFlow;
  /** The server has the dialog of this Call-ID, and sends by what it knows of it: route set, connection. */
  readonly isKnownDialog: boolean;
};

export type MappedOutgoing = {
  readonly request: LibraryRequest;
  /** The same over TCP, to be tried first: the request is too large for a datagram. */
  readonly overTcp?: LibraryRequest;
};

/**
 * Maps a request to what a drachtio server is given.
 *
 * The server writes no Route of ours (RFC 3261, section 16.12): a request with one goes to that place without it, when
 * the route is one loose router that nothing but its address tells apart; or the server knows the dialog and writes
 * the routes itself; else it is refused, since it would end up elsewhere.
 *
 * @throws GatewayError('internal') for what no engine takes (CR, LF, NUL, INVITE, a missing field), 'content-too-large'
 *   above what the control connection takes, 'content-unsupported' for a body that is no text, 'feature-unsupported'
 *   for a route set that cannot be expressed
 */
export function mapOutgoing(outgoing: SipOutgoing, context: OutgoingContext): MappedOutgoing {
  const { method, uri, body } = outgoing;
  const fields = fieldsOf(outgoing, context.serverName);
  const text = requestText({ method, uri, headers: fields, ...(body === undefined ? {} : { body }) });
  if (fields.some(([, value]) => value.includes('\0'))) throw new GatewayError('internal', 'header value has NUL');
  const size = byteLengthOf(text, body);
  const proxy = proxyOf(outgoing, fields, context);
  if (size + FIELD_BYTES + (proxy?.length ?? 0) > FRAME_BYTES_MAX) throw tooLarge();
  const request: LibraryRequest = {
    method,
    uri,
    headers: headersOf(fields.filter(([name]) => canonicalName(name) !== 'Route')),
    ...(body === undefined || body.length === 0 ? {} : { body: bodyText(body, fields) }),
    ...(proxy === undefined ? {} : { proxy }),
  };
  const instead =
    size + ADDED_BYTES > DATAGRAM_BYTES_MAX && context.flow === undefined && !context.isKnownDialog
      ? overTcp(proxy ?? uri)
      : undefined;
  return instead === undefined ? { request } : { request, overTcp: { ...request, proxy: instead } };
}

/** The fields of a message for the library: by name, several of one name joined by line end and name. */
export function headersOf(fields: readonly HeaderField[]): Record<string, string> {
  const headers = new Map<string, string>();
  for (const [written, value] of fields) {
    const name = canonicalName(written);
    if (name === 'Content-Length') continue;
    const before = headers.get(name);
    const text = toWireText(value);
    headers.set(name, before === undefined ? text : `${before}\r\n${name}: ${text}`);
  }
  return Object.fromEntries(headers);
}

/** A body that a drachtio server carries as it is: its own text ends at a NUL, and it refuses what is no UTF-8. */
export function bodyText(body: Uint8Array, fields: readonly HeaderField[]): string {
  if (!isUtf8(body) || body.includes(0)) {
    throw new GatewayError('content-unsupported', 'a drachtio server carries text only, and this body is none');
  }
  if (!fields.some(([name]) => canonicalName(name) === 'Content-Type')) {
    throw new GatewayError('internal', 'a drachtio server takes no body without Content-Type');
  }
  return Buffer.from(body).toString('latin1');
}

function fieldsOf({ method, headers }: SipOutgoing, serverName: string | undefined): HeaderField[] {
  const names = new Set(headers.map(([name]) => canonicalName(name)));
  if (names.has('Via') || REQUIRED.some((name) => !names.has(name))) {
    throw new GatewayError('internal', 'a request needs From, To, Call-ID and CSeq, and no Via');
  }
  if (!METHODS.has(method)) throw new GatewayError('internal', 'a drachtio server has no client for that method');
  const fields = [...headers];
  if (!names.has('Max-Forwards')) fields.unshift(['Max-Forwards', String(HOPS_START)]);
  if (serverName !== undefined && !names.has('User-Agent')) fields.push(['User-Agent', serverName]);
  return fields;
}

function proxyOf(
  { nextHop }: SipOutgoing,
  fields: readonly HeaderField[],
  { flow, isKnownDialog }: OutgoingContext,
): string | undefined {
  const hop =
    flow !== undefined
      ? flowUri(flow)
      : nextHop !== undefined && 'uri' in nextHop
        ? wireUri(parseSipUri(nextHop.uri))
        : undefined;
  if (isKnownDialog) return hop;
  const routes = fields
    .filter(([name]) => canonicalName(name) === 'Route')
    .flatMap(([, value]) => splitList(value) ?? ['']);
  if (routes.length === 0) return hop;
  const route = plainRouter(routes);
  if (route === undefined) throw notExpressed();
  if (hop === undefined) return wireUri(route);
  // Over a flow the request goes to whom the one it answers came from; elsewhere only to the router itself.
  const hopHost = flow === undefined ? parseSipUri(hop)?.host : undefined;
  if (hopHost !== undefined && !sameHost(hopHost, route.host)) throw notExpressed();
  return hop;
}

/**
 * The one loose router of a route set that needs to be told nothing, neither in the user part nor in a parameter of its
 * own; undefined for every other route set.
 */
export function plainRouter(routes: readonly string[]): SipUri | undefined {
  const [first = ''] = routes;
  const route = routes.length === 1 ? parseSipUri(parseNameAddr(first)?.uri ?? '') : undefined;
  const isPlain =
    route !== undefined &&
    uriParam(route, 'lr') !== undefined &&
    route.user === undefined &&
    route.headers === undefined &&
    route.params.every(([name]) => ['lr', 'transport'].includes(name.toLowerCase()));
  return isPlain ? route : undefined;
}

function notExpressed(): GatewayError {
  return new GatewayError(
    'feature-unsupported',
    'the way there needs a Route header, and a drachtio server writes none: use `sip.engine: embedded` for peers behind such proxies',
  );
}

/** A URI as the server's `proxy` takes it: where to, and nothing else. */
function wireUri(uri: SipUri | undefined): string {
  if (uri === undefined) throw new GatewayError('internal', 'the next hop is no SIP URI');
  const transport = uriParam(uri, 'transport');
  return formatSipUri({
    scheme: uri.scheme,
    host: uri.host,
    ...(uri.port === undefined ? {} : { port: uri.port }),
    params: typeof transport === 'string' ? [['transport', transport.toLowerCase()]] : [],
  });
}

/** The same place over TCP; undefined when it is reached over a stream anyway, or is none. */
function overTcp(text: string): string | undefined {
  const uri = parseSipUri(text);
  if (uri === undefined || uri.scheme === 'sips') return undefined;
  const transport = uriParam(uri, 'transport');
  if (typeof transport === 'string' && transport.toLowerCase() !== 'udp') return undefined;
  return formatSipUri({
    scheme: 'sip',
    host: uri.host,
    ...(uri.port === undefined ? {} : { port: uri.port }),
    params: [['transport', 'tcp']],
  });
}
