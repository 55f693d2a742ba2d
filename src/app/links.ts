import type { DeliveryService } from '../core/delivery-service.ts';
import type { MessageService } from '../core/message-service.ts';
import type { PeerTable } from '../core/peers.ts';
import { linkHop } from '../core/router.ts';
import { xmppDispatch } from '../xmpp/dispatch.ts';
import { ComponentLink } from '../xmpp/link-component.ts';
import type { Gateway } from '../xmpp/gateway/gateway.ts';
import type { AccountSessionEvents } from '../xmpp/account/account-session.ts';
import type { LinkEvents, XmppLink } from '../xmpp/link.ts';
import type { ComponentDomains } from '../xmpp/map-address.ts';
import type { CommandSide } from './commands.ts';
import type { ContactSide } from './contacts.ts';
import { createIqDesk } from './iq.ts';
import { createLinkGateway } from './link-gateway.ts';
import type { AppOptions } from './options.ts';
import type { PresenceSide } from './presence.ts';
import type { Stores } from './stores.ts';

/** A way to XMPP domains, and the names under which it stands for ours. */
export type NamedLink = {
  readonly link: XmppLink;
  readonly domains: ComponentDomains;
  /** The one domain at its far end; absent: several may be there. */
  readonly peer?: string;
  /** Address key of the one user of ours whom it is for, by an account of his own; absent: it is for a domain. */
  readonly owner?: string;
};

/** The links of the configuration by their names, but for those of accounts; none of them connects yet. */
export function createLinks({ config, clock, random, log }: AppOptions): Map<string, NamedLink> {
  const links = new Map<string, NamedLink>();
  for (const [name, domains] of Object.entries(config.links)) {
    if (domains.type !== 'xmpp-component') continue;
    const link = new ComponentLink({
      name,
      host: domains.host,
      port: domains.port,
      component: domains.name,
      secret: domains.secret,
      clock,
      random,
      log,
      limits: { stanzaBytesMax: config.limits.stanzaBytes },
    });
    links.set(name, { link, domains });
  }
  return links;
}

export type LinkServices = {
  readonly peers: PeerTable;
  readonly messages: MessageService;
  readonly delivery: DeliveryService;
  readonly presence: PresenceSide;
  readonly contacts: ContactSide;
  readonly commands: CommandSide;
  readonly store: Pick<Stores['store'], 'records'>;
  /** Those of all links that were started: they take their leave when the server stops. */
  readonly gateways: Set<Gateway>;
  /** Of the server, ms since the epoch. */
  readonly startedAtMs: number;
};

const NO_GATEWAY: Pick<Gateway, 'served' | 'features'> = { served: new Map(), features: [] };

/** Starts a link with everything that its stanzas and its coming and going mean to the rest of the server. */
export function startLink(
  name: string,
  { link, domains }: NamedLink,
  services: LinkServices,
  options: AppOptions,
  /** Of an account. */
  more?: Pick<AccountSessionEvents, 'onRefused'>,
): Promise<void> {
  const { clock, log } = options;
  const { peers, messages, delivery, presence, commands } = services;
  const linkPresence = presence.xmpp.forLink(name);
  if (linkPresence === undefined) throw new Error('a link that XMPP presence does not know');
  const hop = linkHop(name);
  // A user's own account is a client of its service, and no gateway to anybody.
  const gateway = more === undefined ? createLinkGateway(name, { link, domains }, services, options) : undefined;
  if (gateway !== undefined) services.gateways.add(gateway);
  const events: LinkEvents = {
    ...more,
    onStanza: xmppDispatch({
      link: name,
      domains,
      post: (stanza) => link.post(stanza),
      isPeer: (domain) => peers.isReachedOver(domain, name),
      accept: (message, origin) => messages.accept(message, origin),
      presence: linkPresence,
      failedLater: (id, error, from) => delivery.failedLater(id, error, from),
      isService: (address) => commands.services.isService(address),
      ...(gateway === undefined ? {} : { gateway }),
      iq: createIqDesk(name, domains, { ...services, gateway: gateway ?? NO_GATEWAY }, options),
      clock,
      log,
    }),
    onUp: () => {
      delivery.hopUp(hop);
      gateway?.up();
      linkPresence.up();
      presence.service.subscriptions.wake(hop);
    },
    onDown: () => {
      delivery.hopDown(hop);
      gateway?.down();
      linkPresence.down();
    },
  };
  return link.start(events);
}
