import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilListening, type TestProcess } from './process.ts';
import { until } from './until.ts';
import { filled, passwordOf, type XmppServer, type XmppServerOptions } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/ejabberd.yml.in', import.meta.url), 'utf8');

/**
 * Starts ejabberd with these accounts and one component name, under the calling user: by `erl` itself, because its
 * control script insists on a user and folders of its own, and without epmd, which would stay behind as a daemon.
 */
export async function startEjabberd(options: XmppServerOptions): Promise<XmppServer> {
  const folder = join(options.folder, 'ejabberd');
  mkdirSync(join(folder, 'db'), { recursive: true });
  const c2sPort = await freePort();
  const componentPort = await freePort();
  const distributionPort = await freePort();
  const cookie = join(folder, '.erlang.cookie');
  if (!existsSync(cookie)) writeFileSync(cookie, 'interprestest');
  chmodSync(cookie, 0o400);
  let secret = options.secret;
  let running: TestProcess | undefined;

  const start = async (): Promise<void> => {
    const config = join(folder, 'ejabberd.yml');
    const ready = join(folder, 'ready');
    rmSync(ready, { force: true });
    writeFileSync(
      config,
      filled(TEMPLATE, {
        DOMAIN: options.domain,
        COMPONENT: options.component,
        SECRET: secret,
        C2S_PORT: c2sPort,
        COMPONENT_PORT: componentPort,
      }),
    );
    const users = options.users.map((user) => `{<<"${user}">>,<<"${passwordOf(user)}">>}`).join(',');
    const begin = [
      '{ok,_}=application:ensure_all_started(ejabberd)',
      `[ejabberd_auth:try_register(U,<<"${options.domain}">>,P) || {U,P} <- [${users}]]`,
      `ok=file:write_file("${ready}",<<"1">>).`,
    ].join(', ');
    running = await startProcess({
      name: 'ejabberd',
      command: commandPath('erl')!,
      args: [
        ...['-noinput', '-name', `ejabberd${distributionPort}@127.0.0.1`],
        ...['-start_epmd', 'false', '-erl_epmd_port', String(distributionPort)],
        ...['-kernel', 'inet_dist_use_interface', '{127,0,0,1}'],
        ...['-mnesia', 'dir', `"${join(folder, 'db')}"`],
        ...['-s', 'ejabberd', '-eval', begin],
      ],
      folder,
      env: {
        ERL_LIBS: ejabberdLibraries(),
        EJABBERD_CONFIG_PATH: config,
        EJABBERD_LOG_PATH: join(folder, 'ejabberd-own.log'),
        HOME: folder,
      },
    });
    await until(() => existsSync(ready), {
      what: 'ejabberd has its accounts',
      withinMs: 40_000,
      detail: () => running?.output() ?? '',
    });
    await untilListening(c2sPort, running);
    await untilListening(componentPort, running);
  };
  await start();
  return {
    domain: options.domain,
    component: options.component,
    c2sPort,
    componentPort,
    process: () => running!,
    start,
    async stop() {
      await running?.stop(2_000); // its own way out takes longer than its data needs
    },
    async kill() {
      await running?.kill();
    },
    setSecret: (changed) => void (secret = changed),
  };
}

/** The folder that holds `ejabberd-<version>`: its name has the machine's architecture in it. */
export function ejabberdLibraries(): string {
  for (const parent of ['/usr/lib', ...readdirSync('/usr/lib').map((name) => join('/usr/lib', name))]) {
    try {
      if (readdirSync(parent).some((name) => /^ejabberd-[0-9]/.test(name))) return parent;
    } catch {
      continue; // a file, or not ours to read
    }
  }
  throw new Error('no folder ejabberd-<version> under /usr/lib');
}
