import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { StoredSubscription } from '../../src/core/presence/watched.ts';
import type { Notified, Watching } from '../support/presence-phone.ts';
import { PresenceStage } from '../support/presence-stage.ts';

/**
 * The machine of RFC 3857, section 4.7.1 on the wire: every state answers every event. Seen by the watcher, by the owner
 * in the list of his watchers (RFC 3858), and by a server that is killed afterwards and goes on.
 */
const STATES = ['pending', 'active', 'waiting', 'terminated'] as const;
const EVENTS = ['refreshed', 'approved', 'rejected', 'unsubscribed', 'expired', 'gave-up'] as const;
type State = (typeof STATES)[number];
type Event = (typeof EVENTS)[number];

/** What an event leads to: what the watcher is told, what the owner sees of him, and what is left of it. */
type Outcome = {
  readonly told: readonly string[];
  readonly seen: readonly string[];
  /** Absent: nothing. */
  readonly left?: State;
};

const SAME = { told: [], seen: [] } as const;
const REJECTED: Outcome = { told: ['terminated rejected'], seen: ['terminated rejected'] };
const OVER: Outcome = { told: ['terminated timeout, closed'], seen: ['terminated timeout'] };
const UNDECIDED: Outcome = { told: ['terminated timeout'], seen: ['waiting timeout'], left: 'waiting' };

const CELLS: Record<State, Record<Event, Outcome>> = {
  pending: {
    refreshed: { told: ['pending 900'], seen: [], left: 'pending' },
    approved: { told: ['active 600, closed'], seen: ['active approved'], left: 'active' },
    rejected: REJECTED,
    unsubscribed: UNDECIDED,
    expired: UNDECIDED,
    // Of a presentity of the XMPP side: a user of ours has no patience but for those who wait.
    'gave-up': { told: ['terminated giveup'], seen: [] },
  },
  active: {
    refreshed: { told: ['active 900, closed'], seen: [], left: 'active' },
    approved: { ...SAME, left: 'active' },
    rejected: REJECTED,
    unsubscribed: OVER,
    expired: OVER,
    'gave-up': { ...SAME, left: 'active' },
  },
  waiting: {
    refreshed: { ...SAME, left: 'waiting' },
    approved: { told: [], seen: ['terminated approved'] },
    rejected: { told: [], seen: ['terminated rejected'] },
    unsubscribed: { ...SAME, left: 'waiting' },
    expired: { ...SAME, left: 'waiting' },
    'gave-up': { told: [], seen: ['terminated giveup'] },
  },
  terminated: {
    refreshed: SAME,
    approved: SAME,
    rejected: SAME,
    unsubscribed: SAME,
    expired: SAME,
    'gave-up': SAME,
  },
};

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ALICE = 'alice@sip.example';
const JULIET = 'juliet@xmpp.example';

const ownerOf = (at: State, event: Event): string => `${at}-${event}`;
const OWNERS = STATES.flatMap((at) => EVENTS.flatMap((event) => [ownerOf(at, event), `x-${ownerOf(at, event)}`]));

let stage: PresenceStage;

before(async () => {
  stage = await PresenceStage.open({
    users: [...OWNERS, 'versions'],
    presence: 'notifyIntervalSeconds: 0, waitingDays: 1, expires: { max: 2000000 }',
  });
});

after(() => stage.stop());

/** A NOTIFY in words: state, reason or seconds left, and the basic status in its body. */
function toldLine({ state, document, request }: Notified): string {
  assert.equal(request.headers.get('Event'), 'presence');
  const basic = document?.tuples[0]?.basic;
  const body = basic === undefined ? '' : `, ${basic}`;
  if (state.state === 'terminated') return `terminated ${state.reason}${body}`;
  // What is left is given in whole seconds, and rounded up; a few pass while all of this is under way.
  const seconds = [600, 900, 2_000_000].find((each) => Math.abs(each - (state.expiresSeconds ?? 0)) < 30);
  return `${state.state} ${seconds ?? `${state.expiresSeconds ?? 'without end'}`}${body}`;
}

const linesAbout = (watcher: string, lines: readonly string[]): string[] =>
  lines.filter((line) => line.includes(` ${watcher} `)).map((line) => line.replace(/^\d+ \S+ /, ''));

function storedOf(owner: string, domain = 'sip.example'): StoredSubscription[] {
  return [...stage.world.stored<StoredSubscription>('subscription').values()].filter(
    (record) => record.presentity === `${owner}@${domain}` && record.package === 'presence',
  );
}

/** Brings a subscription of alice where it shall be, and sees that it is there. */
async function bring(at: State, owner: string, expires: number): Promise<Watching> {
  if (at === 'active' || at === 'terminated') await stage.world.rule(`${owner}@sip.example`, ALICE, 'allow');
  const watching = await stage.watch('alice', `sip:${owner}@sip.example`, { expires });
  assert.equal(watching.status, 200);
  const first = await watching.until(() => true);
  assert.equal(first.state.state, at === 'active' || at === 'terminated' ? 'active' : 'pending');
  if (at === 'waiting' || at === 'terminated') {
    assert.equal((await watching.unsubscribe()).status, 200);
    await watching.until(({ state }) => state.state === 'terminated');
  }
  return watching;
}

async function happen(event: Event, owner: string, watching: Watching, at: State): Promise<void> {
  const isLive = at === 'pending' || at === 'active';
  switch (event) {
    case 'refreshed':
      assert.equal((await watching.refresh(900)).status, isLive ? 200 : 481);
      break;
    case 'approved':
      await stage.world.rule(`${owner}@sip.example`, ALICE, 'allow');
      break;
    case 'rejected':
      await stage.world.rule(`${owner}@sip.example`, ALICE, 'block');
      break;
    case 'unsubscribed':
      assert.equal((await watching.unsubscribe()).status, isLive ? 200 : 481);
      break;
    case 'expired':
      stage.clock.jump(601_000);
      break;
    case 'gave-up':
      stage.clock.jump(DAY_MS + 1_000);
      break;
  }
}

for (const at of STATES) {
  for (const event of EVENTS) {
    if (at === 'pending' && event === 'gave-up') continue;
    const { told, seen, left } = CELLS[at][event];
    test(`subscription: ${at} + ${event} -> ${left ?? 'terminated'} (RFC 3857, section 4.7.1)`, async () => {
      const owner = ownerOf(at, event);
      const winfo = await stage.winfo(owner, { expires: 2_000_000 });
      await winfo.until('0 full');
      const watching = await bring(at, owner, event === 'gave-up' ? 2_000_000 : 600);
      await stage.settled();
      winfo.news();
      const from = watching.notifies.length;

      await happen(event, owner, watching, at);
      if (told.length > 0) await watching.until(() => true, { from, what: told[0] ?? '' });
      await stage.settled();
      assert.deepEqual(watching.notifies.slice(from).map(toldLine), told);
      assert.deepEqual(linesAbout('alice', winfo.news()), seen);
      assert.deepEqual(
        storedOf(owner).map(({ state }) => state.at),
        left === undefined ? [] : [left],
        'in the store',
      );

      await stage.crash();
      const { watchers } = await stage.world.watchers(`${owner}@sip.example`);
      assert.equal(watchers.find(({ watcher }) => watcher === ALICE)?.state, left);
      const isLive = left === 'pending' || left === 'active';
      const { length } = watching.notifies;
      assert.equal((await watching.refresh()).status, isLive ? 200 : 481, 'in the dialog, after a crash');
      // A number that was there already would not count as another NOTIFY.
      if (isLive) await watching.until(({ state }) => state.state === left, { from: length });
    });
  }
}

test('subscription: pending + gave-up -> terminated (RFC 3857, section 4.7.1): nobody of the XMPP side decides, for days', async () => {
  const nobody = stage.contact('nobody@xmpp.example');
  const watching = await stage.watch('alice', 'sip:nobody@xmpp.example', { expires: 2_000_000 });
  await watching.until(({ state }) => state.state === 'pending');
  assert.deepEqual(await nobody.untilNews(1, 'the request'), ['subscribe alice']);
  const from = watching.notifies.length;
  let tries = 0;
  for (; watching.last?.state.state === 'pending' && tries < 40; tries += 1) {
    nobody.refuse('alice', 'remote-server-timeout');
    await stage.settled();
    stage.clock.jump(HOUR_MS);
    await stage.settled();
  }
  assert.ok(tries > 10, 'not given up within some days');
  assert.deepEqual(watching.notifies.slice(from).map(toldLine), CELLS.pending['gave-up'].told);
  assert.deepEqual(storedOf('nobody', 'xmpp.example'), []);
  assert.deepEqual([...stage.world.stored('xmpp-upstream').keys()], []);
  await stage.crash();
  assert.equal((await watching.refresh()).status, 481);
});

test('subscription: pending stays pending while its watcher refreshes it, however long the owner says nothing', async () => {
  const watching = await bring('pending', 'pending-gave-up', 2_000_000);
  await stage.settled();
  const from = watching.notifies.length;
  stage.clock.jump(DAY_MS + 1_000);
  await stage.settled();
  assert.equal((await watching.refresh(900)).status, 200);
  await watching.until(() => true, { from });
  assert.deepEqual(watching.notifies.slice(from).map(toldLine), ['pending 900']);
});

/** XMPP watchers, whose subscriptions know no end: where they are told otherwise than phones. */
type XmppCell = readonly [at: 'pending' | 'active', event: Event, told: string[], seen: string[], left?: State];
const XMPP_CELLS: readonly XmppCell[] = [
  ['pending', 'refreshed', [], [], 'pending'],
  ['pending', 'approved', ['subscribed OWNER', 'unavailable OWNER/offline'], ['active approved'], 'active'],
  ['pending', 'rejected', ['unsubscribed OWNER'], ['terminated rejected']],
  ['pending', 'unsubscribed', ['unsubscribed OWNER'], ['terminated timeout']],
  ['pending', 'expired', [], [], 'pending'],
  ['active', 'refreshed', ['subscribed OWNER', 'available OWNER/t1: here'], [], 'active'],
  ['active', 'approved', [], [], 'active'],
  ['active', 'rejected', ['unavailable OWNER/t1', 'unsubscribed OWNER'], ['terminated rejected']],
  ['active', 'unsubscribed', ['unavailable OWNER/t1', 'unsubscribed OWNER'], ['terminated timeout']],
  ['active', 'expired', [], [], 'active'],
];
for (const [at, event, told, seen, left] of XMPP_CELLS) {
  test(`subscription of an XMPP user: ${at} + ${event} -> ${left ?? 'terminated'} (RFC 8048, section 5.2)`, async () => {
    const owner = `x-${ownerOf(at, event)}`;
    const juliet = stage.contact(JULIET);
    const winfo = await stage.winfo(owner, { expires: 2_000_000 });
    await winfo.until('0 full');
    if (at === 'active') {
      await stage.world.rule(`${owner}@sip.example`, JULIET, 'allow');
      await (await stage.phone(owner)).publish('here', 2_000_000);
    }
    juliet.say({ to: owner, type: 'subscribe' });
    await winfo.until(`1 juliet ${at} subscribe`);
    await stage.settled();
    juliet.news();

    switch (event) {
      case 'refreshed':
        juliet.say({ to: owner, type: 'subscribe' });
        break;
      case 'approved':
        await stage.world.rule(`${owner}@sip.example`, JULIET, 'allow');
        break;
      case 'rejected':
        await stage.world.rule(`${owner}@sip.example`, JULIET, 'block');
        break;
      case 'unsubscribed':
        juliet.say({ to: owner, type: 'unsubscribe' });
        break;
      case 'expired':
      case 'gave-up':
        stage.clock.jump(HOUR_MS + 1_000);
        break;
    }
    await stage.settled();
    assert.deepEqual(
      juliet.news(),
      told.map((line) => line.replace('OWNER', owner)),
    );
    assert.deepEqual(linesAbout('juliet', winfo.news()), seen);
    await stage.crash();
    const { watchers } = await stage.world.watchers(`${owner}@sip.example`);
    assert.equal(watchers.find(({ watcher }) => watcher === JULIET)?.state, left);
  });
}

test('watcher information: versions in steps of one, first all of it, then what changes (RFC 3858, section 3.1)', async () => {
  const owner = 'versions';
  const winfo = await stage.winfo(owner);
  await winfo.until('0 full');
  await stage.watch('bob', `sip:${owner}@sip.example`);
  await winfo.until('1 bob pending subscribe');
  await stage.watch('carol', `sip:${owner}@sip.example`);
  await winfo.until('2 carol pending subscribe');
  await stage.world.rule(`${owner}@sip.example`, '*', 'allow');
  await stage.settled();
  winfo.news();
  assert.equal((await winfo.watching.refresh()).status, 200);
  await stage.settled();
  const infos = winfo.infos();
  assert.deepEqual(
    infos.map(({ version }) => version),
    infos.map((_, at) => at),
  );
  assert.deepEqual(
    infos.slice(0, 4).map(({ state }) => state),
    ['full', 'partial', 'partial', 'partial'],
  );
  const ids = infos.flatMap(({ lists }) => lists.flatMap(({ watchers }) => watchers));
  assert.equal(new Set(ids.filter(({ watcher }) => watcher.startsWith('bob')).map(({ id }) => id)).size, 1);

  await stage.crash();
  assert.equal((await winfo.watching.refresh()).status, 200);
  await stage.settled();
  const [first] = winfo.infos().slice(infos.length);
  // Versions were left out: everything must be said (RFC 3858, section 4).
  assert.equal(first?.state, 'full');
  assert.ok(first.version >= infos.length);
  assert.deepEqual(
    first.lists.flatMap(({ watchers }) => watchers.map(({ watcher, status }) => `${watcher} ${status}`)).sort(),
    ['bob@sip.example active', 'carol@sip.example active'],
  );
});
