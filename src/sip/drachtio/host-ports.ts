import { isLoopback, parseHost } from '../host.ts';
import { bare, canonicalAddress } from '../engine/certificate-names.ts';
import { hostPort } from '../engine/channel.ts';
import { isSipTransport, type SipTransport } from '../message.ts';
import type { SipListener } from '../stack.ts';

/**
 * Reads where a drachtio server says it listens: `udp/192.0.2.1:5060,tcp/[2001:db8::1]:5060`, in an order that is the same
 * after its restart, which its own is not. What it says of other transports, and what cannot be read, is left out.
 */
export function parseHostPorts(text: string): readonly SipListener[] {
  const entries = text.split(',').sort();
  return entries.flatMap((entry) => {
    const found = /^([a-z]+)\/(.+):(\d{1,5})$/.exec(entry.trim());
    const [, transport, host, portText] = found ?? [];
    const port = Number(portText);
    if (transport === undefined || host === undefined || !isSipTransport(transport) || port < 1 || port > 65_535)
      return [];
    if (parseHost(host) === undefined) return [];
    return [{ transport, address: canonicalAddress(bare(host)), port }];
  });
}

/**
 * Where a far end reaches one of these listeners over this transport, as it stands in a URI: the first of its family,
 * and one on loopback only from loopback.
 */
export function listenerFor(
  listeners: readonly SipListener[],
  transport: SipTransport,
  remoteAddress: string,
): string | undefined {
  const isV6 = remoteAddress.includes(':');
  const found = listeners.find(
    (listener) =>
      listener.transport === transport &&
      (isName(listener.address) || listener.address.includes(':') === isV6) &&
      (!isLoopback(listener.address) || isLoopback(remoteAddress)),
  );
  return found === undefined ? undefined : hostPort(found.address, found.port);
}

function isName(address: string): boolean {
  return !/^[0-9.]+$/.test(address) && !address.includes(':');
}
