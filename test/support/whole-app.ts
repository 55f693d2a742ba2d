import { join, resolve } from 'node:path';
import { App } from '../../src/app.ts';
import { readConfig, type Config } from '../../src/core/config.ts';
import type { Log } from '../../src/core/log.ts';
import type { Clock } from '../../src/core/ports.ts';
import { credentialOf } from '../../src/sip/digest.ts';
import { openCredentials } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system-clock.ts';
import { anAddress } from './builders.ts';

/** The configuration in these lines, relative to this folder; no environment. */
export function configOf(yaml: string, folder: string, readFile: (file: string) => string = () => ''): Config {
  return readConfig(yaml, {
    baseFolder: folder,
    env: {},
    readFile,
    resolvePath: (base, path) => resolve(base, path),
  });
}

/** Gives these users, by their addresses, an account each, before the server starts. */
export async function storeAccounts(dataFolder: string, users: readonly string[], password: string): Promise<void> {
  const accounts = await openCredentials(dataFolder);
  await accounts.credentials.put(users.map((user) => credentialOf(anAddress(user), password)));
  await accounts.close();
}

/** A whole server in this process; resolves once it has started. */
export async function startApp(config: Config, folder: string, log: Log, clock: Clock = systemClock): Promise<App> {
  const controlSocket = join(folder, 'control.sock');
  const app = await App.create({ config, version: 'test', controlSocket, clock, random: Math.random, log });
  await app.start();
  return app;
}
