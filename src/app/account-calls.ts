import type { Address } from '../cpim/address.ts';
import type { AccountAdministration } from '../core/accounts.ts';

/** What an operator asks of accounts, for the node that keeps them. */
export type AccountCall =
  | { readonly do: 'list' }
  | { readonly do: 'of'; readonly user: Address }
  | {
      readonly do: 'add';
      readonly user: Address;
      readonly jid: string;
      readonly password: string;
      readonly link?: string;
    }
  | { readonly do: 'password'; readonly user: Address; readonly jid: string; readonly password: string }
  | { readonly do: 'remove'; readonly user: Address; readonly jid: string };

export function accountAnswer(accounts: AccountAdministration, call: AccountCall): unknown {
  switch (call.do) {
    case 'list':
      return accounts.list();
    case 'of':
      return accounts.of(call.user);
    case 'add':
      return accounts.add(call.user, call.jid, call.password, call.link);
    case 'password':
      return accounts.changePassword(call.user, call.jid, call.password);
    case 'remove':
      return accounts.remove(call.user, call.jid);
  }
}
