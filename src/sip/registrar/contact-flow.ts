import { isAmong, parseCidrs, parseIpAddress } from '../../core/cidr.ts';
import { isAtAddress, isNowhere } from '../host.ts';
import { isWebSocketTransport, type SipFlow } from '../message.ts';
import type { SipUri } from '../uri.ts';

/** Addresses that mean nothing outside of the network of whoever has them. */
const PRIVATE = parseCidrs([
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', '100.64.0.0/10', '127.0.0.0/8'],
  ...['fc00::/7', 'fe80::/10', '::1/128'],
]);

/**
 * The flow over which the contacts of a request are reached, where it is better than their URIs: the connection that a
 * phone itself has opened, and over UDP the way back through the NAT behind which its own address means nothing.
 *
 * Not when the contacts are elsewhere than where the request came from: somebody speaks for another device.
 */
export function contactFlow(uris: readonly SipUri[], flow: SipFlow): string | undefined {
  if (uris.length === 0) return undefined;
  // A client of a WebSocket is nowhere else, whatever its Contact says (RFC 7118, section 8.2).
  if (isWebSocketTransport(flow.transport)) return flow.id;
  const isStream = flow.transport !== 'udp';
  const isTheirs = uris.every((uri) => {
    if (isAtAddress(uri.host, flow.remoteAddress)) return isStream;
    if (isNowhere(uri.host)) return true;
    return parseIpAddress(uri.host) === undefined ? isStream : isAmong(uri.host, PRIVATE);
  });
  return isTheirs ? flow.id : undefined;
}

/**
 * Whether contacts with a flow (`contactFlow`) are nowhere else, so that a connection to their URIs would end at nobody, or
 * at somebody else who has the same address in another network.
 */
export function isOnlyOverFlow(uris: readonly SipUri[], flow: SipFlow): boolean {
  if (isWebSocketTransport(flow.transport)) return true;
  return uris.some(({ host }) => {
    if (isAtAddress(host, flow.remoteAddress)) return false;
    return isNowhere(host) || isAmong(host, PRIVATE);
  });
}
