import type { XmlElement } from '../../cpim/xml.ts';

/** XEP-0153. */
export const VCARD_UPDATE_NAMESPACE = 'vcard-temp:x:update';

/** What presence says of its user's picture. @param sha1 hex; empty: he has none */
export function pictureElement(sha1: string): XmlElement {
  const photo = { name: 'photo', attrs: {}, children: sha1 === '' ? [] : [sha1] };
  return { name: 'x', attrs: { xmlns: VCARD_UPDATE_NAMESPACE }, children: [photo] };
}
