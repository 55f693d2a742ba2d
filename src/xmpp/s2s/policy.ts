import { certifies, type CertificateNames } from './certificate-names.ts';

/**
 * The least that must prove a peer's domain, weakest last: its certificate; a dialback key within TLS; a dialback key.
 * A peer may always offer more than is asked.
 */
export type PeerSecurity = 'certificate' | 'dialback-over-tls' | 'dialback';

/** What TLS says of the far side. */
export type TlsProof = {
  /** Why its chain leads to no root of ours, or that it has shown no certificate; absent: it is good. */
  readonly fault?: string;
  readonly names: CertificateNames;
};

/** Whether the far side's certificate proves that it speaks for a domain. */
export function provesDomain(proof: TlsProof | undefined, domain: string): boolean {
  return proof !== undefined && proof.fault === undefined && certifies(proof.names, domain);
}

/** Why a stream is not safe enough for a peer; undefined where it is. `certificate` also wants what `proof` shows. */
export function securityFault(security: PeerSecurity, domain: string, proof: TlsProof | undefined): string | undefined {
  if (security === 'dialback') return undefined;
  if (proof === undefined) return `no TLS, which \`security: ${security}\` asks for`;
  if (security === 'dialback-over-tls') return undefined;
  if (proof.fault !== undefined) {
    return `its certificate is not to be trusted (${proof.fault})${REMEDIES[proof.fault] ?? ''}`;
  }
  return certifies(proof.names, domain) ? undefined : `its certificate is not for ${domain}`;
}

const NO_ROOT = ': `ca` of the link has not its root, or the peer does not send what is between it and its root';

/** What can be done about what TLS says of a chain (the codes are those of OpenSSL, as Node names them). */
const REMEDIES: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: ': nobody but itself has signed it, and `ca` of the link does not have it',
  SELF_SIGNED_CERT_IN_CHAIN: ': `ca` of the link has not its root',
  UNABLE_TO_GET_ISSUER_CERT: NO_ROOT,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NO_ROOT,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NO_ROOT,
  CERT_HAS_EXPIRED: ': it is over, the peer needs a new one',
  CERT_NOT_YET_VALID: ': it is of the future, or the clock here is wrong',
  INVALID_PURPOSE: ': it is good for servers alone, the peer needs one that is good for clients too',
};
