import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { App } from '../../src/app.ts';
import { readConfig } from '../../src/core/config.ts';
import type { Clock } from '../../src/core/ports.ts';
import { childOf, textOf, type XmlElement } from '../../src/cpim/xml.ts';
import { createPinoLog } from '../../src/pino-log.ts';
import { credentialOf } from '../../src/sip/digest.ts';
import { openCredentials } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system-clock.ts';
import { anAddress } from './builders.ts';
import { ComponentServer } from './component-server.ts';
import { freePort } from './ports.ts';
import { rawRequest, StreamPeer, UdpPeer, type RawMessage, type RequestParts } from './raw-sip.ts';
import { ScriptedPhone } from './scripted-phone.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';

/** Loopback addresses with a part each, so that what is believed of one is not of another. */
export const PLACES = {
  server: '127.0.0.1',
  /** Behind it partner.example, a SIP peer. */
  partner: '127.0.0.2',
  /** The trusted core of core.example. */
  core: '127.0.0.3',
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
  readonly rateLimits?: 'off';
  /** Keeps no log lines, and gives each of them to this. */
  readonly onLogLine?: (line: string) => void;
};

/**
 * A whole server in this process, on loopback and in a temporary folder: sip.example with `USERS`, core.example behind a
 * trusted core, partner.example as SIP peer over TCP, xmpp.example over a link to a scripted XMPP server. Its log is the
 * real one at its lowest level.
 */
export class RunningApp {
  readonly app: App;
  readonly xmpp: ComponentServer;
  readonly secret: string;
  readonly ports: { readonly udp: number; readonly tcp: number; readonly http: number; readonly partner: number };
  /** JSON lines of the log, oldest first. */
  readonly logLines: string[];
  readonly #closing: Array<() => unknown> = [];

  private constructor(parts: Pick<RunningApp, 'app' | 'xmpp' | 'secret' | 'ports' | 'logLines'>) {
    this.app = parts.app;
    this.xmpp = parts.xmpp;
    this.secret = parts.secret;
    this.ports = parts.ports;
    this.logLines = parts.logLines;
  }

  static async start(options: RunningAppOptions = {}): Promise<RunningApp> {
    const folder = temporaryFolder('running-app');
    const secret = randomBytes(16).toString('hex');
    const xmpp = new ComponentServer({ name: COMPONENT, secret });
    await xmpp.start();
    const [partner, http] = [await freePort(), await freePort()];
    const trust = JSON.stringify([PLACES.core, ...(options.coreTrust ?? [])]);
    const config = readConfig(
      `domains: [{ name: sip.example, trust: ${JSON.stringify(options.homeTrust ?? [])} }, { name: core.example, trust: ${trust} }]
data: ${JSON.stringify(join(folder, 'data'))}
sip: { listen: ['udp://${PLACES.server}:0', 'tcp://${PLACES.server}:0'] }
links:
  office: { type: xmpp-component, host: 127.0.0.1, port: ${xmpp.port}, name: ${COMPONENT}, domain: sip.example, secret: ${secret} }
peers:
  - { domain: xmpp.example, link: office }
  - { domain: partner.example, link: sip, nextHop: 'sip:${PLACES.partner}:${partner};transport=tcp', trust: ['${PLACES.partner}'] }
http: { listen: '127.0.0.1:${http}' }
# Nobody answers there: no name of a test is looked up outside.
dns: { servers: ['127.0.0.1:9'] }
${options.rateLimits === undefined ? '' : 'rateLimits: off\n'}${options.extra ?? ''}`,
      { baseFolder: folder, env: {}, readFile: () => '', resolvePath: (base, path) => resolve(base, path) },
    );
    const accounts = await openCredentials(config.data);
    await accounts.credentials.put(USERS.map((user) => credentialOf(anAddress(`${user}@sip.example`), PASSWORD)));
    await accounts.close();
    const logLines: string[] = [];
    const onLogLine = options.onLogLine ?? ((line: string) => void logLines.push(line));
    const app = await App.create({
      config,
      version: 'test',
      controlSocket: join(folder, 'control.sock'),
      clock: options.clock ?? systemClock,
      random: Math.random,
      log: createPinoLog('trace', { write: onLogLine }),
    });
    await app.start();
    const portOf = (transport: string): number =>
      app.listeners.find((listener) => listener.transport === transport)?.port ?? 0;
    const ports = { udp: portOf('udp'), tcp: portOf('tcp'), http, partner };
    return new RunningApp({ app, xmpp, secret, ports, logLines });
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

  #now(): number {
    return this.#sinceMs + (performance.now() - this.#sinceRealMs) * this.#speed;
  }

  #arm(entry: { readonly atMs: number; readonly run: () => void; timer: NodeJS.Timeout }): void {
    clearTimeout(entry.timer);
    entry.timer = setTimeout(entry.run, Math.max(0, (entry.atMs - this.#now()) / this.#speed));
    entry.timer.unref();
  }
}
