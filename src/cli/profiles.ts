import { readFileSync, statSync } from 'node:fs';
import { addressKey, type Address } from '../cpim/address.ts';
import type { Config } from '../core/config.ts';
import { TEXT_FIELDS, textFault, type ProfileChange } from '../core/directory/profile.ts';
import { GatewayError } from '../core/errors.ts';
import type { ShownProfile } from '../http/routes-profiles.ts';
import { CommandError } from './command-error.ts';
import { askServer, refusalOf } from './control-client.ts';
import { controlSocketPath } from './control-socket.ts';
import { loadConfig } from './load-config.ts';
import { printable } from './printable.ts';
import { unknownUser } from './unknown-user.ts';
import { shownUser, userNamed } from './user-address.ts';

/** What the options of `users add` and `users set` say; an empty text takes away. */
export type ProfileOptions = {
  readonly name?: string;
  readonly email?: string;
  readonly phone?: string;
  readonly homepage?: string;
  /** A file. */
  readonly avatar?: string;
};

/** A change for each user; many of them for an import. */
export type ProfileChanges = ReadonlyArray<readonly [user: Address, change: ProfileChange]>;

/** Changes what is known of a user, and prints what is known then. */
export async function setProfile(configPath: string, address: string, options: ProfileOptions): Promise<void> {
  const config = loadConfig(configPath);
  const user = userNamed(address, config);
  const change = changeFrom(options, config);
  if (change === undefined) throw new CommandError('nothing to set; see: interpres users set --help', 2);
  await changeProfiles(config, configPath, [[user, change]]);
  process.stdout.write(`changed what is known of ${shownUser(user)}\n`);
}

/** Prints what is known of a user. */
export async function showProfile(configPath: string, address: string): Promise<void> {
  const config = loadConfig(configPath);
  const user = userNamed(address, config);
  const answer = await askServer(controlSocketPath(config.data), 'GET', pathOf(user));
  let shown: ShownProfile;
  if (answer === undefined) shown = await onStopped(config, configPath, (directory) => directory.read(user));
  else if (answer.status === 200) shown = answer.body as ShownProfile;
  else throw answer.status === 404 ? unknownUser(user, configPath) : refusalOf(answer);
  for (const field of TEXT_FIELDS) {
    if (shown[field] !== undefined) process.stdout.write(`${field}: ${printable(shown[field])}\n`);
  }
  if (shown.avatar !== undefined) process.stdout.write(`avatar: ${shown.avatar.type}, ${shown.avatar.bytes} bytes\n`);
}

/** Reads the options; undefined where there are none. @throws CommandError naming what is wrong. */
export function changeFrom(options: ProfileOptions, config: Config): ProfileChange | undefined {
  const { name, email, phone, homepage, avatar } = options;
  const change: Record<string, string | null> = {};
  const texts = { displayName: name, email, phone, homepage };
  for (const field of TEXT_FIELDS) {
    const text = texts[field];
    if (text === undefined) continue;
    const fault = text === '' ? undefined : textFault(field, text);
    if (fault !== undefined) throw new CommandError(`${field === 'displayName' ? 'name' : field} ${fault}`, 2);
    change[field] = text === '' ? null : text;
  }
  if (avatar !== undefined) change['avatar'] = avatar === '' ? null : pictureFrom(avatar, config.directory.avatarBytes);
  return Object.keys(change).length === 0 ? undefined : change;
}

/** Changes profiles in the running server, or in its store where none runs. */
export async function changeProfiles(config: Config, configPath: string, changes: ProfileChanges): Promise<void> {
  const socket = controlSocketPath(config.data);
  const [first, ...others] = changes;
  if (first === undefined) return;
  if (await changeOnline(socket, configPath, first)) {
    for (const one of others) {
      if (!(await changeOnline(socket, configPath, one))) throw new CommandError('the server has stopped meanwhile');
    }
    return;
  }
  await onStopped(config, configPath, async (directory) => {
    for (const [user, change] of changes) await directory.change(user, change);
  });
}

async function changeOnline(
  socket: string,
  configPath: string,
  [user, change]: ProfileChanges[number],
): Promise<boolean> {
  const answer = await askServer(socket, 'PATCH', pathOf(user), change);
  if (answer === undefined) return false;
  if (answer.status === 404) throw unknownUser(user, configPath);
  const { text } = answer.body as { text?: unknown };
  if (answer.status === 400 && typeof text === 'string')
    throw new CommandError(`${shownUser(user)}: ${printable(text)}`);
  if (answer.status !== 200) throw refusalOf(answer);
  return true;
}

async function onStopped<T>(
  config: Config,
  configPath: string,
  work: (directory: Awaited<ReturnType<typeof openDirectory>>['directory']) => Promise<T> | T,
): Promise<T> {
  const opened = await openDirectory(config);
  try {
    return await work(opened.directory);
  } catch (thrown) {
    if (!(thrown instanceof GatewayError) || thrown.code === 'store-unavailable') throw thrown;
    if (thrown.code === 'recipient-unknown') {
      throw new CommandError(`${thrown.message}; see: interpres users list --config ${configPath}`);
    }
    throw new CommandError(thrown.message);
  } finally {
    await opened.close();
  }
}

/** Loaded when needed: it brings the store with it. */
async function openDirectory(config: Config) {
  const { openStoppedDirectory } = await import('./offline-directory.ts');
  return openStoppedDirectory(config);
}

function pictureFrom(file: string, bytesMax: number): string {
  try {
    // Not read before it is known to be no more than wanted.
    const { size } = statSync(file);
    if (size > bytesMax) {
      throw new CommandError(`${file} has ${size} bytes; at most ${bytesMax} are taken (directory.avatarBytes)`);
    }
    return readFileSync(file).toString('base64');
  } catch (thrown) {
    if (thrown instanceof CommandError) throw thrown;
    throw new CommandError(`cannot read ${file}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
}

function pathOf(user: Address): string {
  return `/profiles/${encodeURIComponent(addressKey(user))}`;
}
