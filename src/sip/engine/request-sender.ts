import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { parseNameAddr } from '../header-values.ts';
import { canonicalName } from '../headers.ts';
import type { HeaderField, SipOutgoing, SipResponse, SipTransport } from '../message.ts';
import { parseSipUri, type SipUri } from '../uri.ts';
import type { Channel } from './channel.ts';
import type { ClientTransactions, Outcome } from './client-transactions.ts';
import { bare } from './certificate-names.ts';
import type { LocalEnds } from './local-ends.ts';
import type { Resolver } from './resolver.ts';
import { serializeRequest } from './serializer.ts';
import type { StreamTransport } from './stream-transport.ts';
import type { Target } from './targets.ts';
import type { TimerWheel } from './timer-wheel.ts';
import { TRANSACTION_MS } from './timers.ts';
import type { TokenSource } from './tokens.ts';
import type { UnreachableTargets } from './unreachable-targets.ts';

/** Over this a request leaves UDP, since it might not fit one packet (RFC 3261, section 18.1.1); bytes. */
const DATAGRAM_BYTES_MAX = 1_300;
const MAX_FORWARDS = '70';

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
  readonly channelOfFlow: (flowId: string) => Channel | undefined;
};

const VIA_TRANSPORT: Readonly<Record<SipTransport, string>> = { udp: 'UDP', tcp: 'TCP', tls: 'TLS' };
const REQUIRED = ['From', 'To', 'Call-ID', 'CSeq'];
/** Methods with transactions this engine has not. */
const NOT_SENT: ReadonlySet<string> = new Set(['INVITE', 'ACK', 'CANCEL']);

/** Sends requests: finds the targets, tries one after the other, and gives the first final response. */
export class RequestSender {
  readonly #context: SenderContext;

  constructor(context: SenderContext) {
    this.#context = context;
  }

  async send(outgoing: SipOutgoing): Promise<SipResponse> {
    const headers = this.#headersOf(outgoing);
    const patienceMs = Math.min(outgoing.timeoutMs ?? TRANSACTION_MS, TRANSACTION_MS);
    const hop = outgoing.nextHop;
    if (hop !== undefined && 'flow' in hop) return this.#overFlow(hop.flow, outgoing, headers, patienceMs);
    const uri = nextHopUri(outgoing);
    const targets = this.#inOrder(await this.#context.resolver.targets(uri), sizeOf(outgoing, headers));
    const names = outgoing.expectNames ?? [bare(uri.host)];
    return this.#overTargets(targets, names, outgoing, headers, patienceMs);
  }

  #headersOf(outgoing: SipOutgoing): HeaderField[] {
    const { serverName } = this.#context;
    const names = new Set(outgoing.headers.map(([name]) => canonicalName(name)));
    if (NOT_SENT.has(outgoing.method)) throw new GatewayError('internal', 'this engine has no client for that method');
    if (names.has('Via') || REQUIRED.some((name) => !names.has(name))) {
      throw new GatewayError('internal', 'a request needs From, To, Call-ID and CSeq, and no Via');
    }
    const headers: HeaderField[] = names.has('Max-Forwards') ? [] : [['Max-Forwards', MAX_FORWARDS]];
    headers.push(...outgoing.headers);
    if (serverName !== undefined && !names.has('User-Agent')) headers.push(['User-Agent', serverName]);
    return headers;
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

  async #overFlow(
    flowId: string,
    outgoing: SipOutgoing,
    headers: readonly HeaderField[],
    patienceMs: number,
  ): Promise<SipResponse> {
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
    const outcome = await this.#attempt(channel, sentBy, outgoing, headers, patienceMs);
    if (outcome.kind === 'response') return outcome.response;
    throw failureOf(outcome.kind === 'timeout', outcome);
  }

  async #overTargets(
    targets: readonly Target[],
    names: readonly string[],
    outgoing: SipOutgoing,
    headers: readonly HeaderField[],
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
      const channel = await this.#open(target, names);
      if (channel === undefined) continue;
      const outcome = await this.#attempt(
        channel.channel,
        channel.sentBy,
        outgoing,
        headers,
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

  async #open(
    target: Target,
    names: readonly string[],
  ): Promise<{ readonly channel: Channel; readonly sentBy: string } | undefined> {
    const end = await this.#context.ends.towards(target.transport, target.address);
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
    headers: readonly HeaderField[],
    patienceMs: number,
  ): Promise<Outcome> {
    const branch = this.#context.tokens.branch();
    const via = viaField(VIA_TRANSPORT[channel.flow.transport], sentBy, branch);
    const bytes = serializeRequest({ ...outgoing, headers: [via, ...headers] });
    return this.#context.transactions.run({ branch, method: outgoing.method, sentBy, bytes, channel, patienceMs });
  }
}

/** A Via of ours and the start line's constant parts, at their longest; bytes. */
const OVERHEAD_BYTES = 150;

/** How large the request becomes, at most a few bytes too much; bytes. */
function sizeOf(outgoing: SipOutgoing, headers: readonly HeaderField[]): number {
  let size = OVERHEAD_BYTES + outgoing.uri.length + (outgoing.body?.length ?? 0);
  for (const [name, value] of headers) size += name.length + Buffer.byteLength(value) + 4;
  return size;
}

function viaField(transport: string, sentBy: string, branch: string): HeaderField {
  return ['Via', `SIP/2.0/${transport} ${sentBy};rport;branch=${branch}`];
}

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
