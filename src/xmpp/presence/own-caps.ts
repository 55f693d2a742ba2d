import { capsVer, DISCO_INFO_NAMESPACE, type DiscoInfo } from './disco-info.ts';
import { PEP_NODES } from './pep-nodes.ts';
import { CAPS_NAMESPACE, type Caps, capsElement } from './presence-content.ts';

/** XEP-0199. */
export const PING_NAMESPACE = 'urn:xmpp:ping';

/**
 * What disco#info says of a user of ours: the same for every user there is or is not, so that no answer tells who
 * exists. `+notify` asks his contacts' servers for what is mapped (XEP-0163, section 4.2).
 */
export const USER_INFO: DiscoInfo = {
  identities: [{ category: 'account', type: 'registered' }],
  features: [DISCO_INFO_NAMESPACE, CAPS_NAMESPACE, PING_NAMESPACE, ...PEP_NODES.map((node) => `${node}+notify`)],
  forms: [],
};

/** Names this software; a domain that nobody can have (RFC 2606, section 2). */
const NODE = 'https://interpres.invalid/caps';

/** What the presence of our users says of their capabilities (XEP-0115). */
export const USER_CAPS: Caps = { hash: 'sha-1', node: NODE, ver: capsVer(USER_INFO, 'sha-1') ?? '' };

/** Shared by every stanza that carries it. */
export const USER_CAPS_ELEMENT = capsElement(USER_CAPS);

/** The node that is asked about our capabilities: `node#ver`. */
export const USER_CAPS_NODE = `${USER_CAPS.node}#${USER_CAPS.ver}`;
