import type { PresenceDocument } from '../../cpim/presence/document.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { presencesFromDocument, type TuplePresence } from '../presence/map-presence.ts';
import { OWN_CAPS } from '../presence/own-caps.ts';
import { presenceChildren } from '../presence/presence-content.ts';

/**
 * The one presence that an account shows for all services of its user: that of the available one with the highest
 * priority, the first of several. How it stands beside the account's other clients is the configuration's to say.
 *
 * @returns the children of the stanza; undefined where none of his services is there
 */
export function shownPresence(
  document: PresenceDocument | undefined,
  priority: number,
): readonly XmlElement[] | undefined {
  let best: TuplePresence | undefined;
  for (const presence of document === undefined ? [] : presencesFromDocument(document)) {
    if (!presence.isAvailable) continue;
    if (best === undefined || (presence.content.priority ?? 0) > (best.content.priority ?? 0)) best = presence;
  }
  if (best === undefined) return undefined;
  return [...presenceChildren({ ...best.content, priority }), ...OWN_CAPS[best.kind].elements];
}
