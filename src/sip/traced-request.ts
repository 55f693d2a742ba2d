import type { Log } from '../core/log.ts';
import type { SipOutgoing, SipResponse } from './message.ts';
import type { SipStack } from './stack.ts';

/** The engine's `request`, with a line in the trace for each that was answered. */
export function tracedRequest(
  stack: Pick<SipStack, 'request'>,
  log: Log,
): (outgoing: SipOutgoing) => Promise<SipResponse> {
  return async (outgoing) => {
    const response = await stack.request(outgoing);
    const { method, uri, body } = outgoing;
    log.trace({ method, uri, status: response.status, bytes: body?.length ?? 0 }, 'request sent and answered');
    return response;
  };
}
