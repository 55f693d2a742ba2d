import { join } from 'node:path';
import type { App } from '../../src/app.ts';
import { freePort } from './ports.ts';
import { RecordingLog } from './recording-log.ts';
import { ScriptedPhone } from './scripted-phone.ts';
import { testAuthority, testCertificate } from './self-signed.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { configOf, startApp, storeAccounts } from './whole-app.ts';

const PASSWORD = 'two roads diverged';

export type TlsDomainPlan = {
  readonly domain: string;
  readonly user: string;
  /** Names in its certificate. */
  readonly names: readonly string[];
  readonly tlsPort: number;
  readonly peer: string;
  readonly peerPort: number;
  /** YAML lines at the top level. */
  readonly extra?: string;
  /** YAML within the entry of the peer: `security: mutual-tls`. */
  readonly peerExtra?: string;
  /** YAML within `sip:`. */
  readonly sipExtra?: string;
  /** More files that the configuration names, with their texts. */
  readonly files?: Readonly<Record<string, string>>;
};

/** A whole server for one domain with one user, whose only peer is reached over TLS and known by its certificate. */
export class TlsDomain {
  readonly phone: ScriptedPhone;
  readonly log: RecordingLog;
  readonly #start: (log: RecordingLog) => Promise<App>;
  #app: App;

  private constructor(phone: ScriptedPhone, start: (log: RecordingLog) => Promise<App>, app: App, log: RecordingLog) {
    this.phone = phone;
    this.log = log;
    this.#start = start;
    this.#app = app;
  }

  static async start(plan: TlsDomainPlan): Promise<TlsDomain> {
    const folder = temporaryFolder('tls-domain');
    const leaf = testCertificate(plan.names);
    const files: Record<string, string> = {
      cert: leaf.certificate,
      key: leaf.key,
      ca: testAuthority().certificate,
      ...plan.files,
    };
    const udpPort = await freePort();
    const config = configOf(
      `domains: [${plan.domain}]
data: ${JSON.stringify(join(folder, 'data'))}
sip:
  listen: ['udp://127.0.0.1:${udpPort}', 'tls://127.0.0.1:${plan.tlsPort}']
  tls: { certificate: cert, key: key, ca: ca }
${plan.sipExtra ?? ''}
peers:
  - { domain: ${plan.peer}, link: sip, nextHop: 'sip:127.0.0.1:${plan.peerPort};transport=tls'${plan.peerExtra === undefined ? '' : `, ${plan.peerExtra}`} }
dns: { servers: ['127.0.0.1:9'] }
${plan.extra ?? ''}`,
      folder,
      (file) => files[file.slice(folder.length + 1)] ?? '',
    );
    await storeAccounts(config.data, [`${plan.user}@${plan.domain}`], PASSWORD);
    const start = (log: RecordingLog): Promise<App> => startApp(config, folder, log);
    const log = new RecordingLog();
    const app = await start(log);
    const phone = await ScriptedPhone.open({
      user: plan.user,
      domain: plan.domain,
      password: PASSWORD,
      server: { transport: 'udp', port: udpPort },
    });
    const { status } = await phone.register();
    if (status !== 200) throw new Error(`REGISTER of ${phone.aor} was answered ${status}`);
    return new TlsDomain(phone, start, app, log);
  }

  get app(): App {
    return this.#app;
  }

  /** Ends it, which closes all connections, and begins again at the same ports. */
  async restart(): Promise<void> {
    await this.#app.stop();
    this.#app = await this.#start(this.log);
  }

  async stop(): Promise<void> {
    await this.phone.close();
    await this.#app.stop();
  }
}

/** a.example with alice and b.example with bob, each other's peer; the certificate of b has these names. */
export async function tlsPair(
  namesOfB: readonly string[],
  extra = '',
  more: Readonly<Record<'a' | 'b', Pick<TlsDomainPlan, 'peerExtra' | 'sipExtra' | 'files'>>> = { a: {}, b: {} },
): Promise<{ a: TlsDomain; b: TlsDomain }> {
  const [portA, portB] = [await freePort(), await freePort()];
  const a = await TlsDomain.start({
    domain: 'a.example',
    user: 'alice',
    names: ['DNS:a.example'],
    tlsPort: portA,
    peer: 'b.example',
    peerPort: portB,
    extra,
    ...more.a,
  });
  const b = await TlsDomain.start({
    domain: 'b.example',
    user: 'bob',
    names: namesOfB,
    tlsPort: portB,
    peer: 'a.example',
    peerPort: portA,
    extra,
    ...more.b,
  });
  return { a, b };
}
