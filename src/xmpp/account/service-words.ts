import { textOf, type XmlElement } from '../../cpim/xml.ts';
import { conditionNamed } from '../condition-name.ts';

/** The condition in an error of this namespace. */
export function conditionIn({ children }: XmlElement, namespace: string): string {
  for (const child of children) {
    if (typeof child === 'string' || child.name === 'text') continue;
    if ((child.attrs['xmlns'] ?? namespace) === namespace) return conditionNamed(child.name);
  }
  return 'undefined-condition';
}

/** A reason, with what the service says of it in words. */
export function withWords(reason: string, text: XmlElement | undefined): string {
  const words = text === undefined ? '' : textOf(text).trim().slice(0, 200);
  return words === '' ? reason : `${reason} (${words})`;
}
