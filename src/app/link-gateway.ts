import { createGateway, type Gateway } from '../xmpp/gateway/gateway.ts';
import type { XmppPresence } from '../xmpp/presence/xmpp-presence.ts';
import type { CommandSide } from './commands.ts';
import type { ContactSide } from './contacts.ts';
import type { NamedLink } from './links.ts';
import type { AppOptions } from './options.ts';
import type { Stores } from './stores.ts';

export type GatewayParts = {
  readonly xmpp: XmppPresence;
  readonly contacts: ContactSide;
  readonly commands: CommandSide;
  readonly store: Pick<Stores['store'], 'records'>;
};

/** What a link is as a gateway. */
export function createLinkGateway(
  name: string,
  { link, domains }: NamedLink,
  { xmpp, contacts, commands, store }: GatewayParts,
  { config, clock, log }: AppOptions,
): Gateway {
  const configured = config.links[name];
  return createGateway({
    link: name,
    domains,
    post: (stanza) => link.post(stanza),
    requests: xmpp.requestsOf(name) ?? { ask: () => Promise.resolve(undefined) },
    takesRegistrations: configured?.type === 'xmpp-component' && configured.registration,
    records: store.records('gateway-user'),
    isService: (address) => commands.services.isService(address),
    service: commands.services.namedIn(domains.domain),
    watchersOf: (contact) => xmpp.upstream.contacts.watchersOf(contact),
    nameFor: (asker, user) => contacts.desk.factsFor(asker, user, `link:${name}`).displayName,
    clock,
    log,
  });
}
