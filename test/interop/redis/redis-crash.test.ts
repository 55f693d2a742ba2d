/** Processes with their store in Redis are killed, and so is Redis. */
import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { needs } from '../../support/peers.ts';
import { recordsCrashTest } from '../../support/records-crash-suite.ts';
import { startRedis } from '../../support/redis-server.ts';
import { queueCrashTest } from '../../support/store-crash-suite.ts';

if (needs('redis').skip === undefined) {
  const redis = await startRedis();
  after(() => redis.stop());
  const place = (): string => JSON.stringify(redis.config(`crash-${randomUUID()}`));
  recordsCrashTest('records in redis', place, 3);
  queueCrashTest('queue in redis', place);
}
