import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import type { PhoneAccount, PhoneMessage, WatchingPhone } from './phone.ts';
import { freePort } from './ports.ts';
import { startProcess, untilListening } from './process.ts';
import { until } from './until.ts';
import { filled } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/baresip.config', import.meta.url), 'utf8');

/** A message in its trace: the request, an empty line, the body, the end of the colour. */
const RECEIVED = /\nMESSAGE (sip:\S+) SIP.*\r?\n((?:[^\r\n]+\r?\n)+)\r?\n([\s\S]*?)\u001b\[;m/g;

/** What it says when somebody it watches changes, in its own words: Unknown, Online, Offline, Busy. */
const CHANGED = /<(sips?:[^>]+)> changed status from \S+ to (\w+)/g;

const COLOUR = /\u001b\[[0-9;]*m/g;

const PLAIN = /^Content-Type: *text\/plain/im;

/** A baresip that can be told what to show of its user. */
export interface Baresip extends WatchingPhone {
  /** Publishes that its user is there, or not. */
  show(what: 'online' | 'offline'): Promise<void>;
}

/**
 * Starts baresip without sound, driven over its control port; resolves once it is registered.
 *
 * What it is told to send may have some hundred bytes at most: its control port takes no longer commands.
 *
 * @param contacts whom it may write to: it sends messages to the entries of its contact list only.
 * @param publishSeconds it publishes its presence anew after so long, and watches its contacts; absent: neither.
 */
export async function startBaresip(
  account: PhoneAccount,
  contacts: readonly string[],
  publishSeconds?: number,
): Promise<Baresip> {
  const folder = join(account.folder, `baresip-${account.user}`);
  mkdirSync(folder, { recursive: true });
  const ownPort = await sipPort();
  const controlPort = await freePort();
  const config = filled(TEMPLATE, { SIP_PORT: ownPort, CONTROL_PORT: controlPort, MODULES: modulesFolder() });
  const isWatching = publishSeconds !== undefined;
  writeFileSync(join(folder, 'config'), `${config}${isWatching ? 'module_app presence.so\n' : ''}`);
  writeFileSync(
    join(folder, 'accounts'),
    `<sip:${account.user}@${account.domain}>;auth_pass=${account.password};regint=600;` +
      `outbound="sip:127.0.0.1:${account.port};transport=${account.transport}"${isWatching ? `;pubint=${publishSeconds}` : ''}\n`,
  );
  writeFileSync(
    join(folder, 'contacts'),
    contacts.map((uri, at) => `"contact ${at}" <${uri}>${isWatching ? ';presence=p2p' : ''}\n`).join(''),
  );
  const process = await startProcess({
    name: `baresip-${account.user}`,
    command: commandPath('baresip')!,
    args: ['-4', '-s', '-f', folder],
    folder,
    env: { HOME: folder },
  });
  await untilListening(controlPort, process);
  await process.said(/200 OK.*\[\d+ bindings?\]/, { withinMs: 15_000 });
  const control = await openControl(controlPort);
  let current = 0;

  const shown = (uri: string): readonly string[] =>
    [...process.output().replace(COLOUR, '').matchAll(CHANGED)].flatMap(([, of, what = '']) =>
      of === uri ? [what] : [],
    );
  const messages = (): readonly PhoneMessage[] =>
    [...process.output().matchAll(RECEIVED)]
      // To its own contact, the random user part of which begins with the account's; IMDN and the like it refuses.
      .filter(([, uri = '', head = '']) => uri.startsWith(`sip:${account.user}-`) && PLAIN.test(head))
      .map(([, , head = '', text = '']) => ({ from: /^From: .*?(sips?:[^>;\s]+)/im.exec(head)?.[1] ?? '', text }));
  return {
    process,
    messages,
    async message(to, text) {
      const wanted = contacts.indexOf(to);
      if (wanted < 0) throw new Error(`${to} is not in the contact list`);
      for (; current !== wanted; current = (current + 1) % contacts.length) await control.command('contact_next');
      const from = process.output().length;
      await control.command('message', text);
      const [, callId = ''] = await process.said(
        new RegExp(`\\nMESSAGE ${escaped(to)} SIP/2\\.0\\r?\\n(?:[^\\r\\n]+\\r?\\n)*?Call-ID: (\\S+)`),
        { from },
      );
      const outcome = new RegExp(
        `SIP/2\\.0 (?!401|407)([2-6]\\d\\d) [^\\n]*\\n(?:[^\\r\\n]+\\r?\\n)*?Call-ID: ${escaped(callId)}`,
      );
      const [, status] = await process.said(outcome, { from, withinMs: 40_000 });
      return status?.startsWith('2') === true;
    },
    untilMessage: (suits, withinMs = 10_000) =>
      until(() => messages().find(suits), {
        what: `baresip of ${account.user} receives the message`,
        withinMs,
        detail: () => process.output().slice(-3_000),
      }),
    shown,
    untilShown: async (uri, what, withinMs = 15_000) => {
      await until(() => shown(uri).at(-1) === what, {
        what: `baresip of ${account.user} shows ${uri} as ${what}`,
        withinMs,
        detail: () => `shown: ${shown(uri).join()}`,
      });
    },
    show: (what) => control.command(`presence_${what}`),
    async stop() {
      control.close();
      await process.stop(5_000); // it unregisters first
    },
  };
}

type Control = { command(command: string, params?: string): Promise<void>; close(): void };

/** JSON in netstrings (`<bytes>:<json>,`), one answer per command. */
async function openControl(port: number): Promise<Control> {
  const socket: Socket = connect({ port, host: '127.0.0.1' });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  socket.on('error', () => undefined);
  socket.unref();
  let heard = '';
  let tokens = 0;
  socket.setEncoding('utf8').on('data', (text: string) => (heard += text));
  return {
    async command(command, params) {
      const token = `t${++tokens}`;
      const json = JSON.stringify({ command, token, ...(params === undefined ? {} : { params }) });
      socket.write(`${Buffer.byteLength(json)}:${json},`);
      await until(() => heard.includes(`"token":"${token}"`), { what: `baresip answers ${command}`, withinMs: 5_000 });
    },
    close: () => void socket.destroy(),
  };
}

/** baresip takes the port above its SIP port for TLS, so both must be free. */
async function sipPort(): Promise<number> {
  for (;;) {
    const port = await freePort();
    if ((await freePort()) === port + 1) return port;
  }
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function modulesFolder(): string {
  for (const folder of ['/usr/lib/baresip', ...readdirSync('/usr/lib').map((name) => `/usr/lib/${name}/baresip`)]) {
    try {
      readdirSync(join(folder, 'modules'));
      return join(folder, 'modules');
    } catch {
      continue; // not this architecture
    }
  }
  throw new Error('no folder baresip/modules under /usr/lib');
}
