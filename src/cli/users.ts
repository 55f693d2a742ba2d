import { addressKey, parseAddress, type Address } from '../cpim/address.ts';
import type { Config } from '../core/config.ts';
import type { CredentialStore } from '../core/ports.ts';
import { credentialOf } from '../sip/digest.ts';
import { openUsers } from '../app/stores.ts';
import { createPinoLog, errorDestination } from '../pino-log.ts';
import { systemClock } from '../system-clock.ts';
import { CommandError } from './command-error.ts';
import { askServer, refusalOf } from './control-client.ts';
import { controlSocketPath } from './control-socket.ts';
import { loadConfig } from './load-config.ts';
import { passwordFor } from './password.ts';
import { changeFrom, changeProfiles, type ProfileOptions } from './profiles.ts';
import { reservedFault } from './reserved-name.ts';
import { unknownUser } from './unknown-user.ts';
import { shownUser, userNamed } from './user-address.ts';
import { readUsersCsv } from './users-csv.ts';

const LIST_PAGE = 1000;

/** Adds a user; one that exists is refused, so that a slip of the keyboard takes nobody's password away. */
export async function addUser(
  configPath: string,
  address: string,
  { password, ...options }: ProfileOptions & { readonly password?: string },
): Promise<void> {
  const config = loadConfig(configPath);
  const user = userNamed(address, config);
  const shown = shownUser(user);
  const reserved = reservedFault(user, config);
  if (reserved !== undefined) throw new CommandError(`${shown} ${reserved}`);
  const change = changeFrom(options, config);
  await withUsers(config, async (credentials) => {
    if (credentials.find(addressKey(user)) !== undefined) {
      throw new CommandError(
        `${shown} exists; change its password with: interpres users passwd ${shown} --config ${configPath}`,
      );
    }
    await credentials.put([credentialOf(user, await passwordFor(shown, password))]);
    process.stdout.write(`added ${shown}\n`);
  });
  if (change !== undefined) await changeProfiles(config, configPath, [[user, change]]);
}

export async function changePassword(configPath: string, address: string, password: string | undefined): Promise<void> {
  const config = loadConfig(configPath);
  const user = userNamed(address, config);
  const shown = shownUser(user);
  await withUsers(config, async (credentials) => {
    if (credentials.find(addressKey(user)) === undefined) throw unknownUser(user, configPath);
    await credentials.put([credentialOf(user, await passwordFor(shown, password))]);
    process.stdout.write(`changed the password of ${shown}\n`);
  });
}

export async function removeUser(configPath: string, address: string): Promise<void> {
  const config = loadConfig(configPath);
  const user = userNamed(address, config);
  await withUsers(config, async (credentials) => {
    if (!(await credentials.remove(addressKey(user)))) throw unknownUser(user, configPath);
    process.stdout.write(`removed ${shownUser(user)}\n`);
    await forgetPresence(user, config);
  });
}

export async function listUsers(configPath: string): Promise<void> {
  await withUsers(loadConfig(configPath), (credentials) => {
    for (let after: string | undefined; ;) {
      const page = credentials.list(LIST_PAGE, after);
      for (const key of page) {
        const user = parseAddress(key);
        process.stdout.write(`${user === undefined ? key : shownUser(user)}\n`);
      }
      after = page.at(-1);
      if (page.length < LIST_PAGE) return;
    }
  });
}

/** Adds or overwrites every user of a CSV file, all or none; a faulty file is refused with every faulty line named. */
export async function importUsers(configPath: string, file: string): Promise<void> {
  const config = loadConfig(configPath);
  const { users, changes } = await readUsersCsv(file, config);
  await withUsers(config, (credentials) => credentials.put(users));
  await changeProfiles(config, configPath, changes);
  process.stdout.write(`imported ${users.length} ${users.length === 1 ? 'user' : 'users'}\n`);
}

/** Lets the running server forget who watched him; where none runs, the next one does so at its start. */
async function forgetPresence(user: Address, config: Config): Promise<void> {
  const path = `/watchers/${encodeURIComponent(addressKey(user))}`;
  const answer = await askServer(controlSocketPath(config.data), 'DELETE', path);
  // Forbidden: a domain behind a trusted core may know him still.
  if (answer !== undefined && answer.status !== 200 && answer.status !== 403) throw refusalOf(answer);
}

async function withUsers(config: Config, work: (credentials: CredentialStore) => Promise<void> | void): Promise<void> {
  const opened = await openUsers({ config, clock: systemClock, log: createPinoLog('error', errorDestination()) });
  try {
    await work(opened.credentials);
  } finally {
    await opened.close();
  }
}
