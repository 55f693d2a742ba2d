/** Three nodes on one Redis, and what happens to them, a few seconds each; `npm run faults` has the long runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killedAndRestarted, redisClusterFailover } from '../../support/cluster-faults.ts';
import { needs } from '../../support/peers.ts';

test('nodes: one of three killed and one restarted under 150 messages/s', needs('redis', 'prosody'), async (t) => {
  const run = await killedAndRestarted({ rate: 150, transport: 'udp', betweenMs: 1_000, rounds: 1 });
  t.diagnostic(JSON.stringify(run));
  assert.equal(run.lost, 0);
  assert.equal(run.reordered, 0);
  assert.equal(run.doubledUnmarked, 0);
  assert.ok(run.linkBackMs < 10_000, `the link was back after ${run.linkBackMs} ms`);
  assert.ok(run.accepted > 300);
});

test(
  'nodes: the master of a Redis Cluster is killed under 150 messages/s, and its replica takes over',
  needs('redis', 'prosody'),
  async (t) => {
    const run = await redisClusterFailover({ rate: 150, transport: 'udp', betweenMs: 1_000 });
    t.diagnostic(JSON.stringify(run));
    assert.equal(run.lost, 0);
    assert.equal(run.reordered, 0);
    assert.equal(run.doubledUnmarked, 0);
    assert.ok(run.linkBackMs < 10_000, `the link was back after ${run.linkBackMs} ms`);
    assert.ok(run.latencyMs[2]! < 20_000, `the last had waited ${run.latencyMs[2]} ms`);
    assert.ok(run.accepted > 300);
  },
);
