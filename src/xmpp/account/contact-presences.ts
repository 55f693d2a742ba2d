import type { XmlElement } from '../../cpim/xml.ts';
import { formatJid, type Jid } from '../jid.ts';

/** Resources of one contact, and contacts, of whom the last presence is kept. */
const RESOURCES_MAX = 16;
const CONTACTS_MAX = 10_000;

/**
 * The last presence of each resource of each contact, as the service has told it in this session. A client may not ask
 * for it a second time, as a server may (RFC 6121, section 4.3): who asks us is told from here.
 */
export class ContactPresences {
  /** By bare JID, then by resource. */
  readonly #contacts = new Map<string, Map<string, XmlElement>>();

  /** Takes an available or unavailable presence. */
  heard(from: Jid, stanza: XmlElement): void {
    const key = keyOf(from);
    const resources = this.#contacts.get(key) ?? new Map<string, XmlElement>();
    const resource = from.resource ?? '';
    if (stanza.attrs['type'] === 'unavailable') {
      if (resource === '') resources.clear();
      else resources.delete(resource);
    } else if (resources.size < RESOURCES_MAX || resources.has(resource)) resources.set(resource, stanza);
    if (resources.size === 0) this.#contacts.delete(key);
    else if (this.#contacts.has(key) || this.#contacts.size < CONTACTS_MAX) this.#contacts.set(key, resources);
  }

  of(contact: Jid): readonly XmlElement[] {
    return [...(this.#contacts.get(keyOf(contact))?.values() ?? [])];
  }

  /** Nothing is known any more. @returns the addresses, as text, of those who were there */
  clear(): readonly string[] {
    const gone = [...this.#contacts.values()].flatMap((resources) =>
      [...resources.values()].map(({ attrs }) => attrs['from'] ?? ''),
    );
    this.#contacts.clear();
    return gone;
  }
}

function keyOf({ local, domain }: Jid): string {
  return formatJid(local === undefined ? { domain } : { local, domain });
}
