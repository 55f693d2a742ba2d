import type { Address } from '../../cpim/address.ts';

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
