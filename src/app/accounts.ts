import { isIP } from 'node:net';
import { join } from 'node:path';
import { addressKey, type Address } from '../cpim/address.ts';
import type { SecretBox } from '../core/accounts.ts';
import type { AccountLinkConfig } from '../core/config.ts';
import { GatewayError } from '../core/errors.ts';
import { noticeTo } from '../core/notice.ts';
import type { Records } from '../core/ports.ts';
import { queueEntryOf } from '../core/queue-entry.ts';
import { linkHop, userHop } from '../core/router.ts';
import { systemDnsQueries } from '../dns/dns-queries.ts';
import { createSecretBox } from '../store/secret-box.ts';
import { type AccountRecord, secretSubject } from '../xmpp/account/account-record.ts';
import { Accounts, type AccountsDeps } from '../xmpp/account/accounts.ts';
import { shownPresence } from '../xmpp/account/shown-presence.ts';
import { type LinkServices, type NamedLink, startLink } from './links.ts';
import type { AppOptions } from './options.ts';
import { createSuggestions } from './account-suggestions.ts';
import type { Nodes } from './nodes.ts';
import type { PresenceSide } from './presence.ts';
import { type AccountsFace, SharedAccounts } from './shared-accounts.ts';
import type { PresenceTenure } from './shared-presence.ts';
import type { Stores } from './stores.ts';
import { newToken } from './token.ts';

export type AccountParts = {
  readonly stores: Stores;
  readonly nodes: Nodes | undefined;
  /** Where the links of accounts are put while there are any. */
  readonly links: Map<string, NamedLink>;
  readonly isUser: (address: Address) => boolean;
  /** Which need the accounts to be there first. */
  readonly services: () => LinkServices;
};

/** The accounts, wherever they are kept. */
export type AccountSide = {
  readonly face: AccountsFace;
  /** Of several nodes: keeps them beside presence, as long as that is kept by this node under this fence. */
  readonly keep?: (
    side: PresenceSide,
    records: Stores['store']['records'],
    fence: number,
  ) => Required<Pick<PresenceTenure, 'started' | 'halt'>>;
};

/** The accounts that users have linked; undefined where the configuration has no link for them. */
export function createAccounts(parts: AccountParts, options: AppOptions): AccountSide | undefined {
  const { config } = options;
  const { stores, nodes, links, services } = parts;
  const configs = new Map<string, AccountLinkConfig>();
  for (const [name, link] of Object.entries(config.links)) if (link.type === 'xmpp-account') configs.set(name, link);
  if (configs.size === 0) return undefined;
  const box = accountBox(options);
  if (nodes !== undefined) return shareAccounts(parts, nodes, { configs, box }, options);
  const own = (): PresenceSide => {
    const side = services().presence.own;
    if (side === undefined) throw new GatewayError('internal', 'accounts where presence is not kept');
    return side;
  };
  const start: AccountsDeps['startLink'] = (name, onRefused) => {
    const link = links.get(name);
    return link === undefined ? Promise.resolve() : startLink(name, link, services(), options, { onRefused });
  };
  const forget: AccountsDeps['forgetLink'] = async (name, user) => {
    const { delivery } = services();
    await own().xmpp.forgetLink(name, user);
    // What waits for it is looked at once more, and its senders are told.
    delivery.hopUp(linkHop(name));
    delivery.hopDown(linkHop(name));
  };
  const records = stores.store.records<AccountRecord>('account');
  return { face: openAccounts(parts, { configs, box, own, records, links, start, forget }, options) };
}

/** Of several nodes: kept by the one that keeps presence. */
function shareAccounts(
  parts: AccountParts,
  nodes: Nodes,
  { configs, box }: Pick<AccountNeeds, 'configs' | 'box'>,
  options: AppOptions,
): AccountSide {
  const { stores, links, services } = parts;
  const { store } = stores;
  const face = new SharedAccounts({
    ...nodes,
    services: new Map([...configs].map(([name, { domains }]) => [name, domains])),
    stored: store.records('account'),
    onStored: (listener) => void store.onChange('account', listener),
    check: (record) => void box.open(record.secret, secretSubject(record)),
    links,
    up: (name) => services().delivery.hopUp(linkHop(name)),
    down: (name) => services().delivery.hopDown(linkHop(name)),
    clock: options.clock,
    log: options.log,
  });
  const keep: AccountSide['keep'] = (side, records, fence) => {
    const ownLinks = new Map<string, NamedLink>();
    const start: AccountsDeps['startLink'] = (name, onRefused) => {
      const own = ownLinks.get(name);
      if (own === undefined) return Promise.resolve();
      face.stirred(name);
      const link = face.watched(fence, name, own.link);
      return startLink(name, { ...own, link }, services(), options, {
        onRefused: (refusal) => {
          onRefused(refusal);
          face.stirred(name);
        },
      });
    };
    const forget: AccountsDeps['forgetLink'] = async (name, user) => {
      services().presence.forLink(name).down();
      await side.xmpp.forgetLink(name, user);
      face.forgotten(name);
    };
    const needs = {
      configs,
      box,
      own: () => side,
      records: records<AccountRecord>('account'),
      links: ownLinks,
      start,
      forget,
    };
    const own = { accounts: openAccounts(parts, needs, options), links: ownLinks };
    return {
      started: () => face.keep(own, fence),
      halt: (graceMs) => {
        const halted = face.release(own, graceMs);
        // Nothing of them is up here for whoever keeps presence next.
        for (const name of ownLinks.keys()) services().presence.forLink(name).down();
        return halted;
      },
    };
  };
  return { face, keep };
}

function accountBox({ config, log }: AppOptions): SecretBox {
  const { key, keyFile } = config.accounts;
  return createSecretBox({
    ...(key === undefined ? {} : { keys: key }),
    keyFile: keyFile ?? join(config.data, 'account.key'),
    // One that each node made for itself would open nothing at the others.
    isMade: config.store === undefined,
    log,
  });
}

type AccountNeeds = {
  readonly configs: ReadonlyMap<string, AccountLinkConfig>;
  readonly box: SecretBox;
  readonly own: () => PresenceSide;
  readonly records: Records<AccountRecord>;
  readonly links: Map<string, NamedLink>;
  readonly start: AccountsDeps['startLink'];
  readonly forget: AccountsDeps['forgetLink'];
};

function openAccounts(
  { stores, isUser, links: allLinks }: AccountParts,
  { configs, box, own, records, links, start, forget }: AccountNeeds,
  options: AppOptions,
): Accounts {
  const { config, clock, random, log } = options;
  const presence = () => own().service;
  return new Accounts({
    configs,
    records,
    box,
    links,
    startLink: start,
    forgetLink: forget,
    isUser,
    mayBeSeenBy: (user, watcher) => presence().decide(addressKey(user), watcher).action === 'allow',
    blocks: (user, watcher) => presence().decide(addressKey(user), watcher).action === 'block',
    presenceOf: (userKey, priority) => shownPresence(presence().shownOf(userKey), priority),
    follow: (userKey) => presence().follow(userKey),
    unfollow: (userKey) => presence().unfollow(userKey),
    suggest: createSuggestions(allLinks, own, options),
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
  const nowMs = clock.nowMs();
  const notice = noticeTo(user, text, newToken(), nowMs);
  const hop = userHop(addressKey(user));
  await queue.add(queueEntryOf(notice, hop, nowMs + config.queue.lifetimeSeconds * 1_000));
  log.info({ messageId: notice.id, operation: 'message', nextHop: hop }, 'operation accepted');
}
