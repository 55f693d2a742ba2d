import { isIP } from 'node:net';

import { GatewayError } from '../../core/errors.ts';
import type { Clock, Random } from '../../core/ports.ts';
import { isNowhere } from '../host.ts';
import type { DialledTransport } from '../message.ts';
import { uriParam, type SipUri } from '../uri.ts';
import { canonicalAddress } from './certificate-names.ts';
import type { DnsQueries, SrvRecord } from '../../dns/dns-queries.ts';
import { inSrvOrder } from '../../dns/srv-order.ts';
import { defaultPort, targetKey, type Target } from './targets.ts';

const DEADLINE_MS = 5_000;
/** A zone can list any number of records; nobody waits for more attempts than this. */
const TARGETS_MAX = 16;

export type ResolverOptions = {
  /** What this server can send over, the one it likes best first; ties in DNS are broken by this order. */
  readonly transports: readonly DialledTransport[];
  /** Families it can send to over UDP; streams can go to both. */
  readonly udpFamilies: ReadonlySet<4 | 6>;
};

type Service = { readonly transport: DialledTransport; readonly name: string };

const NAPTR_SERVICES: Readonly<Record<string, DialledTransport>> = {
  'SIP+D2U': 'udp',
  'SIP+D2T': 'tcp',
  'SIPS+D2T': 'tls',
};

/**
 * Finds where requests for a SIP URI go (RFC 3263, section 4).
 *
 * The result is in the order of trying: NAPTR order and preference, SRV priority, a random order by weight (RFC 2782)
 * within it, IPv4 before IPv6. Nothing is remembered here; `DnsCache` does that.
 */
export class Resolver {
  readonly #dns: DnsQueries;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #options: ResolverOptions;

  constructor(dns: DnsQueries, clock: Clock, random: Random, options: ResolverOptions) {
    this.#dns = dns;
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
  }

  /** As `targets`, at once, for a URI with an IP address as host; undefined for any other. */
  numericTargets(uri: SipUri): readonly Target[] | undefined {
    const address = numeric(hostOf(uri));
    if (address === undefined) return undefined;
    const wanted = transportOf(uri);
    if (wanted === 'none') throw unknownTransport();
    return [this.#numericTarget(uri, wanted, address)];
  }

  /**
   * @throws GatewayError 'peer-unreachable' when no place is found, or none within 5 s. A name that DNS does not know
   *   is no more than that: names are mistyped, and corrected while messages wait.
   */
  async targets(uri: SipUri): Promise<readonly Target[]> {
    const known = this.numericTargets(uri);
    if (known !== undefined) return known;
    const host = hostOf(uri);
    const wanted = transportOf(uri);
    if (wanted === 'none') throw unknownTransport();
    // Not asked for anywhere: whoever is named so is reached over his own connection or not at all (RFC 2606, section 2).
    if (isNowhere(host)) throw new GatewayError('peer-unreachable', 'the next hop is a name for nowhere');
    const found = await this.#withinDeadline(this.#find(uri, host, wanted));
    if (found.length === 0) throw new GatewayError('peer-unreachable', 'the next hop has no address');
    return found;
  }

  #numericTarget(uri: SipUri, wanted: DialledTransport | undefined, address: string): Target {
    const transport = wanted ?? this.#plainTransport(uri);
    if (!this.#options.transports.includes(transport) || !this.#reaches(transport, isIP(address))) {
      throw new GatewayError('peer-unreachable', 'no listener can send to the next hop over its transport');
    }
    return { transport, address, port: uri.port ?? defaultPort(transport) };
  }

  /** The transport where neither URI nor DNS name one (RFC 3263, section 4.1). */
  #plainTransport(uri: SipUri): DialledTransport {
    if (uri.scheme === 'sips') return 'tls';
    return this.#options.transports.includes('udp') ? 'udp' : 'tcp';
  }

  async #find(uri: SipUri, host: string, wanted: DialledTransport | undefined): Promise<readonly Target[]> {
    const doubts: unknown[] = [];
    const targets = await this.#ask(uri, host, wanted, doubts);
    const some = this.#firstOfEach(targets);
    if (some.length === 0 && doubts.length > 0) {
      throw new GatewayError('peer-unreachable', 'name servers failed to answer', { cause: doubts[0] });
    }
    return some;
  }

  async #ask(uri: SipUri, host: string, wanted: DialledTransport | undefined, doubts: unknown[]): Promise<Target[]> {
    if (uri.port !== undefined) {
      return this.#addresses(host, wanted ?? this.#plainTransport(uri), uri.port, doubts);
    }
    const services =
      wanted === undefined
        ? await this.#services(uri, host, doubts)
        : [{ transport: wanted, name: srvName(wanted, host) }];
    const usable = services.filter(({ transport }) => this.#options.transports.includes(transport));
    // Side by side, since each question may take long; their order is that of the services.
    const records = await Promise.all(usable.map(({ name }) => this.#srv(name, doubts)));
    if (records.some((list) => list.length > 0)) {
      const servers = usable
        .flatMap(({ transport }, at) =>
          inSrvOrder(records[at] ?? [], this.#random).map((record) => ({ transport, record })),
        )
        // A lone dot says that the service is decidedly not there (RFC 2782).
        .filter(({ record }) => record.name !== '' && record.name !== '.')
        .slice(0, TARGETS_MAX);
      const found = servers.map(({ transport, record }) =>
        this.#addresses(record.name, transport, record.port, doubts),
      );
      return (await Promise.all(found)).flat();
    }
    const transport = wanted ?? this.#plainTransport(uri);
    return this.#addresses(host, transport, defaultPort(transport), doubts);
  }

  /** Services of a host by NAPTR, or the well-known ones when it has none (RFC 3263, section 4.1). */
  async #services(uri: SipUri, host: string, doubts: unknown[]): Promise<readonly Service[]> {
    const records = await this.#orEmpty(this.#dns.naptr(host), doubts);
    const services = records
      .map((record) => ({ record, transport: NAPTR_SERVICES[record.service.toUpperCase()] }))
      .filter(({ record, transport }) => transport !== undefined && record.flags.toLowerCase() === 's')
      .sort((a, b) => a.record.order - b.record.order || a.record.preference - b.record.preference)
      .map(({ record, transport }) => ({ transport: transport ?? 'udp', name: record.replacement }))
      .filter(({ transport }) => uri.scheme === 'sip' || transport === 'tls')
      .filter(({ transport }) => this.#options.transports.includes(transport));
    if (services.length > 0) return services;
    const transports = uri.scheme === 'sips' ? (['tls'] as const) : this.#options.transports;
    return transports.map((transport) => ({ transport, name: srvName(transport, host) }));
  }

  async #srv(name: string, doubts: unknown[]): Promise<readonly SrvRecord[]> {
    return this.#orEmpty(this.#dns.srv(name), doubts);
  }

  async #addresses(host: string, transport: DialledTransport, port: number, doubts: unknown[]): Promise<Target[]> {
    if (!this.#options.transports.includes(transport)) return [];
    const known = numeric(host);
    if (known !== undefined) return this.#reaches(transport, isIP(known)) ? [{ transport, address: known, port }] : [];
    const name = host.toLowerCase();
    // Never asked of a name server: it is this machine (RFC 6761, section 6.3).
    if (name === 'localhost' || name.endsWith('.localhost')) {
      return ['127.0.0.1', '::1']
        .filter((address) => this.#reaches(transport, isIP(address)))
        .map((address) => ({ transport, address, port }));
    }
    const [four, six] = await Promise.all([
      this.#reaches(transport, 4) ? this.#orEmpty(this.#dns.a(name), doubts) : [],
      this.#reaches(transport, 6) ? this.#orEmpty(this.#dns.aaaa(name), doubts) : [],
    ]);
    return [...four, ...six].map(({ address }) => ({ transport, address: canonicalAddress(address), port }));
  }

  #reaches(transport: DialledTransport, family: number): boolean {
    return transport !== 'udp' || (family === 4 || family === 6 ? this.#options.udpFamilies.has(family) : false);
  }

  async #orEmpty<T>(answer: Promise<readonly T[]>, doubts: unknown[]): Promise<readonly T[]> {
    try {
      return await answer;
    } catch (error) {
      // A server that fails on one question may answer the next; what was not answered is remembered as a doubt.
      doubts.push(error);
      return [];
    }
  }

  #firstOfEach(targets: readonly Target[]): readonly Target[] {
    const seen = new Map<string, Target>();
    for (const target of targets) {
      const key = targetKey(target);
      if (!seen.has(key) && seen.size < TARGETS_MAX) seen.set(key, target);
    }
    return [...seen.values()];
  }

  #withinDeadline<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(DEADLINE_MS, () =>
        reject(new GatewayError('peer-unreachable', 'name servers took too long')),
      );
      work.then(resolve, reject).finally(cancel);
    });
  }
}

function srvName(transport: DialledTransport, host: string): string {
  return `${transport === 'tls' ? '_sips._tcp' : `_sip._${transport}`}.${host}`;
}

/** The TARGET of RFC 3263, section 4: maddr where there is one, else the host. */
function hostOf(uri: SipUri): string {
  const maddr = uriParam(uri, 'maddr');
  const host = typeof maddr === 'string' ? maddr.toLowerCase() : uri.host;
  return host.endsWith('.') ? host.slice(0, -1) : host;
}

/** The transport a URI asks for; undefined when it leaves that open, 'none' when it asks for what nobody has. */
function transportOf(uri: SipUri): DialledTransport | 'none' | undefined {
  const asked = uriParam(uri, 'transport');
  if (asked === undefined) return undefined;
  switch (asked === true ? '' : asked.toLowerCase()) {
    case 'udp':
      return uri.scheme === 'sips' ? 'none' : 'udp';
    case 'tcp':
      return uri.scheme === 'sips' ? 'tls' : 'tcp';
    case 'tls':
      return 'tls';
    default:
      return 'none';
  }
}

function numeric(host: string): string | undefined {
  const address = canonicalAddress(host);
  return isIP(address) === 0 ? undefined : address;
}

function unknownTransport(): GatewayError {
  return new GatewayError('peer-unreachable', 'the next hop names a transport this server has not');
}
