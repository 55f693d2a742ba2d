import type { Config, PeerConfig } from '../core/config.ts';
import type { DeliveryService } from '../core/delivery-service.ts';
import { pairLink } from '../core/peers.ts';
import type { DeliveryQueue, HopId, Store } from '../core/ports.ts';
import { linkHop, sipHop } from '../core/router.ts';
import type { Health, LinkHealth } from '../http/routes-health.ts';
import type { SipListener, SipStack } from '../sip/stack.ts';
import type { CertificateWatch } from './certificate-watch.ts';
import type { AppOptions } from './options.ts';
import type { NamedLink } from './links.ts';
import type { Nodes } from './nodes.ts';
import type { PresenceFace } from './presence-face.ts';
import type { AccountsFace } from './shared-accounts.ts';

export type HealthSources = {
  readonly queue: DeliveryQueue;
  readonly delivery: DeliveryService;
  readonly presence: Pick<PresenceFace, 'figures'>;
  readonly nodes: Nodes | undefined;
  readonly store: Pick<Store, 'bindings' | 'isCurrent'>;
  readonly links: ReadonlyMap<string, NamedLink>;
  readonly stack: Pick<SipStack, 'servers'>;
  readonly accounts: Pick<AccountsFace, 'figures'> | undefined;
  readonly listeners: readonly SipListener[];
  readonly certificates: CertificateWatch;
  readonly status: Health['status'];
  readonly startedAtMs: number;
};

/** How the server stands: what `GET /health` and the console show. */
export function healthOf(sources: HealthSources, { clock, version, config }: AppOptions): Health {
  const { queue, delivery, presence, store, status, startedAtMs, listeners } = sources;
  const nowMs = clock.nowMs();
  const figures = queue.figures();
  const sipServers = sources.stack.servers?.();
  const links: Record<string, LinkHealth> = {};
  // Of accounts, which are users' own, their number is enough here.
  for (const [name, { link, owner }] of sources.links) if (owner === undefined) links[name] = link.state();
  const peers: Record<string, { reachable: boolean; waiting: number }> = {};
  const hops: ReadonlyArray<readonly [domain: string, hops: readonly HopId[]]> = [
    ...config.peers.map((peer) => [peer.domain, hopsOf(peer, config)] as const),
    // A domain of ours behind a SIP core: what is for those whom only the core knows goes there.
    ...config.domains.flatMap(({ name, nextHop }) => (nextHop === undefined ? [] : [[name, [sipHop(name)]] as const])),
  ];
  for (const [domain, ways] of hops) {
    const waiting = ways.reduce((sum, hop) => sum + (figures.perHop[hop] ?? 0), 0);
    peers[domain] = { reachable: ways.every((hop) => delivery.isReachable(hop)), waiting };
  }
  return {
    status,
    version,
    ...(sources.nodes === undefined ? {} : { node: ownNode(sources.nodes) }),
    uptimeSeconds: Math.floor((nowMs - startedAtMs) / 1_000),
    store: store.isCurrent() ? 'ok' : 'unavailable',
    sip: listeners,
    ...(sipServers === undefined ? {} : { sipServers }),
    links,
    ...(sources.accounts === undefined ? {} : { accounts: sources.accounts.figures() }),
    peers,
    certificates: sources.certificates.health(),
    queue: figures,
    presence: presence.figures(),
    registeredUsers: store.bindings.count(nowMs),
  };
}

/** The ways to a peer: over federation one from each domain of ours. */
function hopsOf({ domain, link, s2s }: PeerConfig, { domains }: Config): readonly HopId[] {
  if (s2s !== undefined) return domains.map(({ name }) => linkHop(pairLink(link, name, domain)));
  return [link === 'sip' ? sipHop(domain) : linkHop(link)];
}

function ownNode({ members }: Nodes): NonNullable<Health['node']> {
  const owns = members.leases.filter(({ run }) => run === members.run).map(({ name }) => name);
  return { name: members.name, owns };
}
