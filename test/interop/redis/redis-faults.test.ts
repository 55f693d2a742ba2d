/** The faults of messages and presence with the store in Redis, and those of Redis; `npm run faults` has the long runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killedUnderSipLoad, redisKilled, xmppServerAway } from '../../support/faults.ts';
import { needs } from '../../support/peers.ts';
import { killedDuringFanOut, killedDuringSubscribe } from '../../support/presence-faults.ts';

const store = 'redis';
const both = needs('prosody', 'redis');

test('redis store: prosody away for 2 s under 50 messages/s: nothing lost, nothing reordered', both, async (t) => {
  const run = await xmppServerAway({ rate: 50, beforeMs: 500, awayMs: 2_000, afterMs: 500, transport: 'udp', store });
  t.diagnostic(JSON.stringify(run));
  const { lost, reordered, refused, doubledUnmarked } = run;
  assert.deepEqual(
    { lost, reordered, refused, doubledUnmarked },
    { lost: 0, reordered: 0, refused: 0, doubledUnmarked: 0 },
  );
  assert.ok(run.accepted > 100);
});

test('redis store: killed under 100 messages/s: what was answered 2xx arrives', both, async (t) => {
  const run = await killedUnderSipLoad({ rate: 100, kills: 1, betweenMs: 1_000, transport: 'tcp', store });
  t.diagnostic(JSON.stringify(run));
  const { lost, reordered, doubledUnmarked } = run;
  assert.deepEqual({ lost, reordered, doubledUnmarked }, { lost: 0, reordered: 0, doubledUnmarked: 0 });
  assert.ok(run.accepted > 100);
});

test('redis store: redis killed under 100 messages/s: nothing accepted is lost, links stay up', both, async (t) => {
  const run = await redisKilled({ rate: 100, kills: 1, awayMs: 800, betweenMs: 1_000, transport: 'udp' });
  t.diagnostic(JSON.stringify(run));
  const { lost, reordered, doubledUnmarked } = run;
  assert.deepEqual({ lost, reordered, doubledUnmarked }, { lost: 0, reordered: 0, doubledUnmarked: 0 });
  assert.deepEqual(run['linksAt'], ['up']);
  assert.ok(run.accepted > 100);
});

test('redis store: killed during the fan-out to 300 watchers: all hold the newest', needs('redis'), async (t) => {
  const run = await killedDuringFanOut({ transport: 'udp', watchers: 300, kills: 1, seed: 8, store });
  t.diagnostic(JSON.stringify(run));
  assert.deepEqual(run.broken, []);
});

test('redis store: killed while 300 watchers subscribe: who was answered is told', needs('redis'), async (t) => {
  const run = await killedDuringSubscribe({ transport: 'tcp', watchers: 300, kills: 1, seed: 8, store });
  t.diagnostic(JSON.stringify(run));
  assert.deepEqual(run.broken, []);
});
