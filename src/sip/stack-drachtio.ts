import { atMost } from '../core/at-most.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock, Random } from '../core/ports.ts';
import { RecentMap } from '../core/recent-map.ts';
import { formatFlowId, parseFlowId, type DrachtioFlow } from './drachtio/flow-id.ts';
import { listenerFor } from './drachtio/host-ports.ts';
import { mapOutgoing, plainRouter, type LibraryRequest, type MappedOutgoing } from './drachtio/outgoing.ts';
import { RequestNotSent } from './drachtio/refusal.ts';
import { mapReply, type LibraryReply } from './drachtio/reply.ts';
import { DrachtioServers, type DrachtioListen, type DrachtioServer, type Member } from './drachtio/servers.ts';
import { bare, canonicalAddress } from './engine/certificate-names.ts';
import { TRANSACTION_MS } from './engine/timers.ts';
import { canonicalName } from './headers.ts';
import type { SipOutgoing, SipReply, SipRequest, SipResponse, SipTransport } from './message.ts';
import { NoWayOut, type SipHandler, type SipListener, type SipServerState, type SipStack } from './stack.ts';
import type { ControlRequest, ControlResponse, DrachtioSession } from './stack-drachtio-session.ts';

export type DrachtioStackOptions = {
  readonly servers: ReadonlyArray<DrachtioServer | DrachtioListen>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Value of Server in answers and User-Agent in requests; absent: neither is sent. */
  readonly serverName?: string;
  /** A server is there after there was none: what waits may be tried again. */
  readonly onUp?: () => void;
  /** Requests the handler is busy with; one more is answered 503. */
  readonly requestsUnderWayMax?: number;
};

const REQUESTS_UNDER_WAY_MAX = 20_000;
const RETRY_AFTER_SECONDS = 5;
/** What the server still holds of a dialog is known for as long as subscriptions last; ms. */
const DIALOG_MS = 24 * 3_600_000;
const DIALOGS_MAX = 200_000;
/** A place that refuses TCP is not asked again for so long; ms. */
const AVOID_TCP_MS = 300_000;
const AVOIDED_MAX = 10_000;

/**
 * SIP carried by drachtio servers, over the library drachtio-srf.
 *
 * Keeps the promises of `SipStack` but for what the server has not, which that docstring names. Dialogs are not the
 * server's here: requests within one go out with the tags, Call-ID and CSeq they are given.
 */
export function createDrachtioStack(options: DrachtioStackOptions): SipStack {
  return new DrachtioStack(options);
}

class DrachtioStack implements SipStack {
  readonly #options: DrachtioStackOptions;
  readonly #log: Log;
  readonly #servers: DrachtioServers;
  /** Servers that have the dialog of a Call-ID. */
  readonly #dialogs = new RecentMap<DrachtioSession>({ keepMs: DIALOG_MS, max: DIALOGS_MAX });
  /** Connections over which nothing could be sent; one that speaks again is there again. */
  readonly #goneFlows = new RecentMap<true>({ keepMs: DIALOG_MS, max: DIALOGS_MAX });
  readonly #withoutTcp = new RecentMap<true>({ keepMs: AVOID_TCP_MS, max: AVOIDED_MAX });
  #handler: SipHandler | undefined;
  #underWay = 0;
  #isRefusing = false;
  #isStopped = false;
  #onIdle: (() => void) | undefined;

  constructor(options: DrachtioStackOptions) {
    this.#options = options;
    this.#log = options.log;
    const { servers, clock, random, log } = options;
    this.#servers = new DrachtioServers({
      servers,
      onRequest: (member, request) => this.#received(member, request),
      onUp: () => options.onUp?.(),
      clock,
      random,
      log,
    });
  }

  async start(handler: SipHandler): Promise<readonly SipListener[]> {
    if (this.#handler !== undefined) throw new GatewayError('internal', 'the SIP engine is started once');
    this.#handler = handler;
    this.#log.info(
      { bodyBytesMax: 11_000 },
      'drachtio carries SIP: no Route headers, no bodies that are no text, no messages above 11 kB; docs/drachtio.md says what to do',
    );
    await this.#servers.start();
    return this.#servers.listeners;
  }

  async request(outgoing: SipOutgoing): Promise<SipResponse> {
    if (this.#handler === undefined || this.#isStopped) {
      throw new GatewayError('shutting-down', 'the SIP engine does not run');
    }
    const patienceMs = Math.min(outgoing.timeoutMs ?? TRANSACTION_MS, TRANSACTION_MS);
    const flow = flowOf(outgoing);
    const callId = valueOf(outgoing, 'Call-ID');
    const nowMs = this.#options.clock.nowMs();
    const knowing = callId === undefined ? undefined : this.#dialogs.get(callId, nowMs);
    // Before anybody is looked for: what is wrong with a request is wrong wherever it goes.
    const isKnown = knowing?.isOpen === true;
    const first = this.#mapped(outgoing, flow, isKnown);
    let refusal: unknown;
    for (const { name, session } of this.#servers.towards(flow, knowing)) {
      const mapped = !isKnown || session === knowing ? first : this.#mapped(outgoing, flow, false);
      try {
        const answered = await this.#send(session, mapped, patienceMs);
        return this.#responseTo(outgoing, callId, name, session, answered);
      } catch (error) {
        const isUnreachable = error instanceof GatewayError && error.code === 'peer-unreachable';
        if (isUnreachable && flow !== undefined && flow.protocol !== 'udp' && !(error instanceof NoWayOut)) {
          this.#goneFlows.set(formatFlowId(flow), true, this.#options.clock.nowMs());
        }
        if (!isUnreachable || !(error instanceof RequestNotSent)) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  reachableAt(transport: SipTransport, remoteAddress: string): Promise<string | undefined> {
    return Promise.resolve(listenerFor(this.#servers.listeners, transport, canonicalAddress(bare(remoteAddress))));
  }

  /** Connections are the server's: nobody hears when one is gone, before a request over it has failed. */
  isFlowOpen(flow: string): boolean {
    const known = parseFlowId(flow);
    if (known === undefined || this.#goneFlows.get(flow, this.#options.clock.nowMs()) !== undefined) return false;
    return this.#servers.has(known);
  }

  takesRoutes(routes: readonly string[]): boolean {
    return plainRouter(routes) !== undefined;
  }

  /** The server answers CRLF over TCP and pings of WebSockets; over TLS and UDP it answers nothing. */
  answersKeepAlives(transport: SipTransport): boolean {
    return transport !== 'udp' && transport !== 'tls';
  }

  servers(): Readonly<Record<string, SipServerState>> {
    return this.#servers.states;
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#handler === undefined || this.#isStopped) return;
    this.#isRefusing = true;
    this.#servers.leave();
    if (this.#underWay > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
      await atMost(idle, graceMs, this.#options.clock);
    }
    this.#isStopped = true;
    this.#servers.stop(new GatewayError('shutting-down', 'the SIP engine stops'));
  }

  #mapped(outgoing: SipOutgoing, flow: DrachtioFlow | undefined, isKnownDialog: boolean): MappedOutgoing {
    const { serverName } = this.#options;
    return mapOutgoing(outgoing, { serverName, isKnownDialog, ...(flow === undefined ? {} : { flow }) });
  }

  /** Sends over TCP first what is too large for a datagram, and as it is where that is refused. */
  async #send(
    session: DrachtioSession,
    { request, overTcp }: MappedOutgoing,
    patienceMs: number,
  ): Promise<ControlResponse> {
    const { clock } = this.#options;
    const startMs = clock.nowMs();
    const place = overTcp?.proxy;
    if (overTcp === undefined || place === undefined || this.#withoutTcp.get(place, startMs) !== undefined) {
      return this.#exchange(session, request, patienceMs);
    }
    try {
      return await this.#exchange(session, overTcp, patienceMs / 2);
    } catch (error) {
      const isOver = error instanceof GatewayError && ['peer-unreachable', 'peer-timeout'].includes(error.code);
      const leftMs = patienceMs - (clock.nowMs() - startMs);
      if (!isOver || !session.isOpen || leftMs <= 0) throw error;
      this.#withoutTcp.set(place, true, clock.nowMs());
      return this.#exchange(session, request, leftMs);
    }
  }

  async #exchange(session: DrachtioSession, request: LibraryRequest, patienceMs: number): Promise<ControlResponse> {
    const answered = await session.request(request, patienceMs);
    // What the server makes itself comes from nowhere.
    if (answered.source.address !== '') return answered;
    const { status } = answered.response;
    if (status === 408) throw new GatewayError('peer-timeout', 'the far end did not answer in time');
    throw new GatewayError('peer-unreachable', `the drachtio server reached nobody (${status})`);
  }

  #responseTo(
    { method, headers }: SipOutgoing,
    callId: string | undefined,
    name: string,
    session: DrachtioSession,
    { response, source }: ControlResponse,
  ): SipResponse {
    if (callId !== undefined) {
      const state =
        method === 'NOTIFY' ? headers.find(([field]) => canonicalName(field) === 'Subscription-State') : undefined;
      // The server lets go of a dialog whose end it has carried.
      if (state !== undefined && /^\s*terminated/i.test(state[1])) this.#dialogs.delete(callId);
      else if (method === 'SUBSCRIBE' && response.status < 300) {
        this.#dialogs.set(callId, session, this.#options.clock.nowMs());
      }
    }
    const { status, reason, headers: fields, body } = response;
    return { status, reason, headers: fields, body, flow: this.#servers.flowFrom(name, source, undefined) };
  }

  #received({ name, session }: Member, control: ControlRequest): void {
    const { request, receivedOn } = control;
    if (request.method === 'CANCEL') return;
    const max = this.#options.requestsUnderWayMax ?? REQUESTS_UNDER_WAY_MAX;
    if (this.#isRefusing || this.#underWay >= max) {
      this.#answer(session, control, {
        status: 503,
        headers: [['Retry-After', String(RETRY_AFTER_SECONDS)]],
      });
      return;
    }
    const { method, uri, headers, body } = request;
    const flow = this.#servers.flowFrom(name, control, receivedOn);
    this.#goneFlows.delete(flow.id);
    const receivedAtMs = this.#options.clock.nowMs();
    void this.#handle(session, control, { method, uri, headers, body, flow, receivedAtMs });
  }

  async #handle(session: DrachtioSession, control: ControlRequest, seen: SipRequest): Promise<void> {
    this.#underWay += 1;
    let reply: SipReply = { status: 500 };
    try {
      reply = await (this.#handler ?? (() => Promise.resolve(reply)))(seen);
    } catch (error) {
      this.#log.error({ error, callId: seen.headers.get('Call-ID') ?? '' }, 'handler failed');
    }
    this.#answer(session, control, reply);
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#onIdle?.();
  }

  #answer(session: DrachtioSession, control: ControlRequest, reply: SipReply): void {
    const { request } = control;
    const callId = request.headers.get('Call-ID') ?? '';
    const mapped = this.#replyOr500(control, reply);
    // Known before the server says so: the NOTIFY that follows an answer is on its way by then.
    const hasDialog = request.method === 'SUBSCRIBE' && mapped.status < 300;
    if (hasDialog) this.#dialogs.set(callId, session, this.#options.clock.nowMs());
    control.answer(mapped, (failure) => {
      if (failure === undefined) return;
      this.#log.debug({ callId, status: mapped.status, reason: failure }, 'drachtio server did not send the answer');
      if (hasDialog) this.#dialogs.delete(callId);
    });
  }

  #replyOr500({ request }: ControlRequest, reply: SipReply): LibraryReply {
    const { serverName } = this.#options;
    try {
      return mapReply(reply, request, serverName);
    } catch (error) {
      this.#log.error({ error, status: reply.status }, 'answer cannot be sent');
      return mapReply({ status: 500 }, request, serverName);
    }
  }
}

function flowOf({ nextHop }: SipOutgoing): DrachtioFlow | undefined {
  if (nextHop === undefined || !('flow' in nextHop)) return undefined;
  const flow = parseFlowId(nextHop.flow);
  // Kept from a time with another engine: the connection went with it.
  if (flow === undefined) throw new GatewayError('peer-unreachable', 'the connection to the next hop is gone');
  return flow;
}

function valueOf({ headers }: SipOutgoing, name: string): string | undefined {
  return headers.find(([field]) => canonicalName(field) === name)?.[1];
}
