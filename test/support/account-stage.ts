import type { AccountDetail, AccountLine } from '../../src/core/accounts.ts';
import { SIP_DOMAIN } from './federation.ts';
import { startInterpres, type InterpresProcess } from './interpres-process.ts';
import { PresencePhone } from './presence-phone.ts';
import { type AccountServer, startAccountServer } from './prosody-accounts.ts';
import { ScriptedPhone } from './scripted-phone.ts';
import { startSlixmpp, type SlixmppClient, type SlixmppOptions } from './slixmpp.ts';
import { TcpCutter } from './tcp-cutter.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';
import { passwordOf } from './xmpp-server.ts';

export const SERVICE = 'chat.example';

export type AccountStageOptions = {
  readonly name: string;
  readonly sipUsers: readonly string[];
  readonly accounts: readonly string[];
  /** More keys of the link. */
  readonly link?: Readonly<Record<string, unknown>>;
};

/** A service with accounts, our server beside it, a wire between them, and whoever takes part. */
export class AccountStage {
  readonly folder: string;
  readonly service: AccountServer;
  readonly wire: TcpCutter;
  readonly interpres: InterpresProcess;
  readonly #closing: Array<() => Promise<void>> = [];

  private constructor(folder: string, service: AccountServer, wire: TcpCutter, interpres: InterpresProcess) {
    this.folder = folder;
    this.service = service;
    this.wire = wire;
    this.interpres = interpres;
  }

  static async open(options: AccountStageOptions): Promise<AccountStage> {
    const folder = temporaryFolder(options.name);
    const service = await startAccountServer({ folder, domain: SERVICE, users: options.accounts });
    const wire = await TcpCutter.to(service.c2sPort);
    const link = {
      type: 'xmpp-account',
      domains: [SERVICE],
      host: '127.0.0.1',
      port: wire.port,
      ca: service.caFile,
      ...options.link,
    };
    const interpres = await startInterpres({
      folder,
      config: {
        domains: [SIP_DOMAIN],
        links: { public: link },
        rateLimits: 'off',
        presence: { notifyIntervalSeconds: 0 },
      },
      start: false,
    });
    for (const user of options.sipUsers) await interpres.addUser(user, SIP_DOMAIN, passwordOf(user));
    await interpres.start();
    return new AccountStage(folder, service, wire, interpres);
  }

  async phone(user: string): Promise<PresencePhone> {
    const server = { transport: 'udp', port: this.interpres.sipPort } as const;
    const phone = await ScriptedPhone.open({ user, domain: SIP_DOMAIN, password: passwordOf(user), server });
    this.#closing.push(() => phone.close());
    return new PresencePhone(phone);
  }

  async client(user: string, options?: SlixmppOptions): Promise<SlixmppClient> {
    const client = await startSlixmpp(this.service, user, this.folder, options);
    this.#closing.push(() => client.stop());
    return client;
  }

  /** `interpres accounts …` on the running server. */
  accounts(...args: readonly string[]): Promise<string> {
    return this.interpres.run(['accounts', ...args]);
  }

  async list(): Promise<readonly AccountLine[]> {
    return JSON.parse(await this.accounts('list', '--json')) as AccountLine[];
  }

  async show(user: string): Promise<readonly AccountDetail[]> {
    return JSON.parse(await this.accounts('show', `sip:${user}@${SIP_DOMAIN}`, '--json')) as AccountDetail[];
  }

  untilAccounts(what: 'up' | 'refused', count: number, withinMs = 20_000): Promise<unknown> {
    return until(async () => (await this.figures())[what] === count, {
      what: `${count} accounts are ${what}`,
      withinMs,
      detail: () => this.interpres.process().output().slice(-4_000),
    });
  }

  async figures(): Promise<{ accounts: number; up: number; refused: number }> {
    const health = (await this.interpres.health()) as unknown as {
      accounts: Record<string, { accounts: number; up: number; refused: number }>;
    };
    return health.accounts['public']!;
  }

  async close(): Promise<void> {
    await Promise.all(this.#closing.splice(0).map((close) => close()));
    await this.interpres.stop();
    await this.wire.close();
    await this.service.kill();
  }
}
