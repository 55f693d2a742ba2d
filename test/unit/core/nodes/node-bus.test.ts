import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import { NodeBus, NodeGone } from '../../../../src/core/nodes/node-bus.ts';
import { FakeClock, settled } from '../../../support/fake-clock.ts';
import { MemoryNodes } from '../../../support/memory-nodes.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

class Stage {
  readonly clock = new FakeClock();
  readonly medium = new MemoryNodes(this.clock);
  readonly log = new RecordingLog();
  readonly there = new Set<string>();
  nudged = 0;

  async bus(name: string): Promise<NodeBus> {
    const bus = new NodeBus({
      wire: this.medium.wire(),
      self: { name, run: `run-of-${name}` },
      nodeOf: (other) => (this.there.has(other) ? { run: `run-of-${other}` } : undefined),
      onNudge: () => (this.nudged += 1),
      clock: this.clock,
      log: this.log,
    });
    this.there.add(name);
    await bus.open();
    return bus;
  }
}

const isGone = (isNotDone: boolean) => (thrown: unknown) =>
  thrown instanceof NodeGone && thrown.isNotDone === isNotDone;

test('node bus: a call comes back with the answer, or with the error as it was thrown', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.bus('a'), await stage.bus('b')];
  b.serve('double', (value, from) => ({ doubled: 2 * (value as number), from }));
  b.serve('refuse', () => {
    throw new GatewayError('interval-too-brief', 'too brief', { details: { minExpiresSeconds: 60 } });
  });
  assert.deepEqual(await a.call('b', 'double', 21), { doubled: 42, from: 'a' });
  await assert.rejects(a.call('b', 'refuse', undefined), (thrown: unknown) => {
    assert.ok(thrown instanceof GatewayError && !(thrown instanceof NodeGone));
    assert.deepEqual([thrown.code, thrown.details], ['interval-too-brief', { minExpiresSeconds: 60 }]);
    return true;
  });
  await assert.rejects(
    a.call('b', 'nothing', 1),
    (thrown: unknown) => GatewayError.of(thrown).code === 'feature-unsupported',
  );
});

test('node bus: a call to oneself needs no wire', async () => {
  const stage = new Stage();
  const a = await stage.bus('a');
  a.serve('echo', (value) => value);
  stage.medium.isAway = true;
  assert.equal(await a.call('a', 'echo', 'x'), 'x');
});

test('node bus: a node that is not there, or does not listen, is said at once', async () => {
  const stage = new Stage();
  const a = await stage.bus('a');
  await assert.rejects(a.call('b', 'echo', 1), isGone(true));
  stage.there.add('b');
  await assert.rejects(a.call('b', 'echo', 1), isGone(true));
});

test('node bus: calls under way fail when their node is gone, and it is not known what became of them', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.bus('a'), await stage.bus('b')];
  b.serve('never', () => new Promise(() => undefined));
  const call = a.call('b', 'never', 1);
  const refused = assert.rejects(call, isGone(false));
  await settled();
  a.nodesChanged(new Set(['run-of-a']));
  await refused;
});

test('node bus: a call that is not answered fails at its deadline', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.bus('a'), await stage.bus('b')];
  b.serve('never', () => new Promise(() => undefined));
  const refused = assert.rejects(a.call('b', 'never', 1, 5_000), isGone(false));
  await stage.clock.advanceAsync(6_000);
  await refused;
});

test('node bus: calls are carried out in order, and after one that got lost none until that is known', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.bus('a'), await stage.bus('b')];
  const done: number[] = [];
  b.serve('do', (value) => void done.push(value as number));
  stage.medium.loses = (_run, text) => text.includes('"value":3');
  const calls = [1, 2, 3, 4, 5].map((n) => a.call('b', 'do', n));
  const outcomes = await Promise.allSettled(calls.filter((_, n) => n !== 2));
  stage.medium.loses = () => false;
  assert.deepEqual(done, [1, 2]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'rejected'],
  );
  await assert.rejects(calls[2]!, NodeGone);
  await a.call('b', 'do', 6);
  assert.deepEqual(done, [1, 2, 6]);
});

test('node bus: what may have got lost on the way back fails at once', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.bus('a'), await stage.bus('b')];
  b.serve('never', () => new Promise(() => undefined));
  const refused = assert.rejects(a.call('b', 'never', 1), isGone(false));
  await settled();
  stage.medium.interrupt('run-of-a');
  await refused;
});

test('node bus: a word to all reaches the others, and a nudge', async () => {
  const stage = new Stage();
  const [a, b, c] = [await stage.bus('a'), await stage.bus('b'), await stage.bus('c')];
  const heard: string[] = [];
  for (const [name, bus] of [
    ['a', a],
    ['b', b],
    ['c', c],
  ] as const) {
    bus.serve('hello', (value, from) => void heard.push(`${name} hears ${String(value)} from ${from}`));
  }
  a.tell('hello', 'you');
  a.nudge();
  await settled();
  assert.deepEqual(heard, ['b hears you from a', 'c hears you from a']);
  assert.equal(stage.nudged, 2);
});

test('node bus: a fault of the far service is logged there, and said to be internal', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.bus('a'), await stage.bus('b')];
  b.serve('fail', () => {
    throw new TypeError('a mistake');
  });
  await assert.rejects(a.call('b', 'fail', 1), (thrown: unknown) => GatewayError.of(thrown).code === 'internal');
  assert.deepEqual(stage.log.said('error'), ['call of another node failed']);
});

/** What somebody else who may write there, or another version, could say. */
const STRANGE: readonly unknown[] = [
  null,
  true,
  7,
  'text',
  [],
  [null],
  {},
  { k: 'call' },
  { k: 'call', run: 'run-of-a', node: 'a', id: 'x', stream: 1, n: 1, service: 'echo' },
  { k: 'call', run: null, node: 'a', id: 1, stream: 1, n: 1, service: 'echo' },
  { k: 'call', run: 'run-of-c', node: 'c', id: 1, stream: 1, n: 1, service: '__proto__' },
  { k: 'failed', run: 'run-of-a', id: 1 },
  { k: 'failed', run: 'run-of-a', id: 1, error: null },
  { k: 'failed', run: 'run-of-a', id: 1, error: { code: 7, message: {}, details: null } },
  { k: 'gap', run: 'run-of-a', stream: {}, id: null },
  { k: 'tell', run: 'run-of-a', node: 'a', service: ['x'] },
  { k: 'tell', run: 'run-of-a', node: 'a', service: 'toString', value: null },
  { k: '__proto__', run: 'run-of-a' },
  { k: 'constructor', run: 'run-of-a' },
  { k: 'of a later version', run: 'run-of-a', password: 'two households' },
];

test('node bus: what no node says ends nothing, and none of it is in the log', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.bus('a'), await stage.bus('b')];
  b.serve('slow', () => new Promise((resolve) => setImmediate(resolve, 'done')));
  const answer = a.call('b', 'slow', 1);
  const wire = stage.medium.wire();
  for (const said of STRANGE) {
    await wire.send('run-of-a', JSON.stringify(said));
    await wire.send('run-of-b', JSON.stringify(said));
  }
  for (const said of ['', '{', '[1', '\u0000', '{"k":'.repeat(2_000)]) await wire.send('run-of-a', said);
  assert.equal(await answer, 'done');
  assert.equal(await a.call('b', 'slow', 1), 'done');
  await settled();
  assert.ok(stage.log.said('warn').length > 20);
  assert.doesNotMatch(JSON.stringify(stage.log.lines), /two households/);
});
