import { setTimeout as pause } from 'node:timers/promises';
import { startCluster, type Cluster } from './cluster.ts';
import { Ledger, type LedgerFigures } from './counting-ledger.ts';
import { CountingSipSender } from './counting-sip-sender.ts';
import { CountingXmppClient } from './counting-xmpp-client.ts';
import { startRedisCluster } from './redis-topologies.ts';
import { settleLedger, SIP_TO_XMPP, XMPP_USERS } from './faults.ts';

export type ClusterFaultReport = LedgerFigures & {
  readonly fault: string;
  readonly transport: 'udp' | 'tcp';
  readonly rate: number;
  /** From the fault until the link is up on another node, as a node that was left sees it; ms, the longest. */
  readonly linkBackMs: number;
  readonly latencyMs: readonly number[];
  readonly statuses: Readonly<Record<string, number>>;
};

/** A cluster under load from SIP, each request to the next node; what is done to it meanwhile is the caller's. */
export async function underLoad(
  options: {
    readonly name: string;
    readonly fault: string;
    readonly rate: number;
    readonly transport: 'udp' | 'tcp';
    /** The section `store`, where it is not one Redis of its own. */
    readonly store?: Readonly<Record<string, unknown>>;
  },
  body: (cluster: Cluster, linkBack: (askedAt: number, among: readonly number[]) => Promise<void>) => Promise<void>,
): Promise<ClusterFaultReport> {
  const { name, fault, rate, transport, store } = options;
  const cluster = await startCluster({
    name,
    nodes: 3,
    xmppUsers: XMPP_USERS,
    ...(store === undefined ? {} : { store }),
  });
  const ledger = new Ledger({ stamped: true });
  const receivers = XMPP_USERS.map((user) => new CountingXmppClient({ server: cluster.xmpp, user, received: ledger }));
  const sender = new CountingSipSender({ ledger, transport, port: cluster.ports, pairs: SIP_TO_XMPP, rate });
  let linkBackMs = 0;
  const linkBack = async (askedAt: number, among: readonly number[]): Promise<void> => {
    const startedMs = performance.now();
    await cluster.untilOwned('link:office', among);
    await cluster.untilLinkUp(askedAt);
    linkBackMs = Math.max(linkBackMs, performance.now() - startedMs);
  };
  try {
    await Promise.all(receivers.map((receiver) => receiver.open()));
    await cluster.untilLinkUp(0);
    await sender.start();
    await body(cluster, linkBack);
    await sender.drain(60_000);
    await settleLedger(ledger, 35_000);
    const { statuses } = sender.report();
    return {
      fault,
      transport,
      rate,
      linkBackMs: Math.round(linkBackMs),
      ...ledger.figures(),
      statuses,
      latencyMs: ledger.latencyMs(50, 99, 100),
    };
  } finally {
    sender.close();
    for (const receiver of receivers) receiver.close();
    await cluster.stop();
  }
}

/** The node that runs the link is killed, and started again; then another is restarted in order. */
export function killedAndRestarted(options: {
  readonly rate: number;
  readonly transport: 'udp' | 'tcp';
  readonly betweenMs: number;
  readonly rounds: number;
}): Promise<ClusterFaultReport> {
  const { rate, transport, betweenMs, rounds } = options;
  return underLoad({ name: 'nodes-kill', fault: 'killed, restarted', rate, transport }, async (cluster, linkBack) => {
    for (let round = 0; round < rounds; round++) {
      await pause(betweenMs);
      const owner = await cluster.untilOwned('link:office');
      const others = [0, 1, 2].filter((n) => n !== owner);
      await cluster.nodes[owner]!.kill();
      await linkBack(others[0]!, others);
      await cluster.nodes[owner]!.start();
      await pause(betweenMs);
      const next = await cluster.untilOwned('link:office');
      const rest = [0, 1, 2].filter((n) => n !== next);
      const stopped = cluster.nodes[next]!.stop();
      await linkBack(rest[0]!, rest);
      await stopped;
      await cluster.nodes[next]!.start();
    }
    await pause(betweenMs);
  });
}

type Run = { readonly rate: number; readonly transport: 'udp' | 'tcp'; readonly betweenMs: number };

/** All nodes are restarted in order, one after the other. */
export function rollingRestart({ rate, transport, betweenMs }: Run): Promise<ClusterFaultReport> {
  return underLoad({ name: 'nodes-rolling', fault: 'rolling restart', rate, transport }, async (cluster, linkBack) => {
    for (const n of [0, 1, 2]) {
      await pause(betweenMs);
      const others = [0, 1, 2].filter((other) => other !== n);
      const stopped = cluster.nodes[n]!.stop();
      await linkBack(others[0]!, others);
      await stopped;
      await cluster.nodes[n]!.start();
      await cluster.untilLinkUp(n);
    }
    await pause(betweenMs);
  });
}

/** Redis is stopped and started again. */
export function redisAway({ rate, transport, betweenMs }: Run): Promise<ClusterFaultReport> {
  return underLoad({ name: 'nodes-redis', fault: 'redis away', rate, transport }, async (cluster, linkBack) => {
    await pause(betweenMs);
    await cluster.redis?.stop();
    // Longer than a term: whoever owned something has let go of it.
    await pause(5_000);
    await cluster.redis?.start();
    await linkBack(0, [0, 1, 2]);
    await pause(betweenMs);
  });
}

/** The store is a Redis Cluster, and the master with its slot is killed; what was confirmed its replica has. */
export async function redisClusterFailover({ rate, transport, betweenMs }: Run): Promise<ClusterFaultReport> {
  const redis = await startRedisCluster({ replicas: true });
  const store = { type: 'redis', cluster: redis.servers.slice(0, 2).map(({ port }) => `redis://127.0.0.1:${port}`) };
  const run = { name: 'nodes-failover', fault: 'master of the Redis Cluster killed', rate, transport, store };
  try {
    return await underLoad(run, async (_cluster, linkBack) => {
      await pause(betweenMs);
      const killed = await redis.failOver('{interpres}:');
      await linkBack(0, [0, 1, 2]);
      await pause(betweenMs);
      await redis.servers[killed]?.start();
      await pause(betweenMs);
    });
  } finally {
    await redis.stop();
  }
}
