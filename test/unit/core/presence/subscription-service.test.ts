import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayError } from '../../../../src/core/errors.ts';
import { ANONYMOUS } from '../../../../src/core/presence/subscription.ts';
import { aBinding } from '../../../support/builders.ts';
import { aNote, OFFICE, PresenceWorld } from '../../../support/presence-world.ts';

const ALICE = 'alice@sip.example';
const BOB = 'bob@sip.example';
const JULIET = 'juliet@xmpp.example';
const UNLIMITED = 'default: allow, notifyIntervalSeconds: 0';

async function refusal(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
  } catch (thrown) {
    return (thrown as GatewayError).code;
  }
  return 'no refusal';
}

test('a watcher is told at once, and each change after it', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  await world.publish(ALICE, 'one');
  await world.subscribe(BOB, ALICE);
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: open one']);
  await world.publish(ALICE, 'two');
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: open one, open two']);
});

test('nothing is told before it is stored', async () => {
  const world = new PresenceWorld();
  world.store.holding = true;
  const subscribing = world.subscribe(BOB, ALICE);
  await world.pass();
  assert.deepEqual(world.news(), []);
  await world.store.release();
  await subscribing;
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: closed']);
});

test('a store that fails refuses the watcher and leaves nothing behind', async () => {
  const world = new PresenceWorld();
  world.store.failing = true;
  assert.equal(await refusal(world.subscribe(BOB, ALICE)), 'store-unavailable');
  assert.equal(world.presence.figures.subscriptions, 0);
  world.store.failing = false;
  await world.pass();
  assert.deepEqual(world.news(), []);
  assert.equal((await world.crashed()).presence.figures.subscriptions, 0);
});

test('confirm: pending, told so, told nothing of changes, then approved with the newest', async () => {
  const world = new PresenceWorld({ config: 'default: confirm, notifyIntervalSeconds: 0' });
  await world.subscribe(BOB, ALICE);
  await world.pass();
  assert.deepEqual(world.news(), ['bob pending']);
  await world.publish(ALICE, 'secret');
  await world.pass();
  assert.deepEqual(world.news(), []);
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: open secret']);
});

test('block at the door is a refusal; a block that comes later ends it with rejected at once', async () => {
  const world = new PresenceWorld({ config: 'default: allow, notifyIntervalSeconds: 5' });
  await world.subscribe(BOB, ALICE);
  await world.pass();
  world.news();
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'block' });
  await world.pass();
  assert.deepEqual(world.news(), ['bob terminated rejected']);
  assert.equal(world.presence.figures.subscriptions, 0);
  assert.equal(await refusal(world.subscribe(BOB, ALICE)), 'sender-forbidden');
});

test('polite block: active, closed, and steady while the presentity changes', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'polite-block' });
  await world.publish(ALICE, 'here');
  await world.subscribe(BOB, ALICE);
  await world.subscribe('carol@sip.example', ALICE);
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: closed', 'carol active: open here']);
  await world.publish(ALICE, 'still here');
  await world.pass();
  assert.deepEqual(world.news(), ['carol active: open here, open still here']);
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: open here, open still here']);
});

test('invisible: everybody but the owner sees a closed document, until it is over', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  await world.publish(ALICE, 'here');
  for (const watcher of [BOB, ALICE]) await world.subscribe(watcher, ALICE);
  await world.pass();
  world.news();
  await world.presence.watchers.setInvisible(world.address(ALICE), true);
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: closed']);
  await world.publish(ALICE, 'moved');
  await world.pass();
  assert.deepEqual(world.news(), ['alice active: open here, open moved']);
  await world.presence.watchers.setInvisible(world.address(ALICE), false);
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: open here, open moved']);
});

test('a rule that is taken away sends its watcher back to ask again', async () => {
  const world = new PresenceWorld({ config: 'default: confirm' });
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  await world.subscribe(BOB, ALICE);
  await world.roster(JULIET, ALICE);
  await world.presence.watchers.set(world.address(ALICE), JULIET, { action: 'allow' });
  await world.pass();
  world.news();
  await world.presence.watchers.remove(world.address(ALICE), BOB);
  await world.presence.watchers.remove(world.address(ALICE), JULIET);
  await world.pass();
  assert.deepEqual(world.news(), ['bob terminated deactivated', 'juliet terminated deactivated']);
  // A SIP watcher asks again by himself; an XMPP user does not, and waits.
  const { watchers } = world.presence.watchers.list(world.address(ALICE));
  assert.deepEqual(
    watchers.map(({ watcher, state }) => [watcher, state]),
    [[JULIET, 'pending']],
  );
  await world.presence.watchers.set(world.address(ALICE), JULIET, { action: 'allow' });
  await world.pass();
  assert.deepEqual(world.news(), ['juliet active: closed']);
});

test('a pending watcher whose time is over waits for the owner, and is known to him', async () => {
  const world = new PresenceWorld({ config: 'default: confirm' });
  await world.subscribe(BOB, ALICE, { expires: 600 });
  await world.pass();
  await world.pass(600_000);
  assert.deepEqual(world.news(), ['bob pending', 'bob terminated timeout']);
  const listed = () => world.presence.watchers.list(world.address(ALICE)).watchers.map(({ state }) => state);
  assert.deepEqual(listed(), ['waiting']);
  // He asks again: the one that waits is redundant.
  await world.subscribe(BOB, ALICE);
  await world.pass();
  assert.deepEqual(listed(), ['pending']);
  assert.equal(world.presence.figures.subscriptions, 1);
});

test('one who waits is given up after the configured days', async () => {
  const world = new PresenceWorld({ config: 'default: confirm, waitingDays: 2' });
  await world.subscribe(BOB, ALICE, { expires: 600 });
  await world.pass(700_000);
  await world.clock.advanceAsync(2 * 86_400_000);
  assert.equal(world.presence.figures.subscriptions, 0);
});

test('refresh moves the end and is told; 0 ends it; after that the dialog is unknown', async () => {
  const world = new PresenceWorld();
  const { id, expiresSeconds } = await world.subscribe(BOB, ALICE, { expires: 600 });
  assert.equal(expiresSeconds, 600);
  await world.pass(500_000);
  world.news();
  assert.deepEqual(await world.presence.subscriptions.refresh(id, { expiresSeconds: 600 }), {
    expiresSeconds: 600,
    isSuppressed: false,
  });
  await world.pass(500_000);
  assert.deepEqual(world.news(), ['bob active: closed']);
  await world.presence.subscriptions.refresh(id, { expiresSeconds: 0 });
  await world.pass();
  assert.deepEqual(world.news(), ['bob terminated timeout: closed']);
  assert.equal(await refusal(world.presence.subscriptions.refresh(id, {})), 'dialog-unknown');
});

test('an end by time is told with the last document, and gone', async () => {
  const world = new PresenceWorld();
  await world.publish(ALICE, 'here');
  await world.subscribe(BOB, ALICE, { expires: 600 });
  await world.pass(601_000);
  assert.deepEqual(world.news(), ['bob active: open here', 'bob terminated timeout: open here']);
  assert.equal(world.presence.figures.subscriptions, 0);
});

const BRIEF: ReadonlyArray<readonly [asked: number | undefined, granted: number | string]> = [
  [undefined, 3_600],
  [59, 'interval-too-brief'],
  [60, 60],
  [90_000, 86_400],
];
for (const [asked, granted] of BRIEF) {
  test(`asked for ${asked ?? 'nothing'}: ${granted}`, async () => {
    const world = new PresenceWorld();
    const wish = asked === undefined ? {} : { expires: asked };
    const attempt = world.subscribe(BOB, ALICE, wish);
    if (typeof granted === 'string') assert.equal(await refusal(attempt), granted);
    else assert.equal((await attempt).expiresSeconds, granted);
  });
}

const REFUSED: ReadonlyArray<readonly [name: string, watcher: string, presentity: string, code: string]> = [
  ['an unknown user', BOB, 'nobody@sip.example', 'recipient-unknown'],
  ['the domain itself', BOB, 'sip.example', 'recipient-unknown'],
  ['somebody without a name', ANONYMOUS, ALICE, 'sender-forbidden'],
  ['somebody without a name to a user elsewhere', ANONYMOUS, JULIET, 'sender-forbidden'],
];
for (const [name, watcher, presentity, code] of REFUSED) {
  test(`refused: ${name}`, async () => {
    const world = new PresenceWorld();
    assert.equal(await refusal(world.subscribe(watcher, presentity)), code);
    assert.equal(world.presence.figures.subscriptions, 0);
  });
}

test('a user without a name sees what the rule for such users says', async () => {
  const world = new PresenceWorld();
  await world.presence.watchers.set(world.address(ALICE), 'anonymous', { action: 'polite-block' });
  await world.publish(ALICE, 'here');
  await world.subscribe(ANONYMOUS, ALICE);
  await world.pass();
  assert.deepEqual(world.news(), ['anonymous active: closed']);
});

test('bounds: of one watcher, of one user, of those who wait, in total', async () => {
  const limits = 'subscriptionsPerWatcher: 1, watchersPerUser: 2, pendingPerUser: 1, subscriptions: 4';
  const world = new PresenceWorld({ config: `default: allow, limits: { ${limits} }` });
  await world.subscribe(BOB, ALICE);
  assert.equal(await refusal(world.subscribe(BOB, 'carol@sip.example')), 'policy-violated');
  await world.subscribe('carol@sip.example', ALICE);
  assert.equal(await refusal(world.subscribe('dave@sip.example', ALICE)), 'policy-violated');
  await world.presence.watchers.set(world.address(BOB), '*', { action: 'confirm' });
  await world.subscribe('dave@sip.example', BOB);
  assert.equal(await refusal(world.subscribe('erin@sip.example', BOB)), 'policy-violated');
  await world.subscribe('erin@sip.example', 'carol@sip.example');
  assert.equal(await refusal(world.subscribe('frank@sip.example', 'carol@sip.example')), 'queue-full');
});

test('bounds: those who wait keep nobody out whom the owner has let in', async () => {
  const world = new PresenceWorld({ config: 'default: confirm, limits: { pendingPerUser: 1 }' });
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  await world.subscribe('carol@sip.example', ALICE);
  assert.equal(await refusal(world.subscribe('dave@sip.example', ALICE)), 'policy-violated');
  await world.subscribe(BOB, ALICE);
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: closed', 'carol pending']);
});

test('one notification in the interval, the newest state last (RFC 3856, section 6.10)', async () => {
  const world = new PresenceWorld({ config: 'default: allow' });
  await world.subscribe(BOB, ALICE);
  await world.pass();
  let etag: string | undefined;
  for (let n = 0; n < 10; n += 1) {
    ({ etag } = await world.publish(ALICE, `n${n}`, etag));
    await world.pass(100);
  }
  assert.deepEqual(world.news(), ['bob active: closed']);
  await world.pass(5_000);
  assert.deepEqual(world.news(), ['bob active: open n9']);
});

test('a publication that says the same tells nobody', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  const { etag } = await world.publish(ALICE, 'same');
  await world.subscribe(BOB, ALICE);
  await world.pass();
  world.news();
  await world.publish(ALICE, 'same', etag);
  await world.pass(10_000);
  assert.deepEqual(world.news(), []);
});

test('presence from registrations reaches watchers, and its end too', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  await world.subscribe(BOB, ALICE);
  await world.pass();
  world.contacts.set(ALICE, [aBinding({ expiresAtMs: world.clock.nowMs() + 60_000 })]);
  world.presence.registered(ALICE);
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: closed', 'bob active: open']);
  world.contacts.set(ALICE, []);
  await world.pass(61_000);
  assert.deepEqual(world.news(), ['bob active: closed']);
});

test('suppression: a watcher who has the body is not told again, a changed one is (RFC 5839, section 6)', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  const { etag } = await world.publish(ALICE, 'one');
  const { id } = await world.subscribe(BOB, ALICE, { hasBody: (body) => body !== undefined });
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: open one (suppressed)']);
  const refreshed = await world.presence.subscriptions.refresh(id, { hasBody: () => true });
  assert.equal(refreshed.isSuppressed, true);
  await world.pass();
  assert.deepEqual(world.news(), []);
  await world.publish(ALICE, 'two', etag);
  await world.pass();
  assert.deepEqual(world.news(), ['bob active: open two']);
});

test('fetch: what may be seen now, nothing for one who must be confirmed, and he is kept for the owner', async () => {
  const world = new PresenceWorld({ config: 'default: confirm' });
  await world.publish(ALICE, 'here');
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  const fetch = (watcher: string) =>
    world.presence.subscriptions.fetch({
      package: 'presence',
      watcher: world.address(watcher),
      presentity: world.address(ALICE),
      origin: { kind: 'local', user: world.address(watcher) },
    });
  const { body } = await fetch(BOB);
  assert.equal(body?.kind === 'presence' ? body.document.tuples[0]?.notes[0]?.text : undefined, 'here');
  for (let n = 0; n < 3; n += 1) assert.deepEqual(await fetch('carol@sip.example'), {});
  const { watchers } = world.presence.watchers.list(world.address(ALICE));
  assert.deepEqual(
    watchers.map(({ watcher, state, subscriptions }) => [watcher, state, subscriptions]),
    [
      [BOB, undefined, 0],
      ['carol@sip.example', 'waiting', 1],
    ],
  );
});

test('one who cannot be told is let go; a pending one is kept for the owner', async () => {
  const world = new PresenceWorld({ config: 'default: confirm' });
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  world.outcomes.push({ kind: 'gone', reason: '481' }, { kind: 'gone', reason: '481' });
  await world.subscribe(BOB, ALICE);
  await world.subscribe('carol@sip.example', ALICE);
  await world.pass();
  const { watchers } = world.presence.watchers.list(world.address(ALICE));
  assert.deepEqual(
    watchers.map(({ watcher, state }) => [watcher, state]),
    [
      [BOB, undefined],
      ['carol@sip.example', 'waiting'],
    ],
  );
});

test('a later notification is held while the link is down and goes, newest, when it is up', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  world.outcomes.push({ kind: 'held' });
  await world.roster(JULIET, ALICE);
  await world.pass();
  world.news();
  await world.publish(ALICE, 'one');
  await world.pass();
  assert.deepEqual(world.news(), []);
  world.presence.subscriptions.wake(OFFICE);
  await world.pass();
  assert.deepEqual(world.news(), ['juliet active: open one']);
});

test('an XMPP watcher: one subscription for each pair, asked again in full, given up by himself', async () => {
  const world = new PresenceWorld();
  const { id } = await world.roster(JULIET, ALICE);
  assert.equal(await refusal(world.roster(JULIET, ALICE)), 'conflict');
  assert.equal(world.presence.subscriptions.findOn(OFFICE, pairOf(world))?.id, id);
  await world.pass();
  world.news();
  world.presence.subscriptions.tellAgain(id);
  await world.pass();
  assert.deepEqual(world.news(), ['juliet active: closed (whole)']);
  await world.presence.subscriptions.forget(id);
  await world.publish(ALICE, 'here');
  await world.pass(10_000);
  assert.deepEqual(world.news(), []);
  assert.equal(world.presence.subscriptions.findOn(OFFICE, pairOf(world)), undefined);
});

function pairOf(world: PresenceWorld): {
  watcher: ReturnType<PresenceWorld['address']>;
  presentity: ReturnType<PresenceWorld['address']>;
} {
  return { watcher: world.address(JULIET), presentity: world.address(ALICE) };
}

test('winfo: its owner is told of every watcher, first all of them, then what changes', async () => {
  const world = new PresenceWorld({ config: 'default: confirm, notifyIntervalSeconds: 0' });
  await world.subscribe(BOB, ALICE);
  await world.pass();
  await world.subscribe(ALICE, ALICE, { package: 'presence.winfo' });
  await world.pass();
  assert.deepEqual(world.news(), ['alice active: full bob pending subscribe', 'bob pending']);
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  await world.pass();
  assert.deepEqual(world.news(), ['alice active: partial bob active approved', 'bob active: closed']);
  await world.subscribe('carol@sip.example', ALICE);
  await world.pass();
  assert.deepEqual(world.news(), ['alice active: partial carol pending subscribe', 'carol pending']);
  await world.presence.watchers.set(world.address(ALICE), '*', { action: 'block' });
  await world.pass();
  assert.deepEqual(world.news(), ['alice active: partial carol terminated rejected', 'carol terminated rejected']);
  assert.equal(await refusal(world.subscribe(BOB, ALICE, { package: 'presence.winfo' })), 'sender-forbidden');
});

test('winfo: after a notification that was not taken all of it is said again', async () => {
  const world = new PresenceWorld({ config: 'default: confirm, notifyIntervalSeconds: 0' });
  await world.subscribe(ALICE, ALICE, { package: 'presence.winfo' });
  await world.pass();
  await world.subscribe(BOB, ALICE);
  world.outcomes.push({ kind: 'told' }, { kind: 'again', afterMs: 1_000 });
  await world.pass();
  await world.pass(2_000);
  assert.deepEqual(
    world.told.filter((line) => line.startsWith('alice')),
    ['alice active: full ', 'alice active: partial bob pending subscribe', 'alice active: full bob pending subscribe'],
  );
});

test('somebody elsewhere: asked on the watcher’s behalf, pending until he agrees, then his document', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  const pair = { watcher: world.address(ALICE), presentity: world.address(JULIET) };
  const { id } = await world.subscribe(ALICE, JULIET);
  await world.pass();
  assert.deepEqual(world.news(), ['alice pending']);
  world.upstream.say(pair, { state: { at: 'active' } });
  await world.pass();
  assert.deepEqual(world.news(), ['alice active']);
  world.upstream.say(pair, { state: { at: 'active' }, document: aNote('balcony') });
  await world.pass();
  assert.deepEqual(world.news(), ['alice active: open balcony']);
  await world.presence.subscriptions.refresh(id, { expiresSeconds: 0 });
  await world.pass();
  // What XMPP knows of him no more is closed (RFC 8048, section 5.3.3).
  assert.deepEqual(world.news(), ['alice terminated timeout: closed']);
  assert.deepEqual(world.upstream.calls, [`watch ${ALICE} ${JULIET}`, `rest ${ALICE} ${JULIET}`]);
});

test('somebody elsewhere: his first document is not held back by the word that it may be seen', async () => {
  const world = new PresenceWorld({ config: 'default: allow, notifyIntervalSeconds: 5' });
  const pair = { watcher: world.address(ALICE), presentity: world.address(JULIET) };
  await world.subscribe(ALICE, JULIET);
  world.upstream.say(pair, { state: { at: 'active' } });
  await world.pass();
  world.news();
  world.upstream.say(pair, { state: { at: 'active' }, document: aNote('balcony') });
  await world.pass();
  assert.deepEqual(world.news(), ['alice active: open balcony']);
  world.upstream.say(pair, { state: { at: 'active' }, document: aNote('garden') });
  await world.pass();
  assert.deepEqual(world.news(), [], 'from then on as always');
  await world.pass(5_000);
  assert.deepEqual(world.news(), ['alice active: open garden']);
});

test('somebody elsewhere: known permission is active at once; the last of two dialogs lets him rest', async () => {
  const world = new PresenceWorld();
  const pair = { watcher: world.address(ALICE), presentity: world.address(JULIET) };
  world.upstream.say(pair, { state: { at: 'active' }, document: aNote('balcony') });
  const first = await world.subscribe(ALICE, JULIET);
  const second = await world.subscribe(ALICE, JULIET);
  await world.pass();
  assert.deepEqual(world.news(), ['alice active: open balcony', 'alice active: open balcony']);
  await world.presence.subscriptions.refresh(first.id, { expiresSeconds: 0 });
  await world.pass();
  assert.equal(world.upstream.calls.filter((call) => call.startsWith('rest')).length, 0);
  await world.presence.subscriptions.refresh(second.id, { expiresSeconds: 0 });
  await world.pass();
  assert.equal(world.upstream.calls.filter((call) => call.startsWith('rest')).length, 1);
});

for (const reason of ['rejected', 'noresource', 'giveup', 'deactivated', 'probation', 'timeout'] as const) {
  test(`somebody elsewhere ends it: ${reason}`, async () => {
    const world = new PresenceWorld();
    const pair = { watcher: world.address(ALICE), presentity: world.address(JULIET) };
    if (reason !== 'giveup') world.upstream.reports.set(`${ALICE}\n${JULIET}`, { state: { at: 'active' } });
    await world.subscribe(ALICE, JULIET);
    await world.pass();
    world.news();
    world.upstream.say(pair, { state: { at: 'ended', reason } });
    await world.pass();
    assert.equal(world.news()[0]?.startsWith(`alice terminated ${reason}`), true);
    assert.equal(world.presence.figures.subscriptions, 0);
  });
}

test('a watcher who goes away lets somebody elsewhere rest, and wakes him when he comes', async () => {
  const world = new PresenceWorld();
  const { id } = await world.subscribe(ALICE, JULIET);
  world.presence.subscriptions.attend(id, false);
  world.presence.subscriptions.attend(id, false);
  world.presence.subscriptions.attend(id, true);
  assert.deepEqual(
    world.upstream.calls.map((call) => call.split(' ')[0]),
    ['watch', 'rest', 'watch'],
  );
});

test('an upstream that cannot store the wish refuses the watcher', async () => {
  const world = new PresenceWorld();
  world.upstream.fails = true;
  assert.equal(await refusal(world.subscribe(ALICE, JULIET)), 'internal');
  assert.equal(world.presence.figures.subscriptions, 0);
});

test('a crash in the middle of telling: afterwards every watcher is told the newest, nobody twice for nothing', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  for (let n = 0; n < 20; n += 1) await world.subscribe(`w${n}@sip.example`, ALICE);
  await world.subscribe('x@sip.example', BOB);
  await world.pass(40_000);
  // So that the 20 are old enough to have been told.
  await world.subscribe('young@sip.example', BOB);
  await world.pass();
  world.news();
  world.isSilent = true;
  await world.publish(ALICE, 'newest');
  await world.pass();
  const after = await world.crashed({ config: UNLIMITED });
  await after.pass();
  const told = after.news();
  assert.equal(told.filter((line) => /^w\d+ active: open newest$/.test(line)).length, 20);
  // `young` may not have been told before the crash; `x` has been.
  assert.deepEqual(
    told.filter((line) => !line.startsWith('w')),
    ['young active: closed'],
  );
  const again = await after.crashed({ config: UNLIMITED });
  await again.pass();
  assert.deepEqual(again.news(), ['young active: closed']);
});

test('a crash keeps every dialog: what is overdue ends, the rest goes on', async () => {
  const world = new PresenceWorld({ config: 'default: confirm' });
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  await world.subscribe(BOB, ALICE, { expires: 600 });
  await world.subscribe('carol@sip.example', ALICE, { expires: 7_200 });
  await world.pass();
  await world.presence.stop(0);
  world.clock.advance(700_000);
  const after = new PresenceWorld({ clock: world.clock, store: world.store.crash(), config: 'default: confirm' });
  await after.pass();
  assert.ok(after.news().includes('bob terminated timeout: closed'));
  assert.equal(after.presence.figures.subscriptions, 1);
});

test('a decision of the last moment before a crash is carried out after it', async () => {
  const world = new PresenceWorld({ config: 'default: confirm' });
  await world.subscribe(BOB, ALICE);
  await world.pass(60_000);
  world.isSilent = true;
  await world.presence.watchers.set(world.address(ALICE), BOB, { action: 'allow' });
  const after = await world.crashed({ config: 'default: confirm' });
  await after.pass();
  assert.deepEqual(after.news(), ['bob active: closed']);
});

test('a subscription whose way is gone from the configuration is dropped with a warning', async () => {
  const world = new PresenceWorld();
  await world.subscribe(BOB, ALICE);
  await world.pass();
  const store = world.store.crash();
  const [key, record] = [...store.records<{ presentity: string }>('subscription').all()][0]!;
  await store.records('subscription').put(key, { ...record, presentity: 'alice@sip.example' });
  const after = new PresenceWorld({ clock: world.clock, store });
  assert.equal(after.presence.figures.subscriptions, 1);
});

test('a change costs work for its watchers alone', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  for (let n = 0; n < 300; n += 1) await world.subscribe(`w${n}@sip.example`, BOB);
  await world.subscribe('carol@sip.example', ALICE);
  await world.pass();
  world.news();
  world.store.journal.length = 0;
  await world.publish(ALICE, 'here');
  await world.pass();
  assert.deepEqual(world.news(), ['carol active: open here']);
  assert.deepEqual(
    world.store.journal.map(({ kind, call }) => `${kind} ${call}`),
    ['unsettled putLater', 'publication put', 'unsettled removeLater'],
  );
});

test('watchers who may see the same are told one and the same document', async () => {
  const world = new PresenceWorld({ config: UNLIMITED });
  for (let n = 0; n < 5; n += 1) await world.subscribe(`w${n}@sip.example`, ALICE);
  await world.pass();
  world.notifications.length = 0;
  await world.publish(ALICE, 'here');
  await world.pass();
  const bodies = new Set(world.notifications.map(({ body }) => body));
  assert.equal(world.notifications.length, 5);
  assert.equal(bodies.size, 1);
});
