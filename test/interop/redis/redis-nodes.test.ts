import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RedisConnection } from '../../../src/store/redis-connection.ts';
import { RedisLedger, RedisWire } from '../../../src/store/redis-nodes.ts';
import { nodeLedgerContract } from '../../contract/node-ledger.ts';
import { nodeWireContract, type WireWorld } from '../../contract/node-wire.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { needs } from '../../support/peers.ts';
import { startRedis } from '../../support/redis-server.ts';
import { startRedisCluster } from '../../support/redis-topologies.ts';
import { until } from '../../support/until.ts';

const { skip } = needs('redis');
const redis = skip === undefined ? await startRedis() : undefined;
const cluster = skip === undefined ? await startRedisCluster() : undefined;
after(() => Promise.all([redis?.stop(), cluster?.stop()]));

async function connected(): Promise<RedisConnection> {
  if (redis === undefined) throw new Error('no redis-server');
  return RedisConnection.open(redis.config(`test-${randomUUID()}`), silentLog);
}

nodeLedgerContract(
  'The ledger in Redis',
  async () => {
    const connection = await connected();
    return {
      ledger: () => new RedisLedger(connection),
      pass: (ms) => pause(ms),
      setAway: async (isAway) => {
        if (isAway) return redis?.stop();
        await redis?.start();
        await until(() => connection.isReady, { what: 'connected again' });
      },
      close: async () => connection.close(),
    };
  },
  skip,
);

function wireWorld(connection: RedisConnection, interrupt: () => Promise<unknown>): WireWorld {
  const wires: RedisWire[] = [];
  return {
    wire: () => {
      const wire = new RedisWire(connection);
      wires.push(wire);
      return wire;
    },
    ...(connection.isCluster ? { isSilent: true } : {}),
    interrupt: async () => {
      await interrupt();
    },
    close: async () => {
      await Promise.all(wires.map((wire) => wire.close()));
      connection.close();
    },
  };
}

nodeWireContract(
  'The wire in Redis',
  async () => {
    const connection = await connected();
    return wireWorld(connection, () => connection.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
  },
  skip,
);

nodeWireContract(
  'The wire in a Redis Cluster',
  async () => {
    if (cluster === undefined) throw new Error('no redis-server');
    const connection = await RedisConnection.open(cluster.config(`test-${randomUUID()}`), silentLog);
    return wireWorld(connection, () => cluster.command('CLIENT', 'KILL', 'TYPE', 'pubsub'));
  },
  skip,
);
