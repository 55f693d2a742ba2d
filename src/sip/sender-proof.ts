import { addressFrom, addressKey, domainOf, parseAddress, type Address } from '../cpim/address.ts';
import type { Entity } from '../cpim/operation.ts';
import { hidesDevice, type Privacy } from '../cpim/privacy.ts';
import type { Origin } from '../core/admission.ts';
import { GatewayError } from '../core/errors.ts';
import type { PeerEvidence } from '../core/peers.ts';
import type { DigestOutcome } from './digest-check.ts';
import { parseNameAddr } from './header-values.ts';
import { isSecureTransport, isWebSocketTransport, type HeaderField, type SipRequest } from './message.ts';
import { assertedIdentity, preferredDomain, preferredIdentity, senderFrom } from './trust/asserted-identity.ts';
import { isAnonymous, privacyFrom } from './trust/privacy-header.ts';
import { parseSipUri } from './uri.ts';

/** Who sent a request and how that is known, or the header fields of the 401 that asks him for a proof. */
export type SenderProof =
  | {
      readonly kind: 'proved';
      readonly sender: Entity;
      readonly origin: Origin;
      /** What of it may not be shown to those outside. */
      readonly privacy?: Privacy;
    }
  | { readonly kind: 'challenge'; readonly headers: readonly HeaderField[] };

/** The same for a watcher, who may keep his name to himself where somebody who is trusted speaks for him. */
export type WatcherProof = SenderProof | { readonly kind: 'anonymous'; readonly origin: Origin };

export type SenderProofDeps = {
  readonly isOwn: (domain: string) => boolean;
  readonly mayActFor: (domain: string, evidence: PeerEvidence) => boolean;
  /** Whether what is asserted about users of a domain from there is believed; absent: as `mayActFor`. */
  readonly believes?: (domain: string, evidence: PeerEvidence) => boolean;
  /** A domain whose users a source may speak for, whoever they are; absent: there is none. */
  readonly trustedDomain?: (evidence: PeerEvidence) => string | undefined;
  readonly checkDigest: (request: SipRequest, realm: string) => DigestOutcome;
  /** Where whoever does not name a domain of ours is looked for; absent: nowhere. */
  readonly mainDomain?: string | undefined;
  /** The user of ours whose alias an address is; absent: there are no aliases. */
  readonly userOf?: (alias: Address) => Address | undefined;
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
 * 1. P-Asserted-Identity counts when the request comes from where its domain is believed (RFC 3325, section 5: from a
 *    trusted element), and is passed over otherwise.
 * 2. From in a domain that is vouched for from there: a trusted core's user, or a user of that peer.
 * 3. From in a domain of ours: the digest must prove exactly this user. He may appear under another address that is his
 *    (P-Preferred-Identity; RFC 3325, section 9.2).
 * 4. The anonymous From of RFC 3323, section 4.1.1.3: somebody whose domain vouches for the request without naming him, or
 *    the user of ours whom the digest proves.
 * 5. Everything else is refused.
 *
 * Display names, the body and all other header fields count for nothing. What the sender wishes to keep to himself goes
 * along with what he sends (`privacy`).
 *
 * @throws GatewayError 'sender-forbidden', 'request-malformed', 'address-malformed', 'scheme-unsupported', and what
 *   `privacyFrom` and the digest check throw.
 */
export function proveSender(request: SipRequest, deps: SenderProofDeps): SenderProof {
  const privacy = privacyFrom(request);
  const proof = proveAuthor(request, deps);
  return proof.kind === 'challenge' || privacy === undefined ? proof : { ...proof, privacy };
}

function proveAuthor(request: SipRequest, deps: SenderProofDeps): SenderProof {
  const asserted = assertedBy(request, deps);
  if (asserted !== undefined) return vouched(asserted, deps);
  if (!isAnonymous(request)) return proveFrom(request, deps);
  const nameless = namelessFrom(request, deps);
  return nameless === undefined
    ? proveUser(request, realmFor(request, deps), undefined, deps)
    : vouched(nameless, deps);
}

/**
 * As `proveSender`, for SUBSCRIBE: whoever has a proof, or is vouched for, and wishes that his name is not shown (RFC
 * 3323, section 4.2; RFC 3325, section 9.3) watches without it.
 *
 * @throws GatewayError as there; 'sender-forbidden' with status 433 for an anonymous one whom nobody vouches for (RFC
 *   5079, section 5)
 */
export function proveWatcher(request: SipRequest, deps: SenderProofDeps): WatcherProof {
  const asserted = assertedBy(request, deps);
  const isNameless = isAnonymous(request);
  if (asserted === undefined && isNameless) {
    const nameless = namelessFrom(request, deps);
    if (nameless === undefined) {
      throw new GatewayError('sender-forbidden', 'an anonymous watcher without anybody who vouches for him', {
        details: { status: 433 },
      });
    }
    return { kind: 'anonymous', origin: originOf(nameless.address, deps) };
  }
  const proof = asserted === undefined ? proveFrom(request, deps) : vouched(asserted, deps);
  if (proof.kind === 'challenge' || !hidesDevice(privacyFrom(request))) return proof;
  return { kind: 'anonymous', origin: proof.origin };
}

function assertedBy(request: SipRequest, { mayActFor, believes, trustedDomain }: SenderProofDeps): Entity | undefined {
  const rules = { believes: believes ?? mayActFor, trustedDomain: trustedDomain ?? (() => undefined) };
  return assertedIdentity(request, evidenceOf(request), rules);
}

/** Somebody of a domain that vouches for the request and does not say who he is. */
function namelessFrom(request: SipRequest, { trustedDomain }: SenderProofDeps): Entity | undefined {
  const domain = trustedDomain?.(evidenceOf(request));
  const address = domain === undefined ? undefined : addressFrom('anonymous', domain);
  return address === undefined ? undefined : { address };
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
  return proveUser(request, domain, sender, deps);
}

/** In which domain of ours somebody who does not say who he is may have a password. */
function realmFor(request: SipRequest, { isOwn, mainDomain }: SenderProofDeps): string {
  const candidates = [preferredDomain(request), parseSipUri(request.uri)?.host, mainDomain];
  const realm = candidates.find((domain) => domain !== undefined && isOwn(domain));
  if (realm !== undefined) return realm;
  throw new GatewayError('sender-forbidden', 'an anonymous sender whom nobody vouches for', {
    details: { status: 433 },
  });
}

/** @param named whom From names; undefined: nobody, so that it is whoever the digest proves */
function proveUser(
  request: SipRequest,
  realm: string,
  named: Entity | undefined,
  { checkDigest, userOf }: SenderProofDeps,
): SenderProof {
  const outcome = checkDigest(request, realm);
  if (outcome.kind === 'challenge') return outcome;
  if (named !== undefined && outcome.userKey !== addressKey(named.address)) {
    throw new GatewayError('sender-forbidden', `${outcome.userKey} is not the user in From`);
  }
  const user = named?.address ?? parseAddress(outcome.userKey);
  if (user === undefined) throw new GatewayError('internal', 'the digest proves somebody without an address');
  const isHis = (address: Address): boolean => {
    const owner = userOf?.(address) ?? address;
    return addressKey(owner) === outcome.userKey;
  };
  const chosen = preferredIdentity(request, user, isHis);
  const sender = chosen === user && named !== undefined ? named : { address: chosen };
  return { kind: 'proved', sender, origin: { kind: 'local', user: chosen } };
}

function vouched(sender: Entity, deps: SenderProofDeps): SenderProof & { readonly kind: 'proved' } {
  return { kind: 'proved', sender, origin: originOf(sender.address, deps) };
}

/** Where an operation comes from whose sender is vouched for: the core of his domain, or a peer. */
function originOf(user: Address, deps: SenderProofDeps): Origin {
  const domain = domainOf(user);
  return deps.isOwn(domain) ? { kind: 'local', user, isFromCore: true } : { kind: 'sip-peer', domain };
}
