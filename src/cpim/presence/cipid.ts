import type { XmlElement } from '../xml.ts';
import type { ContactCard } from './document.ts';
import { CIPID } from './namespaces.ts';
import { localizedText, tokenOf, type Writable } from './reading.ts';
import type { Child } from './scope.ts';
import type { Writing } from './writing.ts';

/** In the order of RFC 4482, section 5. */
const NAMES = ['card', 'display-name', 'homepage', 'icon', 'map', 'sound'] as const;
type UriName = Exclude<(typeof NAMES)[number], 'display-name'>;

/**
 * Takes one element of a contact card (RFC 4482) into `card`.
 *
 * @returns false for what is to be kept as it stands: an unknown name, a second element of one name, an empty one
 */
export function readCard(card: Writable<ContactCard>, child: Child): boolean {
  if (child.namespace !== CIPID) return false;
  if (child.local === 'display-name') {
    const { text, language } = localizedText(child);
    if (card.displayName !== undefined || text.trim() === '') return false;
    card.displayName = text;
    if (language !== undefined) card.displayNameLanguage = language;
    return true;
  }
  const name = NAMES.find((known) => known === child.local) as UriName | undefined;
  const uri = tokenOf(child);
  if (name === undefined || card[name] !== undefined || uri === '') return false;
  card[name] = uri;
  return true;
}

export function writeCard(card: ContactCard, writing: Writing): XmlElement[] {
  const out: XmlElement[] = [];
  for (const name of NAMES) {
    if (name !== 'display-name') {
      const uri = card[name];
      if (uri !== undefined) out.push(writing.text('c', name, uri));
      continue;
    }
    const { displayName: text, displayNameLanguage: language } = card;
    if (text === undefined) continue;
    out.push(writing.localized('c', name, language === undefined ? { text } : { text, language }));
  }
  return out;
}
