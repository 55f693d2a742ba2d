import { atMost } from '../core/at-most.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock, Random } from '../core/ports.ts';
import { answerChannel, answerToMalformed, type AnswerStyle } from './engine/answers.ts';
import { bare, canonicalAddress } from './engine/certificate-names.ts';
import type { Channel, MessageSink } from './engine/channel.ts';
import { ConnectionGate } from './engine/connection-gate.ts';
import { ClientTransactions } from './engine/client-transactions.ts';
import { DnsCache } from '../dns/dns-cache.ts';
import { systemDnsQueries, type DnsQueries } from '../dns/dns-queries.ts';
import { InviteTransactions } from './engine/invite-transactions.ts';
import { ENGINE_LIMITS, type EngineLimits } from './engine/limits.ts';
import { LocalEnds, type ListeningPlace } from './engine/local-ends.ts';
import { parseSipMessage, SIP_LIMITS, type ParsedRequest, type SipLimits } from './engine/parser.ts';
import { RequestSender } from './engine/request-sender.ts';
import { Resolver } from './engine/resolver.ts';
import { ServerTransactions } from './engine/server-transactions.ts';
import { StreamConnection } from './engine/stream-connection.ts';
import { StreamTransport } from './engine/stream-transport.ts';
import { defaultPort } from './engine/targets.ts';
import { TimerWheel } from './engine/timer-wheel.ts';
import type { TlsFiles } from './engine/tls-settings.ts';
import { TokenSource } from './engine/tokens.ts';
import { UdpListener } from './engine/udp-listener.ts';
import { UnreachableTargets } from './engine/unreachable-targets.ts';
import { WsTransport } from './engine/ws-transport.ts';
import { isWebSocketTransport, type SipOutgoing, type SipResponse, type SipTransport } from './message.ts';
import type { SipHandler, SipListener, SipStack } from './stack.ts';

export type EmbeddedStackOptions = {
  /** Where to listen; port 0 lets the system choose. Over TCP and TLS requests are sent without a listener, too. */
  readonly listeners: ReadonlyArray<{
    readonly transport: SipTransport;
    readonly address: string;
    readonly port: number;
  }>;
  /** Certificate and key for TLS in both directions, as PEM text, and whom to believe. */
  readonly tls?: TlsFiles;
  /** Pages whose scripts may connect to `ws` and `wss` listeners, `https://chat.example`; `*`: any; absent: none. */
  readonly webSocketOrigins?: readonly string[];
  /** Name servers instead of the system's: `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:53`. */
  readonly dnsServers?: readonly string[];
  /** Asked instead of any name server. */
  readonly dns?: DnsQueries;
  readonly clock: Clock;
  /** For the order of SRV records; tokens come from the system's secure source whatever stands here. */
  readonly random?: Random;
  readonly log: Log;
  readonly limits?: Partial<EngineLimits>;
  /** Value of Server in answers and User-Agent in requests; absent: neither is sent. */
  readonly serverName?: string;
};

/** How long connections have to send what they hold when the server stops; ms. */
const FAREWELL_MS = 500;

/**
 * The SIP engine inside this process: UDP, TCP, TLS and WebSocket, non-INVITE transactions of both sides, RFC 3263.
 *
 * Keeps the promises of `SipStack`. Holds no state that a restart would need; connections and transactions end with it.
 */
export function createEmbeddedStack(options: EmbeddedStackOptions): SipStack {
  return new EmbeddedStack(options);
}

type Running = {
  readonly servers: ServerTransactions;
  readonly clients: ClientTransactions;
  readonly invites: InviteTransactions;
};

class EmbeddedStack implements SipStack, MessageSink {
  readonly #options: EmbeddedStackOptions;
  readonly #log: Log;
  readonly #limits: EngineLimits;
  readonly #streamLimits: SipLimits;
  readonly #style: AnswerStyle;
  readonly #wheel: TimerWheel;
  readonly #tokens = new TokenSource();
  readonly #streams: StreamTransport;
  readonly #webSockets: WsTransport;
  readonly #udp: UdpListener[] = [];
  #running: Running | undefined;
  #sender: RequestSender | undefined;
  #ends: LocalEnds | undefined;
  #isStopped = false;

  constructor(options: EmbeddedStackOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#limits = { ...ENGINE_LIMITS, ...options.limits };
    const { headerBytesMax, bodyBytesMax } = this.#limits;
    this.#streamLimits = { ...SIP_LIMITS, headerBytesMax, messageBytesMax: headerBytesMax + bodyBytesMax };
    this.#style = { tokens: this.#tokens, serverName: options.serverName };
    this.#wheel = new TimerWheel(options.clock);
    const context = { wheel: this.#wheel, sink: this, limits: this.#limits, log: this.#log };
    const gate = new ConnectionGate(this.#limits, this.#log);
    const { tls, webSocketOrigins = [] } = options;
    this.#streams = new StreamTransport(context, tls, this.#tokens, gate);
    this.#webSockets = new WsTransport(context, tls, this.#tokens, gate, webSocketOrigins);
  }

  async start(handler: SipHandler): Promise<readonly SipListener[]> {
    if (this.#running !== undefined) throw new GatewayError('internal', 'the SIP engine is started once');
    const { clock, log } = this.#options;
    const style = this.#style;
    const wheel = this.#wheel;
    const servers = new ServerTransactions({
      wheel,
      clock,
      log,
      limits: this.#limits,
      style,
      handler,
      sendElsewhere: (bytes, request, channel) => this.#answerElsewhere(bytes, request, channel),
    });
    const run = servers.run.bind(servers);
    const invites = new InviteTransactions({
      wheel,
      log,
      style,
      run,
      transactionsMax: this.#limits.inviteTransactionsMax,
    });
    const clients = new ClientTransactions(wheel, log);
    // Before the first socket: what comes in while others are still being opened is answered, too.
    this.#running = { servers, clients, invites };
    const places: ListeningPlace[] = [];
    try {
      for (const listener of this.#options.listeners) places.push(await this.#listen(listener));
    } catch (error) {
      await this.#closeTransports();
      throw error;
    }
    this.#ends = new LocalEnds(places, clock);
    this.#sender = this.#senderFrom(this.#ends, clients);
    return places.map(({ transport, address, port }) => ({ transport, address, port }));
  }

  request(outgoing: SipOutgoing): Promise<SipResponse> {
    if (this.#sender === undefined || this.#isStopped) {
      return Promise.reject(new GatewayError('shutting-down', 'the SIP engine does not run'));
    }
    return this.#sender.send(outgoing);
  }

  async reachableAt(transport: SipTransport, remoteAddress: string): Promise<string | undefined> {
    return (await this.#ends?.listening(transport, canonicalAddress(bare(remoteAddress))))?.sentBy;
  }

  isFlowOpen(flow: string): boolean {
    return this.#channelOf(flow)?.isUsable === true;
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#running === undefined || this.#isStopped) return;
    const { servers, clients } = this.#running;
    await atMost(servers.refuse(), graceMs, this.#options.clock);
    this.#isStopped = true;
    clients.stop();
    await this.#closeTransports();
    this.#wheel.stop();
  }

  onMessage(bytes: Buffer, channel: Channel): void {
    try {
      this.#take(bytes, channel);
    } catch (error) {
      // A fault of ours that one message can reach must not end the work of all others.
      this.#log.error({ peer: channel.flow.remoteAddress, error }, 'message could not be handled');
    }
  }

  #take(bytes: Buffer, channel: Channel): void {
    const parsed = parseSipMessage(bytes, channel.isReliable ? this.#streamLimits : SIP_LIMITS);
    if (this.#running === undefined) return;
    switch (parsed.kind) {
      case 'request':
        // RFC 5923, section 8.2; whether it may be used is up to what its certificate has proved.
        if (channel instanceof StreamConnection && parsed.via.params.has('alias')) {
          this.#streams.alias(channel, parsed.via.port ?? defaultPort('tls'));
        }
        if (parsed.method === 'INVITE' || parsed.method === 'ACK' || parsed.method === 'CANCEL') {
          this.#running.invites.receive(parsed, channel);
        } else this.#running.servers.receive(parsed, channel);
        return;
      case 'response':
        this.#running.clients.receive(parsed, channel);
        return;
      case 'malformed': {
        this.#log.debug({ peer: channel.flow.remoteAddress, reason: parsed.reason }, 'malformed message');
        const answer = answerToMalformed(parsed, channel.flow, this.#style);
        if (answer !== undefined) answerChannel(channel, answer.via).send(answer.bytes);
        return;
      }
      case 'keep-alive':
        return;
    }
  }

  onStreamFault(bytes: Buffer, channel: Channel): void {
    // Where a message of it ends nobody knows; its header may still say whom to tell.
    const parsed = parseSipMessage(bytes.subarray(0, this.#limits.headerBytesMax), this.#streamLimits);
    if (parsed.kind !== 'request' && parsed.kind !== 'malformed') return;
    const { kind } = parsed;
    const malformed =
      kind === 'malformed' ? parsed : { kind: 'malformed' as const, reason: 'framing', status: 400, request: parsed };
    const answer = answerToMalformed(malformed, channel.flow, this.#style);
    if (answer !== undefined) channel.send(answer.bytes);
  }

  async #listen(listener: { transport: SipTransport; address: string; port: number }): Promise<ListeningPlace> {
    const { transport, port } = listener;
    const address = canonicalAddress(bare(listener.address));
    if (isWebSocketTransport(transport)) {
      return { transport, address, port: await this.#webSockets.listen({ transport, address, port }) };
    }
    if (transport !== 'udp')
      return { transport, address, port: await this.#streams.listen({ transport, address, port }) };
    const udp = new UdpListener(address, port, this, this.#log);
    await udp.start();
    this.#udp.push(udp);
    return { transport, address, port: udp.port, udp };
  }

  #senderFrom(ends: LocalEnds, transactions: ClientTransactions): RequestSender {
    const { clock, log, serverName, dns, dnsServers, random } = this.#options;
    const queries = new DnsCache(dns ?? systemDnsQueries(dnsServers), clock);
    const resolver = new Resolver(queries, clock, random ?? Math.random, {
      transports: this.#udp.length > 0 ? ['udp', 'tcp', 'tls'] : ['tcp', 'tls'],
      udpFamilies: new Set(this.#udp.map(({ family }) => family)),
    });
    return new RequestSender({
      resolver,
      unreachable: new UnreachableTargets(clock),
      ends,
      streams: this.#streams,
      transactions,
      tokens: this.#tokens,
      wheel: this.#wheel,
      log,
      serverName,
      takesRequestsOverTls: this.#options.tls !== undefined,
      channelOfFlow: (flowId) => this.#channelOf(flowId),
    });
  }

  #channelOf(flowId: string): Channel | undefined {
    if (flowId.startsWith('ws')) return this.#webSockets.byId(flowId);
    if (!flowId.startsWith('udp,')) return this.#streams.byId(flowId);
    for (const listener of this.#udp) {
      const channel = listener.channelOf(flowId);
      if (channel !== undefined) return channel;
    }
    return undefined;
  }

  /** The connection of a request is gone: its answer goes where the Via says, once (RFC 3261, section 18.2.2). */
  #answerElsewhere(bytes: Buffer, request: ParsedRequest, channel: Channel): void {
    const { transport, remoteAddress } = channel.flow;
    // A client of a WebSocket is nowhere once that is gone.
    if (transport === 'udp' || isWebSocketTransport(transport) || this.#isStopped) return;
    const { host, port } = request.via;
    this.#log.debug({ peer: remoteAddress }, 'connection gone before the answer, opening another');
    const target = { transport, address: remoteAddress, port: port ?? defaultPort(transport) };
    this.#streams.towards({ target, names: [bare(host)] }).send(bytes);
  }

  async #closeTransports(): Promise<void> {
    await Promise.all([this.#streams.close(FAREWELL_MS), this.#webSockets.close(FAREWELL_MS)]);
    await Promise.all(this.#udp.map((listener) => listener.close()));
  }
}
