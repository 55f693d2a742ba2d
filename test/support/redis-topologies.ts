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

export type RedisCluster = RedisTopology & {
  /** Three masters, and then their replicas in the same order. */
  readonly servers: readonly RedisServer[];
  /** Which of them has the slot of a key. */
  ownerOf(key: string): Promise<number>;
  /**
   * Kills the master that has the slot of a key, when its replica has all that was confirmed; resolves when the replica is
   * master. @returns which one was killed
   */
  failOver(key: string): Promise<number>;
  /** Sends a command to all. */
  command(...words: string[]): Promise<void>;
};

/** Three masters of a Redis Cluster, each with a third of the slots, and with a replica where that is asked for. */
export async function startRedisCluster({ replicas = false } = {}): Promise<RedisCluster> {
  const servers = await Promise.all(
    Array.from({ length: replicas ? 6 : 3 }, async () =>
      startRedis({
        'cluster-enabled': 'yes',
        'cluster-port': String(await freePort()),
        'cluster-node-timeout': replicas ? '1000' : '2000',
        'cluster-replica-validity-factor': '0',
        'repl-diskless-sync-delay': '0',
      }),
    ),
  );
  const seen = (server: RedisServer): Promise<string> => server.call('CLUSTER', 'NODES').then(String);
  const [, port, bus] = /:([0-9]+)@([0-9]+)/.exec(await seen(servers[0]!)) ?? [];
  const slots = ['0 5460', '5461 10922', '10923 16383'];
  for (const [at, server] of servers.entries()) {
    if (at < 3) await server.call('CLUSTER', 'ADDSLOTSRANGE', ...(slots[at] ?? '').split(' '));
    if (at > 0) await server.call('CLUSTER', 'MEET', '127.0.0.1', port ?? '', bus ?? '');
  }
  const isWhole = async (server: RedisServer): Promise<boolean> => {
    const info = String(await server.call('CLUSTER', 'INFO'));
    return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${servers.length}`);
  };
  await until(async () => (await Promise.all(servers.map(isWhole))).every(Boolean), { what: 'the cluster is whole' });
  for (const [at, replica] of servers.slice(3).entries()) {
    await replica.call('CLUSTER', 'REPLICATE', String(await servers[at]!.call('CLUSTER', 'MYID')));
  }
  await until(
    async () =>
      (await Promise.all(servers.slice(3).map((server) => server.call('ROLE')))).every((role) =>
        (role as unknown[]).includes('connected'),
      ),
    { what: 'the replicas have what their masters have' },
  );
  const slotOf = async (key: string): Promise<number> => {
    const slots = servers.map((server) => server.call('CLUSTER', 'KEYSLOT', key).then(Number));
    return Promise.any(slots);
  };
  const cluster: RedisCluster = {
    servers,
    failOver: async (key) => {
      const owner = await cluster.ownerOf(key);
      const master = servers[owner]!;
      await master.command('CLIENT', 'PAUSE', '10000', 'WRITE');
      const hasAll = async (): Promise<boolean> => {
        const info = String(await master.call('INFO', 'replication'));
        return /,offset=([0-9]+),/.exec(info)?.[1] === /^master_repl_offset:([0-9]+)/m.exec(info)?.[1];
      };
      await until(hasAll, { what: 'the replica has all' });
      await master.kill();
      await until(async () => ![-1, owner].includes(await cluster.ownerOf(key)), { what: 'the replica is master' });
      return owner;
    },
    ownerOf: async (key) => {
      const slot = await slotOf(key);
      const views = await Promise.all(servers.map((server) => seen(server).catch(() => '')));
      return views.findIndex((view) =>
        [...(/^.*myself,master.*$/m.exec(view)?.[0] ?? '').matchAll(/ ([0-9]+)(?:-([0-9]+))?(?= |$)/g)]
          .slice(-1)
          .some(([, first, last = first]) => Number(first) <= slot && slot <= Number(last)),
      );
    },
    command: async (...words) => {
      await Promise.all(servers.map((server) => server.command(...words)));
    },
    config: (prefix) => ({
      type: 'redis',
      servers: {
        kind: 'cluster',
        nodes: servers.slice(0, 2).map((server) => ({ host: '127.0.0.1', port: server.port })),
      },
      database: 0,
      prefix,
    }),
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
  return cluster;
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
