import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import { Membership } from '../../../../src/core/nodes/membership.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { MemoryNodes } from '../../../support/memory-nodes.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

/** Three and a half seconds of term, one between two looks. */
class Stage {
  readonly clock = new FakeClock();
  readonly medium = new MemoryNodes(this.clock);
  readonly log = new RecordingLog();
  readonly said: string[] = [];
  readonly #members: Membership[] = [];

  async node(name: string, run = `run-of-${name}`): Promise<Membership> {
    const members = this.made(name, run);
    await members.join();
    return members;
  }

  made(name: string, run: string): Membership {
    const { clock, medium: ledger, log } = this;
    const self = { name, run, startedAtMs: clock.nowMs(), version: '1' };
    const members = new Membership({ ledger, nudge: () => this.#nudge(members), self, clock, log });
    this.#members.push(members);
    return members;
  }

  want(members: Membership, lease: string): ReturnType<Membership['want']> {
    return members.want(lease, {
      gained: () => this.said.push(`${members.name} gained ${lease}`),
      lost: (reason) => this.said.push(`${members.name} lost ${lease}: ${reason}`),
    });
  }

  #nudge(by: Membership): void {
    for (const members of this.#members) if (members !== by) void members.look();
  }
}

test('membership: a node that is killed is followed by another within five seconds', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.node('a'), await stage.node('b')];
  stage.want(a, 'presence');
  await stage.clock.advanceAsync(100);
  stage.want(b, 'presence');
  await stage.clock.advanceAsync(10_000);
  assert.deepEqual(stage.said, ['a gained presence']);
  assert.equal(b.holderOf('presence')?.node, 'a');
  a.abandon();
  await stage.clock.advanceAsync(5_000);
  assert.deepEqual(stage.said, ['a gained presence', 'b gained presence']);
  assert.deepEqual(
    b.nodes.map(({ name }) => name),
    ['b'],
  );
});

test('membership: what is released is held by another at once, and known to all', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.node('a'), await stage.node('b')];
  const wish = stage.want(a, 'link:x');
  await stage.clock.advanceAsync(10);
  stage.want(b, 'link:x');
  await stage.clock.advanceAsync(10);
  await a.prepareToLeave();
  await wish.release();
  await stage.clock.advanceAsync(10);
  assert.deepEqual(stage.said, ['a gained link:x', 'b gained link:x']);
  assert.equal(a.holderOf('link:x')?.node, 'b');
});

test('membership: a holder that cannot renew stops before its term is over, and takes it up again', async () => {
  const stage = new Stage();
  const [a] = [await stage.node('a'), await stage.node('b')];
  stage.want(a, 'presence');
  await stage.clock.advanceAsync(1_000);
  stage.medium.isAway = true;
  await stage.clock.advanceAsync(2_900);
  assert.deepEqual(stage.said, ['a gained presence']);
  await stage.clock.advanceAsync(200);
  assert.deepEqual(stage.said, ['a gained presence', 'a lost presence: the lease could not be renewed in time']);
  assert.equal(a.holderOf('presence'), undefined);
  await stage.clock.advanceAsync(20_000);
  stage.medium.isAway = false;
  await stage.clock.advanceAsync(1_600);
  assert.equal(stage.said[2], 'a gained presence');
});

test('membership: a node that was alone when the medium went keeps what it holds', async () => {
  const stage = new Stage();
  const a = await stage.node('a');
  const wish = stage.want(a, 'presence');
  await stage.clock.advanceAsync(1_000);
  const fence = wish.fence();
  stage.medium.isAway = true;
  await stage.clock.advanceAsync(60_000);
  assert.equal(a.isHeard, false);
  stage.medium.isAway = false;
  await stage.clock.advanceAsync(2_000);
  assert.deepEqual(stage.said, ['a gained presence']);
  assert.equal(wish.fence(), fence);
});

test('membership: one that was alone loses it when another has come all the same', async () => {
  const stage = new Stage();
  const a = await stage.node('a');
  stage.want(a, 'presence');
  await stage.clock.advanceAsync(1_000);
  const tick = stage.medium.tick.bind(stage.medium);
  // Only the way of a is cut.
  stage.medium.tick = (request) =>
    request.self.name === 'a' ? Promise.reject(new GatewayError('store-unavailable', 'cut')) : tick(request);
  await stage.clock.advanceAsync(10_000);
  const b = await stage.node('b');
  stage.want(b, 'presence');
  await stage.clock.advanceAsync(1_000);
  stage.medium.tick = tick;
  await stage.clock.advanceAsync(1_100);
  assert.deepEqual(stage.said, [
    'a gained presence',
    'b gained presence',
    'a lost presence: another node holds the lease',
  ]);
});

test('membership: a node killed and started again has its name when the term of the first is over', async () => {
  const stage = new Stage();
  const first = await stage.node('a');
  first.abandon();
  const joined = stage.node('a', 'second');
  await stage.clock.advanceAsync(5_000);
  assert.equal((await joined).node('a')?.run, 'second');
});

test('membership: a second node of the same name is refused with a remedy', async () => {
  const stage = new Stage();
  await stage.node('a');
  const second = stage.made('a', 'second').join();
  const refused = assert.rejects(second, (thrown: unknown) => {
    assert.ok(thrown instanceof GatewayError);
    assert.equal(thrown.code, 'conflict');
    assert.match(thrown.message, /a node with the name a runs already.*`node` in its configuration/);
    return true;
  });
  await stage.clock.advanceAsync(10_000);
  await refused;
});

test('membership: leases spread over nodes that start one after the other when they become free', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.node('a'), await stage.node('b')];
  const leases = ['link:w', 'link:x', 'link:y', 'presence'];
  const wishes = leases.map((lease) => stage.want(a, lease));
  await stage.clock.advanceAsync(100);
  for (const lease of leases) stage.want(b, lease);
  await stage.clock.advanceAsync(2_000);
  await wishes[0]?.release();
  stage.want(a, 'link:w');
  await stage.clock.advanceAsync(2_000);
  const owns = (name: string) => a.leases.filter(({ node }) => node === name).length;
  assert.deepEqual([owns('a'), owns('b')], [3, 1]);
  // And nothing moves by itself.
  const before = JSON.stringify(a.leases);
  await stage.clock.advanceAsync(60_000);
  assert.equal(JSON.stringify(a.leases), before);
});

test('membership: a note reaches the others at once', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.node('a'), await stage.node('b')];
  const wish = stage.want(a, 'link:x');
  await stage.clock.advanceAsync(100);
  let changes = 0;
  b.onChange(() => (changes += 1));
  wish.note({ at: 'up' });
  await stage.clock.advanceAsync(1);
  assert.deepEqual(b.holderOf('link:x')?.note, { at: 'up' });
  assert.equal(changes, 1);
});

test('membership: a lease that came after it was given up is given back', async () => {
  const stage = new Stage();
  const [a, b] = [await stage.node('a'), await stage.node('b')];
  const wish = stage.want(a, 'link:x');
  await wish.release();
  stage.want(b, 'link:x');
  await stage.clock.advanceAsync(2_500);
  assert.equal(a.holderOf('link:x')?.node, 'b');
  assert.deepEqual(stage.said.at(-1), 'b gained link:x');
});
