import type { NumberPlan } from '../core/number-plan.ts';
import type { PeerTable } from '../core/peers.ts';
import type { SipStack } from '../sip/stack.ts';
import { PeerRequests } from '../sip/trust/peer-requests.ts';
import type { AppOptions } from './options.ts';

export type TrustParts = {
  readonly stack: Pick<SipStack, 'request'>;
  readonly peers: PeerTable;
  readonly numbers: NumberPlan;
};

/** The way out to SIP peers, with what each of them is told about who sends. */
export function createPeerRequests({ stack, peers, numbers }: TrustParts, { log }: AppOptions): PeerRequests {
  return new PeerRequests({
    request: async (outgoing) => {
      const response = await stack.request(outgoing);
      const { method, uri, body } = outgoing;
      log.trace({ method, uri, status: response.status, bytes: body?.length ?? 0 }, 'request sent and answered');
      return response;
    },
    peers,
    numberOf: numbers.numberOf.bind(numbers),
  });
}
