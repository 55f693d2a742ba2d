import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import type { PhoneAccount, PhoneMessage, WatchingPhone } from './phone.ts';
import { startProcess } from './process.ts';
import { until } from './until.ts';
import { filled } from './xmpp-server.ts';

const RECEIVED =
  /Event-type: message-received\n\nFrom: (.*)\nTo: .*\nId: .*\nContent: "([\s\S]*?)"\n(?=\n|daemon-linphone>|Event-type)/g;

/** Its log line for each NOTIFY of presence; `closed` where there is no body. */
const NOTIFIED = /We are notified that \[.*?<?(sips?:[^>;\]]+)>?.*?\] has presence \[(\w+)\]/g;

const TEMPLATE = readFileSync(new URL('./peers/linphonerc', import.meta.url), 'utf8');

/**
 * Starts liblinphone's daemon, driven over its standard input; resolves once it is registered.
 *
 * @param friends whom it watches, SIP URIs; where given it publishes its own presence, too
 */
export async function startLinphone(account: PhoneAccount, friends?: readonly string[]): Promise<WatchingPhone> {
  const folder = join(account.folder, `linphone-${account.user}`);
  mkdirSync(join(folder, '.local/share/linphone'), { recursive: true });
  mkdirSync(join(folder, '.config/linphone'), { recursive: true });
  const config = join(folder, 'linphonerc');
  writeFileSync(
    config,
    filled(TEMPLATE, {
      USER: account.user,
      DISPLAY: account.user,
      DOMAIN: account.domain,
      PASSWORD: account.password,
      PORT: account.port,
      TRANSPORT: account.transport,
      UUID: randomUUID(),
      PUBLISH: friends === undefined ? 0 : 1,
      FRIENDS: (friends ?? []).map((uri, at) => `\n[friend_${at}]\nurl=<${uri}>\npol=accept\nsubscribe=1\n`).join(''),
    }),
  );
  const process = await startProcess({
    name: `linphone-${account.user}`,
    command: commandPath('linphone-daemon')!,
    args: ['--config', config, '--disable-stats-events', '--log', join(folder, 'trace.log')],
    folder,
    input: true,
    env: { HOME: folder, XDG_DATA_HOME: join(folder, '.local/share'), XDG_CONFIG_HOME: join(folder, '.config') },
  });
  await until(
    () => {
      if (!process.isRunning()) throw new Error('linphone-daemon has ended');
      process.write('register-status ALL\n');
      return process.output().includes('State: LinphoneRegistrationOk');
    },
    { what: 'linphone is registered', withinMs: 20_000, everyMs: 200, detail: () => process.output().slice(-3_000) },
  );

  const trace = join(folder, 'trace.log');
  const shown = (uri: string): readonly string[] =>
    [...readFileSync(trace, 'utf8').matchAll(NOTIFIED)].flatMap(([, of, what = '']) => (of === uri ? [what] : []));
  const messages = (): readonly PhoneMessage[] =>
    [...process.output().matchAll(RECEIVED)].map(([, from = '', text = '']) => ({ from, text }));
  return {
    process,
    messages,
    async message(to, text) {
      const from = process.output().length;
      process.write(`message ${to} ${text}\n`);
      const [, id = ''] = await process.said(/message sip[^\n]*\nStatus: Ok\n\nId: (\S+)\n/, { from });
      const outcome = new RegExp(
        `Id: ${id}\\nState: LinphoneChatMessageState(Delivered\\b|DeliveredToUser|Displayed|NotDelivered)`,
      );
      const [, state] = await process.said(outcome, { from, withinMs: 40_000 });
      return state !== 'NotDelivered';
    },
    untilMessage: (suits, withinMs = 10_000) =>
      until(() => messages().find(suits), {
        what: `linphone of ${account.user} receives the message`,
        withinMs,
        detail: () => process.output().slice(-3_000),
      }),
    shown,
    untilShown: async (uri, what, withinMs = 15_000) => {
      await until(() => shown(uri).at(-1) === what, {
        what: `linphone of ${account.user} shows ${uri} as ${what}`,
        withinMs,
        detail: () => `shown: ${shown(uri).join()}`,
      });
    },
    async stop() {
      process.write('quit\n');
      await process.ended(5_000); // it unregisters first
      await process.stop(1_000);
    },
  };
}
