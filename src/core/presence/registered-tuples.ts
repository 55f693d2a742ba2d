import type { Address } from '../../cpim/address.ts';
import type { Tuple } from '../../cpim/presence/document.ts';
import { tupleIdFromInstance } from '../../cpim/presence/instance-ids.ts';
import { contactsByDevice, deviceOf } from '../devices.ts';
import type { Binding } from '../ports.ts';

/**
 * The services of a user whose phones are registered: one for each device, open. A device that has an address of its own
 * (RFC 5627) is named and reached by it, so that an XMPP user can write to this one by its resource (RFC 7247, section
 * 6.3); all others are reached by the address of record.
 */
export function tuplesFromBindings(presentity: Address, bindings: readonly Binding[]): Tuple[] {
  const devices = contactsByDevice(bindings).flatMap((flows) => {
    const [binding] = flows;
    if (binding === undefined) return [];
    const name = binding.instance ?? binding.contact;
    const gruu = flows.some(({ hasGruu }) => hasGruu === true) ? deviceOf(binding) : undefined;
    return [{ name, gruu, q: Math.max(...flows.map(({ q }) => q)) }];
  });
  // Bindings change places when they are refreshed, which is nothing that watchers should be told.
  devices.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return devices.map(({ name, gruu, q }) => ({
    id: gruu === undefined ? `phone-${shortHash(name)}` : tupleIdFromInstance(gruu),
    basic: 'open',
    rich: {},
    notes: [],
    extensions: [],
    statusExtensions: [],
    // Not the address of the phone, which is nobody's business, and so that calls pass by us (RFC 3856, section 7.2).
    contact: { uri: gruu === undefined ? `sip:${presentity}` : `sip:${presentity};gr=${inParam(gruu)}`, priority: q },
    deviceIds: [],
  }));
}

/** What a URI parameter cannot hold as %HH (RFC 3261, section 25.1: paramchar). */
function inParam(text: string): string {
  return text.replace(/[^A-Za-z0-9\-_.!~*'()[\]/:&+$]/g, (character) => encodeURIComponent(character));
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
