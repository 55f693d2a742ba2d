import type { Socket } from 'node:net';

import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock, Random } from '../core/ports.ts';
import { RecentMap } from '../core/recent-map.ts';
import { ControlListener } from './drachtio/control-listener.ts';
import { formatFlowId, parseFlowId, type DrachtioFlow } from './drachtio/flow-id.ts';
import { listenerFor, parseHostPorts } from './drachtio/host-ports.ts';
import { mapOutgoing, plainRouter, type LibraryRequest, type MappedOutgoing } from './drachtio/outgoing.ts';
import { RequestNotSent } from './drachtio/refusal.ts';
import { mapReply, type LibraryReply } from './drachtio/reply.ts';
import { ServerLink, type ControlTls } from './drachtio/server-link.ts';
import { bare, canonicalAddress } from './engine/certificate-names.ts';
import { TRANSACTION_MS } from './engine/timers.ts';
import { canonicalName } from './headers.ts';
import type { SipFlow, SipOutgoing, SipReply, SipRequest, SipResponse, SipTransport } from './message.ts';
import { NoWayOut, type SipHandler, type SipListener, type SipServerState, type SipStack } from './stack.ts';
import {
  DrachtioSession,
  type ControlRequest,
  type ControlResponse,
  type ControlSource,
} from './stack-drachtio-session.ts';

/** A drachtio server that is connected to. */
export type DrachtioServer = {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  readonly tags: readonly string[];
  readonly tls?: ControlTls;
};

/** Where drachtio servers connect to. */
export type DrachtioListen = {
  readonly listen: { readonly transport: 'tcp' | 'tls'; readonly address: string; readonly port: number };
  /** Addresses and CIDR blocks of the servers that may connect. */
  readonly trust: readonly string[];
  readonly secret: string;
  readonly tags: readonly string[];
  readonly tls?: { readonly certificate: string; readonly key: string };
};

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

/** What is asked for: everything the library knows but ACK and CANCEL, which belong to INVITE. */
const METHODS = 'invite register message options subscribe notify publish info refer update bye prack'.split(' ');
const REQUESTS_UNDER_WAY_MAX = 20_000;
const RETRY_AFTER_SECONDS = 5;
/** How long the start waits for servers that do not say yes or no; ms. */
const START_MS = 5_000;
/** What the server still holds of a dialog is known for as long as subscriptions last; ms. */
const DIALOG_MS = 24 * 3_600_000;
const DIALOGS_MAX = 200_000;
/** A place that refuses TCP is not asked again for so long; ms. */
const AVOID_TCP_MS = 300_000;
const AVOIDED_MAX = 10_000;

/** A session and the name of its server, in the order of the configuration. */
type Member = { readonly name: string; readonly order: number; readonly session: DrachtioSession };

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
  readonly #links: ServerLink[] = [];
  readonly #doors: ControlListener[] = [];
  #members: Member[] = [];
  /** Where each server listens, by its name; kept when it is gone, since it comes back there. */
  readonly #listenersOf = new Map<string, readonly SipListener[]>();
  /** Given out by `start`, and kept up to date. */
  readonly #listeners: SipListener[] = [];
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
    for (const [order, server] of options.servers.entries()) {
      if ('listen' in server) this.#doors.push(this.#doorOf(server, order));
      else this.#links.push(this.#linkOf(server, order));
    }
  }

  async start(handler: SipHandler): Promise<readonly SipListener[]> {
    if (this.#handler !== undefined) throw new GatewayError('internal', 'the SIP engine is started once');
    this.#handler = handler;
    this.#log.info(
      { bodyBytesMax: 11_000 },
      'drachtio carries SIP: no Route headers, no bodies that are no text, no messages above 11 kB; docs/operation.md says what to do',
    );
    for (const door of this.#doors) await door.start();
    const tried = Promise.all(this.#links.map((link) => link.start()));
    let cancel: (() => void) | undefined;
    const over = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(START_MS, resolve);
    });
    await Promise.race([tried, over]);
    cancel?.();
    return this.#listeners;
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
    const asKnown = this.#mapped(outgoing, flow, knowing?.isOpen === true);
    const members = this.#membersFor(flow, knowing);
    let refusal: unknown = new NoWayOut('no drachtio server is there to send the request');
    for (const { name, session } of members) {
      const mapped = session === knowing ? asKnown : this.#mapped(outgoing, flow, false);
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
    return Promise.resolve(listenerFor(this.#listeners, transport, canonicalAddress(bare(remoteAddress))));
  }

  /** Connections are the server's: nobody hears when one is gone, before a request over it has failed. */
  isFlowOpen(flow: string): boolean {
    const known = parseFlowId(flow);
    if (known === undefined || this.#goneFlows.get(flow, this.#options.clock.nowMs()) !== undefined) return false;
    return this.#membersFor(known, undefined).length > 0;
  }

  takesRoutes(routes: readonly string[]): boolean {
    return plainRouter(routes) !== undefined;
  }

  /** The server answers CRLF over TCP; over TLS and UDP it does not. */
  answersKeepAlives(transport: SipTransport): boolean {
    return transport === 'tcp';
  }

  servers(): Readonly<Record<string, SipServerState>> {
    return Object.fromEntries([...this.#links, ...this.#doors].map(({ name, state }) => [name, state]));
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#handler === undefined || this.#isStopped) return;
    this.#isRefusing = true;
    for (const { session } of this.#members) session.wantNoMore();
    if (this.#underWay > 0) {
      let cancel: (() => void) | undefined;
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
        cancel = this.#options.clock.after(graceMs, resolve);
      });
      cancel?.();
    }
    this.#isStopped = true;
    for (const link of this.#links) link.stop();
    for (const door of this.#doors) door.stop();
    const reason = new GatewayError('shutting-down', 'the SIP engine stops');
    for (const { session } of [...this.#members]) session.close(reason);
  }

  #linkOf({ host, port, secret, tags, tls }: DrachtioServer, order: number): ServerLink {
    const { clock, random, log } = this.#options;
    const name = `${host}:${port}`;
    let up: DrachtioSession | undefined;
    return new ServerLink({
      name,
      host,
      port,
      ...(tls === undefined ? {} : { tls }),
      openSession: (socket, onGone) => this.#sessionOn(socket, { secret, tags, methods: METHODS, onGone }, () => name),
      onUp: (session) => this.#join({ name, order, session: (up = session) }),
      onDown: () => this.#leave(up),
      clock,
      random,
      log,
    });
  }

  #doorOf({ listen, trust, secret, tags, tls }: DrachtioListen, order: number): ControlListener {
    const { clock, log } = this.#options;
    const { transport, address, port } = listen;
    return new ControlListener({
      name: `${transport}://${address}:${port}`,
      address: bare(address),
      port,
      trust,
      ...(tls === undefined ? {} : { tls }),
      // Such a server chooses by itself what it sends; nothing is asked for.
      openSession: (socket, onGone) => this.#sessionOn(socket, { secret, tags, methods: [], onGone }, nameOf),
      onUp: (session) => this.#join({ name: nameOf(session), order, session }),
      onDown: (session) => this.#leave(session),
      clock,
      log,
    });
  }

  #sessionOn(
    socket: Socket,
    options: { secret: string; tags: readonly string[]; methods: readonly string[]; onGone(reason: string): void },
    nameFor: (session: DrachtioSession) => string,
  ): Promise<DrachtioSession> {
    const { clock, log } = this.#options;
    return DrachtioSession.open(socket, {
      ...options,
      onRequest: (session, request) => this.#received(session, nameFor(session), request),
      clock,
      log,
    });
  }

  #join(member: Member): void {
    const wasAlone = this.#members.length === 0;
    this.#members = [...this.#members, member].sort((a, b) => a.order - b.order);
    this.#listenersOf.set(member.name, parseHostPorts(member.session.welcome.hostPorts));
    this.#listListeners();
    if (this.#isRefusing) member.session.wantNoMore();
    if (this.#isStopped) member.session.close(new GatewayError('shutting-down', 'the SIP engine stops'));
    else if (wasAlone) this.#options.onUp?.();
  }

  #leave(session: DrachtioSession | undefined): void {
    this.#members = this.#members.filter((member) => member.session !== session);
    this.#listListeners();
  }

  /** Those of servers that are there first: a far end that is told of one should reach it. */
  #listListeners(): void {
    const up = this.#members.flatMap(({ name }) => this.#listenersOf.get(name) ?? []);
    const all = [...up, ...[...this.#listenersOf.values()].flat()];
    const unique = new Map(all.map((listener) => [JSON.stringify(listener), listener]));
    this.#listeners.splice(0, this.#listeners.length, ...unique.values());
  }

  #mapped(outgoing: SipOutgoing, flow: DrachtioFlow | undefined, isKnownDialog: boolean): MappedOutgoing {
    const { serverName } = this.#options;
    return mapOutgoing(outgoing, { serverName, isKnownDialog, ...(flow === undefined ? {} : { flow }) });
  }

  /** The servers that may send a request, in the order of asking. */
  #membersFor(flow: DrachtioFlow | undefined, knowing: DrachtioSession | undefined): readonly Member[] {
    if (flow !== undefined) {
      const { server } = flow;
      return this.#members.filter(({ name, session }) => name === server || nameOf(session) === server);
    }
    const first = this.#members.filter(({ session }) => session === knowing);
    return [...first, ...this.#members.filter(({ session }) => session !== knowing)];
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
    return { status, reason, headers: fields, body, flow: this.#flowFrom(name, source, undefined) };
  }

  #received(session: DrachtioSession, name: string, control: ControlRequest): void {
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
    const flow = this.#flowFrom(name, control, receivedOn);
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

  #flowFrom(server: string, { protocol, address, port }: ControlSource, receivedOn: string | undefined): SipFlow {
    const transport = transportOf(protocol);
    const local = /^(.*):(\d+)$/.exec(receivedOn ?? '');
    const listener = this.#listenersOf.get(server)?.find((known) => known.transport === transport);
    const remoteAddress = canonicalAddress(bare(address));
    return {
      transport,
      localAddress: local?.[1] === undefined ? (listener?.address ?? '') : canonicalAddress(bare(local[1])),
      localPort: local?.[2] === undefined ? (listener?.port ?? 0) : Number(local[2]),
      remoteAddress,
      remotePort: port,
      id: formatFlowId({ server, protocol: protocol === '' ? transport : protocol, address: remoteAddress, port }),
    };
  }
}

/** A server that connects here is known by where it listens first. */
function nameOf({ welcome }: DrachtioSession): string {
  return welcome.hostPorts.split(',')[0] ?? '';
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

/** A protocol that is not known, or not said, is taken for UDP: nothing that needs a connection is done over it. */
function transportOf(protocol: string): SipTransport {
  return isTransport(protocol) ? protocol : 'udp';
}

function isTransport(text: string): text is SipTransport {
  return ['udp', 'tcp', 'tls', 'ws', 'wss'].includes(text);
}
