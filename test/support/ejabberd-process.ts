import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilListening, type TestProcess } from './process.ts';
import { restartable, type Restartable } from './restartable.ts';
import { until } from './until.ts';
import { passwordOf } from './xmpp-server.ts';

export type EjabberdPlan = {
  readonly folder: string;
  readonly domain: string;
  /** Localparts of the accounts; each one's password is `passwordOf(user)`. */
  readonly users: readonly string[];
  /** Where it listens, by its configuration. */
  readonly ports: readonly number[];
  /** Its configuration, asked for at each start. */
  readonly config: () => string;
  readonly env?: Readonly<Record<string, string>>;
};

/**
 * Ejabberd with these accounts, under the calling user: by `erl` itself, because its control script insists on a user and
 * folders of its own, and without epmd, which would stay behind as a daemon. Resolves when it listens on each port.
 */
export async function startEjabberdProcess(plan: EjabberdPlan): Promise<Restartable> {
  const { folder } = plan;
  mkdirSync(join(folder, 'db'), { recursive: true });
  const distributionPort = await freePort();
  const cookie = join(folder, '.erlang.cookie');
  if (!existsSync(cookie)) writeFileSync(cookie, 'interprestest');
  chmodSync(cookie, 0o400);
  const config = join(folder, 'ejabberd.yml');
  const ready = join(folder, 'ready');
  const users = plan.users.map((user) => `{<<"${user}">>,<<"${passwordOf(user)}">>}`).join(',');
  const begin = [
    '{ok,_}=application:ensure_all_started(ejabberd)',
    `[ejabberd_auth:try_register(U,<<"${plan.domain}">>,P) || {U,P} <- [${users}]]`,
    `ok=file:write_file("${ready}",<<"1">>).`,
  ].join(', ');
  const launch = async (): Promise<TestProcess> => {
    rmSync(ready, { force: true });
    writeFileSync(config, plan.config());
    const running = await startProcess({
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
        ...plan.env,
      },
    });
    await until(() => existsSync(ready), {
      what: 'ejabberd has its accounts',
      withinMs: 40_000,
      detail: () => running.output(),
    });
    for (const port of plan.ports) await untilListening(port, running);
    return running;
  };
  return restartable(launch, 2_000); // its own way out takes longer than its data needs
}

/** The folder that holds `ejabberd-<version>`: its name has the machine's architecture in it. */
function ejabberdLibraries(): string {
  for (const parent of ['/usr/lib', ...readdirSync('/usr/lib').map((name) => join('/usr/lib', name))]) {
    try {
      if (readdirSync(parent).some((name) => /^ejabberd-[0-9]/.test(name))) return parent;
    } catch {
      continue; // a file, or not ours to read
    }
  }
  throw new Error('no folder ejabberd-<version> under /usr/lib');
}
