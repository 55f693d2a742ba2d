import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The programs of others that tests run against; `peers/peers.json` says what each is made of. */
export type PeerName =
  | 'prosody'
  | 'ejabberd'
  | 'slixmpp'
  | 'sipp'
  | 'linphone'
  | 'baresip'
  | 'kamailio'
  | 'kamailio-presence'
  | 'kamailio-tls'
  | 'redis'
  | 'dnsmasq'
  | 'chromium'
  | 'openssl'
  | 'xmllint';

type Peer = { readonly package: string; readonly commands?: readonly string[]; readonly files?: readonly string[] };

const PEERS = JSON.parse(readFileSync(new URL('./peers/peers.json', import.meta.url), 'utf8')) as Record<
  PeerName,
  Peer
>;

/** Absolute path of a command, also one that Debian keeps out of a user's PATH; undefined when it is not there. */
export function commandPath(command: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin'];
  for (const folder of folders) {
    const path = join(folder, command);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

export function isPeerInstalled(name: PeerName): boolean {
  const { commands = [], files = [] } = PEERS[name];
  return commands.every((command) => commandPath(command) !== undefined) && files.every((file) => existsSync(file));
}

/**
 * Options for a test that needs these peers: skipped, with the reason, where one is missing.
 *
 * @throws Error under CI=true, where a missing peer is a failure and not a reason to look away.
 */
export function needs(...names: readonly PeerName[]): { skip?: string } {
  const missing = names.filter((name) => !isPeerInstalled(name));
  if (missing.length === 0) return {};
  const reason = `not installed: ${missing.map((name) => `${name} (Debian package ${PEERS[name].package})`).join(', ')}`;
  if (process.env['CI'] === 'true') throw new Error(reason);
  return { skip: reason };
}
