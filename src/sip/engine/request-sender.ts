import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { parseNameAddr } from '../header-values.ts';
import { canonicalName } from '../headers.ts';
import { HOPS_START, type HeaderField, type SipOutgoing, type SipResponse, type SipTransport } from '../message.ts';
import { parseSipUri, type SipUri } from '../uri.ts';
import type { Channel } from './channel.ts';
import type { ClientTransactions, Outcome } from './client-transactions.ts';
import { bare } from './certificate-names.ts';
import type { LocalEnd, LocalEnds } from './local-ends.ts';
import type { Resolver } from './resolver.ts';
import { byteLengthOf, bytesWithVia, requestText, type RequestText } from './serializer.ts';
import type { StreamTransport } from './stream-transport.ts';
import type { Target } from './targets.ts';
import type { TimerWheel } from './timer-wheel.ts';
import { TRANSACTION_MS } from './timers.ts';
import type { TokenSource } from './tokens.ts';
import type { UnreachableTargets } from './unreachable-targets.ts';

/** Over this a request leaves UDP, since it might not fit one packet (RFC 3261, section 18.1.1); bytes. */
const DATAGRAM_BYTES_MAX = 1_300;
const HOPS_FIELD: HeaderField = ['Max-Forwards', String(HOPS_START)];

export type SenderContext = {
  readonly resolver: Resolver;
  readonly unreachable: UnreachableTargets;
  readonly ends: LocalEnds;
  readonly streams: StreamTransport;
  readonly transactions: ClientTransactions;
  readonly tokens: TokenSource;
  readonly wheel: TimerWheel;
  readonly log: Log;
  /** Value of User-Agent; undefined: none. */
  readonly serverName: string | undefined;
  /** There is a certificate to show, so that whoever is connected to may send requests back (RFC 5923, section 8.1). */
  readonly takesRequestsOverTls: boolean;
  readonly channelOfFlow: (flowId: string) => Channel | undefined;
};

const VIA_TRANSPORT: Readonly<Record<SipTransport, string>> = {
  udp: 'UDP',
  tcp: 'TCP',
  tls: 'TLS',
  ws: 'WS',
  wss: 'WSS',
};
const VIA = 1;
const HOPS = 2;
const AGENT = 4;
/** A bit for each of the fields by which a request is judged. */
const MARKS: Readonly<Record<string, number>> = Object.assign(Object.create(null) as Record<string, number>, {
  Via: VIA,
  'Max-Forwards': HOPS,
  'User-Agent': AGENT,
  From: 8,
  To: 16,
  'Call-ID': 32,
  CSeq: 64,
});
const REQUIRED = 8 | 16 | 32 | 64;
/** Methods with transactions this engine has not. */
const NOT_SENT: ReadonlySet<string> = new Set(['INVITE', 'ACK', 'CANCEL']);

type Opened = { readonly channel: Channel; readonly sentBy: string };

/** Sends requests: finds the targets, tries one after the other, and gives the first final response. */
export class RequestSender {
  readonly #context: SenderContext;

  constructor(context: SenderContext) {
    this.#context = context;
  }

  async send(outgoing: SipOutgoing): Promise<SipResponse> {
    const { resolver } = this.#context;
    const text = this.#textOf(outgoing);
    const patienceMs = Math.min(outgoing.timeoutMs ?? TRANSACTION_MS, TRANSACTION_MS);
    const hop = outgoing.nextHop;
    if (hop !== undefined && 'flow' in hop) return this.#overFlow(hop.flow, outgoing, text, patienceMs);
    const uri = nextHopUri(outgoing);
    const found = resolver.numericTargets(uri) ?? (await resolver.targets(uri));
    const targets = this.#inOrder(found, VIA_BYTES_MAX + byteLengthOf(text, outgoing.body));
    return this.#overTargets(targets, outgoing.expectNames ?? [bare(uri.host)], outgoing, text, patienceMs);
  }

  #textOf(outgoing: SipOutgoing): RequestText {
    const { serverName } = this.#context;
    const { method, uri, headers, body } = outgoing;
    if (NOT_SENT.has(method)) throw new GatewayError('internal', 'this engine has no client for that method');
    let seen = 0;
    for (const [name] of headers) seen |= MARKS[canonicalName(name)] ?? 0;
    if ((seen & VIA) !== 0 || (seen & REQUIRED) !== REQUIRED) {
      throw new GatewayError('internal', 'a request needs From, To, Call-ID and CSeq, and no Via');
    }
    const all: HeaderField[] = (outgoing.vias ?? []).map((via) => ['Via', via]);
    if ((seen & HOPS) === 0) all.push(HOPS_FIELD);
    for (const field of headers) all.push(field);
    if (serverName !== undefined && (seen & AGENT) === 0) all.push(['User-Agent', serverName]);
    return requestText({ method, uri, headers: all, ...(body === undefined ? {} : { body }) });
  }

  /**
   * Targets in the order of trying. A request too large for a datagram goes to the streams among them first, then to
   * the same places as its datagrams would, over TCP, and over UDP only when all of that fails.
   */
  #inOrder(targets: readonly Target[], size: number): readonly Target[] {
    const { unreachable } = this.#context;
    const ordered = unreachable.lastOnes(targets);
    if (size <= DATAGRAM_BYTES_MAX) return ordered;
    const streams = ordered.filter(({ transport }) => transport !== 'udp');
    const datagrams = ordered.filter(({ transport }) => transport === 'udp');
    const instead = datagrams
      .map((target): Target => ({ ...target, transport: 'tcp' }))
      .filter((target) => !unreachable.isAvoided(target))
      .filter(({ address, port }) => !streams.some((known) => known.address === address && known.port === port));
    return [...streams, ...instead, ...datagrams];
  }

  async #overFlow(flowId: string, outgoing: SipOutgoing, text: RequestText, patienceMs: number): Promise<SipResponse> {
    const channel = this.#context.channelOfFlow(flowId);
    if (channel?.isUsable !== true)
      throw new GatewayError('peer-unreachable', 'the connection to the next hop is gone');
    const { expectNames } = outgoing;
    const { peerNames, transport } = channel.flow;
    if (transport === 'tls' && expectNames?.some((name) => peerNames?.includes(name.toLowerCase())) === false) {
      throw new GatewayError('peer-unreachable', 'the connection is to somebody else than expected');
    }
    const end = await this.#context.ends.towards(channel.flow.transport, channel.flow.remoteAddress);
    const sentBy = end?.sentBy ?? channel.flow.localAddress;
    const outcome = await this.#attempt(channel, sentBy, outgoing, text, patienceMs);
    if (outcome.kind === 'response') return outcome.response;
    throw failureOf(outcome.kind === 'timeout', outcome);
  }

  async #overTargets(
    targets: readonly Target[],
    names: readonly string[],
    outgoing: SipOutgoing,
    text: RequestText,
    patienceMs: number,
  ): Promise<SipResponse> {
    const { unreachable, wheel, log } = this.#context;
    let leftMs = patienceMs;
    let refusal: SipResponse | undefined;
    let timedOut = false;
    let last: Outcome | undefined;
    for (const [at, target] of targets.entries()) {
      const isLast = at === targets.length - 1;
      const startMs = wheel.elapsedMs;
      const opened = this.#open(target, names);
      const channel = opened instanceof Promise ? await opened : opened;
      if (channel === undefined) continue;
      const outcome = await this.#attempt(
        channel.channel,
        channel.sentBy,
        outgoing,
        text,
        isLast ? leftMs : leftMs / 2,
      );
      if (outcome.kind === 'stopped') throw failureOf(false, outcome);
      if (outcome.kind === 'response' && outcome.response.status !== 503) {
        unreachable.worked(target);
        return outcome.response;
      }
      // A provisional response says that it is being worked on: the next target would do it a second time.
      if (outcome.kind === 'timeout' && outcome.wasHeard) throw failureOf(true, outcome);
      last = outcome;
      if (outcome.kind === 'response') refusal = outcome.response;
      if (outcome.kind === 'timeout') timedOut = true;
      if (targets.length > 1 || outcome.kind !== 'response') unreachable.failed(target);
      leftMs -= wheel.elapsedMs - startMs;
      if (leftMs <= 0) break;
      if (!isLast) log.debug({ nextHop: target.address, reason: outcome.kind }, 'trying the next target');
    }
    if (refusal !== undefined) return refusal;
    throw failureOf(timedOut, last);
  }

  #open(target: Target, names: readonly string[]): Opened | undefined | Promise<Opened | undefined> {
    const end = this.#context.ends.towards(target.transport, target.address);
    return end instanceof Promise
      ? end.then((later) => this.#openFrom(later, target, names))
      : this.#openFrom(end, target, names);
  }

  #openFrom(end: LocalEnd | undefined, target: Target, names: readonly string[]): Opened | undefined {
    if (end === undefined) return undefined;
    const { sentBy, udp, bindAddress } = end;
    if (target.transport === 'udp') {
      return udp === undefined ? undefined : { channel: udp.channelTo(target.address, target.port), sentBy };
    }
    const route = { target, names, ...(bindAddress === undefined ? {} : { bindAddress }) };
    return { channel: this.#context.streams.towards(route), sentBy };
  }

  #attempt(
    channel: Channel,
    sentBy: string,
    outgoing: SipOutgoing,
    text: RequestText,
    patienceMs: number,
  ): Promise<Outcome> {
    const branch = this.#context.tokens.branch();
    const { transport } = channel.flow;
    const alias = transport === 'tls' && this.#context.takesRequestsOverTls ? ';alias' : '';
    const via = `SIP/2.0/${VIA_TRANSPORT[transport]} ${sentBy};rport${alias};branch=${branch}`;
    const bytes = bytesWithVia(text, via, outgoing.body);
    const { method, vias } = outgoing;
    const viaCount = 1 + (vias?.length ?? 0);
    return this.#context.transactions.run({ branch, method, sentBy, viaCount, bytes, channel, patienceMs });
  }
}

/** A Via of ours at its longest; bytes. */
const VIA_BYTES_MAX = 121;

/** Where the request goes: where the caller says, else the first Route, else the Request-URI (RFC 3261, section 8.1.2). */
function nextHopUri(outgoing: SipOutgoing): SipUri {
  const hop = outgoing.nextHop;
  let text = outgoing.uri;
  if (hop !== undefined && 'uri' in hop) text = hop.uri;
  else {
    const route = outgoing.headers.find(([name]) => canonicalName(name) === 'Route');
    if (route !== undefined) text = parseNameAddr(route[1])?.uri ?? '';
  }
  const uri = parseSipUri(text);
  if (uri === undefined) throw new GatewayError('internal', 'the next hop is no SIP URI');
  return uri;
}

function failureOf(timedOut: boolean, outcome: Outcome | undefined): GatewayError {
  if (outcome?.kind === 'stopped') return new GatewayError('shutting-down', 'the server stops');
  if (timedOut) return new GatewayError('peer-timeout', 'the next hop did not answer in time');
  const how = outcome?.kind === 'lost' && outcome.wasOpen ? 'the connection was lost' : 'no connection could be made';
  return new GatewayError('peer-unreachable', `no target of the next hop could be reached: ${how}`);
}
