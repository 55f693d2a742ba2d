import { childOf, type XmlElement } from '../../cpim/xml.ts';
import { formatJid, type Jid } from '../jid.ts';
import { PUBSUB_EVENT_NAMESPACE } from '../stanza.ts';
import { AVATAR_METADATA_NODE, isPepNode, type PepNode, type ToldNode } from './pep-nodes.ts';

/** What an event says about one node; without a payload: what was there is no more. */
export type PepEvent = { readonly node: PepNode; readonly payload?: XmlElement };

/** Reads the `event` of a message (XEP-0163, section 4.3); undefined where it is about no node that is mapped. */
export function readPepEvent(event: XmlElement): PepEvent | undefined {
  const part = event.children.find((child) => typeof child !== 'string');
  if (part === undefined) return undefined;
  const { node } = part.attrs;
  if (!isPepNode(node)) return undefined;
  if (part.name === 'purge' || part.name === 'delete') return { node };
  if (part.name !== 'items') return undefined;
  const item = childOf(part, 'item');
  if (item === undefined) return childOf(part, 'retract') === undefined ? undefined : { node };
  // The namespace of each payload is the name of its node.
  const payload = item.children.find(
    (child): child is XmlElement => typeof child !== 'string' && child.attrs['xmlns'] === node,
  );
  return payload === undefined ? { node } : { node, payload };
}

/** The message that tells one client of an item, as the service of the user's own account would. */
export function pepMessage(from: Jid, to: Jid, node: ToldNode, payload: XmlElement): XmlElement {
  const item: XmlElement = { name: 'item', attrs: { id: itemIdOf(node, payload) }, children: [payload] };
  const items: XmlElement = { name: 'items', attrs: { node }, children: [item] };
  return {
    name: 'message',
    attrs: { from: formatJid(from), to: formatJid(to), type: 'headline' },
    children: [{ name: 'event', attrs: { xmlns: PUBSUB_EVENT_NAMESPACE }, children: [items] }],
  };
}

/** XEP-0084, section 4.2.2: the item that tells of a picture bears the name of the picture. */
function itemIdOf(node: ToldNode, payload: XmlElement): string {
  return (node === AVATAR_METADATA_NODE ? childOf(payload, 'info')?.attrs['id'] : undefined) ?? 'current';
}
