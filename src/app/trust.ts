import type { NumberPlan } from '../core/number-plan.ts';
import type { PeerTable } from '../core/peers.ts';
import type { SipStack } from '../sip/stack.ts';
import { Credentials } from '../sip/identity/credentials.ts';
import { IdentitySigner } from '../sip/identity/identity-signer.ts';
import { IdentityVerifier } from '../sip/identity/identity-verifier.ts';
import { tracedRequest } from '../sip/traced-request.ts';
import { PeerRequests } from '../sip/trust/peer-requests.ts';
import { signatureCheck, type VerifySignature } from '../sip/trust/verified.ts';
import type { AppOptions } from './options.ts';

export type TrustParts = {
  readonly stack: Pick<SipStack, 'request'>;
  readonly peers: PeerTable;
  readonly numbers: NumberPlan;
};

/** The way out to SIP peers, with what each of them is told about who sends. */
export function createPeerRequests(
  { stack, peers, numbers }: TrustParts,
  { config, clock, log }: AppOptions,
): PeerRequests {
  const own = config.sip.identity?.own;
  return new PeerRequests({
    request: tracedRequest(stack, log),
    peers,
    ...(own === undefined ? {} : { signer: new IdentitySigner(own, clock) }),
    numberOf: numbers.numberOf.bind(numbers),
  });
}

/** Checks who is said to have sent what comes from peers, as the configuration wants it. */
export function createSignatureCheck(peers: PeerTable, { config, clock, log }: AppOptions): VerifySignature {
  const { identity } = config.sip;
  if (identity === undefined) return signatureCheck(peers, undefined);
  const credentials = new Credentials(identity, clock, log);
  const { freshnessSeconds } = identity;
  return signatureCheck(peers, new IdentityVerifier({ credentials, freshnessSeconds, clock }));
}
