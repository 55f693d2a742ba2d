import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { StoreConfig } from '../../src/core/config.ts';
import { commandPath } from './peers.ts';
import { freePort } from './ports.ts';
import { startProcess, untilListening } from './process.ts';
import { startRedis, type RedisServer } from './redis-server.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';

export type RedisTopology = {
  readonly config: (prefix: string) => StoreConfig;
  stop(): Promise<void>;
};

/** Three masters of a Redis Cluster, each with a third of the slots. */
export async function startRedisCluster(): Promise<RedisTopology> {
  const masters = await Promise.all(
    [0, 1, 2].map(async () =>
      startRedis({
        'cluster-enabled': 'yes',
        'cluster-port': String(await freePort()),
        'cluster-node-timeout': '2000',
      }),
    ),
  );
  const clients = masters.map(({ port }) => new Redis({ port }));
  const nodes = await Promise.all(clients.map((client) => client.call('CLUSTER', 'NODES')));
  const slots = ['0 5460', '5461 10922', '10923 16383'];
  for (const [at, client] of clients.entries()) {
    await client.call('CLUSTER', 'ADDSLOTSRANGE', ...(slots[at] ?? '').split(' '));
    const [, port, bus] = /:([0-9]+)@([0-9]+)/.exec(String(nodes[0])) ?? [];
    if (at > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', port ?? '', bus ?? '');
  }
  const isWhole = async (client: Redis): Promise<boolean> => {
    const info = String(await client.call('CLUSTER', 'INFO'));
    return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3');
  };
  await until(async () => (await Promise.all(clients.map(isWhole))).every(Boolean), { what: 'the cluster is whole' });
  for (const client of clients) client.disconnect();
  return {
    config: (prefix) => ({
      type: 'redis',
      servers: { kind: 'cluster', nodes: masters.slice(0, 2).map(({ port }) => ({ host: '127.0.0.1', port })) },
      database: 0,
      prefix,
    }),
    stop: async () => {
      await Promise.all(masters.map((master) => master.stop()));
    },
  };
}

/** A master with a replica, and a Sentinel that makes the replica master when the master is gone for half a second. */
export async function startRedisWithSentinel(): Promise<
  RedisTopology & { readonly master: RedisServer; readonly replica: RedisServer }
> {
  const master = await startRedis();
  const replica = await startRedis({ replicaof: `127.0.0.1 ${master.port}` });
  const port = await freePort();
  const folder = temporaryFolder('sentinel');
  const file = join(folder, 'sentinel.conf');
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor mymaster 127.0.0.1 ${master.port} 1`,
    'sentinel down-after-milliseconds mymaster 500',
    'sentinel failover-timeout mymaster 2000',
  ];
  writeFileSync(file, `${settings.join('\n')}\n`);
  const command = commandPath('redis-server') ?? 'redis-server';
  const sentinel = await startProcess({ name: 'sentinel', command, args: [file, '--sentinel'], folder });
  await untilListening(port, sentinel);
  const client = new Redis({ port });
  const isSeen = async (): Promise<boolean> =>
    JSON.stringify(await client.call('SENTINEL', 'REPLICAS', 'mymaster')).includes(`"${replica.port}"`);
  await until(isSeen, { what: 'the Sentinel knows the replica', withinMs: 15_000 });
  client.disconnect();
  return {
    master,
    replica,
    config: (prefix) => ({
      type: 'redis',
      servers: { kind: 'sentinels', sentinels: [{ host: '127.0.0.1', port }], name: 'mymaster' },
      database: 0,
      prefix,
    }),
    stop: async () => {
      await sentinel.stop();
      await Promise.all([replica.stop(), master.stop()]);
    },
  };
}
