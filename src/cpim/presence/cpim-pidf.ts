import type { PresenceDocument } from './document.ts';
import { pidfFromXml } from './pidf.ts';
import { readPresenceXml } from './reading.ts';
import { childIn, Scope } from './scope.ts';
import { withoutDoctype, xpidfFromXml } from './xpidf.ts';

/**
 * Reads `application/cpim-pidf+xml`, the type that PIDF had in its drafts.
 *
 * Under that name come documents in the namespaces of the drafts, in that of RFC 3863, and (from exchanges that make no
 * difference) XPIDF. All of them are read leniently.
 *
 * @throws ContentError 'malformed', naming place and fault
 */
export function readCpimPidf(text: string): PresenceDocument {
  const root = readPresenceXml(withoutDoctype(text), 'CPIM-PIDF');
  const { scope, element } = childIn(Scope.outside(), root);
  const isXpidf = scope.childrenOf(element).some(({ local }) => local === 'atom');
  return isXpidf ? xpidfFromXml(root) : pidfFromXml(root, { lenient: true });
}
