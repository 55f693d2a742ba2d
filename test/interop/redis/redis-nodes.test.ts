import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RedisConnection } from '../../../src/store/redis-connection.ts';
import { RedisLedger, RedisWire } from '../../../src/store/redis-nodes.ts';
import { nodeLedgerContract } from '../../contract/node-ledger.ts';
import { nodeWireContract, type WireWorld } from '../../contract/node-wire.ts';
import { RecordingLog } from '../../support/recording-log.ts';
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
      lose: async () => {
        await connection.client.flushall();
      },
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

test('The ledger in Redis: what somebody else writes there keeps no node from anything', { skip }, async () => {
  if (redis === undefined) return;
  const log = new RecordingLog();
  const connection = await RedisConnection.open(redis.config(`test-${randomUUID()}`), log);
  const strange = [
    '',
    '{',
    'null',
    '7',
    '"text"',
    '[]',
    '{"name":"x"}',
    '{"name":"x","run":1,"untilMs":1}',
    '['.repeat(2_000),
  ];
  strange.push('{"name":"x","run":"r","untilMs":9e15,"wants":null}', '{"name":"x","run":"r","untilMs":9e15}');
  try {
    for (const [n, text] of strange.entries()) {
      await connection.client.hset(
        connection.key('nodes'),
        `member:${n === 3 ? 'a' : 'x'}${n}`,
        text,
        `lease:x${n}`,
        text,
      );
    }
    await connection.client.hset(
      connection.key('nodes'),
      'member:a',
      'null',
      'lease:presence',
      '[]',
      'member:',
      '{',
      'x',
      '',
    );
    const self = {
      name: 'a',
      run: 'run-of-a',
      startedAtMs: 1,
      version: '1',
      addresses: [],
      isLeaving: false,
      wants: ['presence'],
    };
    const ledger = new RedisLedger(connection);
    const request = { self, termMs: 1_000, holds: [], seen: [], releases: [] };
    const answer = await ledger.tick(request);
    assert.deepEqual(answer, {
      kind: 'done',
      nodes: [self],
      leases: [{ name: 'presence', node: 'a', run: 'run-of-a', fence: 1 }],
    });
    await ledger.tick(request);
    assert.deepEqual(log.said('warn').filter((said) => said.startsWith('entries')).length, 2, 'once for each number');
  } finally {
    connection.close();
  }
});
