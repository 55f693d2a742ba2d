import type { AccountLine, AccountState } from '../../core/accounts.ts';
import { GatewayError } from '../../core/errors.ts';
import { addressKey, type Address } from '../../cpim/address.ts';
import { type Jid, parseJid } from '../jid.ts';
import type { AccountLink } from '../link-account.ts';
import { addressFromJid, type ComponentDomains } from '../map-address.ts';
import type { AccountRecord } from './account-record.ts';
import type { AccountSession } from './account-session.ts';

/** One account that a user has linked, as this process has it. */
export type Account = {
  readonly name: string;
  record: AccountRecord;
  readonly jid: Jid & { readonly local: string };
  readonly link: AccountLink;
  readonly session: AccountSession;
  /** Of its user. */
  readonly domains: ComponentDomains;
  /** Why it cannot be tried, where that is no word of the service. */
  fault?: string;
};

/** No domain has another name here. */
export const NO_DOMAINS: ComponentDomains = { domain: '', name: '' };
const PASSWORD_MAX = 1_024;

export function stateOf({ link, fault }: Account): AccountState {
  const { at, sinceMs, reason } = link.state();
  if (link.refusal !== undefined || fault !== undefined) {
    return { at: 'refused', sinceMs, reason: fault ?? link.refusal?.reason ?? '' };
  }
  return { at, sinceMs, ...(reason === undefined ? {} : { reason }) };
}

export function lineOf(account: Account): AccountLine {
  const { record } = account;
  const { link, jid, addedAtMs } = record;
  return { user: addressKey(record.user), link, jid, addedAtMs, state: stateOf(account) };
}

export function accountJid(text: string): Jid & { readonly local: string } {
  const jid = parseJid(text);
  if (jid?.local === undefined || jid.resource !== undefined) {
    throw new GatewayError('address-malformed', 'no bare JID of an account');
  }
  return { local: jid.local, domain: jid.domain };
}

export function checkPassword(password: string): void {
  if (password === '' || password.length > PASSWORD_MAX) {
    throw new GatewayError('request-malformed', `a password has 1 to ${PASSWORD_MAX} characters`);
  }
}

/** The account as an address that sees and is seen. */
export function watcherOf(jid: Jid): Address | undefined {
  return addressFromJid(jid, NO_DOMAINS);
}
