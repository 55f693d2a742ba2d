import { type Address, addressKey, domainOf } from '../cpim/address.ts';
import { Groups } from '../core/groups.ts';
import type { Log } from '../core/log.ts';
import type { Records } from '../core/ports.ts';
import { type AccountRecord, accountRecordFrom } from '../xmpp/account/account-record.ts';
import { parseJid } from '../xmpp/jid.ts';
import type { XmppLink } from '../xmpp/link.ts';
import { addressFromJid } from '../xmpp/map-address.ts';
import type { NamedLink } from './links.ts';

export type AccountDirectoryDeps = {
  /** Names of the links of the configuration, and the services that each of them allows. */
  readonly services: ReadonlyMap<string, readonly string[]>;
  /** What all nodes have stored. */
  readonly stored: Pick<Records<AccountRecord>, 'all'>;
  /** Tells of an account that another node has stored or removed. */
  readonly onStored: (listener: (name: string) => void) => void;
  /** Whether the password in a record can be read here. @throws GatewayError that says what is missing */
  readonly check: (record: AccountRecord) => void;
  /** Where the links of accounts are put while there are any. */
  readonly links: Map<string, NamedLink>;
  readonly linkOf: (name: string) => XmppLink;
  /** Whether this node is still at it, though it is not stored any more. */
  readonly isInUse: (name: string) => boolean;
  /** What waits for the link of an account may go, or waits again. */
  readonly up: (name: string) => void;
  readonly down: (name: string) => void;
  readonly log: Log;
};

/** An account as every node knows it. */
export type KnownAccount = {
  /** Of its link. */
  readonly name: string;
  /** The link of the configuration. */
  readonly link: string;
  readonly user: Address;
  readonly jid: Address;
};

/** Who has an account, as it is stored: known to every node, whichever keeps the accounts. */
export class AccountDirectory {
  readonly #deps: AccountDirectoryDeps;
  readonly #known = new Map<string, KnownAccount>();
  /** By the key of the user. */
  readonly #byUser = new Groups<KnownAccount>();
  /** By the key of the account's own address. */
  readonly #byAddress = new Groups<KnownAccount>();
  readonly #unreadable = new Set<string>();

  constructor(deps: AccountDirectoryDeps) {
    this.#deps = deps;
    for (const [name, value] of deps.stored.all()) this.#read(name, value);
    const due = new Set<string>();
    deps.onStored((name) => {
      if (due.size === 0) {
        // Once for all that came together.
        queueMicrotask(() => {
          const names = new Set(due);
          due.clear();
          this.#follow(names);
        });
      }
      due.add(name);
    });
  }

  users(): Iterable<string> {
    return this.#byUser.keys();
  }

  all(): Iterable<KnownAccount> {
    return this.#known.values();
  }

  of(user: Address): readonly KnownAccount[] {
    return this.#byUser.of(addressKey(user));
  }

  /** Those that are of one who is seen as this address. */
  at(address: Address): readonly KnownAccount[] {
    return this.#byAddress.of(addressKey(address));
  }

  put(name: string, { user, jid: text }: Pick<AccountRecord, 'user' | 'jid'>): void {
    const jid = addressOf(text);
    const was = this.#known.get(name);
    if (jid === undefined || was?.jid === jid) return;
    const userKey = addressKey(user);
    const known = { name, link: name.slice(0, name.indexOf('/')), user, jid };
    if (was !== undefined) this.#takeOut(was);
    this.#known.set(name, known);
    this.#byUser.add(userKey, known);
    this.#byAddress.add(addressKey(jid), known);
    if (was !== undefined) return;
    const domain = domainOf(user);
    this.#deps.links.set(name, { link: this.#deps.linkOf(name), domains: { domain, name: domain }, owner: userKey });
  }

  drop(name: string): void {
    const known = this.#known.get(name);
    if (known === undefined) return;
    this.#known.delete(name);
    this.#takeOut(known);
    this.#unreadable.delete(name);
    this.#deps.links.delete(name);
    // What waits for it is looked at once more, and its senders are told.
    this.#deps.up(name);
    this.#deps.down(name);
  }

  #takeOut(known: KnownAccount): void {
    this.#byUser.remove(addressKey(known.user), known);
    this.#byAddress.remove(addressKey(known.jid), known);
  }

  /** What has become of these in the store. */
  #follow(names: ReadonlySet<string>): void {
    const gone = new Set(names);
    for (const [name, value] of this.#deps.stored.all()) {
      if (names.has(name) && this.#read(name, value)) gone.delete(name);
    }
    for (const name of gone) if (!this.#deps.isInUse(name)) this.drop(name);
  }

  /** @returns whether it is an account; of whatever else is there, the node that keeps the accounts tells. */
  #read(name: string, value: unknown): boolean {
    const read = accountRecordFrom(value);
    if (read === undefined || !this.#deps.services.has(read.record.link)) return false;
    this.put(name, read.record);
    this.#check(name, read.record);
    return true;
  }

  /** Said before this node has to keep it. */
  #check(name: string, record: AccountRecord): void {
    try {
      this.#deps.check(record);
      this.#unreadable.delete(name);
    } catch (error) {
      const fields = { aor: record.user, jid: record.jid, error };
      if (!this.#unreadable.has(name)) this.#deps.log.error(fields, 'account cannot be kept by this node');
      this.#unreadable.add(name);
    }
  }
}

/** A bare JID as an address. */
function addressOf(text: string): Address | undefined {
  const jid = parseJid(text);
  return jid === undefined ? undefined : addressFromJid(jid, { domain: '', name: '' });
}
