import { after } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { bindingStoreContract } from '../../contract/binding-store.ts';
import { credentialStoreContract } from '../../contract/credential-store.ts';
import { recordsContract } from '../../contract/records.ts';
import { needs } from '../../support/peers.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RedisWorld } from '../../support/redis-world.ts';

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
      crash: () => world.open(),
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
