import { randomUUID } from 'node:crypto';
import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { bindingStoreContract } from '../../contract/binding-store.ts';
import { credentialStoreContract } from '../../contract/credential-store.ts';
import { recordsContract } from '../../contract/records.ts';
import { needs } from '../../support/peers.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RedisWorld } from '../../support/redis-world.ts';

/** Keys of one prefix as they stand at one moment, under another; also where Redis may take no more. */
const COPY = `#!lua flags=allow-oom
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  redis.call('COPY', key, ARGV[2] .. string.sub(key, #ARGV[1] + 1))
end`;

if (needs('redis').skip === undefined) {
  const redis = await startRedis();
  after(() => redis.stop());

  bindingStoreContract(
    'RedisBindings',
    async () => {
      const world = new RedisWorld(redis.config);
      const open = async () => (await world.open()).bindings;
      return {
        bindings: await open(),
        crash: open,
        beside: open,
        told: (isKnown) => world.told(isKnown),
        close: () => world.close(),
      };
    },
    true,
  );

  credentialStoreContract('RedisCredentials', async () => {
    const world = new RedisWorld(redis.config);
    const open = async () => (await world.open()).credentials;
    return {
      credentials: await open(),
      beside: open,
      told: (isKnown) => world.told(isKnown),
      close: () => world.close(),
    };
  });

  recordsContract('RedisRecords', async () => {
    const world = new RedisWorld(redis.config);
    const store = await world.open();
    return {
      records: (kind) => store.records(kind),
      // The process that is to have ended goes on: what a new one reads must not change while it does.
      crash: async () => {
        const copy = `test-${randomUUID()}`;
        await redis.command('EVAL', COPY, '0', `{${world.config.prefix}}:`, `{${copy}}:`);
        return world.open({ config: redis.config(copy) });
      },
      // Longer than the pause after which what was refused is tried again.
      pass: () => pause(600),
      // Redis refuses what takes memory, and reads on.
      setFailing: (isFailing) => redis.command('CONFIG', 'SET', 'maxmemory', isFailing ? '1' : '0'),
      close: async () => {
        await redis.command('CONFIG', 'SET', 'maxmemory', '0');
        await world.close();
      },
    };
  });
}
