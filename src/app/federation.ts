import type { Log } from '../core/log.ts';
import { pairLink } from '../core/peers.ts';
import type { DeliveryQueue } from '../core/ports.ts';
import { linkHop } from '../core/router.ts';
import { DnsCache } from '../dns/dns-cache.ts';
import { systemDnsQueries } from '../dns/dns-queries.ts';
import { S2sFederation } from '../xmpp/link-s2s.ts';
import { linkLease, OwnedLink } from '../xmpp/owned-link.ts';
import type { OtherNodes } from '../xmpp/s2s/federation-options.ts';
import type { Ends } from '../xmpp/s2s/incoming-negotiation.ts';
import type { PairLink } from '../xmpp/s2s/pair-link.ts';
import { derivedKey } from './durable-secret.ts';
import type { NamedLink } from './links.ts';
import type { Nodes } from './nodes.ts';
import { uncertifiedDomains } from './certificate-domains.ts';
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
 * Puts federation together; nothing listens yet. Of several nodes each listens, and one at a time runs each pair.
 *
 * @param secret of this server, durable and common to all its nodes; the one for dialback keys is made from it
 */
export function createFederations(
  { config, clock, random, log }: AppOptions,
  nodes: Nodes | undefined,
  queue: Pick<DeliveryQueue, 'figures'>,
  secret: Uint8Array,
): Federations {
  const dialbackSecret = derivedKey(secret, 'dialback').toString('hex');
  const links = new Map<string, NamedLink>();
  const federations: S2sFederation[] = [];
  for (const { key, domain } of uncertifiedDomains(config)) {
    log.warn({ certificate: key, domain }, 'certificate is not for a domain of ours: to peers it proves nothing');
  }
  for (const [name, link] of Object.entries(config.links)) {
    if (link.type !== 'xmpp-s2s') continue;
    const peers = config.peers.filter((peer) => peer.link === name);
    const ownDomains = config.domains.map((own) => own.name);
    const federation: S2sFederation = new S2sFederation({
      name,
      ...(nodes === undefined ? {} : { others: otherNodes(name, nodes, () => federation, log) }),
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
        const ends = { own, peer };
        const create = (): PairLink => federation.link(ends, pair, isWanted);
        const link =
          nodes === undefined
            ? create()
            : new OwnedLink({
                ...nodes,
                name: pair,
                create,
                isWanted,
                canReach: () => federation.canReach(peer),
                listen: (face) => federation.listen(ends, face),
                answer: (stanza) => federation.answer(ends, stanza),
                clock,
                log,
              });
        links.set(pair, { link, domains, peer });
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

/** What nodes tell each other about a link's peers, who speak to any of them. */
function otherNodes(link: string, { members, bus }: Nodes, federation: () => S2sFederation, log: Log): OtherNodes {
  const services = { ponged: `s2s:${link}:ponged`, there: `s2s:${link}:there` };
  bus.serve(services.ponged, (value) => {
    const { ends, id } = value as { ends: Ends; id: string };
    federation().ponged(ends, id);
  });
  bus.serve(services.there, (value) => federation().peerIsThere(value as Ends));
  const tell = (node: string, service: string, value: unknown): void => {
    bus.call(node, service, value).catch((error: unknown) => {
      log.debug({ link, node, service, error }, 'the other node was not told');
    });
  };
  return {
    run: members.run,
    ponged: (run, ends, id) => {
      const node = members.nodes.find((other) => other.run === run);
      if (node !== undefined) tell(node.name, services.ponged, { ends, id });
      return node !== undefined;
    },
    peerIsThere: (ends) => {
      const holder = members.holderOf(linkLease(pairLink(link, ends.own, ends.peer)));
      if (holder === undefined || holder.run === members.run) return;
      if ((holder.note as { at?: string } | undefined)?.at !== 'up') tell(holder.node, services.there, ends);
    },
  };
}
