import type { ContactFacts } from '../../core/directory/contact-desk.ts';
import { GatewayError } from '../../core/errors.ts';
import { childOf, childrenOf, type XmlElement } from '../../cpim/xml.ts';
import { metadataElement } from '../presence/avatar-metadata.ts';
import { pepFromDocument } from '../presence/map-pep.ts';
import { AVATAR_METADATA_NODE, isPepNode, NICK_NODE } from '../presence/pep-nodes.ts';
import { nodeOf } from './ask.ts';
import { vcard4 } from './vcard.ts';

export const PUBSUB_NAMESPACE = 'http://jabber.org/protocol/pubsub';
const AVATAR_DATA_NODE = 'urn:xmpp:avatar:data';
const VCARD4_NODE = 'urn:xmpp:vcard4';

/** The one item of a node that holds the state of its user. */
const CURRENT = 'current';

/**
 * What the account of a user would answer to one who reads its nodes (XEP-0060, section 6.5): picture (XEP-0084), vCard
 * (XEP-0292), and what else presence tells of him.
 *
 * @param query the `pubsub` element
 * @throws GatewayError 'feature-unsupported' for anything but reading items, 'sender-forbidden' for one who may not see
 *   him, 'recipient-unknown' for what is not there
 */
export function pepItems(query: XmlElement, facts: ContactFacts, jid: string): XmlElement {
  const items = childOf(query, 'items');
  const node = items === undefined ? undefined : nodeOf(items);
  if (items === undefined || node === undefined) {
    throw new GatewayError('feature-unsupported', 'pubsub for anything but reading a node');
  }
  if (facts.sight === 'nothing') throw new GatewayError('sender-forbidden', 'one who may not watch reads a node');
  const item = itemOf(node, facts, jid);
  if (item === undefined) throw new GatewayError('recipient-unknown', 'node that is not there');
  const wanted = childrenOf(items, 'item').map(({ attrs }) => attrs['id']);
  const isWanted = wanted.length === 0 || wanted.includes(item.attrs['id']);
  const children = isWanted ? [item] : [];
  return {
    name: 'pubsub',
    attrs: { xmlns: PUBSUB_NAMESPACE },
    children: [{ name: 'items', attrs: { node }, children }],
  };
}

function itemOf(node: string, facts: ContactFacts, jid: string): XmlElement | undefined {
  const { avatar, document, displayName } = facts;
  switch (node) {
    case AVATAR_METADATA_NODE:
      return avatar === undefined ? undefined : item(avatar.sha1, metadataElement(avatar));
    case AVATAR_DATA_NODE:
      return avatar === undefined
        ? undefined
        : item(avatar.sha1, { name: 'data', attrs: { xmlns: AVATAR_DATA_NODE }, children: [avatar.base64] });
    case VCARD4_NODE:
      return item(CURRENT, vcard4(facts, jid));
    case NICK_NODE:
      return displayName === undefined
        ? undefined
        : item(CURRENT, { name: 'nick', attrs: { xmlns: NICK_NODE }, children: [displayName] });
    default: {
      if (document === undefined || !isPepNode(node)) return undefined;
      const payload = pepFromDocument(document).get(node);
      return payload === undefined ? undefined : item(CURRENT, payload);
    }
  }
}

function item(id: string, payload: XmlElement): XmlElement {
  return { name: 'item', attrs: { id }, children: [payload] };
}
