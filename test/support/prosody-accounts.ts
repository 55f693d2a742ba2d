import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilListening, type TestProcess } from './process.ts';
import { testAuthority, testCertificate } from './self-signed.ts';
import { filled, passwordOf, type XmppServer } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/prosody-accounts.cfg.lua', import.meta.url), 'utf8');

/** A Prosody whose users are the accounts that users of ours link. */
export type AccountServer = XmppServer & {
  /** Direct TLS. */
  readonly tlsPort: number;
  /** PEM file with the root of its certificate. */
  readonly caFile: string;
  /** The password it will know after the next `start`. */
  setPassword(user: string, password: string): void;
};

/** Starts Prosody with these accounts; each one's password is `passwordOf(user)`. */
export async function startAccountServer(options: {
  readonly folder: string;
  readonly domain: string;
  readonly users: readonly string[];
  /** Names in its certificate; its domain when absent. */
  readonly names?: readonly string[];
}): Promise<AccountServer> {
  const { domain } = options;
  const folder = join(options.folder, 'prosody-accounts');
  const accounts = join(folder, 'data', domain.replaceAll('.', '%2e').replaceAll('-', '%2d'), 'accounts');
  mkdirSync(accounts, { recursive: true });
  const setPassword = (user: string, password: string): void =>
    writeFileSync(join(accounts, `${user}.dat`), `return {\n\t["password"] = "${password}";\n};\n`);
  for (const user of options.users) setPassword(user, passwordOf(user));
  const c2sPort = await freePort();
  const tlsPort = await freePort();
  const leaf = testCertificate(options.names ?? [`DNS:${domain}`]);
  let running: TestProcess | undefined;
  const start = async (): Promise<void> => {
    const config = join(folder, 'prosody.cfg.lua');
    const values = {
      FOLDER: folder,
      DOMAIN: domain,
      C2S_PORT: c2sPort,
      TLS_PORT: tlsPort,
      KEY: leaf.keyFile,
      CERTIFICATE: leaf.certificateFile,
    };
    writeFileSync(config, filled(TEMPLATE, values));
    const args = ['--config', config, '-F'];
    running = await startProcess({ name: 'prosody-accounts', command: commandPath('prosody')!, args, folder });
    await untilListening(c2sPort, running);
    await untilListening(tlsPort, running);
  };
  await start();
  return {
    domain,
    component: '',
    componentPort: 0,
    c2sPort,
    tlsPort,
    caFile: testAuthority().certificateFile,
    process: () => running!,
    start,
    setPassword,
    async stop() {
      await running?.stop();
    },
    async kill() {
      await running?.kill();
    },
    setSecret: () => undefined,
  };
}
