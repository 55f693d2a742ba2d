import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RedisConnection } from '../../../src/store/redis-connection.ts';
import { RedisLedger, RedisWire } from '../../../src/store/redis-nodes.ts';
import { nodeLedgerContract } from '../../contract/node-ledger.ts';
import { nodeWireContract } from '../../contract/node-wire.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { needs } from '../../support/peers.ts';
import { startRedis } from '../../support/redis-server.ts';
import { until } from '../../support/until.ts';

const { skip } = needs('redis');
const redis = skip === undefined ? await startRedis() : undefined;
after(() => redis?.stop());

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

nodeWireContract(
  'The wire in Redis',
  async () => {
    const connection = await connected();
    const wires: RedisWire[] = [];
    return {
      wire: () => {
        const wire = new RedisWire(connection);
        wires.push(wire);
        return wire;
      },
      interrupt: async () => {
        await connection.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      },
      close: async () => {
        await Promise.all(wires.map((wire) => wire.close()));
        connection.close();
      },
    };
  },
  skip,
);
