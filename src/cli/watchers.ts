import { addressKey, type Address } from '../cpim/address.ts';
import type { Config } from '../core/config.ts';
import type { Rule, RuleAction, WatcherLine, WatcherListing } from '../core/presence/rules.ts';
import { CommandError } from './command-error.ts';
import { refusalOf, type ControlAnswer } from './control-client.ts';
import { loadConfig } from './load-config.ts';
import { printable, printableJson } from './printable.ts';
import { askRunningServer } from './running-server.ts';
import { table } from './table.ts';
import { unknownUser } from './unknown-user.ts';
import { shownUser, userNamed } from './user-address.ts';
import { subjectNamed } from './watcher-subject.ts';

type Listing = WatcherListing;

const HEAD = ['watcher', 'state', 'since', 'rule', 'name'];
const DONE: Readonly<Record<RuleAction, string>> = {
  allow: 'allowed',
  block: 'blocked',
  'polite-block': 'politely blocked',
  confirm: 'to be confirmed',
};

/** Prints who watches a user, and the rules that are for nobody who does at present. */
export async function listWatchers(configPath: string, ownerText: string, options: { json?: true }): Promise<void> {
  const { config, owner } = named(configPath, ownerText);
  const answer = await ask(configPath, config, owner, 'GET', '');
  if (answer.status !== 200) throw refusalOf(answer);
  const listing = answer.body as Listing;
  if (options.json === true) {
    process.stdout.write(`${printableJson(listing)}\n`);
    return;
  }
  process.stdout.write(table(HEAD, listing.watchers.map(rowOf)));
  if (listing.watchers.length === 0) process.stdout.write(`nobody watches ${shownUser(owner)}\n`);
  if (listing.isInvisible) process.stdout.write(`${shownUser(owner)} is invisible: everybody sees nobody there\n`);
}

/** Sets the rule for a watcher, or a group of them. */
export async function ruleWatcher(
  configPath: string,
  action: RuleAction,
  ownerText: string,
  watcherText: string,
  showsLocation = false,
): Promise<void> {
  const { config, owner } = named(configPath, ownerText);
  const subject = subjectNamed(watcherText);
  const rule: Rule = showsLocation ? { action, showsLocation } : { action };
  const answer = await ask(configPath, config, owner, 'PUT', `/rules/${encodeURIComponent(subject)}`, rule);
  if (answer.status !== 200) throw refusalOf(answer);
  const more = showsLocation ? ', with location' : '';
  process.stdout.write(`${printable(subject)}: ${DONE[action]} for ${shownUser(owner)}${more}\n`);
}

/** Takes the rule for a watcher away; what is for everybody counts for him again. */
export async function removeRule(configPath: string, ownerText: string, watcherText: string): Promise<void> {
  const { config, owner } = named(configPath, ownerText);
  const subject = subjectNamed(watcherText);
  const answer = await ask(configPath, config, owner, 'DELETE', `/rules/${encodeURIComponent(subject)}`);
  if (answer.status === 404) throw new CommandError(`${shownUser(owner)} has no rule for ${printable(subject)}`);
  if (answer.status !== 200) throw refusalOf(answer);
  process.stdout.write(`${printable(subject)}: no rule of ${shownUser(owner)} any more\n`);
}

/** Hides a user from everybody, or shows him again. */
export async function setInvisible(configPath: string, ownerText: string, onOrOff: string): Promise<void> {
  if (onOrOff !== 'on' && onOrOff !== 'off') throw new CommandError(`found ${onOrOff}, expected on or off`, 2);
  const { config, owner } = named(configPath, ownerText);
  const isInvisible = onOrOff === 'on';
  const answer = await ask(configPath, config, owner, 'PUT', '/invisible', { isInvisible });
  if (answer.status !== 200) throw refusalOf(answer);
  process.stdout.write(`${shownUser(owner)} is ${isInvisible ? 'invisible' : 'visible'} now\n`);
}

function named(configPath: string, ownerText: string): { readonly config: Config; readonly owner: Address } {
  const config = loadConfig(configPath);
  return { config, owner: userNamed(ownerText, config) };
}

/**
 * Asks the running server, which alone knows who watches whom.
 *
 * @throws CommandError when none runs, or it does not know the owner.
 */
async function ask(
  configPath: string,
  config: Config,
  owner: Address,
  method: string,
  path: string,
  body?: unknown,
): Promise<ControlAnswer> {
  const url = `/watchers/${encodeURIComponent(addressKey(owner))}${path}`;
  const answer = await askRunningServer({ config, configPath, whatIs: 'watchers are known to' }, method, url, body);
  const error = answer.status === 404 ? (answer.body as { error?: unknown }).error : undefined;
  if (error === 'recipient-unknown') throw unknownUser(owner, configPath);
  return answer;
}

function rowOf(line: WatcherLine): string[] {
  return [
    line.watcher,
    line.state ?? '-',
    line.sinceMs === undefined ? '-' : new Date(line.sinceMs).toISOString(),
    `${line.action}${line.showsLocation === true ? ' with location' : ''}${line.isOwnRule ? '' : ' (default)'}`,
    line.displayName ?? '',
  ];
}
