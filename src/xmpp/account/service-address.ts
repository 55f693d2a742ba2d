import type { Random } from '../../core/ports.ts';
import type { DnsQueries } from '../../dns/dns-queries.ts';
import { inSrvOrder } from '../../dns/srv-order.ts';

/** A place where a service may be reached. */
export type ServiceTarget = {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (XEP-0368), else STARTTLS. */
  readonly isDirect: boolean;
};

const PORT = 5222;
/** More places than this are not tried. */
const TARGETS_MAX = 8;

/**
 * Where the clients of a service connect, in the order in which it is to be tried: both kinds of SRV records as one set
 * (XEP-0368, section 3), else the domain itself at port 5222 (RFC 6120, section 3.2.2).
 *
 * @returns empty where the service says that it takes no clients. Rejects where nobody could say.
 */
export async function serviceTargets(
  domain: string,
  dns: Pick<DnsQueries, 'srv'>,
  random: Random,
): Promise<readonly ServiceTarget[]> {
  const [direct, plain] = await Promise.all([
    dns.srv(`_xmpps-client._tcp.${domain}`),
    dns.srv(`_xmpp-client._tcp.${domain}`),
  ]);
  const records = [
    ...direct.map((record) => ({ ...record, isDirect: true })),
    ...plain.map((record) => ({ ...record, isDirect: false })),
  ];
  if (records.length === 0) return [{ host: domain, port: PORT, isDirect: false }];
  return inSrvOrder(records, random)
    .filter(({ name }) => name !== '' && name !== '.')
    .slice(0, TARGETS_MAX)
    .map(({ name, port, isDirect }) => ({ host: name, port, isDirect }));
}

/** The addresses of a host: IPv4 first, since a service that is reached over one of them is reached. */
export async function hostAddresses(
  host: string,
  dns: Pick<DnsQueries, 'a' | 'aaaa'>,
  isAddress: (host: string) => boolean,
): Promise<readonly string[]> {
  if (isAddress(host)) return [host];
  const answers = await Promise.allSettled([dns.a(host), dns.aaaa(host)]);
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (found.length === 0) throw new Error(`no address of ${host} is known`);
  return found.map(({ address }) => address);
}
