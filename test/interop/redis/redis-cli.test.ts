/** Commands on the store in Redis while no server runs, and beside one that does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startInterpres } from '../../support/interpres-process.ts';
import { anEntry } from '../../contract/delivery-queue.ts';
import { needs } from '../../support/peers.ts';
import { RedisWorld } from '../../support/redis-world.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { until } from '../../support/until.ts';

test(
  'redis store: users and queue are administered while no server runs, and beside one',
  needs('redis'),
  async (t) => {
    const server = await startInterpres({
      folder: temporaryFolder('redis-cli'),
      store: 'redis',
      config: { domains: ['sip.example'] },
      start: false,
    });
    t.after(() => server.stop());
    await server.addUser('romeo', 'sip.example', 'it was the nightingale');
    assert.match(await server.run(['users', 'list']), /^sip:romeo@sip\.example$/m);

    // What a server left behind: its prefix is the default one.
    const redis = server.redis!;
    const world = new RedisWorld(() => redis.config('interpres'));
    const left = await world.open();
    await left.queue.add(anEntry({ id: 'left' }, Date.now()));
    await world.close();
    assert.match(await server.run(['queue', 'list']), /left .*1 live, 0 under way, 0 dead/s);
    assert.match(await server.run(['queue', 'show', 'left']), /text of left/);
    assert.match(await server.run(['queue', 'drop', 'left']), /dropped/);

    await server.start();
    assert.match(await server.run(['queue', 'list']), /0 live/);
    await server.addUser('juliet', 'sip.example', 'it was the lark');
    await server.run(['users', 'remove', 'sip:romeo@sip.example']);
    assert.deepEqual((await server.run(['users', 'list'])).trim().split('\n'), ['sip:juliet@sip.example']);
    const seen = new RedisWorld(() => redis.config('interpres'));
    const store = await seen.open();
    await until(() => store.credentials.find('juliet@sip.example') !== undefined, { what: 'juliet is known' });
    await seen.close();
  },
);
