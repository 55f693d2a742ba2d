import type { Address } from '../../cpim/address.ts';
import type { Tuple } from '../../cpim/presence/document.ts';
import type { Binding } from '../ports.ts';

/** The services of a user whose phones are registered: one for each, open, to be reached by the address of record. */
export function tuplesFromBindings(presentity: Address, bindings: readonly Binding[]): Tuple[] {
  const named = bindings.map((binding) => ({ binding, name: binding.instance ?? binding.contact }));
  // Bindings change places when they are refreshed, which is nothing that watchers should be told.
  named.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return named.map(({ binding, name }) => ({
    id: `phone-${shortHash(name)}`,
    basic: 'open',
    rich: {},
    notes: [],
    extensions: [],
    statusExtensions: [],
    // Not the address of the phone, which is nobody's business, and so that calls pass by us (RFC 3856, section 7.2).
    contact: { uri: `sip:${presentity}`, priority: binding.q },
    deviceIds: [],
  }));
}

/**
 * 24 bits of FNV-1a, as six hexadecimal digits: enough to keep the phones of one user apart, and too few to try which
 * address of a phone gives them, since hundreds do.
 */
function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (((hash >>> 24) ^ hash) & 0xffffff).toString(16).padStart(6, '0');
}
