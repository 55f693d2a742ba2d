import type { Log } from '../../core/log.ts';
import { formatVia, parseVia, type SipVia } from '../header-values.ts';
import { isWebSocketTransport, type HeaderField, type SipFlow, type SipHeaders, type SipReply } from '../message.ts';
import { canonicalAddress } from './certificate-names.ts';
import type { Channel } from './channel.ts';
import type { ParsedMalformed, ParsedRequest } from './parser.ts';
import { reasonPhrase } from './reason-phrases.ts';
import { serializeResponse } from './serializer.ts';
import type { TokenSource } from './tokens.ts';
import { UdpChannel } from './udp-listener.ts';

/** What every answer of this server is written with. */
export type AnswerStyle = {
  readonly tokens: TokenSource;
  /** Value of Server; undefined: none. */
  readonly serverName: string | undefined;
};

/** Fields an answer has from the request or from the engine, never from the handler. */
const ECHOED: ReadonlySet<string> = new Set(['via', 'from', 'to', 'call-id', 'cseq', 'content-length']);

/** Header fields a handler must leave to the engine; undefined when there are none among these. */
export function foreignField(fields: readonly HeaderField[]): string | undefined {
  return fields.find(([name]) => ECHOED.has(name.toLowerCase()))?.[0];
}

/**
 * Writes the answer to a request: Via, From, To, Call-ID and CSeq copied, a To tag added when there is none, the
 * topmost Via told where the request came from (RFC 3261, section 8.2.6.2; RFC 3581, section 4).
 */
export function answerBytes(request: ParsedRequest, flow: SipFlow, reply: SipReply, style: AnswerStyle): Buffer {
  const headers = echoOf(request.headers, request.via, flow);
  // 100 opens no dialog, and goes one hop only.
  if (reply.status > 100 && !request.to.params.has('tag')) addTag(headers, reply.toTag ?? style.tokens.token());
  if (reply.status === 100) {
    const timestamp = request.headers.get('Timestamp');
    if (timestamp !== undefined) headers.push(['Timestamp', timestamp]);
  }
  return written(headers, reply, style);
}

/**
 * The same, with 500 instead of an answer that cannot be written because of what the handler put into it; undefined
 * when not even that is possible. Never throws.
 */
export function answerBytesOr500(
  request: ParsedRequest,
  flow: SipFlow,
  reply: SipReply,
  style: AnswerStyle,
  log: Log,
): Buffer | undefined {
  try {
    return answerBytes(request, flow, reply, style);
  } catch (error) {
    log.error({ error, status: reply.status }, 'answer cannot be written');
  }
  try {
    return answerBytes(request, flow, { status: 500 }, style);
  } catch {
    return undefined;
  }
}

/** The answer to a request that could not be read, as far as it could; undefined when it cannot be sent to anyone. */
export function answerToMalformed(
  malformed: ParsedMalformed,
  flow: SipFlow,
  style: AnswerStyle,
): { readonly bytes: Buffer; readonly via: SipVia } | undefined {
  const { request } = malformed;
  const viaText = request?.headers.get('Via');
  // An ACK is never answered (RFC 3261, section 17.1.1.3).
  if (request === undefined || viaText === undefined || request.method === 'ACK') return undefined;
  const via = parseVia(viaText);
  if (via === undefined) return undefined;
  const headers = echoOf(request.headers, via, flow);
  const to = request.headers.get('To');
  if (to !== undefined && !/;\s*tag\s*=/i.test(to)) addTag(headers, style.tokens.token());
  try {
    return { bytes: written(headers, { status: malformed.status }, style), via };
  } catch {
    // What cannot even be copied is not worth an answer.
    return undefined;
  }
}

function written(headers: HeaderField[], reply: SipReply, style: AnswerStyle): Buffer {
  if (style.serverName !== undefined) headers.push(['Server', style.serverName]);
  if (reply.headers !== undefined) headers.push(...reply.headers);
  return serializeResponse({
    status: reply.status,
    reason: reply.reason ?? reasonPhrase(reply.status),
    headers,
    ...(reply.body === undefined ? {} : { body: reply.body }),
  });
}

function echoOf(headers: SipHeaders, via: SipVia, flow: SipFlow): HeaderField[] {
  const echo: HeaderField[] = [];
  let isTop = true;
  for (const [name, value] of headers.fields) {
    if (name !== 'Via') continue;
    echo.push(['Via', isTop ? viaToldItsSource(value, via, flow) : value]);
    isTop = false;
  }
  for (const name of ['From', 'To', 'Call-ID', 'CSeq'] as const) {
    const value = headers.get(name);
    if (value !== undefined) echo.push([name, value]);
  }
  return echo;
}

function addTag(headers: HeaderField[], tag: string): void {
  const at = headers.findIndex(([name]) => name === 'To');
  const to = headers[at];
  if (to !== undefined) headers[at] = ['To', `${to[1]};tag=${tag}`];
}

/** The topmost Via with `received` and `rport` where they belong (RFC 3261, section 18.2.1; RFC 3581, section 4). */
export function viaToldItsSource(text: string, via: SipVia, flow: SipFlow): string {
  // The address is that of whatever stands before this server, and answers go back over the connection in any case
  // (RFC 7118, section 5.3).
  if (isWebSocketTransport(flow.transport)) return text;
  const asksPort = via.params.has('rport');
  const isFromThere = via.host === flow.remoteAddress || canonicalAddress(via.host) === flow.remoteAddress;
  if (!asksPort && isFromThere && !via.params.has('received')) return text;
  // The usual form is changed in place, so that what the client compares stays as it was.
  if (via.params.get('rport') === true && !via.params.has('received') && !text.includes('"')) {
    return `${text.replace(/;[ \t]*rport[ \t]*(?=;|$)/i, `;rport=${flow.remotePort}`)};received=${flow.remoteAddress}`;
  }
  if (!asksPort && !via.params.has('received')) return `${text};received=${flow.remoteAddress}`;
  const params = new Map(via.params);
  if (asksPort) params.set('rport', String(flow.remotePort));
  params.set('received', flow.remoteAddress);
  return formatVia({ ...via, params });
}

/**
 * Where answers go (RFC 3261, section 18.2.2; RFC 3581, section 4): back over the connection; over UDP to where the
 * request came from, at the port it came from if the client asked for that, else at the port it named.
 *
 * `maddr` is not followed: it would let anybody have our answers sent to anybody.
 */
export function answerChannel(channel: Channel, via: SipVia): Channel {
  if (!(channel instanceof UdpChannel) || via.params.has('rport')) return channel;
  const port = via.port ?? 5060;
  return port === channel.flow.remotePort ? channel : channel.listener.channelTo(channel.flow.remoteAddress, port);
}
