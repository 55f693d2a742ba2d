import type { Socket } from 'node:net';

import { atMost } from '../../core/at-most.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Random } from '../../core/ports.ts';
import { bare, canonicalAddress } from '../engine/certificate-names.ts';
import { isSipTransport, type SipFlow, type SipTransport } from '../message.ts';
import { NoWayOut, type SipListener, type SipServerState } from '../stack.ts';
import { DrachtioSession, type ControlRequest, type ControlSource } from '../stack-drachtio-session.ts';
import { ControlListener } from './control-listener.ts';
import { formatFlowId, type DrachtioFlow } from './flow-id.ts';
import { parseHostPorts } from './host-ports.ts';
import { ServerLink, type ControlTls } from './server-link.ts';

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

/** A session and the name of its server. */
export type Member = { readonly name: string; readonly session: DrachtioSession };
type Joined = Member & { readonly order: number };

export type DrachtioServersOptions = {
  readonly servers: ReadonlyArray<DrachtioServer | DrachtioListen>;
  readonly onRequest: (member: Member, request: ControlRequest) => void;
  /** A server is there after there was none. */
  readonly onUp: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

/** What is asked for: everything the library knows but ACK and CANCEL, which belong to INVITE. */
const METHODS = 'invite register message options subscribe notify publish info refer update bye prack'.split(' ');
/** How long the start waits for servers that do not say yes or no; ms. */
const START_MS = 5_000;

/** The drachtio servers of one stack: those that are there, in the order of the configuration, and where each listens. */
export class DrachtioServers {
  readonly #options: DrachtioServersOptions;
  readonly #links: ServerLink[] = [];
  readonly #doors: ControlListener[] = [];
  #members: readonly Joined[] = [];
  /** Where each server listens, by its name; kept when it is gone, since it comes back there. */
  readonly #listenersOf = new Map<string, readonly SipListener[]>();
  /** Always this list, kept up to date: those of servers that are there come first. */
  readonly listeners: SipListener[] = [];
  #isLeaving = false;
  #isStopped = false;

  constructor(options: DrachtioServersOptions) {
    this.#options = options;
    for (const [order, server] of options.servers.entries()) {
      if ('listen' in server) this.#doors.push(this.#doorOf(server, order));
      else this.#links.push(this.#linkOf(server, order));
    }
  }

  /** Resolves when each server has been tried once, or after a while. @throws when a port cannot be had */
  async start(): Promise<void> {
    for (const door of this.#doors) await door.start();
    const tried = Promise.all(this.#links.map((link) => link.start()));
    await atMost(tried, START_MS, this.#options.clock);
  }

  get states(): Readonly<Record<string, SipServerState>> {
    return Object.fromEntries([...this.#links, ...this.#doors].map(({ name, state }) => [name, state]));
  }

  /** Whether the server of a flow is there. */
  has(flow: DrachtioFlow): boolean {
    return this.#ofFlow(flow).length > 0;
  }

  /**
   * The servers that may send a request, in the order of asking: that of the flow alone, or all, whoever has its dialog
   * first.
   *
   * @throws GatewayError 'peer-unreachable' when the server of the flow is away; `NoWayOut` when all are
   */
  towards(flow: DrachtioFlow | undefined, knowing: DrachtioSession | undefined): readonly Member[] {
    if (this.#members.length === 0) throw new NoWayOut('no drachtio server is there to send the request');
    if (flow === undefined) {
      const first = this.#members.filter(({ session }) => session === knowing);
      return [...first, ...this.#members.filter(({ session }) => session !== knowing)];
    }
    const members = this.#ofFlow(flow);
    if (members.length === 0) {
      throw new GatewayError('peer-unreachable', 'the drachtio server that has the connection to the next hop is gone');
    }
    return members;
  }

  /** The flow of what came from a server. @param receivedOn where, `address:port` */
  flowFrom(server: string, { protocol, address, port }: ControlSource, receivedOn: string | undefined): SipFlow {
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

  /** New requests are to go to other applications from now on. */
  leave(): void {
    this.#isLeaving = true;
    for (const { session } of this.#members) session.wantNoMore();
  }

  /** Ends all connections; what waits on them is rejected with this error. */
  stop(error: GatewayError): void {
    this.#isStopped = true;
    for (const link of this.#links) link.stop();
    for (const door of this.#doors) door.stop();
    for (const { session } of this.#members) session.close(error);
  }

  #ofFlow({ server }: DrachtioFlow): readonly Member[] {
    return this.#members.filter(({ name, session }) => name === server || nameOf(session) === server);
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
      onDown: () => this.#gone(up),
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
      onDown: (session) => this.#gone(session),
      clock,
      log,
    });
  }

  #sessionOn(
    socket: Socket,
    options: { secret: string; tags: readonly string[]; methods: readonly string[]; onGone(reason: string): void },
    nameFor: (session: DrachtioSession) => string,
  ): Promise<DrachtioSession> {
    const { clock, log, onRequest } = this.#options;
    return DrachtioSession.open(socket, {
      ...options,
      onRequest: (session, request) => onRequest({ name: nameFor(session), session }, request),
      clock,
      log,
    });
  }

  #join(member: Joined): void {
    const wasAlone = this.#members.length === 0;
    this.#members = [...this.#members, member].sort((a, b) => a.order - b.order);
    this.#listenersOf.set(member.name, parseHostPorts(member.session.welcome.hostPorts));
    this.#list();
    if (this.#isLeaving) member.session.wantNoMore();
    if (this.#isStopped) member.session.close(new GatewayError('shutting-down', 'the SIP engine stops'));
    else if (wasAlone) this.#options.onUp();
  }

  #gone(session: DrachtioSession | undefined): void {
    this.#members = this.#members.filter((member) => member.session !== session);
    this.#list();
  }

  #list(): void {
    const up = this.#members.flatMap(({ name }) => this.#listenersOf.get(name) ?? []);
    const all = [...up, ...[...this.#listenersOf.values()].flat()];
    const unique = new Map(all.map((listener) => [JSON.stringify(listener), listener]));
    this.listeners.splice(0, this.listeners.length, ...unique.values());
  }
}

/** A server that connects here is known by where it listens first. */
function nameOf({ welcome }: DrachtioSession): string {
  return welcome.hostPorts.split(',')[0] ?? '';
}

/** A protocol that is not known, or not said, is taken for UDP: nothing that needs a connection is done over it. */
function transportOf(protocol: string): SipTransport {
  return isSipTransport(protocol) ? protocol : 'udp';
}
