import type { Origin } from '../../core/admission.ts';
import type { PeerTable } from '../../core/peers.ts';
import type { IdentityVerifier } from '../identity/identity-verifier.ts';
import { isInDialog } from '../dispatch.ts';
import type { SipRequest } from '../message.ts';

/**
 * Checks the signature of a request where its peer's entry asks for that: of those outside of dialogs, since what follows
 * in a dialog has its tags. Undefined: there is nothing to check.
 */
export type VerifySignature = (request: SipRequest, origin: Origin) => Promise<void> | undefined;

export function signatureCheck(
  peers: Pick<PeerTable, 'signaturesOf'>,
  verifier: Pick<IdentityVerifier, 'verify'> | undefined,
): VerifySignature {
  return (request, origin) => {
    if (verifier === undefined || origin.kind !== 'sip-peer') return undefined;
    const { verify } = peers.signaturesOf(origin.domain);
    if (verify === 'off' || isInDialog(request)) return undefined;
    return verifier.verify(request, origin.domain, verify);
  };
}
