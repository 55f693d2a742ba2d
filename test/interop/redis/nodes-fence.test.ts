import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import { needs } from '../../support/peers.ts';
import { startRedis } from '../../support/redis-server.ts';
import { RedisWorld } from '../../support/redis-world.ts';

const peers = needs('redis');
const redis = peers.skip === undefined ? await startRedis() : undefined;
after(() => redis?.stop());

test(
  'nodes: what a former owner would still write is not stored, and the next one has all that it had',
  peers,
  async (t) => {
    const world = new RedisWorld((prefix) => redis!.config(prefix));
    t.after(() => world.close());
    const [first, second] = [await world.open(), await world.open()];
    const former = await first.ownedRecords('presence', 7);
    const records = former.records<number>('subscription');
    for (let n = 0; n < 50; n++) records.putLater(`s${n}`, n);
    await records.put('last', 50);

    const owner = await second.ownedRecords('presence', 8);
    const taken = owner.records<number>('subscription');
    assert.equal([...taken.all()].length, 51);
    await assert.rejects(
      records.put('late', 1),
      (thrown: unknown) => GatewayError.of(thrown).code === 'store-unavailable',
    );
    records.putLater('later', 1);
    await taken.put('s0', 100);
    await former.close();
    await owner.close();

    // One that wakes up with an older number is none either.
    const late = await first.ownedRecords('presence', 6);
    await assert.rejects(late.records<number>('subscription').put('s0', 1));
    await late.close();
    const found = new Map((await second.ownedRecords('presence', 9)).records<number>('subscription').all());
    assert.equal(found.get('s0'), 100);
    assert.equal(found.has('late') || found.has('later'), false);
    assert.equal(found.size, 51);
  },
);
