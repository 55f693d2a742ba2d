import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OFFICE, PresenceWorld } from '../../../support/presence-world.ts';

const ALICE = 'alice@sip.example';
const BOB = 'bob@sip.example';
const JULIET = 'juliet@xmpp.example';
const UNLIMITED = 'default: confirm, notifyIntervalSeconds: 0';

/** alice publishes, has rules, is watched over SIP and XMPP, one who waits included, and watches juliet. */
async function watched(): Promise<PresenceWorld> {
  const world = new PresenceWorld({ config: UNLIMITED });
  for (const watcher of [BOB, JULIET]) {
    await world.presence.watchers.set(world.address(ALICE), watcher, { action: 'allow' });
  }
  await world.publish(ALICE, 'here');
  await world.subscribe(BOB, ALICE);
  await world.roster(JULIET, ALICE);
  await world.subscribe('carol@sip.example', ALICE);
  await world.subscribe(ALICE, JULIET);
  await world.subscribe(BOB, 'dave@sip.example');
  await world.pass();
  world.news();
  world.upstream.calls.length = 0;
  return world;
}

const GONE = ['alice terminated noresource', 'bob terminated noresource', 'carol terminated noresource'];

async function assertNothingIsLeft(world: PresenceWorld): Promise<void> {
  const news = world.news().filter((line) => line !== 'bob pending'); // of dave: told again after a crash
  assert.deepEqual(news, [...GONE, 'juliet terminated noresource']);
  const calls = [`end ${ALICE} ${JULIET}`, `forget ${ALICE}`, `rest ${ALICE} ${JULIET}`];
  assert.deepEqual(world.upstream.calls, calls);
  assert.equal(world.presence.figures.publications, 0);
  assert.equal(world.presence.figures.subscriptions, 1, 'what bob sees of dave is none of it');
  world.strangers.delete('alice');
  const listed = world.presence.watchers.list(world.address(ALICE));
  assert.deepEqual(listed, { isInvisible: false, watchers: [] });
  await world.roster(JULIET, ALICE);
  await world.pass();
  assert.deepEqual(world.news(), ['juliet pending'], 'the heir of the address decides anew');
}

test('a former user: watchers are told that there is nobody, and nothing is left to whoever is given the address', async () => {
  const world = await watched();
  world.strangers.add('alice');
  await world.presence.watchers.forget(world.address(ALICE));
  await world.pass();
  await assertNothingIsLeft(world);
});

test('a former user who went while no process was there is forgotten by the next', async () => {
  const before = await watched();
  const world = await before.crashed({ config: UNLIMITED, strangers: ['alice'] });
  await world.pass();
  await assertNothingIsLeft(world);
});

test('a user is not forgotten', async () => {
  const world = await watched();
  await assert.rejects(world.presence.watchers.forget(world.address(ALICE)), { code: 'policy-violated' });
  await world.pass();
  assert.deepEqual(world.news(), []);
  const next = await world.crashed({ config: UNLIMITED });
  await next.pass();
  assert.equal(next.presence.figures.publications, 1);
  assert.equal(next.presence.subscriptions.findOn(OFFICE, pair(next, JULIET, ALICE))?.state.at, 'active');
});

function pair(world: PresenceWorld, watcher: string, presentity: string) {
  return { watcher: world.address(watcher), presentity: world.address(presentity) };
}
