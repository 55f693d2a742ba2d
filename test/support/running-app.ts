import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { App } from '../../src/app.ts';
import type { Clock } from '../../src/core/ports.ts';
import { childOf, textOf, type XmlElement } from '../../src/cpim/xml.ts';
import type { ProfileChange } from '../../src/core/directory/profile.ts';
import type { RuleAction, WatcherAdministration } from '../../src/core/presence/rules.ts';
import { createPinoLog } from '../../src/pino-log.ts';
import { databaseFile } from '../../src/store/sqlite-database.ts';
import { openSqlite } from '../../src/store/sqlite-driver.ts';
import { systemClock } from '../../src/system-clock.ts';
import { ComponentServer } from './component-server.ts';
import { freePort } from './ports.ts';
import { rawRequest, StreamPeer, UdpPeer, type RawMessage, type RequestParts } from './raw-sip.ts';
import { ScriptedPhone } from './scripted-phone.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';
import { configOf, startApp, storeAccounts } from './whole-app.ts';

/** Loopback addresses with a part each, so that what is believed of one is not of another. */
export const PLACES = {
  server: '127.0.0.1',
  /** Behind it partner.example, a SIP peer. */
  partner: '127.0.0.2',
  /** The trusted core of core.example. */
  core: '127.0.0.3',
  /** Behind it users of sip.example that are not known here, where a test has `homeCore`. */
  home: '127.0.0.4',
  /** Nobody the server knows. */
  stranger: '127.0.0.66',
} as const;

export const PASSWORD = 'correct horse battery';
export const COMPONENT = 'sip.xmpp.example';
/** Every localpart of these is a user of sip.example. */
export const USERS = ['alice', 'bob', 'carol', 'dave', 'erin', 'mallory'] as const;

export type RunningAppOptions = {
  readonly clock?: Clock;
  /** More addresses whose requests are taken as those of users of core.example. */
  readonly coreTrust?: readonly string[];
  /** The same for sip.example, which has no trusted core otherwise. */
  readonly homeTrust?: readonly string[];
  /** YAML lines at the top level; `limits: { … }` and the like. */
  readonly extra?: string;
  /** YAML of the section `sip`, as flow; it listens itself when absent. */
  readonly sip?: string;
  readonly rateLimits?: 'off';
  /** YAML within `presence:`, as flow: `default: allow, notifyIntervalSeconds: 0`. With it the operator's door is open. */
  readonly presence?: string;
  /** Users of sip.example beside `USERS`. */
  readonly users?: readonly string[];
  /** Whoever of sip.example is not known here is behind a SIP server of that domain, over TCP at `ports.home`. */
  readonly homeCore?: true;
  /** And their phones come by way of this server. */
  readonly homeEdge?: true;
  /** XMPP users may register with the link as a gateway. */
  readonly registration?: true;
  /** Keeps no log lines, and gives each of them to this. */
  readonly onLogLine?: (line: string) => void;
};

type Ports = { udp: number; tcp: number; readonly http: number; readonly partner: number; readonly home: number };

/**
 * A whole server in this process, on loopback and in a temporary folder: sip.example with `USERS`, core.example behind a
 * trusted core, partner.example as SIP peer over TCP, xmpp.example over a link to a scripted XMPP server. Its log is the
 * real one at its lowest level.
 */
export class RunningApp {
  readonly xmpp: ComponentServer;
  readonly secret: string;
  readonly ports: Ports;
  /** JSON lines of the log, oldest first. */
  readonly logLines: string[] = [];
  readonly #options: RunningAppOptions;
  readonly #folder: string;
  readonly #token = randomBytes(16).toString('hex');
  readonly #closing: Array<() => unknown> = [];
  #app: App | undefined;
  /** The folder within `#folder` with the data of the server that runs now. */
  #data = 'data';
  #crashes = 0;

  private constructor(options: RunningAppOptions, xmpp: ComponentServer, secret: string, ports: Ports) {
    this.#options = options;
    this.#folder = temporaryFolder('running-app');
    this.xmpp = xmpp;
    this.secret = secret;
    this.ports = ports;
  }

  static async start(options: RunningAppOptions = {}): Promise<RunningApp> {
    const secret = randomBytes(16).toString('hex');
    const xmpp = new ComponentServer({ name: COMPONENT, secret });
    await xmpp.start();
    const ports = { udp: 0, tcp: 0, http: await freePort(), partner: await freePort(), home: await freePort() };
    const world = new RunningApp(options, xmpp, secret, ports);
    const users = [...USERS, ...(options.users ?? [])].map((user) => `${user}@sip.example`);
    await storeAccounts(world.#dataFolder, users, PASSWORD);
    await world.#startApp();
    return world;
  }

  /** The server that runs now. */
  get app(): App {
    if (this.#app === undefined) throw new Error('no server runs');
    return this.#app;
  }

  get #dataFolder(): string {
    return join(this.#folder, this.#data);
  }

  /**
   * Begins anew on what a server that is killed now leaves: what was durable at this moment. At the same ports, and in
   * the same time.
   */
  async crash(): Promise<void> {
    const data = this.#snapshot();
    await this.app.stop();
    this.#data = data;
    await this.#startApp();
  }

  /** Records of one kind as a server that is killed now leaves them, by key. */
  stored<T>(kind: string): ReadonlyMap<string, T> {
    const connection = openSqlite(databaseFile(join(this.#folder, this.#snapshot())));
    try {
      const rows = connection.prepare('SELECT key, value FROM record WHERE kind = ? ORDER BY key').all(kind);
      return new Map(rows.map((row) => [String(row['key']), JSON.parse(String(row['value'])) as T]));
    } finally {
      connection.close();
    }
  }

  #snapshot(): string {
    const data = `data-${(this.#crashes += 1)}`;
    mkdirSync(join(this.#folder, data));
    const connection = openSqlite(databaseFile(this.#dataFolder));
    try {
      // Of all that was committed and nothing else, at one moment.
      connection.exec(`VACUUM INTO '${databaseFile(join(this.#folder, data))}'`);
    } finally {
      connection.close();
    }
    return data;
  }

  async #startApp(): Promise<void> {
    const { onLogLine = (line: string) => void this.logLines.push(line), clock = systemClock } = this.#options;
    const config = configOf(this.#configText(), this.#folder);
    const app = await startApp(config, this.#folder, createPinoLog('trace', { write: onLogLine }), clock);
    this.#app = app;
    for (const { transport, port } of app.listeners)
      if (transport === 'udp' || transport === 'tcp') this.ports[transport] = port;
  }

  #configText(): string {
    const {
      coreTrust = [],
      homeTrust = [],
      homeCore,
      presence,
      rateLimits,
      registration = false,
      extra = '',
    } = this.#options;
    const { udp, tcp, http, partner, home } = this.ports;
    const core = JSON.stringify([PLACES.core, ...coreTrust]);
    const atHome = JSON.stringify([...homeTrust, ...(homeCore === undefined ? [] : [PLACES.home])]);
    const nextHop =
      homeCore === undefined
        ? ''
        : `, nextHop: 'sip:${PLACES.home}:${home};transport=tcp'${this.#options.homeEdge === true ? ', edge: true' : ''}`;
    return `domains: [{ name: sip.example, trust: ${atHome}${nextHop} }, { name: core.example, trust: ${core} }]
data: ${JSON.stringify(this.#dataFolder)}
sip: ${this.#options.sip ?? `{ listen: ['udp://${PLACES.server}:${udp}', 'tcp://${PLACES.server}:${tcp}'] }`}
links:
  office: { type: xmpp-component, host: 127.0.0.1, port: ${this.xmpp.port}, name: ${COMPONENT}, domain: sip.example, registration: ${registration}, secret: ${this.secret} }
peers:
  - { domain: xmpp.example, link: office }
  - { domain: partner.example, link: sip, nextHop: 'sip:${PLACES.partner}:${partner};transport=tcp', trust: ['${PLACES.partner}'] }
http: { listen: '127.0.0.1:${http}'${presence === undefined ? '' : `, token: ${this.#token}`} }
# Nobody answers there: no name of a test is looked up outside.
dns: { servers: ['127.0.0.1:9'] }
${presence === undefined ? '' : `presence: { ${presence} }\n`}${rateLimits === undefined ? '' : 'rateLimits: off\n'}${extra}`;
  }

  /** Sets what becomes of a watcher, or a group of them, as an operator does. */
  async rule(owner: string, watcher: string, action: RuleAction, showsLocation = false): Promise<void> {
    await this.#operate('PUT', owner, `/rules/${encodeURIComponent(watcher)}`, {
      action,
      ...(showsLocation ? { showsLocation } : {}),
    });
  }

  async removeRule(owner: string, watcher: string): Promise<void> {
    await this.#operate('DELETE', owner, `/rules/${encodeURIComponent(watcher)}`);
  }

  async setInvisible(owner: string, isInvisible: boolean): Promise<void> {
    await this.#operate('PUT', owner, '/invisible', { isInvisible });
  }

  /** What an operator is told of the watchers of a user. */
  async watchers(owner: string): Promise<ReturnType<WatcherAdministration['list']>> {
    return (await this.#operate('GET', owner, '')) as ReturnType<WatcherAdministration['list']>;
  }

  /** Changes what is known of a user, as an operator does. */
  async profile(user: string, change: ProfileChange): Promise<void> {
    await this.#operate('PATCH', user, '', change, 'profiles');
  }

  async #operate(method: string, owner: string, path: string, body?: unknown, what = 'watchers'): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.http}/${what}/${encodeURIComponent(owner)}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} was answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  }

  /** A raw sender and receiver on UDP. */
  async udp(address: string = PLACES.stranger): Promise<UdpPeer> {
    const peer = await UdpPeer.open(address);
    this.#closing.push(() => peer.close());
    return peer;
  }

  /** A raw TCP connection to the server. */
  async tcp(address: string = PLACES.stranger): Promise<StreamPeer> {
    const socket = connect({ port: this.ports.tcp, host: PLACES.server, localAddress: address });
    const peer = new StreamPeer(socket);
    this.#closing.push(() => peer.close());
    await once(socket, 'connect');
    return peer;
  }

  /** A phone of a user; not registered. */
  async phone(user: string, transport: 'udp' | 'tcp' = 'udp'): Promise<ScriptedPhone> {
    const server = { transport, port: this.ports[transport] };
    const phone = await ScriptedPhone.open({ user, domain: 'sip.example', password: PASSWORD, server });
    this.#closing.push(() => phone.close());
    return phone;
  }

  async registered(user: string, transport: 'udp' | 'tcp' = 'udp'): Promise<ScriptedPhone> {
    const phone = await this.phone(user, transport);
    const { status } = await phone.register();
    if (status !== 200) throw new Error(`REGISTER of ${user} was answered ${status}`);
    return phone;
  }

  /** Sends bytes over UDP and gives the next final answer, whatever it answers. */
  async ask(peer: UdpPeer, bytes: Buffer | string): Promise<RawMessage> {
    peer.send(bytes, this.ports.udp, PLACES.server);
    for (;;) {
      const answer = await peer.next();
      if (answer.status >= 200) return answer;
    }
  }

  /**
   * Sends bytes over UDP and gives the final answer to them, or undefined when there is none: an OPTIONS sent after them
   * has been answered first.
   */
  async askOrSilence(peer: UdpPeer, bytes: Buffer | string): Promise<RawMessage | undefined> {
    peer.send(bytes, this.ports.udp, PLACES.server);
    const sentinel = rawRequest({ method: 'OPTIONS', uri: 'sip:sip.example', headers: [], body: '' });
    const callId = /Call-ID: (.*)/.exec(sentinel.toString())?.[1]?.trim();
    peer.send(sentinel, this.ports.udp, PLACES.server);
    let found: RawMessage | undefined;
    for (;;) {
      const answer = await peer.next();
      if (answer.header('Call-ID') === callId) return found;
      if (answer.status >= 200) found = answer;
    }
  }

  /** Text of every message the XMPP side got, oldest first. */
  get xmppTexts(): readonly string[] {
    return this.xmppMessages.map(bodyOf);
  }

  /** Message stanzas the XMPP side got, errors included. */
  get xmppMessages(): readonly XmlElement[] {
    return this.xmpp.received.filter(({ name }) => name === 'message');
  }

  untilLinkUp(withinMs = 10_000): Promise<unknown> {
    return until(() => this.xmpp.connected && this.app.health().links['office']?.at === 'up', {
      what: 'the link is up',
      withinMs,
    });
  }

  /** Lines of the log at level error, which no input may cause. */
  get errors(): readonly string[] {
    return this.logLines.filter((line) => line.includes('"level":"error"'));
  }

  async stop(): Promise<void> {
    for (const close of this.#closing.splice(0)) await close();
    await this.app.stop();
    await this.xmpp.stop();
  }
}

export function bodyOf(stanza: XmlElement): string {
  const body = childOf(stanza, 'body');
  return body === undefined ? '' : textOf(body);
}

/** A MESSAGE over UDP with bytes put in as they are: each line of `lines` follows the usual header fields. */
export function messageWith(lines: readonly string[], parts: RequestParts = {}): Buffer {
  return rawRequest({ headers: ['Content-Type: text/plain', ...lines], ...parts });
}

/**
 * A clock whose time can be made to run faster than the world's, for limits that are long: everything that waits keeps
 * its place in time.
 */
export class SteerableClock implements Clock {
  #speed = 1;
  #sinceRealMs = performance.now();
  #sinceMs = Date.now();
  readonly #pending = new Set<{ readonly atMs: number; readonly run: () => void; timer: NodeJS.Timeout }>();

  nowMs(): number {
    return Math.floor(this.#now());
  }

  get speed(): number {
    return this.#speed;
  }

  after(delayMs: number, action: () => void): () => void {
    const atMs = this.#now() + delayMs;
    const entry = {
      atMs,
      run: () => {
        this.#pending.delete(entry);
        action();
      },
      timer: setTimeout(() => undefined, 0),
    };
    this.#arm(entry);
    this.#pending.add(entry);
    return () => {
      clearTimeout(entry.timer);
      this.#pending.delete(entry);
    };
  }

  /** From now on `speed` seconds pass in one. */
  run(speed: number): void {
    this.#sinceMs = this.#now();
    this.#sinceRealMs = performance.now();
    this.#speed = speed;
    for (const entry of this.#pending) {
      clearTimeout(entry.timer);
      this.#arm(entry);
    }
  }

  /** Lets so much time pass at once; what was to happen meanwhile happens now. */
  jump(ms: number): void {
    this.#sinceMs += ms;
    this.run(this.#speed);
  }

  #now(): number {
    return this.#sinceMs + (performance.now() - this.#sinceRealMs) * this.#speed;
  }

  #arm(entry: { readonly atMs: number; readonly run: () => void; timer: NodeJS.Timeout }): void {
    clearTimeout(entry.timer);
    entry.timer = setTimeout(entry.run, Math.max(0, (entry.atMs - this.#now()) / this.#speed));
    entry.timer.unref();
  }
}
