/** The store on a Redis Cluster, and behind a Sentinel through a failover. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { RedisStore } from '../../../src/store/redis-store.ts';
import { aBinding } from '../../contract/binding-store.ts';
import { anEntry } from '../../contract/delivery-queue.ts';
import { needs } from '../../support/peers.ts';
import { LastingRedis } from '../../../src/store/redis-client.ts';
import { RedisConnection } from '../../../src/store/redis-connection.ts';
import { RedisWire } from '../../../src/store/redis-nodes.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { startRedisCluster, startRedisWithSentinel } from '../../support/redis-topologies.ts';
import { freePort } from '../../support/ports.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RedisWorld } from '../../support/redis-world.ts';
import { until } from '../../support/until.ts';

/** Begins attempts; the first of each id starting with `again` is to be tried again a little later. */
async function delivering(store: RedisStore): Promise<string[]> {
  const delivered: string[] = [];
  await store.queue.start(
    async ({ id, attempt }) => {
      if (id.startsWith('again') && attempt === 1) return { kind: 'again', atMs: Date.now() + 50 };
      delivered.push(id);
      return { kind: 'delivered' };
    },
    () => 8,
  );
  return delivered;
}

test('redis cluster: everything of the store is in one slot, and works', needs('redis'), async (t) => {
  const cluster = await startRedisCluster();
  t.after(() => cluster.stop());
  const world = new RedisWorld((prefix) => cluster.config(prefix));
  t.after(() => world.close());
  const store = await world.open();
  const delivered = await delivering(store);
  for (const id of ['a', 'again', 'b']) {
    await store.queue.add(anEntry({ id, to: id === 'b' ? 'other@xmpp.example' : 'juliet@xmpp.example' }, Date.now()));
  }
  await until(() => delivered.length === 3, { what: 'all are delivered' });
  const beside = await world.open();
  await beside.bindings.replace('romeo@sip.example', [aBinding('sip:one@192.0.2.1')]);
  await world.told(() => [...store.bindings.users()].length === 1);
  await store.records<number>('rules').put('one', 1);
  await world.told(() => [...beside.records('rules').all()].length === 1);
  assert.deepEqual([...(await world.open()).records('rules').all()], [['one', 1]]);
  assert.equal(store.isCurrent(), true);
});

test(
  'redis cluster: a node that listens at a server that hangs hears again, from another',
  needs('redis'),
  async (t) => {
    const cluster = await startRedisCluster();
    t.after(() => cluster.stop());
    await cluster.command('CONFIG', 'SET', 'cluster-require-full-coverage', 'no');
    const config = cluster.config('wire');
    const owner = await cluster.ownerOf('{wire}:');
    const sender = await RedisConnection.open(config, silentLog);
    t.after(() => sender.close());
    const heard = new Set<string>();
    // Each listens where it happens to: one of them where the slot is not.
    for (let n = 0, isElsewhere = false; !isElsewhere; n++) {
      const connection = await RedisConnection.open(config, silentLog);
      t.after(() => connection.close());
      const wire = new RedisWire(connection);
      t.after(() => wire.close());
      await wire.open(`run-${n}`, {
        onText: (text) => heard.add(`${n} ${text}`),
        onInterrupted: () => heard.add(`${n}`),
      });
      for (const [at, server] of cluster.servers.entries()) {
        const [, listeners] = (await server.call('PUBSUB', 'NUMSUB', `{wire}:node:run-${n}`)) as [string, number];
        if (at === owner || listeners === 0) continue;
        isElsewhere = true;
        server.signal('SIGSTOP');
        t.after(() => server.signal('SIGCONT'));
        await until(() => heard.has(`${n}`), { what: 'it knows that it may have missed something' });
        await sender.publish(`{wire}:node:run-${n}`, 'again');
        await until(() => heard.has(`${n} again`), { what: 'it hears again' });
        server.signal('SIGCONT');
        break;
      }
    }
  },
);

test(
  'redis cluster: while the slot moves, what is asked is refused, and nothing is written beside',
  needs('redis'),
  async (t) => {
    const cluster = await startRedisCluster();
    t.after(() => cluster.stop());
    const world = new RedisWorld((prefix) => cluster.config(prefix));
    t.after(() => world.close());
    const store = await world.open();
    const delivered = await delivering(store);
    const records = store.records<number>('rules');
    await records.put('before', 1);
    const key = `{${world.config.prefix}}:`;
    const slot = String(await cluster.servers[0]!.call('CLUSTER', 'KEYSLOT', key));
    const from = await cluster.ownerOf(key);
    const to = (from + 1) % 3;
    const [source, target] = [cluster.servers[from]!, cluster.servers[to]!];
    const [sourceId, targetId] = [await source.call('CLUSTER', 'MYID'), await target.call('CLUSTER', 'MYID')];
    await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', String(sourceId));
    await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', String(targetId));
    await assert.rejects(records.put('refused', 1), { code: 'store-unavailable' });
    await assert.rejects(store.queue.add(anEntry({ id: 'refused' }, Date.now())), { code: 'store-unavailable' });
    assert.equal(await target.call('CLUSTER', 'COUNTKEYSINSLOT', slot), 0);
    for (;;) {
      const keys = (await source.call('CLUSTER', 'GETKEYSINSLOT', slot, '100')) as string[];
      if (keys.length === 0) break;
      await source.call('MIGRATE', '127.0.0.1', String(target.port), '', '0', '5000', 'KEYS', ...keys);
    }
    for (const server of [target, source]) await server.call('CLUSTER', 'SETSLOT', slot, 'NODE', String(targetId));
    await until(() => store.queue.add(anEntry({ id: 'after' }, Date.now())), {
      what: 'it is taken where the slot is now',
    });
    await until(() => delivered.includes('after'), { what: 'it is delivered' });
    await records.put('after', 2);
    assert.deepEqual(
      new Map((await world.open()).records('rules').all()),
      new Map([
        ['before', 1],
        ['after', 2],
      ]),
    );
  },
);

test('redis behind a Sentinel: after a failover it goes on by itself in under 10 s', needs('redis'), async (t) => {
  const topology = await startRedisWithSentinel();
  t.after(() => topology.stop());
  const world = new RedisWorld((prefix) => topology.config(prefix));
  t.after(() => world.close());
  const store = await world.open();
  const delivered = await delivering(store);
  const records = store.records<number>('rules');
  await records.put('before', 1);
  await store.queue.add(anEntry({ id: 'before' }, Date.now()));
  await until(() => delivered.length === 1, { what: 'the first is delivered' });
  await until(async () => (await topology.replica.call('EXISTS', `{${world.config.prefix}}:kind:rules`)) === 1, {
    what: 'the replica has it',
  });

  await topology.master.kill();
  const goneAtMs = performance.now();
  let refused = 0;
  await until(
    async () => {
      try {
        await records.put('after', 2);
        return true;
      } catch {
        refused += 1;
        await pause(100);
        return false;
      }
    },
    { what: 'the new master takes it', withinMs: 10_000 },
  );
  const tookMs = Math.round(performance.now() - goneAtMs);
  await store.queue.add(anEntry({ id: 'after' }, Date.now()));
  await store.queue.add(anEntry({ id: 'again', to: 'other@xmpp.example' }, Date.now()));
  await until(() => delivered.length === 3, { what: 'the others are delivered', withinMs: 10_000 });
  assert.deepEqual(
    new Map((await world.open()).records('rules').all()),
    new Map([
      ['before', 1],
      ['after', 2],
    ]),
  );
  t.diagnostic(JSON.stringify({ refused, tookMs }));
});

test(
  'redis behind a Sentinel: a failover heard of while the master is looked for does not end the client',
  needs('redis'),
  async (t) => {
    const topology = await startRedisWithSentinel();
    t.after(() => topology.stop());
    const { servers } = topology.config('');
    assert.ok(servers.kind === 'sentinels');
    const client = new LastingRedis({ sentinels: [...servers.sentinels], name: servers.name, lazyConnect: true });
    t.after(() => client.disconnect());
    client.on('error', () => undefined);
    const looking = client.connect();
    // As ioredis's failover detector does it.
    (client as unknown as { connector: { disconnect(): void } }).connector.disconnect();
    await assert.rejects(looking);
    await until(() => client.status === 'ready', { what: 'it is connected' });
    assert.equal(await client.ping(), 'PONG');
    const copy = client.duplicate();
    await copy.ping();
    client.disconnect();
    await until(() => client.status === 'end' && copy.status === 'end', { what: 'both are let go' });
    await pause(300);
    assert.deepEqual([client.status, copy.status], ['end', 'end']);
  },
);

for (const [what, start] of [
  ['one server', startRedis],
  ['a Cluster', startRedisCluster],
  ['a Sentinel', startRedisWithSentinel],
] as const) {
  test(`redis: a store that is closed as ${what} goes away is closed within seconds`, needs('redis'), async (t) => {
    const topology = await start();
    t.after(() => topology.stop());
    const world = new RedisWorld((prefix) => topology.config(prefix));
    const store = await world.open();
    await delivering(store);
    const begunAtMs = performance.now();
    const stopped = topology.stop();
    await world.close();
    assert.ok(performance.now() - begunAtMs < 10_000);
    await stopped;
  });
}

test('redis: Sentinels that cannot be reached are said at start, not waited for', async () => {
  const sentinel = { host: '127.0.0.1', port: await freePort() };
  const world = new RedisWorld((prefix) => ({
    type: 'redis',
    servers: { kind: 'sentinels', sentinels: [sentinel], name: 'mymaster' },
    database: 0,
    prefix,
  }));
  await assert.rejects(world.open(), {
    code: 'store-unavailable',
    message: new RegExp(
      `^Redis at mymaster of redis://127.0.0.1:${sentinel.port} cannot be used: All sentinels are unreachable`,
    ),
  });
});
