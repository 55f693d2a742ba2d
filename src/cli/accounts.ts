import { addressKey, type Address } from '../cpim/address.ts';
import type { AccountContact, AccountDetail, AccountLine } from '../core/accounts.ts';
import type { Config } from '../core/config.ts';
import { formatJid, parseJid } from '../xmpp/jid.ts';
import { CommandError } from './command-error.ts';
import { refusalOf, type ControlAnswer } from './control-client.ts';
import { loadConfig } from './load-config.ts';
import { passwordFor } from './password.ts';
import { printable, printableJson } from './printable.ts';
import { askRunningServer } from './running-server.ts';
import { table } from './table.ts';
import { shownUser, userNamed } from './user-address.ts';

const HEAD = ['user', 'account', 'link', 'state', 'since', 'reason'];
const ROSTER_HEAD = ['contact', 'subscription', 'name', 'groups'];

/** Links an account; the password is asked for where it is not given. */
export async function addAccount(
  configPath: string,
  userText: string,
  jidText: string,
  options: { password?: string; link?: string },
): Promise<void> {
  const { config, user, jid } = named(configPath, userText, jidText);
  const password = await passwordFor(jid, options.password);
  const body = { password, ...(options.link === undefined ? {} : { link: options.link }) };
  const answer = await ask(configPath, config, 'POST', accountPath(user, jid), body);
  if (answer.status !== 201) throw refused(answer, config, user, jid);
  told(`linked ${jid} to ${shownUser(user)}`, answer.body as AccountLine, configPath);
}

export async function changeAccountPassword(
  configPath: string,
  userText: string,
  jidText: string,
  given: string | undefined,
): Promise<void> {
  const { config, user, jid } = named(configPath, userText, jidText);
  const password = await passwordFor(jid, given);
  const answer = await ask(configPath, config, 'PUT', `${accountPath(user, jid)}/password`, { password });
  if (answer.status !== 200) throw refused(answer, config, user, jid);
  told(`changed the password of ${jid}`, answer.body as AccountLine, configPath);
}

export async function removeAccount(configPath: string, userText: string, jidText: string): Promise<void> {
  const { config, user, jid } = named(configPath, userText, jidText);
  const answer = await ask(configPath, config, 'DELETE', accountPath(user, jid));
  if (answer.status !== 200) throw refused(answer, config, user, jid);
  process.stdout.write(
    `unlinked ${jid} from ${shownUser(user)}; its contacts and its password stay as they are there\n`,
  );
}

export async function listAccounts(configPath: string, options: { json?: true }): Promise<void> {
  const config = loadConfig(configPath);
  const answer = await ask(configPath, config, 'GET', '/accounts');
  if (answer.status !== 200) throw refusalOf(answer);
  const { accounts } = answer.body as { accounts: readonly AccountLine[] };
  if (options.json === true) process.stdout.write(`${printableJson(accounts)}\n`);
  else if (accounts.length === 0) process.stdout.write('no account is linked\n');
  else process.stdout.write(table(HEAD, accounts.map(rowOf)));
}

/** Prints the accounts of one user with their contacts. */
export async function showAccounts(configPath: string, userText: string, options: { json?: true }): Promise<void> {
  const config = loadConfig(configPath);
  const user = userNamed(userText, config);
  const answer = await ask(configPath, config, 'GET', `/accounts/${encodeURIComponent(addressKey(user))}`);
  if (answer.status !== 200) throw refused(answer, config, user, '');
  const { accounts } = answer.body as { accounts: readonly AccountDetail[] };
  if (options.json === true) {
    process.stdout.write(`${printableJson(accounts)}\n`);
    return;
  }
  if (accounts.length === 0) process.stdout.write(`${shownUser(user)} has linked no account\n`);
  for (const account of accounts) {
    process.stdout.write(table(HEAD, [rowOf(account)]));
    if (account.roster === undefined) process.stdout.write('\nits contacts are not known yet\n');
    else if (account.roster.length === 0) process.stdout.write('\nit has no contacts\n');
    else process.stdout.write(`\n${table(ROSTER_HEAD, account.roster.map(contactRow))}`);
  }
}

function told(done: string, line: AccountLine, configPath: string): void {
  const { at, reason } = line.state;
  if (at === 'refused') {
    throw new CommandError(
      `${done}, but the service does not let it in: ${printable(reason ?? '')}\nsee: interpres accounts list --config ${configPath}`,
    );
  }
  const more = at === 'up' ? 'it is up' : `it is not up yet: ${printable(reason ?? at)}`;
  process.stdout.write(`${done}; ${more}\n`);
}

function named(
  configPath: string,
  userText: string,
  jidText: string,
): { readonly config: Config; readonly user: Address; readonly jid: string } {
  const config = loadConfig(configPath);
  const jid = parseJid(jidText);
  if (jid?.local === undefined || jid.resource !== undefined) {
    throw new CommandError(`${jidText} is no account; expected the form juliet@chat.example`, 2);
  }
  return { config, user: userNamed(userText, config), jid: formatJid(jid) };
}

function accountPath(user: Address, jid: string): string {
  return `/accounts/${encodeURIComponent(addressKey(user))}/${encodeURIComponent(jid)}`;
}

/** Asks the running server, which alone keeps the accounts. @throws CommandError when none runs. */
async function ask(
  configPath: string,
  config: Config,
  method: string,
  path: string,
  body?: unknown,
): Promise<ControlAnswer> {
  const services = servicesOf(config);
  if (services.length === 0) {
    throw new CommandError('no link of type xmpp-account is configured; see docs/accounts.md');
  }
  return askRunningServer({ config, configPath, whatIs: 'accounts are kept by' }, method, path, body);
}

function servicesOf(config: Config): readonly string[] {
  return Object.values(config.links).flatMap((link) => (link.type === 'xmpp-account' ? link.domains : []));
}

function refused(answer: ControlAnswer, config: Config, user: Address, jid: string): CommandError {
  switch ((answer.body as { error?: unknown }).error) {
    case 'recipient-unknown':
      return new CommandError(`there is no user ${shownUser(user)}, or he has not linked ${jid}`);
    case 'account-unknown':
      return new CommandError(`${shownUser(user)} has not linked ${jid}`);
    case 'not-allowed':
      return new CommandError(`accounts of that service may not be linked; allowed: ${servicesOf(config).join(', ')}`);
    case 'conflict':
      return new CommandError(
        `${shownUser(user)} has linked an account there already, or somebody else has linked ${jid}`,
      );
    case 'policy-violated':
      return new CommandError('no more accounts may be linked: see accountsMax of the link');
    case 'store-unavailable':
      return new CommandError('the server cannot store it now; its log says why');
    default:
      return refusalOf(answer);
  }
}

function rowOf({ user, jid, link, state }: AccountLine): string[] {
  return [
    user,
    jid,
    link,
    state.at,
    new Date(state.sinceMs).toISOString(),
    state.at === 'up' ? '' : (state.reason ?? ''),
  ];
}

function contactRow({ jid, subscription, isAsking, name, groups }: AccountContact): string[] {
  return [jid, `${subscription}${isAsking ? ', asked' : ''}`, name ?? '', groups.join(', ')];
}
