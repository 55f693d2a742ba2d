import { addressFrom, addressKey, domainOf, type Address } from '../cpim/address.ts';
import type { Entity } from '../cpim/operation.ts';
import type { Origin } from '../core/admission.ts';
import { GatewayError } from '../core/errors.ts';
import type { PeerEvidence } from '../core/peers.ts';
import type { DigestOutcome } from './digest-check.ts';
import { parseNameAddr, parseNameAddrList, type NameAddr } from './header-values.ts';
import { entityFromUriText } from './map-address.ts';
import { isSecureTransport, isWebSocketTransport, type HeaderField, type SipRequest } from './message.ts';
import { parseSipUri, schemeOf } from './uri.ts';

/** Who sent a request and how that is known, or the header fields of the 401 that asks him for a proof. */
export type SenderProof =
  | { readonly kind: 'proved'; readonly sender: Entity; readonly origin: Origin }
  | { readonly kind: 'challenge'; readonly headers: readonly HeaderField[] };

/** The same for a watcher, who may keep his name to himself where somebody who is trusted speaks for him. */
export type WatcherProof = SenderProof | { readonly kind: 'anonymous'; readonly origin: Origin };

export type SenderProofDeps = {
  readonly isOwn: (domain: string) => boolean;
  readonly mayActFor: (domain: string, evidence: PeerEvidence) => boolean;
  readonly checkDigest: (request: SipRequest, realm: string) => DigestOutcome;
};

/** Where a request came from, as evidence of who sent it. */
export function evidenceOf(request: SipRequest): PeerEvidence {
  const { remoteAddress, peerNames, transport } = request.flow;
  // A page in a browser, or a client behind a proxy for HTTP, is not the server at whose address it is.
  if (isWebSocketTransport(transport)) return { address: '' };
  return {
    address: remoteAddress,
    ...(peerNames === undefined ? {} : { peerNames }),
    ...(isSecureTransport(transport) ? { isTls: true } : {}),
  };
}

/**
 * Finds out who sent a request, or refuses it: nobody speaks as another.
 *
 * 1. P-Asserted-Identity counts when the request comes from where its domain is vouched for (RFC 3325, section 5: from
 *    a trusted element), and is passed over otherwise. With `Privacy: id` or the like it may not be shown to anybody
 *    outside, so such a request is refused.
 * 2. From in a domain that is vouched for from there: a trusted core's user, or a user of that peer.
 * 3. From in a domain of ours: the digest must prove exactly this user.
 * 4. Everything else is refused.
 *
 * Display names, the body and all other header fields count for nothing.
 *
 * @throws GatewayError 'sender-forbidden', 'request-malformed', 'address-malformed', 'scheme-unsupported', and what the
 *   digest check throws.
 */
export function proveSender(request: SipRequest, deps: SenderProofDeps): SenderProof {
  const asserted = assertedIdentity(request, deps);
  if (asserted === undefined) return proveFrom(request, deps);
  if (wantsPrivacy(request)) throw new GatewayError('sender-forbidden', 'a private identity cannot be handed on');
  return vouched(asserted, deps);
}

/**
 * As `proveSender`, for SUBSCRIBE: whoever has a proof, or is vouched for, and wishes that his name is not shown (RFC
 * 3323, section 4.2; RFC 3325, section 9.3) watches without it.
 *
 * @param trustedDomain a domain whose users a source may speak for, whoever they are
 * @throws GatewayError as there; 'sender-forbidden' with status 433 for an anonymous one whom nobody vouches for (RFC
 *   5079, section 5)
 */
export function proveWatcher(
  request: SipRequest,
  deps: SenderProofDeps & { readonly trustedDomain: (evidence: PeerEvidence) => string | undefined },
): WatcherProof {
  const asserted = assertedIdentity(request, deps);
  const isNameless = isAnonymous(request);
  if (asserted === undefined && isNameless) {
    const domain = deps.trustedDomain(evidenceOf(request));
    const address = domain === undefined ? undefined : addressFrom('anonymous', domain);
    if (address === undefined) {
      throw new GatewayError('sender-forbidden', 'an anonymous watcher without anybody who vouches for him', {
        details: { status: 433 },
      });
    }
    return { kind: 'anonymous', origin: originOf(address, deps) };
  }
  const proof = asserted === undefined ? proveFrom(request, deps) : vouched(asserted, deps);
  if (proof.kind === 'challenge' || !(isNameless || wantsPrivacy(request))) return proof;
  return { kind: 'anonymous', origin: proof.origin };
}

function proveFrom(request: SipRequest, deps: SenderProofDeps): SenderProof {
  const from = parseNameAddr(request.headers.get('From') ?? '');
  if (from === undefined) throw new GatewayError('request-malformed', 'From is malformed');
  const sender = senderFrom(from);
  const domain = domainOf(sender.address);
  if (deps.mayActFor(domain, evidenceOf(request))) return vouched(sender, deps);
  if (!deps.isOwn(domain)) {
    throw new GatewayError('sender-forbidden', `From names ${domain}, which may not be spoken for from there`);
  }
  const outcome = deps.checkDigest(request, domain);
  if (outcome.kind === 'challenge') return outcome;
  if (outcome.userKey !== addressKey(sender.address)) {
    throw new GatewayError('sender-forbidden', `${outcome.userKey} is not the user in From`);
  }
  return { kind: 'proved', sender, origin: { kind: 'local', user: sender.address } };
}

function vouched(sender: Entity, deps: SenderProofDeps): SenderProof & { readonly kind: 'proved' } {
  return { kind: 'proved', sender, origin: originOf(sender.address, deps) };
}

/** Where an operation comes from whose sender is vouched for: the core of his domain, or a peer. */
function originOf(user: Address, deps: SenderProofDeps): Origin {
  const domain = domainOf(user);
  return deps.isOwn(domain) ? { kind: 'local', user, isFromCore: true } : { kind: 'sip-peer', domain };
}

/** The one identity that is asserted by who may assert it. */
function assertedIdentity(request: SipRequest, deps: SenderProofDeps): Entity | undefined {
  const evidence = evidenceOf(request);
  const identities: Entity[] = [];
  for (const value of request.headers.all('P-Asserted-Identity')) {
    for (const identity of parseNameAddrList(value) ?? []) {
      const scheme = schemeOf(identity.uri);
      // The other of the two values that RFC 3325, section 9.1 allows is a tel URI, which names nobody here.
      if (scheme !== 'sip' && scheme !== 'sips') continue;
      const entity = senderFrom(identity);
      if (deps.mayActFor(domainOf(entity.address), evidence)) identities.push(entity);
    }
  }
  const [identity, second] = identities;
  if (second !== undefined) throw new GatewayError('request-malformed', 'more than one SIP identity is asserted');
  return identity;
}

/** Whether From is the one of those who do not say who they are (RFC 3323, section 4.1.1.3). */
function isAnonymous(request: SipRequest): boolean {
  const uri = parseSipUri(parseNameAddr(request.headers.get('From') ?? '')?.uri ?? '');
  return uri?.host === 'anonymous.invalid';
}

/** RFC 3323, section 4.2; RFC 3325, section 9.3. */
function wantsPrivacy(request: SipRequest): boolean {
  return request.headers
    .all('Privacy')
    .some((value) => value.split(/[;,]/).some((kind) => ['id', 'user', 'header'].includes(kind.trim().toLowerCase())));
}

function senderFrom(party: NameAddr): Entity {
  try {
    return entityFromUriText(party.uri, party.params);
  } catch (cause) {
    const error = GatewayError.of(cause);
    // 416 would speak of the Request-URI.
    if (error.code !== 'scheme-unsupported') throw error;
    throw new GatewayError('sender-forbidden', 'the sender has no SIP address', { cause });
  }
}
