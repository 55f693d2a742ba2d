import { type Address, addressKey, domainOf } from '../cpim/address.ts';
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
  readonly onStored: (listener: () => void) => void;
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
  /** By user key. */
  readonly #byUser = new Map<string, readonly KnownAccount[]>();
  readonly #unreadable = new Set<string>();

  constructor(deps: AccountDirectoryDeps) {
    this.#deps = deps;
    this.#read();
    let isDue = false;
    deps.onStored(() => {
      // Once for all that came together.
      if (isDue) return;
      isDue = true;
      queueMicrotask(() => {
        isDue = false;
        this.#read();
      });
    });
  }

  users(): Iterable<string> {
    return this.#byUser.keys();
  }

  all(): Iterable<KnownAccount> {
    return this.#known.values();
  }

  of(user: Address): readonly KnownAccount[] {
    return this.#byUser.get(addressKey(user)) ?? [];
  }

  put(name: string, { user, jid: text }: Pick<AccountRecord, 'user' | 'jid'>): void {
    const jid = addressOf(text);
    const was = this.#known.get(name);
    if (jid === undefined || was?.jid === jid) return;
    const userKey = addressKey(user);
    const known = { name, link: name.slice(0, name.indexOf('/')), user, jid };
    this.#known.set(name, known);
    this.#byUser.set(userKey, [...this.of(user).filter((other) => other.name !== name), known]);
    if (was !== undefined) return;
    const domain = domainOf(user);
    this.#deps.links.set(name, { link: this.#deps.linkOf(name), domains: { domain, name: domain }, owner: userKey });
  }

  drop(name: string): void {
    const known = this.#known.get(name);
    if (known === undefined) return;
    const others = this.of(known.user).filter((other) => other !== known);
    this.#known.delete(name);
    if (others.length > 0) this.#byUser.set(addressKey(known.user), others);
    else this.#byUser.delete(addressKey(known.user));
    this.#unreadable.delete(name);
    this.#deps.links.delete(name);
    // What waits for it is looked at once more, and its senders are told.
    this.#deps.up(name);
    this.#deps.down(name);
  }

  #read(): void {
    const { stored, services } = this.#deps;
    const gone = new Set(this.#known.keys());
    for (const [name, value] of stored.all()) {
      const read = accountRecordFrom(value);
      // Of whatever else is there, the node that keeps the accounts tells.
      if (read === undefined || !services.has(read.record.link)) continue;
      gone.delete(name);
      this.put(name, read.record);
      this.#check(name, read.record);
    }
    for (const name of gone) if (!this.#deps.isInUse(name)) this.drop(name);
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
