import { GatewayError } from '../../core/errors.ts';
import type { Binding } from '../../core/ports.ts';
import type { HeaderField, SipOutgoing, SipResponse } from '../message.ts';
import { parseSipUri, requestUriFrom } from '../uri.ts';

type Request = (outgoing: SipOutgoing) => Promise<SipResponse>;

/** RFC 5626, section 11.5: the proxy that holds the flow says that it is gone. */
export const FLOW_FAILED = 430;

/**
 * Sends a request to a contact: by the proxies of its path (RFC 3327, section 5.3), over the flow that the phone has
 * opened, or to where its URI leads. A flow that is gone leaves the URI, unless the contact is at the end of it alone.
 *
 * @param outgoing without Route and next hop; its Request-URI is replaced by the contact
 */
export async function requestToContact(
  binding: Pick<Binding, 'contact' | 'path' | 'flow' | 'isFlowOnly'>,
  outgoing: SipOutgoing,
  request: Request,
): Promise<SipResponse> {
  const contact = parseSipUri(binding.contact);
  if (contact === undefined) throw new GatewayError('recipient-unavailable', 'stored contact is no SIP URI');
  const { path = [], flow } = binding;
  const direct = { ...outgoing, uri: requestUriFrom(contact) };
  if (path.length > 0) {
    const routes = path.map((value): HeaderField => ['Route', value]);
    return request({ ...direct, headers: [...routes, ...direct.headers] });
  }
  if (flow === undefined) return request(direct);
  try {
    return await request({ ...direct, nextHop: { flow } });
  } catch (thrown) {
    const error = GatewayError.of(thrown);
    // Only a connection that is gone leads to the URI: after silence the phone may have it already.
    if (error.code !== 'peer-unreachable' || binding.isFlowOnly === true) throw error;
  }
  return request(direct);
}

/**
 * Tries the contacts of one device, one after the other, as long as the flow to each turns out to be gone: whatever the
 * device itself has answered is its answer (RFC 5626, section 7).
 *
 * @param contacts at least one
 */
export async function tryFlows<T>(contacts: readonly Binding[], attempt: (contact: Binding) => Promise<T>): Promise<T> {
  let failure: GatewayError | undefined;
  for (const contact of contacts) {
    try {
      return await attempt(contact);
    } catch (thrown) {
      failure = GatewayError.of(thrown);
      if (!isFlowGone(failure)) throw failure;
    }
  }
  throw failure ?? new GatewayError('recipient-unavailable', 'no contact is registered');
}

function isFlowGone({ code, details }: GatewayError): boolean {
  return details.status === FLOW_FAILED || (code === 'peer-unreachable' && details.status === undefined);
}
