import type { SecretBox } from '../../core/accounts.ts';
import type { AccountLinkConfig } from '../../core/config.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Clock, Random, Records } from '../../core/ports.ts';
import { addressKey, domainOf, type Address } from '../../cpim/address.ts';
import type { DnsQueries } from '../../dns/dns-queries.ts';
import type { Jid } from '../jid.ts';
import { AccountLink } from '../link-account.ts';
import type { ComponentDomains } from '../map-address.ts';
import { accountName, type AccountRecord, secretSubject } from './account-record.ts';
import { AccountSession } from './account-session.ts';
import { ConnectGate } from './connect-gate.ts';
import type { Account } from './linked-account.ts';
import { hostAddresses, serviceTargets, type ServiceTarget } from './service-address.ts';

export type AccountMakerDeps = {
  /** The links of type `xmpp-account`, by name. */
  readonly configs: ReadonlyMap<string, AccountLinkConfig>;
  readonly records: Records<AccountRecord>;
  readonly box: SecretBox;
  /** Whether a watcher may see the user whole. */
  readonly mayBeSeenBy: (user: Address, watcher: Address) => boolean;
  /** Suggests contacts to another client of an account, those that `isKnown` says are in its roster left out. */
  readonly suggest: (name: string, user: Address, client: Jid, isKnown: (contact: Jid) => boolean) => void;
  readonly dns: DnsQueries;
  readonly isIpAddress: (host: string) => boolean;
  readonly stanzaBytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

/** Logged in at once, of one service: the rest waits for its turn. */
const AT_ONCE = 8;

/** Makes of a stored account its link and its session; nothing connects yet. */
export class AccountMaker {
  readonly #deps: AccountMakerDeps;
  readonly #gates = new Map<string, ConnectGate>();

  constructor(deps: AccountMakerDeps) {
    this.#deps = deps;
  }

  make(record: AccountRecord, jid: Account['jid']): Account {
    const { clock, random, log, stanzaBytesMax, mayBeSeenBy, suggest } = this.#deps;
    const name = accountName(record.link, addressKey(record.user));
    const config = this.#deps.configs.get(record.link);
    if (config === undefined) throw new GatewayError('internal', 'account of an unknown link');
    const opened = this.#opened(record);
    const link = new AccountLink({
      name,
      jid,
      password: opened.password,
      resource: record.resource,
      targets: () => this.#targets(jid.domain, config),
      addressesOf: (host) => hostAddresses(host, this.#deps.dns, this.#deps.isIpAddress),
      ...(config.ca === undefined ? {} : { ca: config.ca }),
      allowPlain: config.allowPlain,
      gate: this.#gateOf(record.link),
      clock,
      random,
      log,
      limits: { stanzaBytesMax },
    });
    const domain = domainOf(record.user);
    const domains: ComponentDomains = { domain, name: domain };
    const session = new AccountSession({
      link,
      user: record.user,
      jid,
      domains,
      contacts: config.contacts,
      onOwnClient: (client) => {
        const { roster } = session;
        if (roster.isKnown) suggest(name, record.user, client, (contact) => roster.of(contact) !== undefined);
      },
      mayBeSeenBy: (watcher) => mayBeSeenBy(record.user, watcher),
      clock,
      log,
    });
    const account: Account = { name, record, jid, link, session, domains };
    if (opened.fault !== undefined) account.fault = opened.fault;
    const refusal = opened.fault === undefined ? record.refusal : { condition: 'unreadable', reason: opened.fault };
    if (refusal !== undefined) link.setRefused(refusal);
    return account;
  }

  /** The password, and whether it was sealed with an older key: then it is sealed anew. */
  #opened(record: AccountRecord): { readonly password: string; readonly fault?: string } {
    const { box, records, log } = this.#deps;
    try {
      const password = box.open(record.secret, secretSubject(record));
      if (box.isOld(record.secret)) {
        const secret = box.seal(password, secretSubject(record));
        records.putLater(accountName(record.link, addressKey(record.user)), { ...record, secret });
        log.info({ aor: record.user, jid: record.jid }, 'password of an account encrypted with the newest key');
      }
      return { password };
    } catch (thrown) {
      const fault = GatewayError.of(thrown).message;
      log.error({ aor: record.user, jid: record.jid, reason: fault }, 'password of an account cannot be read');
      return { password: '', fault };
    }
  }

  #targets(domain: string, { host, port, directTls }: AccountLinkConfig): Promise<readonly ServiceTarget[]> {
    if (host === undefined) return serviceTargets(domain, this.#deps.dns, this.#deps.random);
    return Promise.resolve([{ host, port: port ?? (directTls ? 5223 : 5222), isDirect: directTls }]);
  }

  #gateOf(link: string): ConnectGate {
    let gate = this.#gates.get(link);
    if (gate === undefined) this.#gates.set(link, (gate = new ConnectGate(AT_ONCE)));
    return gate;
  }
}
