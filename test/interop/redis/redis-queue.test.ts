import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RedisConnection } from '../../../src/store/redis-connection.ts';
import { RedisQueue } from '../../../src/store/redis-queue.ts';
import { systemClock } from '../../../src/system-clock.ts';
import { anEntry, deliveryQueueContract } from '../../contract/delivery-queue.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { needs } from '../../support/peers.ts';
import { startRedis } from '../../support/redis-server.ts';
import { NO_BOUNDS } from '../../support/sqlite-world.ts';
import { until } from '../../support/until.ts';

const { skip } = needs('redis');
const redis = skip === undefined ? await startRedis() : undefined;
after(() => redis?.stop());

deliveryQueueContract(
  'The Redis queue',
  async (options) => {
    if (redis === undefined) throw new Error('no redis-server');
    const prefix = `test-${randomUUID()}`;
    const opened: RedisQueue[] = [];
    const connections: RedisConnection[] = [];
    const open = async (): Promise<RedisQueue> => {
      const connection = await RedisConnection.open(redis.config(prefix), silentLog);
      const queue = new RedisQueue(connection, {
        clock: systemClock,
        log: silentLog,
        bounds: options.bounds ?? NO_BOUNDS,
        ...(options.rememberSeconds === undefined ? {} : { rememberSeconds: options.rememberSeconds }),
        lockSeconds: 1,
        lookSeconds: 0.5,
      });
      await queue.refresh();
      opened.push(queue);
      connections.push(connection);
      return queue;
    };
    const last = (): RedisQueue => opened[opened.length - 1]!;
    return {
      queue: await open(),
      expirySeconds: 1,
      nowMs: () => Date.now(),
      pass: (ms) => pause(Math.max(ms, 60)),
      until: async (probe, what) => {
        await until(probe, { what, everyMs: 5 });
      },
      crash: async () => {
        await last().abandon();
        return open();
      },
      reopen: async () => {
        await last().close();
        return open();
      },
      setFailing: async (isFailing) => {
        if (isFailing) return redis.stop();
        await redis.start();
        await until(async () => (await last().show('nobody')) === undefined, { what: 'connected again' });
      },
      close: async () => {
        for (const queue of opened) await queue.close();
        for (const connection of connections) connection.close();
      },
    };
  },
  skip === undefined ? {} : { skip },
);

test(
  'redis queue: what other processes add and deliver is in the figures with the next beat',
  needs('redis'),
  async () => {
    const prefix = `test-${randomUUID()}`;
    const open = async (): Promise<readonly [RedisConnection, RedisQueue]> => {
      const connection = await RedisConnection.open(redis!.config(prefix), silentLog);
      const options = { clock: systemClock, log: silentLog, bounds: NO_BOUNDS, lockSeconds: 1, lookSeconds: 3_600 };
      return [connection, new RedisQueue(connection, options)];
    };
    const [[connection, queue], [otherConnection, other]] = [await open(), await open()];
    let end: () => void = () => undefined;
    const isOver = new Promise<void>((resolve) => (end = resolve));
    const attempt = () => isOver.then(() => ({ kind: 'delivered' }) as const);
    await queue.start(attempt, () => 1);
    await other.start(attempt, () => 1);
    assert.deepEqual([queue.figures().live, queue.figures().oldestAtMs], [0, undefined]);
    const acceptedAtMs = Date.now();
    await other.add(anEntry({ id: 'one' }, acceptedAtMs));
    await until(() => queue.figures().live === 1, { what: 'it is known that one waits', withinMs: 1_000 });
    assert.equal(queue.figures().oldestAtMs, acceptedAtMs);
    end();
    await until(() => queue.figures().live === 0, { what: 'it is known that none waits', withinMs: 1_000 });
    assert.equal(queue.figures().oldestAtMs, undefined);
    for (const each of [queue, other]) await each.close();
    for (const each of [connection, otherConnection]) each.close();
  },
);
