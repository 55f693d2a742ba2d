import { GatewayError } from '../../core/errors.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { bareJid, formatJid } from '../jid.ts';
import { DISCO_INFO_NAMESPACE, type DiscoInfo } from '../presence/disco-info.ts';
import { presencesFromDocument } from '../presence/map-presence.ts';
import {
  ACCOUNT_INFO,
  DISCO_ITEMS_NAMESPACE,
  infoOfCapsNode,
  LAST_NAMESPACE,
  OWN_CAPS,
  PING_NAMESPACE,
  TIME_NAMESPACE,
  VCARD_NAMESPACE,
  VERSION_NAMESPACE,
} from '../presence/own-caps.ts';
import type { ContactFacts } from '../../core/directory/contact-desk.ts';
import { COMMANDS_NAMESPACE } from './adhoc-element.ts';
import { type Ask, type ContactAsk, type Handler, nodeOf } from './ask.ts';
import { DATA_FORM_NAMESPACE } from './data-form.ts';
import { type Listed, page } from './paging.ts';

/** A command as it is listed. */
export type ListedCommand = { readonly node: string; readonly title: string };

export type DiscoDeps = {
  readonly factsFor: (ask: ContactAsk) => ContactFacts;
  /** The commands that somebody may give. */
  readonly commandsFor: (ask: Ask) => readonly ListedCommand[];
  /** What the domain answers beside what it always does: namespaces. */
  readonly features: readonly string[];
  /** The address to which commands are given as messages, where there is one: a JID. */
  readonly service: (ask: Ask) => string | undefined;
};

/** `simple` is the registered type of a gateway to SIP/SIMPLE. */
const GATEWAY_IDENTITIES: DiscoInfo['identities'] = [
  { category: 'gateway', type: 'simple', name: 'Interpres' },
  { category: 'gateway', type: 'sip', name: 'Interpres' },
];
/** XEP-0106, section 6: who writes to us may escape localparts. */
const JID_ESCAPING = 'jid\\20escaping';
const GATEWAY_FEATURES = [
  DISCO_INFO_NAMESPACE,
  DISCO_ITEMS_NAMESPACE,
  JID_ESCAPING,
  PING_NAMESPACE,
  VERSION_NAMESPACE,
  LAST_NAMESPACE,
  TIME_NAMESPACE,
  VCARD_NAMESPACE,
];
const SERVICE_INFO: DiscoInfo = {
  identities: [{ category: 'client', type: 'bot', name: 'Interpres' }],
  features: [
    DISCO_INFO_NAMESPACE,
    DISCO_ITEMS_NAMESPACE,
    PING_NAMESPACE,
    VERSION_NAMESPACE,
    LAST_NAMESPACE,
    TIME_NAMESPACE,
    VCARD_NAMESPACE,
    COMMANDS_NAMESPACE,
  ],
  forms: [],
};
const COMMAND_LIST: DiscoInfo = {
  identities: [{ category: 'automation', type: 'command-list', name: 'Commands' }],
  features: [DISCO_INFO_NAMESPACE, DISCO_ITEMS_NAMESPACE, COMMANDS_NAMESPACE],
  forms: [],
};

/** What disco#info says of the domain; of a service address where `isService`. */
export function serverInfo({ features, commandsFor }: DiscoDeps, isService: boolean): Handler {
  const gateway: DiscoInfo = {
    identities: GATEWAY_IDENTITIES,
    features: [...GATEWAY_FEATURES, ...features],
    forms: [],
  };
  return (ask) => {
    const node = nodeOf(ask.payload);
    if (node === undefined) return infoElement(isService ? SERVICE_INFO : gateway, node);
    const commands = commandsFor(ask);
    if (node === COMMANDS_NAMESPACE && commands.length > 0) return infoElement(COMMAND_LIST, node);
    const command = commands.find((one) => one.node === node);
    if (command === undefined) throw unknownNode();
    const identities = [{ category: 'automation', type: 'command-node', name: command.title }];
    return infoElement({ identities, features: [COMMANDS_NAMESPACE, DATA_FORM_NAMESPACE], forms: [] }, node);
  };
}

/** The commands node, and where to write to; behind the node the commands (XEP-0050, section 2.2). */
export function serverItems({ commandsFor, service }: DiscoDeps, isService: boolean): Handler {
  return (ask) => {
    const node = nodeOf(ask.payload);
    const jid = formatJid(bareJid(ask.to));
    const commands = commandsFor(ask);
    if (node === COMMANDS_NAMESPACE) {
      return itemsElement(
        ask.payload,
        commands.map(({ node: name, title }) => item(name, { jid, node: name, name: title })),
      );
    }
    if (node !== undefined) throw unknownNode();
    const items: Listed[] = [];
    if (commands.length > 0) items.push(item('commands', { jid, node: COMMANDS_NAMESPACE, name: 'Commands' }));
    const writeTo = isService ? undefined : service(ask);
    if (writeTo !== undefined) items.push(item('service', { jid: writeTo, name: 'Commands as messages' }));
    return itemsElement(ask.payload, items);
  };
}

/**
 * What disco#info says of a user, whether he exists or not: his account at the bare JID; at a full JID what that instance
 * is, to those who may see it, and what any is to all others. At a node of caps what those caps stand for.
 */
export function contactInfo({ factsFor }: DiscoDeps): Handler<ContactAsk> {
  return (ask) => {
    const node = nodeOf(ask.payload);
    if (node !== undefined) {
      const info = infoOfCapsNode(node);
      if (info === undefined) throw unknownNode();
      return infoElement(info, node);
    }
    const { resource } = ask.to;
    if (resource === undefined) return infoElement(ACCOUNT_INFO, node);
    const { document } = factsFor(ask);
    const presence =
      document === undefined
        ? undefined
        : presencesFromDocument(document).find((one) => one.isAvailable && one.resource === resource);
    return infoElement(OWN_CAPS[presence?.kind ?? 'unknown'].info, node);
  };
}

/** The instances of a user that are there, for those who may see that. */
export function contactItems({ factsFor }: DiscoDeps): Handler<ContactAsk> {
  return (ask) => {
    if (nodeOf(ask.payload) !== undefined) throw unknownNode();
    const { document } = ask.to.resource === undefined ? factsFor(ask) : {};
    const instances =
      document === undefined
        ? []
        : presencesFromDocument(document).filter(({ isAvailable, resource }) => isAvailable && resource !== '');
    return itemsElement(
      ask.payload,
      instances.map(({ resource }) => item(resource, { jid: formatJid({ ...bareJid(ask.to), resource }) })),
    );
  };
}

function infoElement({ identities, features }: DiscoInfo, node: string | undefined): XmlElement {
  return {
    name: 'query',
    attrs: { xmlns: DISCO_INFO_NAMESPACE, ...(node === undefined ? {} : { node }) },
    children: [
      ...identities.map(({ category, type, name }) => ({
        name: 'identity',
        attrs: { category, type, ...(name === undefined ? {} : { name }) },
        children: [],
      })),
      ...features.map((feature) => ({ name: 'feature', attrs: { var: feature }, children: [] })),
    ],
  };
}

function itemsElement(query: XmlElement, items: readonly Listed[]): XmlElement {
  const node = nodeOf(query);
  const attrs = { xmlns: DISCO_ITEMS_NAMESPACE, ...(node === undefined ? {} : { node }) };
  return { name: 'query', attrs, children: page(query, items) };
}

function item(key: string, attrs: Readonly<Record<string, string>>): Listed {
  return { key, element: { name: 'item', attrs, children: [] } };
}

function unknownNode(): GatewayError {
  return new GatewayError('recipient-unknown', 'node that is not there');
}
