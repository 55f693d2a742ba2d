import { createHmac } from 'node:crypto';
import { pairLink } from '../core/peers.ts';
import type { DeliveryQueue } from '../core/ports.ts';
import { linkHop } from '../core/router.ts';
import { DnsCache } from '../dns/dns-cache.ts';
import { systemDnsQueries } from '../dns/dns-queries.ts';
import { S2sFederation } from '../xmpp/link-s2s.ts';
import type { NamedLink } from './links.ts';
import type { AppOptions } from './options.ts';

/** Everything of the configuration that federates server to server. */
export type Federations = {
  /** One for each pair of a domain of ours and a peer's, by name. */
  readonly links: ReadonlyMap<string, NamedLink>;
  /** Listens. @throws Error when a port cannot be had. */
  start(): Promise<void>;
  /** After the links were stopped. */
  stop(): Promise<void>;
};

/**
 * Puts federation together; nothing listens yet.
 *
 * @param secret of this server, durable and common to all its nodes; the one for dialback keys is made from it
 */
export function createFederations(
  { config, clock, random, log }: AppOptions,
  queue: Pick<DeliveryQueue, 'figures'>,
  secret: Uint8Array,
): Federations {
  const dialbackSecret = createHmac('sha256', secret).update('dialback').digest('hex');
  const links = new Map<string, NamedLink>();
  const federations: S2sFederation[] = [];
  for (const [name, link] of Object.entries(config.links)) {
    if (link.type !== 'xmpp-s2s') continue;
    const peers = config.peers.filter((peer) => peer.link === name);
    const ownDomains = config.domains.map((own) => own.name);
    const federation = new S2sFederation({
      name,
      listen: link.listen,
      ...(link.certificate === undefined ? {} : { certificate: link.certificate }),
      ...(link.ca === undefined ? {} : { ca: link.ca }),
      dialbackSecret,
      ownDomains,
      peers: peers.map(({ domain, s2s }) => ({ domain, security: 'certificate', ...s2s })),
      dns: new DnsCache(systemDnsQueries(config.dns.servers), clock),
      clock,
      random,
      log,
      limits: {
        stanzaBytesMax: config.limits.stanzaBytes,
        idleMs: link.idleSeconds * 1_000,
        authenticateMs: link.authenticateSeconds * 1_000,
        streamsPerAddress: link.streamsPerAddress,
        streams: link.streams,
        unproved: link.unprovedStreams,
      },
    });
    federations.push(federation);
    for (const own of ownDomains) {
      for (const { domain: peer } of peers) {
        const pair = pairLink(name, own, peer);
        const isWanted = (): boolean => (queue.figures().perHop[linkHop(pair)] ?? 0) > 0;
        const domains = { domain: own, name: own };
        links.set(pair, { link: federation.link({ own, peer }, pair, isWanted), domains, peer });
      }
    }
  }
  return {
    links,
    async start() {
      for (const federation of federations) await federation.start();
    },
    async stop() {
      await Promise.all(federations.map((federation) => federation.stop()));
    },
  };
}
