import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { addressFrom, addressKey, domainOf, type Address } from '../cpim/address.ts';
import type { AccountLinkConfig } from '../core/config.ts';
import { GatewayError } from '../core/errors.ts';
import { linkHop, userHop } from '../core/router.ts';
import { systemDnsQueries } from '../dns/dns-queries.ts';
import { createSecretBox } from '../store/secret-box.ts';
import { Accounts } from '../xmpp/account/accounts.ts';
import { shownPresence } from '../xmpp/account/shown-presence.ts';
import { type LinkServices, type NamedLink, startLink } from './links.ts';
import type { AppOptions } from './options.ts';
import { createSuggestions } from './account-suggestions.ts';
import type { PresenceSide } from './presence.ts';
import type { Stores } from './stores.ts';

export type AccountParts = {
  readonly stores: Stores;
  /** Where the links of accounts are put while there are any. */
  readonly links: Map<string, NamedLink>;
  readonly isUser: (address: Address) => boolean;
  /** Which need the accounts to be there first. */
  readonly services: () => LinkServices;
};

/** A message of ours to a user: its failure is told to nobody. */
const NOTICE = 'notice-';

/** The accounts that users have linked; undefined where the configuration has no link for them. */
export function createAccounts(parts: AccountParts, options: AppOptions): Accounts | undefined {
  const { config, clock, random, log } = options;
  const { stores, links, isUser, services } = parts;
  const configs = new Map<string, AccountLinkConfig>();
  for (const [name, link] of Object.entries(config.links)) if (link.type === 'xmpp-account') configs.set(name, link);
  if (configs.size === 0) return undefined;
  // With several nodes the configuration has no such link.
  const own = (): PresenceSide => {
    const side = services().presence.own;
    if (side === undefined) throw new GatewayError('internal', 'accounts where presence is not kept');
    return side;
  };
  const presence = () => own().service;
  const { key, keyFile } = config.accounts;
  return new Accounts({
    configs,
    records: stores.store.records('account'),
    box: createSecretBox({
      ...(key === undefined ? {} : { keys: key }),
      keyFile: keyFile ?? join(config.data, 'account.key'),
      log,
    }),
    links,
    startLink: (name, onRefused) => {
      const link = links.get(name);
      return link === undefined ? Promise.resolve() : startLink(name, link, services(), options, { onRefused });
    },
    forgetLink: async (name, user) => {
      const { delivery } = services();
      await own().xmpp.forgetLink(name, user);
      // What waits for it is looked at once more, and its senders are told.
      delivery.hopUp(linkHop(name));
      delivery.hopDown(linkHop(name));
    },
    isUser,
    mayBeSeenBy: (user, watcher) => presence().decide(addressKey(user), watcher).action === 'allow',
    blocks: (user, watcher) => presence().decide(addressKey(user), watcher).action === 'block',
    presenceOf: (userKey, priority) => shownPresence(presence().shownOf(userKey), priority),
    follow: (userKey) => presence().follow(userKey),
    unfollow: (userKey) => presence().unfollow(userKey),
    suggest: createSuggestions(links, own, options),
    tellUser: (user, text) => tellUser(user, text, stores, options),
    dns: systemDnsQueries(config.dns.servers),
    isIpAddress: (host) => isIP(host) !== 0,
    stanzaBytesMax: config.limits.stanzaBytes,
    clock,
    random,
    log,
  });
}

/** A message from the postmaster of the user's domain, which waits for him as any other. */
async function tellUser(
  user: Address,
  text: string,
  { queue }: Stores,
  { config, clock, log }: AppOptions,
): Promise<void> {
  const postmaster = addressFrom('postmaster', domainOf(user));
  if (postmaster === undefined) throw new GatewayError('internal', 'domain without a postmaster');
  const nowMs = clock.nowMs();
  const id = `${NOTICE}${randomBytes(12).toString('base64url')}`;
  const hop = userHop(addressKey(user));
  await queue.add({
    id,
    lane: `${addressKey(postmaster)}\n${addressKey(user)}`,
    hop,
    owner: addressKey(postmaster),
    expiresAtMs: nowMs + config.queue.lifetimeSeconds * 1_000,
    operation: {
      op: 'message',
      id,
      source: { address: postmaster },
      destination: { address: user },
      hops: 70,
      acceptedAtMs: nowMs,
      content: { type: 'text/plain;charset=UTF-8', text },
    },
  });
  log.info({ messageId: id, operation: 'message', nextHop: hop }, 'operation accepted');
}
