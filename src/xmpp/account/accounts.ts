import { randomBytes } from 'node:crypto';
import {
  type AccountAdministration,
  type AccountDetail,
  accountFigures,
  type AccountLine,
  type AccountState,
  type AccountWays,
} from '../../core/accounts.ts';
import {
  type AccountLinks,
  howToLinkOf,
  type LinkedAccount,
  linkedAccount,
} from '../../core/commands/account-links.ts';
import { atMost } from '../../core/at-most.ts';
import type { AccountLinkConfig } from '../../core/config.ts';
import { GatewayError } from '../../core/errors.ts';
import { Groups } from '../../core/groups.ts';
import { Turns } from '../../core/turns.ts';
import { addressKey, domainOf, type Address } from '../../cpim/address.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { formatJid, type Jid, parseJid } from '../jid.ts';
import type { XmppLink } from '../link.ts';
import { type ComponentDomains, jidFromAddress } from '../map-address.ts';
import { AccountMaker, type AccountMakerDeps } from './account-maker.ts';
import { accountName, type AccountRecord, accountRecordFrom, secretSubject } from './account-record.ts';
import { type Account, accountJid, checkPassword, lineOf, NO_DOMAINS, stateOf, watcherOf } from './linked-account.ts';
import type { Refusal } from './login-outcome.ts';

export type AccountsDeps = AccountMakerDeps & {
  /** Where the links of accounts are put while there are any. */
  readonly links: Map<string, { readonly link: XmppLink; readonly domains: ComponentDomains; readonly owner?: string }>;
  /** Connects one, with all that its stanzas mean to the rest of the server; resolves after the first try. */
  readonly startLink: (name: string, onRefused: (refusal: Refusal) => void) => Promise<void>;
  /** The account is gone: nothing of it is waited for any more. */
  readonly forgetLink: (name: string, user: Address) => Promise<void>;
  readonly isUser: (address: Address) => boolean;
  /** What contacts are to see of a user; undefined: that he is not there. */
  readonly presenceOf: (userKey: string, priority: number) => readonly XmlElement[] | undefined;
  readonly follow: (userKey: string) => void;
  readonly unfollow: (userKey: string) => void;
  /** Whether he blocks this contact; asked for those who may see him already. */
  readonly blocks: (user: Address, watcher: Address) => boolean;
  /** Writes to a user in words. */
  readonly tellUser: (user: Address, text: string) => Promise<void>;
};

/** What others than the accounts themselves know of one. */
export type AccountStanding = {
  readonly state: AccountState;
  /** Whether the service has let it in since it is kept: then it is its user's. */
  readonly hasBeenUp: boolean;
};

/** How long the doors wait for the first try, ms; an operator's command has patience for 10 s. */
const FIRST_TRY_MS = 8_000;

/**
 * The accounts that users have linked, each with a link of its own: kept in the store with their passwords encrypted,
 * logged in at the start a few at once, and as long as the service lets them in.
 */
export class Accounts implements AccountWays, AccountAdministration, AccountLinks {
  readonly #deps: AccountsDeps;
  readonly #byName = new Map<string, Account>();
  /** By the key of the user. */
  readonly #byUser = new Groups<Account>();
  /** By the key of the account's own address. */
  readonly #byAddress = new Groups<Account>();
  readonly #maker: AccountMaker;
  readonly #turns = new Turns();
  #isStarted = false;
  #isStopped = false;

  /** Takes up what is stored; nothing connects yet. */
  constructor(deps: AccountsDeps) {
    this.#deps = deps;
    this.#maker = new AccountMaker(deps);
    for (const [key, value] of deps.records.all()) {
      const read = accountRecordFrom(value);
      if (read === undefined) deps.log.error({ key }, 'record of an account cannot be read');
      else if (!deps.configs.has(read.record.link)) {
        deps.log.warn(
          { link: read.record.link, aor: read.record.user },
          'account of a link that is not configured rests',
        );
      } else this.#make(read.record, read.jid);
    }
  }

  /** Keys of the users who have accounts. */
  users(): Iterable<string> {
    return this.#byUser.keys();
  }

  /** Per link of the configuration: how many accounts there are, and how many of them are up or refused. */
  figures(): ReturnType<typeof accountFigures> {
    const accounts = [...this.#byName.values()].map((account) => ({
      link: account.record.link,
      at: stateOf(account).at,
    }));
    return accountFigures(this.#deps.configs.keys(), accounts);
  }

  /** Connects them, a few at once. Nobody waits for the last of them. */
  start(): void {
    this.#isStarted = true;
    for (const account of this.#byName.values()) void this.#start(account);
  }

  async stop(graceMs: number): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#byName.values()].map(({ session }) => session.stop(graceMs)));
  }

  wayFor(source: Address, destination: Address, isToSee = false): string | undefined {
    const accounts = this.#byUser.of(addressKey(source));
    // Of several the one of the very service.
    const account = accounts.find(({ jid }) => jid.domain === domainOf(destination)) ?? accounts[0];
    if (account === undefined) return undefined;
    if (!isToSee) this.#checkContact(account, jidFromAddress(destination, NO_DOMAINS));
    return account.name;
  }

  /**
   * Sends a stanza of another node, which does not know the roster.
   *
   * @throws GatewayError as `XmppLink.send`, and 'not-allowed' as `wayFor`
   */
  async sendOver(name: string, stanza: XmlElement): Promise<void> {
    const account = this.#byName.get(name);
    if (account === undefined) throw new GatewayError('peer-unreachable', `no account ${name} is kept here`);
    if (stanza.name === 'message' && stanza.attrs['type'] !== 'error') {
      this.#checkContact(account, parseJid(stanza.attrs['to'] ?? ''));
    }
    await account.session.send(stanza);
  }

  /** An account by the name of its link; undefined where there is none. */
  standingOf(name: string): (AccountStanding & Pick<AccountRecord, 'user' | 'jid'>) | undefined {
    const account = this.#byName.get(name);
    if (account === undefined) return undefined;
    const { user, jid } = account.record;
    return { user, jid, state: stateOf(account), hasBeenUp: account.link.hasBeenUp };
  }

  /** What a user shows, or whom he lets see it, may have changed. */
  changed(userKey: string): void {
    for (const account of this.#byUser.of(userKey)) {
      account.session.show(this.#deps.presenceOf(userKey, this.#configOf(account).priority));
      this.#hideFromBlocked(account);
    }
  }

  accountsOf(user: Address): readonly LinkedAccount[] {
    return this.#byUser.of(addressKey(user)).flatMap((account) => {
      const address = watcherOf(account.jid);
      return address === undefined ? [] : [linkedAccount(address, stateOf(account))];
    });
  }

  ownerOf(address: Address): Address | undefined {
    return this.#byAddress.of(addressKey(address)).find(({ link }) => link.hasBeenUp)?.record.user;
  }

  howToLink(): readonly string[] {
    return howToLinkOf([...this.#deps.configs.values()].flatMap(({ domains }) => domains));
  }

  list(): readonly AccountLine[] {
    const lines = [...this.#byName.values()].map(lineOf);
    return lines.sort((a, b) => (a.user < b.user ? -1 : a.user > b.user ? 1 : a.link < b.link ? -1 : 1));
  }

  of(user: Address): readonly AccountDetail[] {
    this.#checkUser(user);
    return this.#byUser.of(addressKey(user)).map((account) => {
      const { contacts } = account.session.roster;
      const roster = contacts === undefined ? undefined : [...contacts].sort((a, b) => (a.jid < b.jid ? -1 : 1));
      return { ...lineOf(account), ...(roster === undefined ? {} : { roster }) };
    });
  }

  async add(user: Address, text: string, password: string, wanted?: string): Promise<AccountLine> {
    this.#checkUser(user);
    checkPassword(password);
    const jid = accountJid(text);
    const link = this.#linkFor(jid, wanted);
    const name = accountName(link, addressKey(user));
    return this.#turns.run('add', async () => {
      this.#checkRoom(name, link, jid);
      const base = { link, user, jid: formatJid(jid) };
      const record: AccountRecord = {
        ...base,
        resource: `interpres-${randomBytes(6).toString('base64url')}`,
        secret: this.#deps.box.seal(password, secretSubject(base)),
        addedAtMs: this.#deps.clock.nowMs(),
      };
      await this.#deps.records.put(name, record);
      const account = this.#make(record, jid);
      this.#deps.log.info({ aor: user, jid: base.jid, link }, 'account linked');
      this.#deps.follow(addressKey(user));
      await atMost(this.#start(account), FIRST_TRY_MS, this.#deps.clock);
      return lineOf(account);
    });
  }

  async changePassword(user: Address, text: string, password: string): Promise<AccountLine> {
    this.#checkUser(user);
    checkPassword(password);
    const account = this.#known(user, text);
    return this.#turns.run(account.name, async () => {
      const { refusal, ...record } = account.record;
      const secret = this.#deps.box.seal(password, secretSubject(record));
      account.record = { ...record, secret };
      await this.#deps.records.put(account.name, account.record);
      this.#deps.log.info(
        { aor: user, jid: record.jid, wasRefused: refusal !== undefined },
        'password of an account changed',
      );
      delete account.fault;
      await atMost(account.link.changePassword(password), FIRST_TRY_MS, this.#deps.clock);
      return lineOf(account);
    });
  }

  async remove(user: Address, text: string): Promise<boolean> {
    const jid = formatJid(accountJid(text));
    const account = this.#byUser.of(addressKey(user)).find(({ record }) => record.jid === jid);
    if (account === undefined) return false;
    await this.#turns.run(account.name, () => this.#remove(account));
    return true;
  }

  /** Forgets the accounts of one who is a user no more; undefined where he has none. */
  removeAll(userKey: string): Promise<void> | undefined {
    const accounts = this.#byUser.of(userKey);
    if (accounts.length === 0) return undefined;
    const removed = accounts.map((account) => this.#turns.run(account.name, () => this.#remove(account)));
    return Promise.all(removed).then(() => undefined);
  }

  async #remove(account: Account): Promise<void> {
    const { name, record } = account;
    if (this.#byName.get(name) !== account) return;
    await this.#deps.records.remove(name);
    this.#byName.delete(name);
    const userKey = addressKey(record.user);
    this.#byUser.remove(userKey, account);
    this.#byAddress.remove(addressKeyOf(account.jid), account);
    if (this.#byUser.of(userKey).length === 0) this.#deps.unfollow(userKey);
    // First the link, so that what is forgotten is not taken back from the contacts: the roster is the account's own.
    account.session.show(undefined);
    await account.session.stop(1_000);
    await this.#deps.forgetLink(name, record.user);
    this.#deps.links.delete(name);
    this.#deps.log.info({ aor: record.user, jid: record.jid, link: record.link }, 'account unlinked');
  }

  #make(record: AccountRecord, jid: Account['jid']): Account {
    const account = this.#maker.make(record, jid);
    const { name, session, domains } = account;
    this.#byName.set(name, account);
    const userKey = addressKey(record.user);
    this.#byUser.add(userKey, account);
    this.#byAddress.add(addressKeyOf(jid), account);
    this.#deps.links.set(name, { link: session, domains, owner: userKey });
    return account;
  }

  async #start(account: Account): Promise<void> {
    if (!this.#isStarted || this.#isStopped) return;
    const userKey = addressKey(account.record.user);
    account.session.show(this.#deps.presenceOf(userKey, this.#configOf(account).priority));
    await this.#deps.startLink(account.name, (refusal) => void this.#refused(account, refusal));
  }

  /** Kept, so that a restart does not try again what the service has refused; and its user is told, once. */
  async #refused(account: Account, refusal: Refusal): Promise<void> {
    const { records, tellUser, log } = this.#deps;
    const { record, name } = account;
    if (this.#byName.get(name) !== account) return;
    account.record = { ...record, refusal };
    records.putLater(name, account.record);
    const text =
      `Your account ${record.jid} cannot be used: ${refusal.reason}. ` +
      'Until then your contacts there cannot reach you, and what you write to them waits.';
    try {
      await tellUser(record.user, text);
    } catch (thrown) {
      log.warn({ aor: record.user, jid: record.jid, error: thrown }, 'user was not told that his account is refused');
    }
  }

  /** Whom the roster lets see the account and the user blocks: the service is told that he may not. */
  #hideFromBlocked({ record, session, link }: Account): void {
    if (link.state().at !== 'up') return;
    for (const { jid, subscription } of session.roster.contacts ?? []) {
      if (subscription !== 'from' && subscription !== 'both') continue;
      const contact = parseJid(jid);
      const watcher = contact === undefined ? undefined : watcherOf(contact);
      if (contact !== undefined && watcher !== undefined && this.#deps.blocks(record.user, watcher)) {
        session.hideFrom(contact);
      }
    }
  }

  #checkUser(user: Address): void {
    if (!this.#deps.isUser(user)) throw new GatewayError('recipient-unknown', `no user ${user}`);
  }

  #checkRoom(name: string, link: string, jid: Jid): void {
    if (this.#byName.has(name)) throw new GatewayError('conflict', 'the user has an account of this link already');
    const text = formatJid(jid);
    const same = [...this.#byName.values()].filter(({ record }) => record.link === link);
    if (same.some(({ record }) => record.jid === text)) {
      throw new GatewayError('conflict', 'the account is linked by another user already');
    }
    const max = this.#deps.configs.get(link)?.accountsMax ?? 0;
    if (same.length >= max) throw new GatewayError('policy-violated', `more than ${max} accounts over ${link}`);
  }

  #linkFor({ domain }: Jid, wanted: string | undefined): string {
    for (const [name, { domains }] of this.#deps.configs) {
      if ((wanted === undefined || wanted === name) && domains.includes(domain)) return name;
    }
    throw new GatewayError('not-allowed', `accounts of ${domain} may not be linked`);
  }

  #known(user: Address, text: string): Account {
    const jid = formatJid(accountJid(text));
    const account = this.#byUser.of(addressKey(user)).find(({ record }) => record.jid === jid);
    if (account === undefined) throw new GatewayError('recipient-unknown', `${user} has linked no account ${jid}`);
    return account;
  }

  #checkContact(account: Account, contact: Jid | undefined): void {
    const { roster } = account.session;
    if (this.#configOf(account).contacts !== 'roster' || !roster.isKnown) return;
    if (contact === undefined || roster.of(contact) === undefined) {
      throw new GatewayError('not-allowed', 'accounts are kept to the contacts of their rosters');
    }
  }

  #configOf({ record }: Account): AccountLinkConfig {
    const config = this.#deps.configs.get(record.link);
    if (config === undefined) throw new GatewayError('internal', 'account of an unknown link');
    return config;
  }
}

function addressKeyOf(jid: Jid): string {
  const address = watcherOf(jid);
  return address === undefined ? '' : addressKey(address);
}
