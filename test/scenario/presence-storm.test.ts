/** Watchers who all come at once; `npm run faults` has the long runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watcherStorm } from '../support/presence-faults.ts';

for (const transport of ['udp', 'tcp'] as const) {
  test(`2,000 watchers whose dialogs are gone come back over ${transport} while 100 messages/s go on`, async (t) => {
    const run = await watcherStorm({
      transport,
      watchers: 2_000,
      outstanding: 256,
      messagesPerSecond: 100,
      lateMs: 3_000,
    });
    t.diagnostic(JSON.stringify(run));
    assert.deepEqual(run.broken, []);
    assert.ok(Number(run['backMs']) < 15_000, `${String(run['backMs'])} ms`);
  });
}
