import type { Address } from '../../cpim/address.ts';
import { domainOf } from '../../cpim/address.ts';
import type { Entity } from '../../cpim/operation.ts';
import { GatewayError } from '../../core/errors.ts';
import type { PeerEvidence } from '../../core/peers.ts';
import { addressOfNumber, parsePhoneNumber } from '../../core/phone-number.ts';
import { parseNameAddrList, type NameAddr } from '../header-values.ts';
import { entityFromUriText } from '../map-address.ts';
import type { SipRequest } from '../message.ts';
import { schemeOf } from '../uri.ts';

/** Whose word about who sends counts. */
export type AssertionRules = {
  /** Whether whoever is at the other end may assert who of this domain has sent a request. */
  readonly believes: (domain: string, evidence: PeerEvidence) => boolean;
  /** A domain whose users he may speak for, whoever they are. */
  readonly trustedDomain: (evidence: PeerEvidence) => string | undefined;
};

/**
 * The one identity that is asserted by who may assert it (RFC 3325, sections 5 and 9.1): a SIP URI, beside which a number
 * says no more; a number alone is one at the domain of whoever asserts it. Everything else is passed over.
 *
 * @throws GatewayError 'request-malformed' for two SIP identities
 */
export function assertedIdentity(
  request: SipRequest,
  evidence: PeerEvidence,
  { believes, trustedDomain }: AssertionRules,
): Entity | undefined {
  const values = identitiesIn(request, 'P-Asserted-Identity');
  if (values.length === 0) return undefined;
  const identities = values
    .filter(({ uri }) => isSip(uri))
    .map(senderFrom)
    .filter(({ address }) => believes(domainOf(address), evidence));
  const [identity, second] = identities;
  if (second !== undefined) throw new GatewayError('request-malformed', 'more than one SIP identity is asserted');
  if (identity !== undefined || values.some(({ uri }) => isSip(uri))) return identity;
  const domain = trustedDomain(evidence);
  if (domain === undefined || !believes(domain, evidence)) return undefined;
  const address = values.map(({ uri }) => numberAt(uri, domain)).find((found) => found !== undefined);
  return address === undefined ? undefined : { address };
}

/**
 * Under which of his addresses a user of ours wishes to appear (RFC 3325, section 9.2): one of those that are his, else
 * his own. What is not his is a hint that is passed over.
 *
 * @param isHis whether an address is an alias of the user, or himself
 */
export function preferredIdentity(request: SipRequest, user: Address, isHis: (address: Address) => boolean): Address {
  for (const { uri } of identitiesIn(request, 'P-Preferred-Identity')) {
    const address = isSip(uri) ? addressIn(uri) : numberAt(uri, domainOf(user));
    if (address !== undefined && isHis(address)) return address;
  }
  return user;
}

/** The domain of the first SIP address under which the sender wishes to appear. */
export function preferredDomain(request: SipRequest): string | undefined {
  const sip = identitiesIn(request, 'P-Preferred-Identity').find(({ uri }) => isSip(uri));
  const address = sip === undefined ? undefined : addressIn(sip.uri);
  return address === undefined ? undefined : domainOf(address);
}

/** A sender is a SIP address. @throws GatewayError 'sender-forbidden' for anything else, 'address-malformed' */
export function senderFrom(party: NameAddr): Entity {
  try {
    return entityFromUriText(party.uri, party.params);
  } catch (cause) {
    const error = GatewayError.of(cause);
    // 416 would speak of the Request-URI.
    if (error.code !== 'scheme-unsupported') throw error;
    throw new GatewayError('sender-forbidden', 'the sender has no SIP address', { cause });
  }
}

function identitiesIn(request: SipRequest, name: string): readonly NameAddr[] {
  return request.headers.all(name).flatMap((value) => parseNameAddrList(value) ?? []);
}

function isSip(uri: string): boolean {
  const scheme = schemeOf(uri);
  return scheme === 'sip' || scheme === 'sips';
}

function addressIn(uri: string): Address | undefined {
  try {
    return entityFromUriText(uri).address;
  } catch {
    return undefined;
  }
}

function numberAt(uri: string, domain: string): Address | undefined {
  if (schemeOf(uri) !== 'tel') return undefined;
  const number = parsePhoneNumber(uri.slice(4).split(';', 1)[0] ?? '');
  return number === undefined ? undefined : addressOfNumber(number, domain);
}
