import { type AccountLinks, NO_ACCOUNT_LINKS } from '../core/commands/account-links.ts';
import { ChatDesk } from '../core/commands/chat-desk.ts';
import { CommandService } from '../core/commands/command-service.ts';
import { ServiceAddresses } from '../core/commands/service-addresses.ts';
import type { DeliveryService } from '../core/delivery-service.ts';
import { pairLink, type PeerTable } from '../core/peers.ts';
import type { CredentialStore, DeliveryQueue } from '../core/ports.ts';
import type { WatcherAdministration } from '../core/presence/rules.ts';
import type { RegistrationService } from '../core/registration-service.ts';
import { linkHop, type Router, sipHop } from '../core/router.ts';
import type { Address } from '../cpim/address.ts';
import { AdhocCommands } from '../xmpp/gateway/adhoc.ts';
import type { AppOptions } from './options.ts';
import { newToken } from './token.ts';

export type CommandParts = {
  readonly peers: PeerTable;
  readonly credentials: Pick<CredentialStore, 'find'>;
  readonly queue: DeliveryQueue;
  readonly router: Router;
  readonly isUser: (address: Address) => boolean;
  readonly contactsOf: RegistrationService['contactsOf'];
  readonly watchers: () => WatcherAdministration;
  /** Where users may link accounts. */
  readonly accounts: AccountLinks | undefined;
  /** Which needs to know the addresses of these parts. */
  readonly delivery: () => DeliveryService;
};

/** What users command, and how. */
export type CommandSide = {
  readonly service: CommandService;
  readonly services: ServiceAddresses;
  readonly chat: ChatDesk;
  readonly adhoc: AdhocCommands;
};

/** Puts together what takes commands of users. */
export function createCommands(parts: CommandParts, { config, clock, log }: AppOptions): CommandSide {
  const { peers, credentials, queue, router, isUser, contactsOf } = parts;
  const services = new ServiceAddresses({
    config: config.commands,
    domains: peers.ownDomains,
    isTaken: (userKey) => credentials.find(userKey) !== undefined,
    log,
  });
  const service = new CommandService({
    isUser,
    contactsOf,
    queue,
    peersOf: (domain) =>
      [...new Set(config.peers.map((peer) => peer.domain))].flatMap((name) =>
        peers
          .peersOf(name)
          .filter(({ standsFor }) => standsFor === undefined || standsFor === domain)
          .map(({ link, isPaired }) => {
            const way = isPaired === true ? pairLink(link, domain, name) : link;
            const hop = link === 'sip' ? sipHop(name) : linkHop(way);
            return { domain: name, isReachable: parts.delivery().isReachable(hop) };
          }),
      ),
    watchers: parts.watchers,
    accounts: parts.accounts ?? NO_ACCOUNT_LINKS,
    clock,
    log,
  });
  const chat = new ChatDesk({ services, commands: service, queue, router, clock, log });
  const adhoc = new AdhocCommands({ commands: service, newToken, clock });
  return { service, services, chat, adhoc };
}
