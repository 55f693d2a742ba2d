import type { Address } from '../../cpim/address.ts';
import type { AccountState } from '../accounts.ts';

/** An account on an XMPP service that a user of ours has linked. */
export type LinkedAccount = {
  readonly address: Address;
  /** How it stands, for people: `up`, `connecting`, `wrong password`. */
  readonly state: string;
};

/** What commands need to know of linked accounts. */
export interface AccountLinks {
  accountsOf(user: Address): readonly LinkedAccount[];
  /** The user of ours who has linked this account, and whose server has proved that it is his. */
  ownerOf(account: Address): Address | undefined;
  /** How an account is linked, a line each: what to do, and where. A password never goes through a command. */
  howToLink(user: Address): readonly string[];
}

/** Where no accounts can be linked. */
export const NO_ACCOUNT_LINKS: AccountLinks = {
  accountsOf: () => [],
  ownerOf: () => undefined,
  howToLink: () => ['This server links no accounts.'],
};

/** An account as its user is told of it. */
export function linkedAccount(address: Address, { at, reason }: AccountState): LinkedAccount {
  return { address, state: reason === undefined || at === 'up' ? at : `${at}: ${reason}` };
}

/** What those are told who may link accounts of these services. */
export function howToLinkOf(services: Iterable<string>): readonly string[] {
  return [
    `Accounts of these services can be linked: ${[...services].join(', ')}.`,
    'Ask the operator of this server to link yours.',
  ];
}
