import { connect } from 'node:net';
import type { DeliveryService } from '../core/delivery-service.ts';
import type { MessageService } from '../core/message-service.ts';
import type { PeerTable } from '../core/peers.ts';
import type { ReceiptService } from '../core/receipts/receipt-service.ts';
import { linkHop } from '../core/router.ts';
import { xmppDispatch } from '../xmpp/dispatch.ts';
import { ComponentLink } from '../xmpp/link-component.ts';
import type { AccountSessionEvents } from '../xmpp/account/account-session.ts';
import type { LinkEvents, XmppLink } from '../xmpp/link.ts';
import type { ComponentDomains } from '../xmpp/map-address.ts';
import { OwnedLink } from '../xmpp/owned-link.ts';
import type { CommandSide } from './commands.ts';
import type { AppOptions } from './options.ts';
import type { Nodes } from './nodes.ts';
import type { PresenceFace } from './presence-face.ts';

/** How long looking whether a server can be reached may take, ms. */
const REACH_MS = 5_000;

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
export function createLinks(
  { config, clock, random, log }: AppOptions,
  nodes: Nodes | undefined,
): Map<string, NamedLink> {
  const links = new Map<string, NamedLink>();
  for (const [name, domains] of Object.entries(config.links)) {
    if (domains.type !== 'xmpp-component') continue;
    const create = (): XmppLink =>
      new ComponentLink({
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
    // Of several nodes one runs it: an XMPP server takes a component's name once.
    const canReach = (): Promise<boolean> => canConnect(domains.host, domains.port);
    const link = nodes === undefined ? create() : new OwnedLink({ ...nodes, name, create, canReach, clock, log });
    links.set(name, { link, domains });
  }
  return links;
}

/** Whether a connection can be had at a place; it says nothing and ends. */
function canConnect(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: REACH_MS });
    const end = (isConnected: boolean): void => {
      socket.destroy();
      resolve(isConnected);
    };
    socket
      .once('connect', () => end(true))
      .once('timeout', () => end(false))
      .once('error', () => end(false));
  });
}

export type LinkServices = {
  readonly peers: PeerTable;
  readonly messages: MessageService;
  readonly receipts: ReceiptService;
  readonly delivery: DeliveryService;
  readonly presence: Pick<PresenceFace, 'forLink' | 'iqFor' | 'gatewayFor' | 'own'>;
  readonly commands: CommandSide;
};

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
  const { peers, messages, receipts, delivery, presence, commands } = services;
  const linkPresence = presence.forLink(name);
  const hop = linkHop(name);
  const gateway = presence.gatewayFor(name);
  const events: LinkEvents = {
    ...more,
    onStanza: xmppDispatch({
      link: name,
      domains,
      post: (stanza) => link.post(stanza),
      isPeer: (domain) => peers.isReachedOver(domain, name),
      accept: (message, origin) => messages.accept(message, origin),
      receipt: (receipt, origin) => receipts.came(receipt, origin),
      presence: linkPresence,
      failedLater: (id, error, from) => delivery.failedLater(id, error, from),
      isService: (address) => commands.services.isService(address),
      ...(gateway === undefined ? {} : { gateway }),
      iq: presence.iqFor(name),
      clock,
      log,
    }),
    onUp: () => {
      delivery.hopUp(hop);
      linkPresence.up();
    },
    onDown: () => {
      delivery.hopDown(hop);
      linkPresence.down();
    },
  };
  return link.start(events);
}
