/**
 * What users of either side tell of themselves beside their availability: nodes of XEP-0163, each named by its namespace.
 * These are the ones that are mapped.
 */
export const MOOD_NODE = 'http://jabber.org/protocol/mood';
export const ACTIVITY_NODE = 'http://jabber.org/protocol/activity';
export const LOCATION_NODE = 'http://jabber.org/protocol/geoloc';
export const NICK_NODE = 'http://jabber.org/protocol/nick';

export type PepNode = typeof MOOD_NODE | typeof ACTIVITY_NODE | typeof LOCATION_NODE | typeof NICK_NODE;

export const PEP_NODES: readonly PepNode[] = [MOOD_NODE, ACTIVITY_NODE, LOCATION_NODE, NICK_NODE];

export function isPepNode(node: string | undefined): node is PepNode {
  return (PEP_NODES as ReadonlyArray<string | undefined>).includes(node);
}

/** XEP-0084. */
export const AVATAR_METADATA_NODE = 'urn:xmpp:avatar:metadata';

/** What users of ours tell contacts: what is mapped, and that there is a picture, which this server holds for them. */
export type ToldNode = PepNode | typeof AVATAR_METADATA_NODE;
export const TOLD_NODES: readonly ToldNode[] = [...PEP_NODES, AVATAR_METADATA_NODE];
