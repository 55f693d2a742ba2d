import { createGateway, type Gateway } from '../xmpp/gateway/gateway.ts';
import type { LinkServices, NamedLink } from './links.ts';
import type { AppOptions } from './options.ts';

/** What a link is as a gateway. */
export function createLinkGateway(
  name: string,
  { link, domains }: NamedLink,
  { presence, contacts, commands, store }: LinkServices,
  { config, clock, log }: AppOptions,
): Gateway {
  const configured = config.links[name];
  return createGateway({
    link: name,
    domains,
    post: (stanza) => link.post(stanza),
    requests: presence.xmpp.requestsOf(name) ?? { ask: () => Promise.resolve(undefined) },
    takesRegistrations: configured?.type === 'xmpp-component' && configured.registration,
    records: store.records('gateway-user'),
    isService: (address) => commands.services.isService(address),
    service: commands.services.namedIn(domains.domain),
    watchersOf: (contact) => presence.xmpp.upstream.watchersOf(contact),
    nameFor: (asker, user) => contacts.desk.factsFor(asker, user, `link:${name}`).displayName,
    clock,
    log,
  });
}
