import { CIPID, RPID } from '../../cpim/presence/namespaces.ts';
import { childIn, Scope } from '../../cpim/presence/scope.ts';
import type { XmlElement } from '../../cpim/xml.ts';

/** Around an element that declares what it uses. */
export const OUTSIDE = Scope.outside();

/** Namespace and local name of an element that declares what it uses; no two names give one text. */
export function expandedName(element: XmlElement): string {
  const { namespace, local } = childIn(OUTSIDE, element);
  return named(namespace, local);
}

/** The name of the element that this key of RichPresence stands for. */
export function rpidName(key: string): string {
  return named(RPID, hyphenated(key));
}

/** The name of the element that this key of ContactCard stands for. */
export function cardName(key: string): string {
  return named(CIPID, hyphenated(key));
}

export function isRpid(element: XmlElement): boolean {
  return childIn(OUTSIDE, element).namespace === RPID;
}

function named(namespace: string, local: string): string {
  // No local name holds a brace.
  return `${namespace}}${local}`;
}

function hyphenated(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
