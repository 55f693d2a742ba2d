import { addressFrom, domainOf, localpartOf, parseAddress, type Address } from '../cpim/address.ts';
import { parseImUri } from '../cpim/im-uri.ts';
import type { Entity } from '../cpim/operation.ts';
import { GatewayError } from '../core/errors.ts';
import { URI_PARAM, URI_USER, isIn } from './characters.ts';
import type { Params } from './header-values.ts';
import { decodedUser, formatSipUri, parseSipUri, schemeOf, uriParam, type SipUri } from './uri.ts';

/** An instance comes from a resourcepart, which has so many bytes at most (RFC 7622, section 3.4). */
const INSTANCE_BYTES_MAX = 1023;
/** What a resourcepart never holds (RFC 8265, section 4.2.1: no control characters). */
const CONTROLS = /[\u0000-\u001F\u007F-\u009F\uFFFE\uFFFF]/;

/**
 * The entity that a SIP URI names (RFC 7247, section 6.4, up to the JID): user part without its escapes, host, and the
 * value of `gr` as the instance. Password, port and all other parameters say nothing about who it is.
 *
 * @param headerParams parameters of the header field around the URI: a `gr` outside of `<>` is read too, as most
 *   examples of RFC 8048 and RFC 7573 write it.
 * @throws GatewayError 'scheme-unsupported' for a telephone number (`user=phone`), 'address-malformed' for escapes that
 *   are no UTF-8, controls (an escaped NUL among them) and hosts that are no domain.
 */
export function entityFromSipUri(uri: SipUri, headerParams?: Params): Entity {
  if (uri.params.length > 0) {
    const user = uriParam(uri, 'user');
    if (typeof user === 'string' && user.toLowerCase() === 'phone') {
      throw new GatewayError('scheme-unsupported', 'a telephone number names nobody here');
    }
  }
  const localpart = decodedUser(uri);
  if (localpart === undefined && uri.user !== undefined) throw malformed('user part is no text');
  const address = addressFrom(localpart, uri.host);
  if (address === undefined) throw malformed('SIP URI is no address');
  const gr = uriParam(uri, 'gr') ?? headerParams?.get('gr');
  // Without a value it is a temporary GRUU, which says nothing outside of its domain (RFC 7247, section 6.3).
  if (gr === undefined || gr === true || gr === '') return { address };
  return { address, instance: instanceFrom(gr) };
}

/**
 * As `entityFromSipUri`, from the text of a URI of any scheme; a `pres:` URI names a presentity or a watcher, too (RFC
 * 3856, section 5).
 *
 * @throws GatewayError 'scheme-unsupported' for schemes other than sip, sips and pres, and as there.
 */
export function entityFromUriText(text: string, headerParams?: Params): Entity {
  const uri = parseSipUri(text);
  if (uri !== undefined) return entityFromSipUri(uri, headerParams);
  const scheme = schemeOf(text);
  if (scheme === 'sip' || scheme === 'sips') throw malformed('SIP URI is malformed');
  if (scheme === 'pres') {
    const presentity = parseImUri(text);
    if (presentity === undefined) throw malformed('pres URI is malformed');
    return { address: presentity.address };
  }
  throw new GatewayError('scheme-unsupported', 'URI scheme is not one of SIP');
}

/**
 * Writes an entity as a SIP URI (RFC 7247, section 6.5): every byte that a user part cannot hold is `%HH`, and the
 * instance goes into `gr` (RFC 5627).
 */
export function sipUriFromEntity(entity: Entity, scheme: 'sip' | 'sips' = 'sip'): string {
  const base = sipUriFromAddress(entity.address, scheme);
  return entity.instance === undefined ? base : `${base};gr=${escaped(entity.instance, URI_PARAM)}`;
}

/** As `sipUriFromEntity`, without an instance. */
export function sipUriFromAddress(address: Address, scheme: 'sip' | 'sips' = 'sip'): string {
  const localpart = localpartOf(address);
  if (localpart === undefined) return `${scheme}:${domainOf(address)}`;
  return `${scheme}:${escaped(localpart, URI_USER)}@${domainOf(address)}`;
}

/** The URI at which somebody is said to be now, for a Contact: SIP where it can be one, else as it came. */
export function contactUriFrom(alternative: string): string | undefined {
  const uri = parseSipUri(alternative);
  if (uri !== undefined) return formatSipUri(uri);
  const scheme = schemeOf(alternative);
  if (scheme !== undefined && scheme !== 'xmpp' && scheme !== 'im' && scheme !== 'pres') return undefined;
  const rest = scheme === undefined ? alternative : alternative.slice(scheme.length + 1);
  const address = parseAddress(rest.split(/[/?;]/, 1)[0] ?? '');
  return address === undefined ? undefined : sipUriFromAddress(address);
}

function instanceFrom(value: string): string {
  let instance = value;
  if (value.includes('%')) {
    try {
      instance = decodeURIComponent(value);
    } catch {
      throw malformed('gr is no text');
    }
  }
  if (CONTROLS.test(instance) || Buffer.byteLength(instance, 'utf8') > INSTANCE_BYTES_MAX) {
    throw malformed('gr names no instance');
  }
  return instance;
}

/** Bytes of UTF-8 outside a class of the SIP grammar as %HH. */
function escaped(text: string, allowed: number): string {
  let clean = 0;
  while (clean < text.length && isIn(text.charCodeAt(clean), allowed)) clean++;
  if (clean === text.length) return text;
  let out = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    out += isIn(byte, allowed) ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

function malformed(message: string): GatewayError {
  return new GatewayError('address-malformed', message);
}
