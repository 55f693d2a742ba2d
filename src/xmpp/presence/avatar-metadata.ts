import type { Picture } from '../../cpim/presence/document.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { AVATAR_METADATA_NODE } from './pep-nodes.ts';

/** What an account tells of its picture (XEP-0084, section 4.2); without any: that there is none. */
export function metadataElement(picture: Picture | undefined): XmlElement {
  const children: XmlElement[] = [];
  if (picture !== undefined) {
    const { sha1, type, bytes } = picture;
    children.push({ name: 'info', attrs: { id: sha1, type, bytes: String(bytes) }, children: [] });
  }
  return { name: 'metadata', attrs: { xmlns: AVATAR_METADATA_NODE }, children };
}
