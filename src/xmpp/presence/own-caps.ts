import type { PresenceDocument, Tuple } from '../../cpim/presence/document.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { CAPS_HASH_NODE, capsHash, capsHashesElement, CAPS_HASHES_NAMESPACE } from './caps-hashes.ts';
import { capsVer, DISCO_INFO_NAMESPACE, type DiscoIdentity, type DiscoInfo } from './disco-info.ts';
import { PEP_NODES } from './pep-nodes.ts';
import { MARKERS_NAMESPACE, RECEIPTS_NAMESPACE } from '../stanza-content.ts';
import { CAPS_NAMESPACE, type Caps, capsElement } from './presence-content.ts';

/** XEP-0199. */
export const PING_NAMESPACE = 'urn:xmpp:ping';
export const DISCO_ITEMS_NAMESPACE = 'http://jabber.org/protocol/disco#items';
/** XEP-0012. */
export const LAST_NAMESPACE = 'jabber:iq:last';
/** XEP-0092. */
export const VERSION_NAMESPACE = 'jabber:iq:version';
/** XEP-0202. */
export const TIME_NAMESPACE = 'urn:xmpp:time';
/** XEP-0054. */
export const VCARD_NAMESPACE = 'vcard-temp';

/** What is answered for a user of ours at every one of his JIDs. */
const ANSWERED = [
  DISCO_INFO_NAMESPACE,
  DISCO_ITEMS_NAMESPACE,
  LAST_NAMESPACE,
  VERSION_NAMESPACE,
  PING_NAMESPACE,
  TIME_NAMESPACE,
  VCARD_NAMESPACE,
];

/**
 * What the instances of our users can do. They differ in what they are, as far as their capabilities (RFC 5196) say that;
 * what they do is the same for all, because it is what crosses this server. `+notify` asks the contacts' servers for
 * what is mapped (XEP-0163, section 4.2).
 */
const FEATURES = [
  CAPS_NAMESPACE,
  CAPS_HASHES_NAMESPACE,
  RECEIPTS_NAMESPACE,
  MARKERS_NAMESPACE,
  ...ANSWERED,
  ...PEP_NODES.map((node) => `${node}+notify`),
];

/** Types of the registrar's category `client`, and the account where nothing is known of the device. */
const IDENTITIES = {
  unknown: { category: 'account', type: 'registered' },
  mobile: { category: 'client', type: 'phone' },
  fixed: { category: 'client', type: 'pc' },
  automaton: { category: 'client', type: 'bot' },
} as const satisfies Record<string, DiscoIdentity>;
export type InstanceKind = keyof typeof IDENTITIES;

/** Names this software; a domain that nobody can have (RFC 2606, section 2). */
const NODE = 'https://interpres.invalid/caps';

/** One kind of instance: what disco#info says of it, and what its presence says of that. */
export type OwnCaps = {
  readonly info: DiscoInfo;
  /** XEP-0115. */
  readonly caps: Caps;
  /** XEP-0115 and XEP-0390; shared by every stanza that carries them. */
  readonly elements: readonly XmlElement[];
};

function ownCaps(identity: DiscoIdentity): OwnCaps {
  const info = { identities: [identity], features: FEATURES, forms: [] };
  const caps = { hash: 'sha-1', node: NODE, ver: capsVer(info, 'sha-1') ?? '' };
  const hash = capsHash(info);
  return { info, caps, elements: [capsElement(caps), capsHashesElement(hash)] };
}

export const OWN_CAPS: Readonly<Record<InstanceKind, OwnCaps>> = {
  unknown: ownCaps(IDENTITIES.unknown),
  mobile: ownCaps(IDENTITIES.mobile),
  fixed: ownCaps(IDENTITIES.fixed),
  automaton: ownCaps(IDENTITIES.automaton),
};

/** What disco#info says of an instance of a user of ours of which nothing is known. */
export const USER_INFO = OWN_CAPS.unknown.info;
export const USER_CAPS = OWN_CAPS.unknown.caps;
/** The node that is asked about these capabilities: `node#ver`. */
export const USER_CAPS_NODE = `${USER_CAPS.node}#${USER_CAPS.ver}`;

/** By the nodes at which clients and servers ask (XEP-0115, section 6.2; XEP-0390, section 4.2). */
const BY_NODE: ReadonlyMap<string, DiscoInfo> = new Map(
  Object.values(OWN_CAPS).flatMap(({ info, caps }) => [
    [`${caps.node}#${caps.ver}`, info] as const,
    [`${CAPS_HASH_NODE}${capsHash(info)}`, info] as const,
  ]),
);

/** What was meant by a node of caps that presence has shown; undefined for any other. */
export function infoOfCapsNode(node: string): DiscoInfo | undefined {
  return BY_NODE.get(node);
}

/** What a bare JID of a user of ours is: an account with what its server answers for it. The same whoever it is. */
export const ACCOUNT_INFO: DiscoInfo = {
  identities: [
    { category: 'account', type: 'registered' },
    { category: 'pubsub', type: 'pep' },
  ],
  features: [...ANSWERED, 'http://jabber.org/protocol/pubsub#retrieve-items'],
  forms: [],
};

/** What a service of a user runs on, as far as its capabilities or those of its device say that (RFC 5196, section 3). */
export function instanceKind({ capabilities, deviceIds }: Tuple, { devices }: PresenceDocument): InstanceKind {
  const own = devices.filter(({ deviceId }) => deviceIds.includes(deviceId)).map((device) => device.capabilities);
  const all = [capabilities, ...own].filter((known) => known !== undefined);
  if (all.some(({ automata }) => automata === true)) return 'automaton';
  for (const { mobility } of all) {
    if (mobility?.supported?.includes('mobile') === true) return 'mobile';
    if (mobility?.supported?.includes('fixed') === true) return 'fixed';
  }
  return 'unknown';
}
