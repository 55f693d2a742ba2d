import { setTimeout as pause } from 'node:timers/promises';
import { COMPONENT, federationConfig, SECRET, SIP_DOMAIN, XMPP_DOMAIN } from './federation.ts';
import { startInterpres, type InterpresProcess } from './interpres-process.ts';
import { startProsody } from './prosody.ts';
import { startRedis, type RedisServer } from './redis-server.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';
import { passwordOf, type XmppServer } from './xmpp-server.ts';

export type ClusterOptions = {
  readonly name: string;
  readonly nodes: number;
  readonly xmppUsers?: readonly string[];
  readonly sipUsers?: readonly string[];
  /** Merged over the configuration of each node, key by key. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The section `store`; absent: a Redis of its own, which ends with it. */
  readonly store?: Readonly<Record<string, unknown>>;
};

/** What `interpres nodes --json` says. */
export type NodesSeen = {
  readonly node: string;
  readonly nodes: ReadonlyArray<{
    readonly name: string;
    readonly isLeaving: boolean;
    readonly owns: readonly string[];
  }>;
};

/** Several nodes of ours on one Redis, named n0, n1 and so on, with one component link to an XMPP server. */
export type Cluster = {
  /** Where that is its own. */
  readonly redis: RedisServer | undefined;
  readonly xmpp: XmppServer;
  readonly nodes: readonly InterpresProcess[];
  readonly ports: readonly number[];
  /** The node that owns a lease, as the others see it; undefined where none does. */
  ownerOf(lease: string, askedAt?: number): Promise<number | undefined>;
  /** Resolves with the owner once there is one among these. */
  untilOwned(lease: string, among?: readonly number[], withinMs?: number): Promise<number>;
  untilLinkUp(askedAt: number, withinMs?: number): Promise<void>;
  stop(): Promise<void>;
};

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const folder = temporaryFolder(options.name);
  const [redis, xmpp] = await Promise.all([
    options.store === undefined ? startRedis() : undefined,
    startProsody({
      folder,
      domain: XMPP_DOMAIN,
      component: COMPONENT,
      secret: SECRET,
      users: options.xmppUsers ?? ['juliet', 'romeo'],
    }),
  ]);
  const nodes: InterpresProcess[] = [];
  for (let n = 0; n < options.nodes; n++) {
    nodes.push(
      await startInterpres({
        folder: temporaryFolder(`${options.name}-n${n}`),
        config: {
          ...federationConfig(xmpp.componentPort),
          domains: [{ name: SIP_DOMAIN, trust: ['127.0.0.1'] }],
          rateLimits: 'off',
          ...options.config,
          store: options.store ?? { type: 'redis', url: redis?.url },
          node: `n${n}`,
        },
        start: false,
      }),
    );
  }
  for (const user of options.sipUsers ?? []) await nodes[0]?.addUser(user, SIP_DOMAIN, passwordOf(user));
  await Promise.all(nodes.map((node) => node.start()));

  const seenAt = async (at: number): Promise<NodesSeen> => {
    const report = await nodes[at]?.control('/nodes');
    return report as NodesSeen;
  };
  const ownerOf = async (lease: string, askedAt = 0): Promise<number | undefined> => {
    const { nodes: seen } = await seenAt(askedAt);
    const owner = seen.find(({ owns }) => owns.includes(lease));
    return owner === undefined ? undefined : Number(owner.name.slice(1));
  };
  return {
    redis,
    xmpp,
    nodes,
    ports: nodes.map(({ sipPort }) => sipPort),
    ownerOf,
    async untilOwned(lease, among = nodes.map((_, n) => n), withinMs = 10_000) {
      const owner = await until(
        async () => {
          const found = await ownerOf(lease, among[0]).catch(() => undefined);
          return found !== undefined && among.includes(found) ? { found } : undefined;
        },
        { what: `${lease} is owned`, withinMs },
      );
      return owner.found;
    },
    untilLinkUp: (askedAt, withinMs = 10_000) => nodes[askedAt]!.untilLink('office', 'up', withinMs),
    async stop() {
      await Promise.all(nodes.map((node) => node.stop().catch(() => undefined)));
      await xmpp.kill();
      await redis?.stop();
      await pause(0);
    },
  };
}
