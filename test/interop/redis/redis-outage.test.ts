/** Redis hangs, refuses, and comes back with less than it had confirmed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import { RedisConnection } from '../../../src/store/redis-connection.ts';
import { aBinding } from '../../contract/binding-store.ts';
import { anEntry } from '../../contract/delivery-queue.ts';
import { aCredential } from '../../contract/credential-store.ts';
import { freePort } from '../../support/ports.ts';
import { needs } from '../../support/peers.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RedisWorld } from '../../support/redis-world.ts';
import { testAuthority, testCertificate } from '../../support/self-signed.ts';
import { until } from '../../support/until.ts';

const isUnavailable = (thrown: unknown): boolean =>
  thrown instanceof GatewayError && thrown.code === 'store-unavailable';

test('redis hangs: refused within 4 s, and it goes on by itself, memory and store alike', needs('redis'), async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const world = new RedisWorld(redis.config);
  t.after(() => world.close());
  const store = await world.open();
  const records = store.records<number>('rules');
  await records.put('before', 1);
  redis.signal('SIGSTOP');
  const beganAtMs = performance.now();
  const refusals = [
    assert.rejects(records.put('refused', 1), isUnavailable),
    assert.rejects(store.queue.add(anEntry({ id: 'refused' }, Date.now())), isUnavailable),
    assert.rejects(store.bindings.replace('romeo@sip.example', [aBinding('sip:one@192.0.2.1')]), isUnavailable),
  ];
  records.putLater('later', 1);
  await Promise.all(refusals);
  const tookMs = Math.round(performance.now() - beganAtMs);
  assert.ok(tookMs < 4_000, `${tookMs} ms`);
  await until(() => !store.isCurrent(), { what: 'it says so', withinMs: 6_000 });
  redis.signal('SIGCONT');
  await until(() => new Map(records.all()).get('later') === 1, { what: 'the rest is stored' });
  await until(() => store.isCurrent(), { what: 'it is current again' });
  const other = await world.open();
  assert.deepEqual(new Map(other.records('rules').all()), new Map(records.all()));
  assert.deepEqual(other.bindings.of('romeo@sip.example', 0), store.bindings.of('romeo@sip.example', 0));
  t.diagnostic(JSON.stringify({ tookMs }));
});

test(
  'redis takes no writes (a replica, no replicas): refused at once, and taken when it does',
  needs('redis'),
  async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    const world = new RedisWorld(redis.config);
    t.after(() => world.close());
    const store = await world.open();
    const records = store.records<number>('rules');
    await records.put('one', 1);
    for (const [off, on] of [
      [
        ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
        ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
      ],
      [
        ['REPLICAOF', '127.0.0.1', '1'],
        ['REPLICAOF', 'NO', 'ONE'],
      ],
    ] as const) {
      await redis.command(...off);
      const beganAtMs = performance.now();
      await assert.rejects(records.put('two', 2), isUnavailable);
      await assert.rejects(store.queue.add(anEntry({ id: off.join('-') }, Date.now())), isUnavailable);
      assert.ok(performance.now() - beganAtMs < 1_000);
      await redis.command(...on);
      await until(
        () =>
          records.put('two', 2).then(
            () => true,
            () => false,
          ),
        { what: 'it is taken' },
      );
      assert.equal(await store.queue.add(anEntry({ id: off.join('-') }, Date.now())), 'added');
    }
  },
);

test('redis comes back empty: that is said loudly, and what memory has is written again', needs('redis'), async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const world = new RedisWorld(redis.config);
  t.after(() => world.close());
  const log = new RecordingLog();
  const store = await world.open({ log });
  const beside = await world.open();
  await store.records<number>('rules').put('one', 1);
  await store.records<number>('rules').put('two', 2);
  await store.records<number>('rules').remove('two');
  await store.bindings.replace('romeo@sip.example', [aBinding('sip:one@192.0.2.1')]);
  await store.credentials.put([aCredential('romeo@sip.example')]);
  await world.told(() => beside.credentials.find('romeo@sip.example') !== undefined);
  await redis.command('FLUSHALL');
  await until(() => log.said('error').includes('redis has lost what it had confirmed'), { what: 'it is said' });
  await until(
    async () => {
      const fresh = await world.open();
      const users = [...fresh.bindings.users()].length;
      return new Map(fresh.records('rules').all()).size === 1 && users === 1 && fresh.credentials.list(9).length === 1;
    },
    { what: 'it is all there again', everyMs: 100 },
  );
  await store.bindings.replace('romeo@sip.example', [aBinding('sip:two@192.0.2.1')]);
  await world.told(() => beside.bindings.of('romeo@sip.example', 0)[0]?.contact === 'sip:two@192.0.2.1');
  assert.equal(store.bindings.of('romeo@sip.example', 0).length, 1);
});

test('redis has lost the last changes: they are written again, over nothing newer', needs('redis'), async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const world = new RedisWorld(redis.config);
  t.after(() => world.close());
  const log = new RecordingLog();
  const store = await world.open({ log });
  const records = store.records<number>('rules');
  await records.put('kept', 1);
  await records.put('changed', 1);
  await records.put('removed', 1);
  await redis.stop();
  const goBack = redis.keep();
  await redis.start();
  await until(
    () =>
      records.put('changed', 2).then(
        () => true,
        () => false,
      ),
    { what: 'it is taken' },
  );
  await records.remove('removed');
  await records.put('new', 1);
  await redis.stop();
  goBack();
  await redis.start();
  await until(() => log.said('error').includes('redis has lost what it had confirmed'), { what: 'it is said' });
  const expected = new Map([
    ['kept', 1],
    ['changed', 2],
    ['new', 1],
  ]);
  await until(
    async () => {
      const found = new Map((await world.open()).records<number>('rules').all());
      return found.size === 3 && [...expected].every(([key, n]) => found.get(key) === n);
    },
    { what: 'the last state is there again', everyMs: 100 },
  );
  assert.deepEqual(new Map(records.all()), expected);
});

test(
  'redis has lost changes whose numbers another process has used again: those are written again, too',
  needs('redis'),
  async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    const world = new RedisWorld(redis.config);
    t.after(() => world.close());
    const log = new RecordingLog();
    const store = await world.open({ log });
    const records = store.records<number>('rules');
    for (const key of ['kept', 'changed', 'contested', 'removed']) await records.put(key, 1);
    const every = `for _, key in ipairs(redis.call('KEYS', '{${world.config.prefix}}:*')) do`;
    await redis.command('EVAL', `${every} redis.call('COPY', key, 'then:' .. key) end`, '0');
    await records.put('changed', 2);
    await records.put('contested', 2);
    await records.remove('removed');
    await records.put('new', 1);
    // As a replica that had not got these becomes the master, and another process writes there first.
    const other = `
    ${every} redis.call('DEL', key) end
    for _, key in ipairs(redis.call('KEYS', 'then:*')) do redis.call('RENAME', key, string.sub(key, 6)) end
    for at, key in ipairs({ 'theirs', 'contested', 'theirs', 'theirs', 'theirs' }) do
      local version = redis.call('INCR', KEYS[1] .. 'version')
      redis.call('HSET', KEYS[1] .. 'kind:rules', key, version .. ' ' .. (at == 2 and 3 or 1))
      redis.call('XADD', KEYS[1] .. 'changes', '*', 'version', version, 'writer', 'another', 'rules', key)
    end`;
    await redis.command('EVAL', other, '1', `{${world.config.prefix}}:`);
    await until(() => log.said('error').includes('redis has lost what it had confirmed'), { what: 'it is said' });
    const expected = new Map([
      ['changed', 2],
      ['contested', 3],
      ['kept', 1],
      ['new', 1],
      ['theirs', 1],
    ]);
    const isAsExpected = (found: Iterable<readonly [string, number]>): boolean =>
      JSON.stringify([...found].sort()) === JSON.stringify([...expected]);
    await until(async () => isAsExpected((await world.open()).records<number>('rules').all()), {
      what: 'the last state of both is there',
      everyMs: 100,
    });
    await until(() => isAsExpected(records.all()), { what: 'memory is as the store' });
    await records.put('kept', 2);
  },
);

test(
  'redis has lost that a lane was done with: it is taken up again by whoever was at it',
  needs('redis'),
  async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    const world = new RedisWorld(redis.config);
    t.after(() => world.close());
    const store = await world.open();
    const attempts: string[] = [];
    let deliver = (): void => undefined;
    await store.queue.start(
      async ({ id, maybeSent }) => {
        attempts.push(`${id} ${maybeSent}`);
        if (id === 'done' && !maybeSent) await new Promise<void>((resolve) => (deliver = resolve));
        return { kind: 'delivered' };
      },
      () => 8,
    );
    await store.queue.add(anEntry({ id: 'done' }, Date.now()));
    await until(() => attempts.length === 1, { what: 'it is under way' });
    await redis.stop();
    const goBack = redis.keep();
    await redis.start();
    deliver();
    await until(() => store.queue.figures().live === 0, { what: 'it is noted as delivered' });
    await redis.stop();
    goBack();
    await redis.start();
    const isAdded = async (): Promise<boolean> =>
      (await store.queue.add(anEntry({ id: 'next' }, Date.now()))) === 'added';
    await until(isAdded, { what: 'the next is taken' });
    await until(() => attempts.length === 3, { what: 'the lane goes on' });
    assert.deepEqual(attempts, ['done false', 'done true', 'next false']);
  },
);

test(
  'redis without persistence, or with eviction, is warned about; what is survived is said',
  needs('redis'),
  async (t) => {
    const redis = await startRedis({ appendfsync: 'always' });
    t.after(() => redis.stop());
    const said = async (): Promise<string[]> => {
      const log = new RecordingLog();
      (await RedisConnection.open(redis.config('durability'), log)).close();
      return [...log.said('warn'), ...log.said('info')];
    };
    assert.deepEqual(await said(), ['what redis has confirmed survives its crash and a power cut']);
    await redis.command('CONFIG', 'SET', 'appendfsync', 'everysec');
    assert.deepEqual(await said(), [
      'what redis has confirmed survives its crash; a power cut may take the last second',
    ]);
    await redis.command('CONFIG', 'SET', 'appendonly', 'no');
    await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    assert.deepEqual(await said(), [
      'redis loses the store when it restarts: set appendonly yes',
      'redis may throw away what is stored: set maxmemory-policy noeviction',
    ]);
  },
);

test('redis over TLS with a password: the certificate and the password count', needs('redis', 'openssl'), async (t) => {
  const { certificateFile, keyFile } = testCertificate(['IP:127.0.0.1']);
  const tlsPort = await freePort();
  const redis = await startRedis({
    'tls-port': String(tlsPort),
    'tls-cert-file': certificateFile,
    'tls-key-file': keyFile,
    'tls-auth-clients': 'no',
    requirepass: 'rose by any other name',
  });
  t.after(() => redis.stop());
  const server = { host: '127.0.0.1', port: tlsPort };
  const at = { ...redis.config('tls'), servers: { kind: 'one', server } } as const;
  const ca = testAuthority().certificate;
  const password = 'rose by any other name';
  const log = new RecordingLog();
  (await RedisConnection.open({ ...at, tls: { ca }, password }, log)).close();
  await assert.rejects(RedisConnection.open({ ...at, tls: {}, password }, log), /certificate/);
  await assert.rejects(RedisConnection.open({ ...at, tls: { ca }, password: 'wrong' }, log), /WRONGPASS/);
  assert.ok(!JSON.stringify(log.lines).includes('rose'));
});
