import { join } from 'node:path';
import type { App } from '../../src/app.ts';
import { freePort } from './ports.ts';
import { PresencePhone } from './presence-phone.ts';
import { RecordingLog } from './recording-log.ts';
import type { S2sServer, S2sServerOptions } from './s2s-server.ts';
import { ScriptedPhone } from './scripted-phone.ts';
import { testAuthority, testCertificate, type Leaf } from './self-signed.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';
import { configOf, startApp, storeAccounts } from './whole-app.ts';

export const PASSWORD = 'two roads diverged';

export type S2sDomainPlan = {
  readonly domain: string;
  /** More domains of ours. */
  readonly more?: readonly string[];
  readonly users: readonly string[];
  readonly ports: S2sPorts;
  /** What we show; absent: no TLS. */
  readonly leaf?: Leaf;
  /** YAML lines of `peers`, each one a flow map. */
  readonly peers: readonly string[];
  /** YAML of more keys of the link, as flow. */
  readonly link?: string;
  /** YAML lines at the top level. */
  readonly extra?: string;
  readonly dnsServer?: string;
};

export type S2sPorts = { readonly udp: number; readonly s2s: number; readonly s2sTls: number };

export async function s2sPorts(): Promise<S2sPorts> {
  return { udp: await freePort(), s2s: await freePort(), s2sTls: await freePort() };
}

/** A whole server of ours that federates by itself, in this process. */
export class S2sDomain {
  readonly log: RecordingLog;
  readonly plan: S2sDomainPlan;
  readonly #start: () => Promise<App>;
  readonly #phones: PresencePhone[] = [];
  #app: App;

  private constructor(plan: S2sDomainPlan, start: () => Promise<App>, app: App, log: RecordingLog) {
    this.plan = plan;
    this.#start = start;
    this.#app = app;
    this.log = log;
  }

  static async start(plan: S2sDomainPlan): Promise<S2sDomain> {
    const folder = temporaryFolder('s2s-domain');
    const { leaf, ports } = plan;
    const files: Record<string, string> = {
      cert: leaf?.certificate ?? '',
      key: leaf?.key ?? '',
      ca: testAuthority().certificate,
    };
    const tls = leaf === undefined ? '' : ', certificate: cert, key: key, ca: ca';
    const listen = [`tcp://127.0.0.1:${ports.s2s}`, ...(leaf === undefined ? [] : [`tls://127.0.0.1:${ports.s2sTls}`])];
    const config = configOf(
      `domains: [${[plan.domain, ...(plan.more ?? [])].join(', ')}]
data: ${JSON.stringify(join(folder, 'data'))}
sip: { listen: ['udp://127.0.0.1:${ports.udp}'] }
links:
  federation: { type: xmpp-s2s, listen: ${JSON.stringify(listen)}${tls}${plan.link === undefined ? '' : `, ${plan.link}`} }
peers:
${plan.peers.map((peer) => `  - ${peer}`).join('\n')}
dns: { servers: ['${plan.dnsServer ?? '127.0.0.1:9'}'] }
presence: { default: allow, notifyIntervalSeconds: 0 }
rateLimits: off
${plan.extra ?? ''}`,
      folder,
      (file) => files[file.slice(folder.length + 1)] ?? '',
    );
    await storeAccounts(
      config.data,
      [plan.domain, ...(plan.more ?? [])].flatMap((domain) => plan.users.map((user) => `${user}@${domain}`)),
      PASSWORD,
    );
    const log = new RecordingLog();
    const start = (): Promise<App> => startApp(config, folder, log);
    return new S2sDomain(plan, start, await start(), log);
  }

  get app(): App {
    return this.#app;
  }

  /** A phone of one of its users, registered. */
  async phone(user: string, domain = this.plan.domain): Promise<PresencePhone> {
    const server = { transport: 'udp', port: this.plan.ports.udp } as const;
    const phone = await ScriptedPhone.open({ user, domain, password: PASSWORD, server });
    const { status } = await phone.register();
    if (status !== 200) throw new Error(`REGISTER of ${phone.aor} was answered ${status}`);
    const presence = new PresencePhone(phone);
    this.#phones.push(presence);
    return presence;
  }

  link(peer: string, own = this.plan.domain) {
    return this.#app.health().links[`federation/${own}/${peer}`];
  }

  async untilLink(peer: string, at: string, withinMs = 10_000): Promise<void> {
    await until(() => this.link(peer)?.at === at, {
      what: `the link to ${peer} is ${at}`,
      withinMs,
      detail: () => `${JSON.stringify(this.link(peer))}\n${this.logText()}`,
    });
  }

  logText(): string {
    return this.log.lines
      .map((line) => JSON.stringify(line))
      .join('\n')
      .slice(-6_000);
  }

  async restart(): Promise<void> {
    await this.pause();
    await this.resume();
  }

  /** Ends the server until `resume`; its phones stay. */
  pause(): Promise<void> {
    return this.#app.stop();
  }

  async resume(): Promise<void> {
    this.#app = await this.#start();
  }

  async stop(): Promise<void> {
    await this.#app.stop();
    for (const { phone } of this.#phones) await phone.close();
  }
}

export type Federated = { readonly ours: S2sDomain; readonly theirs: S2sServer; stop(): Promise<void> };

export type FederatedPlan = {
  readonly name: string;
  readonly startServer: (options: S2sServerOptions) => Promise<S2sServer>;
  readonly users: readonly string[];
  readonly xmppUsers: readonly string[];
  readonly security: 'certificate' | 'dialback-over-tls' | 'dialback';
  /** Both have certificates of the test's authority; `self-signed`: each its own. */
  readonly tls?: 'by-authority' | 'self-signed' | 'wrong-name';
  readonly isDirect?: boolean;
  readonly bidi?: boolean;
  readonly sm?: boolean;
};

export const OURS = 'sip.example';
export const THEIRS = 'xmpp.example';

/** A real XMPP server and a server of ours that federate. */
export async function startFederated(plan: FederatedPlan): Promise<Federated> {
  const ports = await s2sPorts();
  const by = plan.tls === 'self-signed' ? { by: testAuthority('theirs alone') } : {};
  const leaf = plan.tls === undefined ? undefined : testCertificate([`DNS:${OURS}`]);
  const theirs =
    plan.tls === undefined
      ? undefined
      : testCertificate([`DNS:${plan.tls === 'wrong-name' ? 'other.example' : THEIRS}`], by);
  const server = await plan.startServer({
    folder: temporaryFolder(plan.name),
    domain: THEIRS,
    users: plan.xmppUsers,
    routes: { [OURS]: { port: plan.isDirect === true ? ports.s2sTls : ports.s2s, isTls: plan.isDirect === true } },
    ...(theirs === undefined
      ? {}
      : {
          tls: {
            certificate: theirs.certificateFile,
            key: theirs.keyFile,
            ...(plan.tls === 'self-signed' ? {} : { ca: testAuthority().certificateFile }),
          },
        }),
    wantsCertificate: plan.security === 'certificate' && plan.tls === 'by-authority',
    bidi: plan.bidi === true,
    sm: plan.sm !== false,
  });
  const place = plan.isDirect === true ? `tls://127.0.0.1:${server.s2sTlsPort}` : `tcp://127.0.0.1:${server.s2sPort}`;
  const ours = await S2sDomain.start({
    domain: OURS,
    users: plan.users,
    ports,
    ...(leaf === undefined ? {} : { leaf }),
    peers: [`{ domain: ${THEIRS}, link: federation, security: ${plan.security}, nextHop: '${place}' }`],
  });
  return {
    ours,
    theirs: server,
    async stop() {
      await ours.stop();
      await server.kill();
    },
  };
}
