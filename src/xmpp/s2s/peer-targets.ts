import { isIP } from 'node:net';
import { GatewayError } from '../../core/errors.ts';
import type { Random } from '../../core/ports.ts';
import type { DnsQueries, SrvRecord } from '../../dns/dns-queries.ts';
import { inSrvOrder } from '../../dns/srv-order.ts';

/** Where a server of a domain may be reached. */
export type PeerTarget = {
  /** IP address, IPv6 without brackets. */
  readonly address: string;
  readonly port: number;
  /** TLS from the first byte (XEP-0368). */
  readonly isTls: boolean;
};

/** Where the configuration says that a peer is, instead of DNS. */
export type NextHop = { readonly host: string; readonly port: number; readonly isTls: boolean };

const DEFAULT_PORT = 5269;
/** A zone can list any number of records; nobody waits for more attempts than this. */
const TARGETS_MAX = 12;

/**
 * Finds the servers of an XMPP domain in the order of trying: the SRV records of `_xmpps-server` (direct TLS) and of
 * `_xmpp-server` mixed by priority and weight (XEP-0368, section 3), a lone dot for a service that is decidedly not
 * there; without any record the domain's own addresses at port 5269 (RFC 6120, section 3.2.2). A next hop of the
 * configuration is looked up as it stands.
 *
 * @throws GatewayError 'peer-unreachable' when no place is found
 */
export async function peerTargets(
  domain: string,
  { dns, random, nextHop }: { readonly dns: DnsQueries; readonly random: Random; readonly nextHop?: NextHop },
): Promise<readonly PeerTarget[]> {
  const doubts: unknown[] = [];
  const places =
    nextHop === undefined
      ? await placesByService(domain, dns, random, doubts)
      : [{ name: nextHop.host, port: nextHop.port, isTls: nextHop.isTls }];
  const lists = await Promise.all(
    places.slice(0, TARGETS_MAX).map(async ({ name, port, isTls }) => {
      const addresses = await addressesOf(name, dns, doubts);
      return addresses.map((address) => ({ address, port, isTls }));
    }),
  );
  const targets = unique(lists.flat()).slice(0, TARGETS_MAX);
  if (targets.length > 0) return targets;
  if (doubts.length > 0) {
    throw new GatewayError('peer-unreachable', `name servers failed to answer for ${domain}`, { cause: doubts[0] });
  }
  const text =
    nextHop === undefined
      ? `DNS has no XMPP server for ${domain}: is the domain right? Else its peer entry needs a \`nextHop\``
      : `DNS has no address for ${nextHop.host}, the \`nextHop\` of ${domain}`;
  throw new GatewayError('peer-unreachable', text);
}

type Place = { readonly name: string; readonly port: number; readonly isTls: boolean };

async function placesByService(
  domain: string,
  dns: DnsQueries,
  random: Random,
  doubts: unknown[],
): Promise<readonly Place[]> {
  // An address literal has no services.
  if (isIP(bare(domain)) !== 0) return [{ name: domain, port: DEFAULT_PORT, isTls: false }];
  const [direct, plain] = await Promise.all([
    orEmpty(dns.srv(`_xmpps-server._tcp.${domain}`), doubts),
    orEmpty(dns.srv(`_xmpp-server._tcp.${domain}`), doubts),
  ]);
  if (direct.length + plain.length === 0) {
    // Without an answer nobody knows whether there are records: the domain's own address would be a guess.
    if (doubts.length > 0) return [];
    return [{ name: domain, port: DEFAULT_PORT, isTls: false }];
  }
  const marked = (records: readonly SrvRecord[], isTls: boolean) => records.map((record) => ({ ...record, isTls }));
  const places = inSrvOrder([...marked(direct, true), ...marked(plain, false)], random).filter(
    ({ name }) => name !== '' && name !== '.',
  );
  // Where only direct TLS is decidedly not there, the other way is as if nothing had been said of it.
  if (places.length === 0 && plain.length === 0) return [{ name: domain, port: DEFAULT_PORT, isTls: false }];
  return places;
}

async function addressesOf(host: string, dns: DnsQueries, doubts: unknown[]): Promise<readonly string[]> {
  const name = bare(host).toLowerCase().replace(/\.$/, '');
  if (isIP(name) !== 0) return [name];
  // Never asked of a name server: it is this machine (RFC 6761, section 6.3).
  if (name === 'localhost' || name.endsWith('.localhost')) return ['127.0.0.1', '::1'];
  const [four, six] = await Promise.all([orEmpty(dns.a(name), doubts), orEmpty(dns.aaaa(name), doubts)]);
  return [...four, ...six].map(({ address }) => address);
}

async function orEmpty<T>(answer: Promise<readonly T[]>, doubts: unknown[]): Promise<readonly T[]> {
  try {
    return await answer;
  } catch (error) {
    doubts.push(error);
    return [];
  }
}

function bare(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
}

function unique(targets: readonly PeerTarget[]): readonly PeerTarget[] {
  return [...new Map(targets.map((target) => [targetKey(target), target])).values()];
}

/** The same text for the same place. */
export function targetKey({ address, port, isTls }: PeerTarget): string {
  return `${isTls ? 'tls' : 'tcp'} ${address} ${port}`;
}
