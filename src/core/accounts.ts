/**
 * Accounts of users of ours on public XMPP services: what router and operator's doors need to know of them. The accounts
 * themselves are in `xmpp/account`.
 */
import type { Address } from '../cpim/address.ts';

/** Ways through accounts, for the router. */
export interface AccountWays {
  /**
   * The link of an account through which its user reaches somebody whom no peer entry reaches; undefined where he has
   * none for that.
   *
   * @param isToSee it is about seeing somebody, which is asked for before there is a contact
   * @throws GatewayError 'not-allowed' where he has one, and the configuration keeps it to the contacts of its roster.
   */
  wayFor(source: Address, destination: Address, isToSee?: boolean): string | undefined;
}

/** Where an account stands. */
export type AccountState = {
  /** `refused`: the service does not let it in, and is not asked before its password is changed. */
  readonly at: 'connecting' | 'up' | 'down' | 'refused' | 'stopped';
  readonly sinceMs: number;
  /** Why it is not up, and what to do about it. */
  readonly reason?: string;
};

/** How many accounts there are over one link, and how many of them are up or refused. */
export type AccountFigures = { readonly accounts: number; readonly up: number; readonly refused: number };

/** The figures of each of these links. */
export function accountFigures(
  links: Iterable<string>,
  accounts: Iterable<{ readonly link: string; readonly at: AccountState['at'] }>,
): Readonly<Record<string, AccountFigures>> {
  const figures = new Map([...links].map((link) => [link, { accounts: 0, up: 0, refused: 0 }]));
  for (const { link, at } of accounts) {
    const counted = figures.get(link);
    if (counted === undefined) continue;
    counted.accounts += 1;
    if (at === 'up' || at === 'refused') counted[at] += 1;
  }
  return Object.fromEntries(figures);
}

/** One linked account as an operator sees it; never with its password. */
export type AccountLine = {
  /** Address key of the user. */
  readonly user: string;
  /** The link of the configuration it belongs to. */
  readonly link: string;
  /** Bare JID of the account. */
  readonly jid: string;
  readonly addedAtMs: number;
  readonly state: AccountState;
};

/** One contact in the roster of an account (RFC 6121, section 2.1). */
export type AccountContact = {
  readonly jid: string;
  readonly name?: string;
  readonly groups: readonly string[];
  readonly subscription: 'none' | 'to' | 'from' | 'both';
  /** The account has asked to see the contact and has no answer. */
  readonly isAsking: boolean;
};

export type AccountDetail = AccountLine & {
  /** Absent until the service has told it. */
  readonly roster?: readonly AccountContact[];
};

/** At once where the accounts are kept, else as another node answers. */
type Awaitable<T> = T | Promise<T>;

/** What the operator's doors may do about accounts; used by `http/routes-accounts.ts`. */
export interface AccountAdministration {
  /** All of them, sorted by user. */
  list(): Awaitable<readonly AccountLine[]>;
  /** The accounts of one user. @throws GatewayError 'recipient-unknown' for one who is no user of ours. */
  of(user: Address): Awaitable<readonly AccountDetail[]>;
  /**
   * Links an account. Resolves when it is stored and was tried once, or has taken some seconds.
   *
   * @param jid bare JID, in a domain that a link allows
   * @throws GatewayError 'recipient-unknown' for no user of ours, 'address-malformed', 'not-allowed' for a service that may
   *   not be linked, 'conflict' where the user has one of that link or the account is linked already, 'policy-violated'
   *   for too many, 'store-unavailable'.
   */
  add(user: Address, jid: string, password: string, link?: string): Promise<AccountLine>;
  /** Tries at once with another password. @throws GatewayError 'recipient-unknown', 'store-unavailable'. */
  changePassword(user: Address, jid: string, password: string): Promise<AccountLine>;
  /** Logs it out and forgets it; its roster stays as it is. Says whether it was there. */
  remove(user: Address, jid: string): Promise<boolean>;
}

/** A text that only we can read, as it is stored. */
export type Sealed = {
  /** Which key it was sealed with. */
  readonly key: string;
  readonly nonce: string;
  readonly data: string;
};

/**
 * Keeps secrets unreadable in the store.
 *
 * `about` binds a secret to what it is for: it opens for nothing else.
 */
export interface SecretBox {
  /** @throws GatewayError 'store-unavailable' where the key cannot be read or made. */
  seal(secret: string, about: string): Sealed;
  /** @throws GatewayError 'store-unavailable' saying which key is missing, or that the secret was tampered with. */
  open(sealed: Sealed, about: string): string;
  /** Whether it should be sealed anew, because a newer key is there. */
  isOld(sealed: Sealed): boolean;
}
