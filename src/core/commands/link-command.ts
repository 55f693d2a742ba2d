import type { AccountLinks } from './account-links.ts';
import { answered, type Command, refused } from './command.ts';

/** `link account`: which accounts a user has linked, and how he links one. */
export function linkCommand({ accounts }: { readonly accounts: AccountLinks }): Command {
  return {
    name: 'link account',
    title: 'Linked accounts',
    about: 'your accounts on XMPP services, and how to link one',
    usage: 'link account',
    isForUsers: true,
    args: [],
    run: ({ user }) => {
      if (user === undefined) return refused('Accounts are linked by users of this server.');
      const linked = accounts.accountsOf(user).map(({ address, state }) => `${address}: ${state}`);
      return answered(...(linked.length === 0 ? ['You have linked no account.'] : linked), ...accounts.howToLink(user));
    },
  };
}
