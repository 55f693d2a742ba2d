import { addressKey } from '../../cpim/address.ts';
import { contactsByDevice } from '../../core/devices.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Binding } from '../../core/ports.ts';
import type { Gruus } from './gruu.ts';
import type { SipOutgoing, SipResponse } from '../message.ts';
import { errorFromStatus } from '../status.ts';
import { FLOW_FAILED, requestToContact, tryFlows } from './towards-contact.ts';
import { parseSipUri } from '../uri.ts';

export type DeviceRequestsDeps = {
  readonly request: (outgoing: SipOutgoing) => Promise<SipResponse>;
  readonly gruus: Pick<Gruus, 'entityOf'>;
  /** Contacts that can be reached now, of one device. */
  readonly contactsOf: (userKey: string, device?: string) => readonly Binding[];
};

/**
 * Sends requests within dialogs of ours: where the remote target is a GRUU of ours, to the contact of the device that it
 * stands for (RFC 5627, section 6.1), as the authoritative proxy that such a request would pass.
 *
 * @returns what the stack's `request` does. @throws GatewayError as that; 'peer-unreachable' while the device is away.
 */
export function deviceRequests(deps: DeviceRequestsDeps): (outgoing: SipOutgoing) => Promise<SipResponse> {
  const { request, gruus } = deps;
  return (outgoing) => {
    // Every notification passes here, and few are for such an address.
    if (!/;gr\b/i.test(outgoing.uri)) return request(outgoing);
    const uri = parseSipUri(outgoing.uri);
    const entity = uri === undefined ? undefined : ownEntity(uri, gruus);
    if (entity?.instance === undefined) return request(outgoing);
    return toDevice(outgoing, deps.contactsOf(addressKey(entity.address), entity.instance), request);
  };
}

function ownEntity(uri: NonNullable<ReturnType<typeof parseSipUri>>, gruus: Pick<Gruus, 'entityOf'>) {
  try {
    return gruus.entityOf(uri);
  } catch (cause) {
    throw new GatewayError('peer-unreachable', 'a temporary address that is over', { cause });
  }
}

async function toDevice(
  outgoing: SipOutgoing,
  contacts: readonly Binding[],
  request: DeviceRequestsDeps['request'],
): Promise<SipResponse> {
  const [flows] = contactsByDevice(contacts);
  if (flows === undefined) throw new GatewayError('peer-unreachable', 'the device is not registered now');
  const hasRoutes = outgoing.headers.some(([name]) => name === 'Route');
  // The flow of the dialog may be an old one; that of the registration is the newest.
  const { method, uri, headers, body, timeoutMs } = outgoing;
  const plain: SipOutgoing = {
    ...{ method, uri, headers },
    ...(body === undefined ? {} : { body }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
  try {
    return await tryFlows(flows, async (binding) => {
      // Where the request has a route already the path would lead it in a circle (RFC 5627, section 6.1).
      const way = hasRoutes ? { contact: binding.contact } : binding;
      const response = await requestToContact(way, plain, request);
      if (response.status === FLOW_FAILED) throw new FlowFailed(response);
      return response;
    });
  } catch (thrown) {
    if (thrown instanceof FlowFailed) return thrown.response;
    throw thrown;
  }
}

/** Keeps the answer for the case that it is the last. */
class FlowFailed extends GatewayError {
  readonly response: SipResponse;

  constructor(response: SipResponse) {
    const { code, message, details } = errorFromStatus(response.status, `answered ${response.status}`);
    super(code, message, { details });
    this.response = response;
  }
}
