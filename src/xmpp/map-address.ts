import { type Address, addressFrom, domainOf, localpartOf } from '../cpim/address.ts';
import type { Entity } from '../cpim/operation.ts';
import { type Jid, preparedLocal, preparedResource } from './jid.ts';

/**
 * The two names one domain of ours has on a link: `domain` in the core and on the SIP side, `name` on the XMPP side.
 * Both in canonical form (A-labels, lower case); the same where the component bears the domain's own name.
 */
export type ComponentDomains = { readonly domain: string; readonly name: string };

/** The ten escapes of XEP-0106, section 3. Lower case only. */
const ESCAPES: ReadonlyMap<string, string> = new Map([
  [' ', '\\20'],
  ['"', '\\22'],
  ['&', '\\26'],
  ["'", '\\27'],
  ['/', '\\2f'],
  [':', '\\3a'],
  ['<', '\\3c'],
  ['>', '\\3e'],
  ['@', '\\40'],
  ['\\', '\\5c'],
]);
const UNESCAPES: ReadonlyMap<string, string> = new Map([...ESCAPES].map(([character, code]) => [code, character]));

/**
 * The JID of an address (RFC 7247, section 6.4): localpart escaped and prepared, our domain under its XMPP name.
 *
 * @returns undefined for a localpart that no JID can have
 */
export function jidFromAddress(address: Address, domains: ComponentDomains): Jid | undefined {
  const domain = domainOf(address);
  const name = domain === domains.domain ? domains.name : domain;
  const localpart = localpartOf(address);
  if (localpart === undefined) return { domain: name };
  const escaped = escapedLocalpart(localpart);
  const local = escaped === undefined ? undefined : preparedLocal(escaped);
  return local === undefined ? undefined : { local, domain: name };
}

/** As `jidFromAddress`, the instance as resource; one that cannot be a resource is left out. */
export function jidFromEntity(entity: Entity, domains: ComponentDomains): Jid | undefined {
  const jid = jidFromAddress(entity.address, domains);
  const resource = entity.instance === undefined ? undefined : preparedResource(entity.instance);
  return jid === undefined || resource === undefined ? jid : { ...jid, resource };
}

/**
 * The address of a JID, its resource left out (RFC 7247, section 6.5).
 *
 * @returns undefined for a localpart that no address can have, or whose first or last character is an escaped space
 * (XEP-0106, section 4.1)
 */
export function addressFromJid(jid: Jid, domains: ComponentDomains): Address | undefined {
  const domain = jid.domain === domains.name ? domains.domain : jid.domain;
  if (jid.local === undefined) return addressFrom(undefined, domain);
  const localpart = unescapedLocalpart(jid.local);
  return localpart === undefined ? undefined : addressFrom(localpart, domain);
}

/** As `addressFromJid`, the resource as instance. */
export function entityFromJid(jid: Jid, domains: ComponentDomains): Entity | undefined {
  const address = addressFromJid(jid, domains);
  if (address === undefined) return undefined;
  return jid.resource === undefined ? { address } : { address, instance: jid.resource };
}

/**
 * Escapes a localpart for a JID (XEP-0106, section 4.2). A backslash is escaped only where it stands before what would
 * read as one of the ten escapes.
 *
 * @returns undefined when it begins or ends with a space
 */
export function escapedLocalpart(text: string): string | undefined {
  if (text.startsWith(' ') || text.endsWith(' ')) return undefined;
  let out = '';
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '\\' && !UNESCAPES.has(text.slice(at, at + 3))) out += character;
    else out += ESCAPES.get(character) ?? character;
  }
  return out;
}

/**
 * Undoes the ten escapes, each once, left to right; what comes out is not looked at again (XEP-0106, section 4.3).
 *
 * @returns undefined when it begins or ends with an escaped space
 */
export function unescapedLocalpart(text: string): string | undefined {
  if (!text.includes('\\')) return text;
  if (text.startsWith('\\20') || text.endsWith('\\20')) return undefined;
  let out = '';
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charCodeAt(at) === 0x5c ? UNESCAPES.get(text.slice(at, at + 3)) : undefined;
    if (character === undefined) {
      out += text.charAt(at);
    } else {
      out += character;
      at += 2;
    }
  }
  return out;
}
