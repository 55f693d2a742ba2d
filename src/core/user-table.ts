import { addressKey, domainOf, type Address } from '../cpim/address.ts';
import type { PeerTable } from './peers.ts';
import type { Binding, CredentialStore } from './ports.ts';

export type UserTableDeps = {
  readonly peers: PeerTable;
  readonly credentials: Pick<CredentialStore, 'find'>;
  readonly contactsOf: (userKey: string) => readonly Binding[];
};

/** Who is a user of ours. */
export class UserTable {
  readonly #deps: UserTableDeps;

  constructor(deps: UserTableDeps) {
    this.#deps = deps;
  }

  /** Whether somebody is served as a user: users of a domain behind a trusted core may be known to that core alone. */
  isUser(address: Address): boolean {
    const { peers, credentials } = this.#deps;
    const own = peers.own(domainOf(address));
    return own !== undefined && (own.hasTrustedCore || credentials.find(addressKey(address)) !== undefined);
  }

  /** Whether a user of ours is to be found here rather than behind the next hop of his domain. */
  isKnownHere(userKey: string): boolean {
    const { credentials, contactsOf } = this.#deps;
    return contactsOf(userKey).length > 0 || credentials.find(userKey) !== undefined;
  }
}
