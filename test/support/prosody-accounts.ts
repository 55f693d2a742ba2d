import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { startProsodyProcess, storePassword } from './prosody-process.ts';
import { testAuthority, testCertificate } from './self-signed.ts';
import { filled, type XmppServer } from './xmpp-server.ts';

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
  const c2sPort = await freePort();
  const tlsPort = await freePort();
  const leaf = testCertificate(options.names ?? [`DNS:${domain}`]);
  const config = (): string =>
    filled(TEMPLATE, {
      FOLDER: folder,
      DOMAIN: domain,
      C2S_PORT: c2sPort,
      TLS_PORT: tlsPort,
      KEY: leaf.keyFile,
      CERTIFICATE: leaf.certificateFile,
    });
  const plan = { name: 'prosody-accounts', folder, domain, users: options.users, ports: [c2sPort, tlsPort], config };
  return {
    ...(await startProsodyProcess(plan)),
    domain,
    c2sPort,
    tlsPort,
    caFile: testAuthority().certificateFile,
    setPassword: (user, password) => storePassword(folder, domain, user, password),
  };
}
