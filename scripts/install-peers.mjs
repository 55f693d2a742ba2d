// Installs the programs that tests run against (Prosody, ejabberd, phones ...) from Debian's packages: once, quietly,
// and without a daemon running afterwards. Where that cannot be done it says so and changes nothing.
//
//   node scripts/install-peers.mjs      exit code 0 when all are there
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PEERS = JSON.parse(readFileSync(new URL('../test/support/peers/peers.json', import.meta.url), 'utf8'));
const POLICY = '/usr/sbin/policy-rc.d';
/** Units that these packages would start at the next boot. */
const SERVICES = ['prosody', 'ejabberd', 'epmd', 'redis-server', 'dnsmasq', 'kamailio'];

function commandPath(command) {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']) {
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

/** Names of the peers that are not there. */
export function missingPeers() {
  return Object.entries(PEERS)
    .filter(([, { commands = [], files = [] }]) => !commands.every(commandPath) || !files.every(existsSync))
    .map(([name]) => name);
}

export function peerNames() {
  return Object.keys(PEERS);
}

/** Installs what is missing, where apt-get and root are there. Returns what is missing afterwards, and why. */
export function installPeers() {
  const missing = missingPeers();
  if (missing.length === 0) return { missing };
  const packages = missing.map((name) => PEERS[name].package);
  const byHand = `apt-get install --no-install-recommends ${packages.join(' ')}`;
  if (commandPath('apt-get') === undefined) return { missing, reason: 'there is no apt-get here' };
  if (process.getuid?.() !== 0) return { missing, reason: `only root may install; as root: ${byHand}` };

  process.stderr.write(`installing once, for the tests: ${packages.join(' ')}\n`);
  const ownPolicy = !existsSync(POLICY);
  // Debian's word to the maintainer scripts: start no daemon.
  if (ownPolicy) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  let reason;
  try {
    const failed = aptInstall(packages);
    if (failed !== undefined) reason = `${byHand} failed:\n${failed}`;
  } finally {
    if (ownPolicy) rmSync(POLICY, { force: true });
  }
  const installed = new Set(missing);
  for (const service of SERVICES) {
    // Only of what was installed here: somebody's own Prosody stays as it is. epmd comes with ejabberd.
    const peer = { 'redis-server': 'redis', epmd: 'ejabberd' }[service] ?? service;
    if (installed.has(peer)) run('systemctl', ['disable', service]);
  }
  const left = missingPeers();
  return { missing: left, ...(left.length === 0 || reason === undefined ? {} : { reason }) };
}

/** @returns the end of apt's output when it failed */
function aptInstall(packages) {
  const options = ['-y', '-qq', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=3'];
  const install = (names) => run('apt-get', ['install', ...options, '--no-install-recommends', ...names]);
  // With fresh lists first: those of an image are often older than the archive.
  run('apt-get', ['update', '-qq', '-o', 'Acquire::Retries=3']);
  const done = install(packages);
  if (done.status === 0) return undefined;
  // One that this release lacks must not keep the others away.
  for (const name of packages) install([name]);
  return done.output.split('\n').slice(-15).join('\n');
}

function run(command, args) {
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    maxBuffer: 64 << 20,
  });
  return { status: done.status, output: `${done.stdout ?? ''}${done.stderr ?? ''}${done.error?.message ?? ''}` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { missing, reason } = installPeers();
  if (missing.length > 0) {
    process.stderr.write(`missing: ${missing.join(', ')}${reason === undefined ? '' : ` (${reason})`}\n`);
    process.exitCode = 1;
  }
}
