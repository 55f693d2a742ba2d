/** The server is killed under its watchers; `npm run faults` has the long runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killedDuringFanOut, killedDuringSubscribe } from '../support/presence-faults.ts';

for (const transport of ['udp', 'tcp'] as const) {
  test(`killed during the fan-out to 1,000 watchers over ${transport}: all hold the newest, in their dialogs`, async (t) => {
    const run = await killedDuringFanOut({ transport, watchers: 1_000, kills: 2, seed: 8 });
    t.diagnostic(JSON.stringify(run));
    assert.deepEqual(run.broken, []);
  });

  test(`killed while 1,000 watchers subscribe over ${transport}: who was answered is told, and may refresh`, async (t) => {
    const run = await killedDuringSubscribe({ transport, watchers: 1_000, kills: 2, seed: 8 });
    t.diagnostic(JSON.stringify(run));
    assert.deepEqual(run.broken, []);
  });
}
