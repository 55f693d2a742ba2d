import { addressFrom } from '../cpim/address.ts';
import type { InstantMessage } from '../cpim/operation.ts';
import type { Origin } from '../core/admission.ts';
import type { Clock } from '../core/ports.ts';
import { messageFromRequest } from './map-message.ts';
import type { SipReply, SipRequest } from './message.ts';
import { withPlainNumber, type NumberUris } from './numbers.ts';
import type { SenderProof } from './sender-proof.ts';
import type { VerifySignature } from './trust/verified.ts';
import type { SipHandler } from './stack.ts';
import { decodedUser, parseSipUri } from './uri.ts';

/** What MESSAGE needs of the core, and nothing else. */
export type MessageDeps = {
  readonly prove: (request: SipRequest) => SenderProof;
  /** The Request-URI with a temporary address replaced by whose it is. @throws GatewayError where it is nobody's */
  readonly addressed: (uri: string) => string;
  readonly accept: (message: InstantMessage, origin: Origin) => Promise<'delivered' | 'queued'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly bodyBytesMax: number;
  /** Absent: signatures are not looked at. */
  readonly verify?: VerifySignature;
  /** Absent: nobody is found by a number. */
  readonly numbers?: NumberUris;
};

/**
 * Answers MESSAGE outside a dialog (RFC 3428, section 7): 200 says that a contact of the recipient has taken it, 202
 * that it is stored here and will be delivered. Neither has a body or a Contact.
 *
 * A MESSAGE without a body says nothing; its sender is told that it arrived, and nobody gets it.
 */
export function messageHandler(deps: MessageDeps): SipHandler {
  return async (request): Promise<SipReply> => {
    const proof = deps.prove(request);
    if (proof.kind === 'challenge') return { status: 401, headers: proof.headers };
    const checking = deps.verify?.(request, proof.origin);
    if (checking !== undefined) await checking;
    if (request.body.length === 0) return { status: 200 };
    const { bodyBytesMax, clock } = deps;
    // After the proof, which covers the Request-URI as it was sent.
    const addressed = { ...request, uri: deps.addressed(request.uri) };
    const plain = deps.numbers === undefined ? addressed : withPlainNumber(addressed, deps.numbers);
    const message = messageFromRequest(plain, {
      sender: proof.sender,
      ...(proof.privacy === undefined ? {} : { privacy: proof.privacy }),
      nowMs: clock.nowMs(),
      bodyBytesMax,
    });
    const outcome = await deps.accept(asWritten(message, request.uri, addressed.uri), proof.origin);
    return { status: outcome === 'delivered' ? 200 : 202 };
  };
}

/** Whose temporary address it was is told to nobody, not even where a message to it fails (RFC 5627, section 3.1.2). */
function asWritten(message: InstantMessage, uri: string, meant: string): InstantMessage {
  const written = uri === meant ? undefined : parseSipUri(uri);
  const address = written === undefined ? undefined : addressFrom(decodedUser(written), written.host);
  return address === undefined ? message : { ...message, writtenTo: { address } };
}
