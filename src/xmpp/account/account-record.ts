import type { Sealed } from '../../core/accounts.ts';
import { parseAddress, type Address } from '../../cpim/address.ts';
import { type Jid, parseJid } from '../jid.ts';
import type { Refusal } from './login-outcome.ts';

/** One linked account as it is stored; the key of the record is the name of its link, `<link>/<user key>`. */
export type AccountRecord = {
  /** The link of the configuration. */
  readonly link: string;
  readonly user: Address;
  /** Bare JID. */
  readonly jid: string;
  /** The resource it is always bound to. */
  readonly resource: string;
  readonly secret: Sealed;
  readonly addedAtMs: number;
  /** The service does not let it in; in force until the password is changed. */
  readonly refusal?: Refusal;
};

/** The name of the link of an account, by the link of the configuration that it belongs to and the key of its user. */
export function accountName(link: string, userKey: string): string {
  return `${link}/${userKey}`;
}

/** What a secret is bound to, so that it opens for no other account. */
export function secretSubject(record: Pick<AccountRecord, 'link' | 'user' | 'jid'>): string {
  return `account\n${record.link}\n${record.user}\n${record.jid}`;
}

/** A record as it was found, with its JID taken apart; undefined where it is none. */
export function accountRecordFrom(
  value: unknown,
): { readonly record: AccountRecord; readonly jid: Jid & { readonly local: string } } | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const record = value as Partial<Record<keyof AccountRecord, unknown>>;
  if (typeof record.link !== 'string' || typeof record.user !== 'string' || typeof record.resource !== 'string') {
    return undefined;
  }
  const jid = typeof record.jid === 'string' ? parseJid(record.jid) : undefined;
  if (jid?.local === undefined || jid.resource !== undefined || parseAddress(record.user) === undefined)
    return undefined;
  if (typeof record.secret !== 'object' || record.secret === null) return undefined;
  return { record: value as AccountRecord, jid: { local: jid.local, domain: jid.domain } };
}
