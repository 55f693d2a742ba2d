import { addressKey } from '../../cpim/address.ts';
import type { Binding, DeliveryQueue } from '../ports.ts';
import type { AccountLinks } from './account-links.ts';
import { answered, type Caller, type Command } from './command.ts';

export type StatusDeps = {
  readonly contactsOf: (userKey: string) => readonly Binding[];
  readonly queue: Pick<DeliveryQueue, 'figures' | 'list'>;
  /** The domains of others that users of this domain may write to, and whether they can be reached now. */
  readonly peersOf: (domain: string) => ReadonlyArray<{ readonly domain: string; readonly isReachable: boolean }>;
  readonly accounts: AccountLinks;
};

/** More is not counted one by one. */
const COUNTED_MAX = 1_000;
const PEERS_MAX = 20;

/** `status`: where somebody is registered, what can be reached, what waits. */
export function statusCommand(deps: StatusDeps): Command {
  return {
    name: 'status',
    title: 'Status',
    about: 'your registrations, what can be reached, and what waits',
    usage: 'status',
    isForUsers: false,
    args: [],
    run: async (caller) => {
      const lines = [`You are ${caller.address}.`, ...userLines(caller, deps), ...(await waitingLines(caller, deps))];
      return answered(...lines);
    },
  };
}

function userLines({ user, address }: Caller, { contactsOf, peersOf, accounts }: StatusDeps): readonly string[] {
  if (user === undefined) return [];
  const contacts = contactsOf(addressKey(user));
  const peers = peersOf(user.slice(user.indexOf('@') + 1));
  return [
    ...(address === user ? [] : [`You speak for ${user}.`]),
    contacts.length === 0 ? 'No phone of yours is registered.' : `Registered phones: ${contacts.length}.`,
    ...contacts.map(
      ({ userAgent = 'a phone', expiresAtMs }) => `- ${userAgent}, until ${new Date(expiresAtMs).toISOString()}`,
    ),
    ...peers
      .slice(0, PEERS_MAX)
      .map(({ domain, isReachable }) => `${domain} can ${isReachable ? '' : 'not '}be reached.`),
    ...(peers.length > PEERS_MAX ? [`... and ${peers.length - PEERS_MAX} more domains`] : []),
    ...accounts.accountsOf(user).map((account) => `Linked account ${account.address}: ${account.state}.`),
  ];
}

async function waitingLines({ address, user }: Caller, { queue }: StatusDeps): Promise<readonly string[]> {
  const owner = addressKey(user ?? address);
  const sent = await queue.list({ state: 'live', owner, limit: COUNTED_MAX });
  const failed = await queue.list({ state: 'dead', owner, limit: COUNTED_MAX });
  const forHim = user === undefined ? 0 : (queue.figures().perHop[`user:${owner}`] ?? 0);
  return [
    ...(user === undefined ? [] : [`Messages that wait for you: ${forHim}.`]),
    `Messages of yours that wait: ${counted(sent.length)}; that failed lately: ${counted(failed.length)}.`,
  ];
}

function counted(count: number): string {
  return count < COUNTED_MAX ? String(count) : `${COUNTED_MAX} or more`;
}
