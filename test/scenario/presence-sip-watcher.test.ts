import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { StoredSubscription } from '../../src/core/presence/watched.ts';
import type { Notified, SubscribeOptions, Watching } from '../support/presence-phone.ts';
import { PresenceStage } from '../support/presence-stage.ts';
import { COMPONENT } from '../support/running-app.ts';
import { until } from '../support/until.ts';
import { linkSettled, type XmppContact } from '../support/xmpp-contact.ts';

/**
 * A SIP user watches an XMPP user (RFC 8048, section 5.3): the states of a dialog, the types of presence, looking once,
 * and presence that nobody has asked for.
 */
let stage: PresenceStage;
let rows = 0;

before(async () => {
  stage = await PresenceStage.open({ users: ['owner1', 'owner2'], presence: 'notifyIntervalSeconds: 0' });
});

after(() => stage.stop());

/** One row: a contact of its own, watched by alice unless somebody else is named. */
class Row {
  readonly name: string;
  readonly juliet: XmppContact;

  constructor() {
    rows += 1;
    this.name = `juliet${rows}`;
    this.juliet = stage.contact(`${this.name}@xmpp.example`);
  }

  watch(options: SubscribeOptions = {}, watcher = 'alice'): Promise<Watching> {
    return stage.watch(watcher, `sip:${this.name}@xmpp.example`, options);
  }

  /** A dialog in which nobody has decided. */
  async pending(options: SubscribeOptions = {}): Promise<Watching> {
    const watching = await this.watch(options);
    await watching.until(({ state }) => state.state === 'pending');
    assert.deepEqual(await this.juliet.untilNews(1, 'the request'), ['subscribe alice']);
    return watching;
  }

  /** She has allowed it, and shows herself at one place. */
  async active(options: SubscribeOptions = {}): Promise<Watching> {
    const watching = await this.pending(options);
    this.juliet.say({ to: 'alice', type: 'subscribed' });
    this.juliet.say({ to: 'alice', resource: 'balcony', children: '<status>here</status>' });
    await watching.until(({ document }) => document !== undefined);
    await linkSettled(stage.world);
    this.juliet.news();
    return watching;
  }

  get stored(): readonly string[] {
    return [...stage.world.stored<StoredSubscription>('subscription').values()]
      .filter(({ presentity }) => presentity === this.juliet.jid)
      .map(({ state }) => state.at);
  }
}

/** A NOTIFY in words: `active: ID-balcony open`, `pending`, `terminated timeout: ID-balcony closed`. */
function toldLine({ state, document, request }: Notified): string {
  assert.equal(request.headers.get('Event'), 'presence');
  if (state.state !== 'terminated') assert.ok((state.expiresSeconds ?? 0) > 0, 'expires is always there');
  const word = state.state === 'terminated' ? `terminated ${state.reason}` : state.state;
  if (document === undefined) {
    assert.equal(request.body.length, 0);
    return word;
  }
  const tuples = document.tuples.map(({ id, basic, show }) => [id, basic, show].filter(Boolean).join(' '));
  return `${word}: ${tuples.join(', ')}`;
}

/** What came in a dialog from a number on, once everything that is under way is done. */
async function told(watching: Watching, from = 0): Promise<string[]> {
  await stage.settled();
  return watching.notifies.slice(from).map(toldLine);
}

async function news(contact: XmppContact): Promise<string[]> {
  await stage.settled();
  return contact.news();
}

/* States of a dialog. */

test('init + SUBSCRIBE, permission not known: 200 and never 202, NOTIFY pending at once, subscribe (RFC 8048, section 5.3.1; RFC 6665, sections 4.2.1.2 and 8.3.1)', async () => {
  const row = new Row();
  const watching = await row.watch({ expires: 900 });
  assert.equal(watching.status, 200);
  assert.equal(watching.response?.headers.get('Expires'), '900');
  const first = await watching.until(() => true);
  assert.equal(toldLine(first), 'pending');
  await stage.settled();
  const [stanza, ...others] = row.juliet.received;
  assert.deepEqual(others, []);
  assert.equal(stanza?.attrs['from'], `alice@${COMPONENT}`);
  assert.equal(stanza.attrs['to'], row.juliet.jid);
  assert.equal(stanza.attrs['type'], 'subscribe');
  assert.deepEqual(row.stored, ['pending']);
});

test('init + SUBSCRIBE, permission known, presence known: 200 and NOTIFY active with it (RFC 8048, section 5.3.1)', async () => {
  const row = new Row();
  await row.active();
  const second = await row.watch();
  assert.equal(second.status, 200);
  assert.deepEqual(await told(second), ['active: ID-balcony open']);
  assert.deepEqual(row.juliet.news(), [], 'nothing has to be asked');
});

test('init + SUBSCRIBE, permission known, presence not: NOTIFY active, empty, and a probe (RFC 8048, section 5.3.1)', async () => {
  const row = new Row();
  const first = await row.pending();
  row.juliet.say({ to: 'alice', type: 'subscribed' });
  await stage.settled();
  assert.equal((await first.unsubscribe()).status, 200);
  await stage.settled();
  row.juliet.news();
  const second = await row.watch();
  assert.equal(second.status, 200);
  assert.deepEqual(await told(second), ['active']);
  assert.deepEqual(row.juliet.news(), ['probe alice']);
});

test('init + SUBSCRIBE whose Accept has no format of presence: 406 (RFC 3856, section 6.5)', async () => {
  const row = new Row();
  const watching = await row.watch({ accept: ['text/plain', 'application/watcherinfo+xml'] });
  assert.equal(watching.status, 406);
  assert.deepEqual(await news(row.juliet), []);
});

test('init + SUBSCRIBE without an Accept: PIDF (RFC 3856, section 6.5)', async () => {
  const row = new Row();
  await row.active();
  const alice = await stage.phone('alice');
  const answer = await alice.phone.request({
    method: 'SUBSCRIBE',
    uri: `sip:${row.juliet.jid}`,
    callId: `no-accept-${row.name}`,
    headers: [
      ['Contact', `<${alice.phone.contact}>`],
      ['Event', 'presence'],
    ],
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('Expires'), '3600', 'what RFC 3856, section 6.4 says where nothing is asked for');
  const notify = await until(
    () => alice.phone.received.find(({ headers }) => headers.get('Call-ID') === `no-accept-${row.name}`),
    { what: 'the NOTIFY' },
  );
  assert.equal(notify.headers.get('Content-Type'), 'application/pidf+xml');
});

for (const event of ['dialog', 'Presence', 'presence.winfo.winfo', 'message-summary']) {
  test(`init + SUBSCRIBE, Event: ${event}: 489 with Allow-Events (RFC 6665, section 4.2.1.1)`, async () => {
    const row = new Row();
    const watching = await row.watch({ event });
    assert.equal(watching.status, 489);
    assert.equal(watching.response?.headers.get('Allow-Events'), 'presence, presence.winfo');
    assert.deepEqual(await news(row.juliet), []);
  });
}

test('init + SUBSCRIBE for the watchers of one who is not ours: refused', async () => {
  const row = new Row();
  const watching = await row.watch({ event: 'presence.winfo', accept: ['application/watcherinfo+xml'] });
  assert.equal(watching.status, 489);
  assert.deepEqual(await news(row.juliet), []);
});

test('init + Expires below the minimum: 423 with Min-Expires (RFC 6665, section 4.2.1.1)', async () => {
  const row = new Row();
  const watching = await row.watch({ expires: 30 });
  assert.equal(watching.status, 423);
  assert.equal(watching.response?.headers.get('Min-Expires'), '60');
  assert.deepEqual(await news(row.juliet), []);
  assert.deepEqual(row.stored, []);
});

test('pending + subscribed: NOTIFY active, then with what she shows (RFC 8048, section 5.3.1)', async () => {
  const row = new Row();
  const watching = await row.pending();
  row.juliet.say({ to: 'alice', type: 'subscribed' });
  assert.deepEqual(await told(watching, 1), ['active']);
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>away</show>' });
  assert.deepEqual(await told(watching, 2), ['active: ID-balcony open away']);
});

for (const from of ['pending', 'active'] as const) {
  test(`${from} + unsubscribed: NOTIFY terminated;reason=rejected (RFC 8048, section 5.3.1)`, async () => {
    const row = new Row();
    const watching = await row[from]();
    const { length } = watching.notifies;
    row.juliet.say({ to: 'alice', type: 'unsubscribed' });
    assert.deepEqual(await told(watching, length), ['terminated rejected']);
    assert.deepEqual(row.stored, []);
    assert.equal((await watching.refresh()).status, 481);
    assert.deepEqual(row.juliet.news(), []);
  });
}

/** What each error of RFC 6120, section 8.3.3 in answer to `subscribe` means to the phone; undefined: it goes on waiting. */
const SUBSCRIBE_ERRORS = {
  'item-not-found': 'noresource',
  gone: 'noresource',
  'jid-malformed': 'noresource',
  redirect: 'noresource',
  forbidden: 'rejected',
  'not-allowed': 'rejected',
  'not-authorized': 'rejected',
  'not-acceptable': 'rejected',
  'policy-violation': 'rejected',
  'registration-required': 'rejected',
  'subscription-required': 'rejected',
  'bad-request': 'rejected',
  'feature-not-implemented': 'rejected',
  'remote-server-not-found': undefined,
  'remote-server-timeout': undefined,
  'recipient-unavailable': undefined,
  'resource-constraint': undefined,
  'internal-server-error': undefined,
  'service-unavailable': undefined,
  'undefined-condition': undefined,
  'unexpected-request': undefined,
  conflict: undefined,
} as const;
for (const [condition, reason] of Object.entries(SUBSCRIBE_ERRORS)) {
  test(`pending + error ${condition}: ${reason === undefined ? 'pending still, and asked again later' : `NOTIFY terminated;reason=${reason}`} (RFC 8048, section 5.3.1)`, async () => {
    const row = new Row();
    const watching = await row.pending();
    row.juliet.refuse('alice', condition, row.juliet.received[0]?.attrs['id']);
    if (reason === undefined) {
      assert.deepEqual(await told(watching, 1), []);
      stage.clock.jump(61_000);
      assert.deepEqual(await row.juliet.untilNews(1, 'asked again'), ['subscribe alice']);
      assert.deepEqual(row.stored, ['pending']);
    } else {
      assert.deepEqual(await told(watching, 1), [`terminated ${reason}`]);
      assert.deepEqual(row.stored, []);
      stage.clock.jump(61_000);
      assert.deepEqual(await news(row.juliet), []);
    }
  });
}

test('active + error: never turned into presence, and ends nothing (RFC 6121, section 4.7.1)', async () => {
  const row = new Row();
  const watching = await row.active();
  const { length } = watching.notifies;
  row.juliet.refuse('alice', 'item-not-found', 'of-something-else');
  row.juliet.refuse('alice', 'forbidden');
  assert.deepEqual(await told(watching, length), []);
  assert.deepEqual(row.stored, ['active']);
});

test('active + refresh, presence known: 200, NOTIFY with it (RFC 8048, section 5.3.2)', async () => {
  const row = new Row();
  const watching = await row.active();
  const { length } = watching.notifies;
  assert.equal((await watching.refresh(1_200)).headers.get('Expires'), '1200');
  assert.deepEqual(await told(watching, length), ['active: ID-balcony open']);
  assert.deepEqual(row.juliet.news(), [], 'a refresh is no business of hers');
});

test('active + refresh, nothing known: 200, NOTIFY without a body (RFC 8048, section 5.3.2)', async () => {
  const row = new Row();
  const watching = await row.pending();
  row.juliet.say({ to: 'alice', type: 'subscribed' });
  await stage.settled();
  assert.equal((await watching.refresh()).status, 200);
  assert.deepEqual(await told(watching, 2), ['active']);
});

for (const how of ['Expires 0 in the dialog', 'the dialog expires'] as const) {
  test(`active + ${how}: NOTIFY terminated;reason=timeout with closed, unavailable to her, the permission stays (RFC 8048, section 5.3.3)`, async () => {
    const row = new Row();
    const watching = await row.active();
    const { length } = watching.notifies;
    if (how === 'the dialog expires') stage.clock.jump(601_000);
    else assert.equal((await watching.unsubscribe()).status, 200);
    const last = await watching.until(({ state }) => state.state === 'terminated');
    assert.ok(last.document?.tuples.every(({ basic }) => basic === 'closed'));
    assert.match(toldLine(last), /^terminated timeout: /);
    assert.deepEqual(await told(watching, length + 1), [], 'nothing after the last');
    assert.deepEqual(row.juliet.news(), ['unavailable alice']);
    assert.deepEqual(row.stored, []);
    // Her server answers by itself: the human is not asked again.
    const again = await row.watch();
    assert.match((await again.until(() => true)).state.state, /active/);
    assert.deepEqual(await news(row.juliet), ['probe alice']);
  });
}

test('active + Expires 0 where another dialog of the same watcher is left: she sees nothing of it', async () => {
  const row = new Row();
  const first = await row.active();
  const second = await row.watch();
  await second.until(({ document }) => document !== undefined);
  assert.equal((await first.unsubscribe()).status, 200);
  await first.until(({ state }) => state.state === 'terminated');
  assert.deepEqual(await news(row.juliet), []);
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>dnd</show>' });
  assert.deepEqual((await told(second)).at(-1), 'active: ID-balcony open dnd');
});

test('any + NOTIFY answered 481: the dialog is dropped, and she sees alice go (RFC 6665, section 4.2.2)', async () => {
  const row = new Row();
  const watching = await row.active();
  const alice = await stage.phone('alice');
  alice.phone.answer = (request) => ({ status: request.headers.get('Call-ID') === watching.callId ? 481 : 200 });
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>dnd</show>' });
  await row.juliet.untilNews(1, 'unavailable').then((lines) => assert.deepEqual(lines, ['unavailable alice']));
  await stage.settled();
  assert.deepEqual(row.stored, []);
  assert.equal((await watching.refresh()).status, 481);
  alice.phone.answer = () => ({ status: 200 });
});

test('any + NOTIFY not answered: once is forgiven, twice ends the dialog (RFC 6665, section 4.2.2)', async () => {
  const row = new Row();
  const watching = await row.active();
  const alice = await stage.phone('alice');
  alice.phone.answer = (request) => (request.headers.get('Call-ID') === watching.callId ? undefined : { status: 200 });
  const { length } = watching.notifies;
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>dnd</show>' });
  // Both are transactions that run out, 32 s each.
  stage.clock.run(30);
  try {
    await watching.until(() => true, { from: length + 1, what: 'another attempt' });
    assert.deepEqual(row.stored, ['active'], 'once');
    assert.deepEqual(await row.juliet.untilNews(1, 'unavailable'), ['unavailable alice']);
  } finally {
    stage.clock.run(1);
  }
  await stage.settled();
  assert.deepEqual(row.stored, []);
  assert.equal(watching.notifies.length, length + 2);
  alice.phone.answer = () => ({ status: 200 });
});

/* The types of presence (RFC 6121, section 4.7.1). */

test('available: NOTIFY active, basic open, one tuple for each resource (RFC 8048, section 6.2, notes 4 and 5)', async () => {
  const row = new Row();
  const watching = await row.active();
  const { length } = watching.notifies;
  row.juliet.say({ to: 'alice', resource: 'chamber', children: '<show>xa</show>' });
  assert.deepEqual(await told(watching, length), ['active: ID-balcony open, ID-chamber open xa']);
});

test('unavailable: NOTIFY active, basic closed, which is no termination (RFC 8048, section 6.2, notes 4 and 5)', async () => {
  const row = new Row();
  const watching = await row.active();
  const { length } = watching.notifies;
  row.juliet.say({ to: 'alice', resource: 'balcony', type: 'unavailable' });
  assert.deepEqual(await told(watching, length), ['active: ID-balcony closed']);
  assert.deepEqual(row.stored, ['active']);
});

test('subscribe: is the other direction, and says nothing about this one (RFC 8048, section 5.3.3)', async () => {
  const row = new Row();
  const watching = await row.active();
  const { length } = watching.notifies;
  row.juliet.say({ to: 'alice', type: 'subscribe' });
  assert.deepEqual(await told(watching, length), []);
  const { watchers } = await stage.world.watchers('alice@sip.example');
  assert.equal(watchers.find(({ watcher }) => watcher === row.juliet.jid)?.state, 'pending');
});

test('unsubscribe: ends what she watches, and not what alice does (RFC 8048, section 5.2.3)', async () => {
  const row = new Row();
  const watching = await row.active();
  const { length } = watching.notifies;
  row.juliet.say({ to: 'alice', type: 'subscribe' });
  row.juliet.say({ to: 'alice', type: 'unsubscribe' });
  assert.deepEqual(await told(watching, length), []);
  assert.deepEqual(row.juliet.news(), ['unsubscribed alice']);
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>chat</show>' });
  assert.deepEqual(await told(watching, length), ['active: ID-balcony open chat']);
});

test('subscribed that nobody has asked for: nothing (RFC 6121, section 3.1.6)', async () => {
  const row = new Row();
  row.juliet.say({ to: 'alice', type: 'subscribed' });
  assert.deepEqual(await news(row.juliet), []);
  const watching = await row.pending();
  assert.deepEqual(await told(watching), ['pending']);
});

test('unsubscribed: NOTIFY terminated;reason=rejected in every dialog of that watcher, and of no other', async () => {
  const row = new Row();
  const first = await row.active();
  const second = await row.watch();
  await second.until(({ document }) => document !== undefined);
  const bob = await row.watch({}, 'bob');
  await bob.until(({ state }) => state.state === 'pending');
  row.juliet.say({ to: 'alice', type: 'unsubscribed' });
  assert.equal((await told(first)).at(-1), 'terminated rejected');
  assert.equal((await told(second)).at(-1), 'terminated rejected');
  assert.deepEqual(await told(bob), ['pending']);
});

test('probe of one who may watch: what alice shows; of one who may not: unsubscribed (RFC 6121, section 4.3.2)', async () => {
  const row = new Row();
  row.juliet.say({ to: 'owner1', type: 'probe' });
  assert.deepEqual(await news(row.juliet), ['unsubscribed owner1']);
  await stage.world.rule('owner1@sip.example', row.juliet.jid, 'allow');
  await (await stage.phone('owner1')).publish('reading');
  row.juliet.say({ to: 'owner1', type: 'subscribe' });
  assert.deepEqual(await news(row.juliet), ['subscribed owner1', 'available owner1/t1: reading']);
  row.juliet.say({ to: 'owner1', type: 'probe' });
  assert.deepEqual(await news(row.juliet), ['available owner1/t1: reading']);
});

test('a NOTIFY goes to whom the stanza names and to nobody else (RFC 8048, section 8.2)', async () => {
  const row = new Row();
  const alice = await row.active();
  const bob = await row.watch({}, 'bob');
  row.juliet.say({ to: 'bob', type: 'subscribed' });
  await bob.until(({ state }) => state.state === 'active');
  await stage.settled();
  const from = { alice: alice.notifies.length, bob: bob.notifies.length };
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<status>for alice alone</status>' });
  row.juliet.say({ to: 'bob', resource: 'balcony', children: '<show>dnd</show>' });
  assert.deepEqual(await told(alice, from.alice), ['active: ID-balcony open']);
  assert.deepEqual(await told(bob, from.bob), ['active: ID-balcony open dnd']);
  assert.ok(!bob.notifies.some(({ body }) => body.includes('for alice alone')));
});

test('presence of an unknown type: nothing', async () => {
  const row = new Row();
  const watching = await row.active();
  const { length } = watching.notifies;
  row.juliet.say({ to: 'alice', type: 'invisible' });
  row.juliet.say({ to: 'alice', type: 'available', resource: 'balcony' });
  assert.deepEqual(await told(watching, length), []);
});

/* Looking once (RFC 6665, section 4.4.3; RFC 8048, section 7). */

test('SUBSCRIBE, Expires 0, nothing known: probe to the bare JID, 200 and one NOTIFY with the answer (RFC 8048, section 7.2)', async () => {
  const row = new Row();
  const looking = row.watch({ expires: 0 });
  const probe = await row.juliet.until(() => true, 'the probe');
  assert.equal(probe.attrs['type'], 'probe');
  assert.equal(probe.attrs['from'], `alice@${COMPONENT}`);
  assert.equal(probe.attrs['to'], row.juliet.jid);
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>away</show>' });
  row.juliet.say({ to: 'alice', resource: 'chamber' });
  const watching = await looking;
  assert.equal(watching.status, 200);
  assert.equal(watching.response?.headers.get('Expires'), '0');
  await watching.until(() => true);
  assert.deepEqual(await told(watching), ['terminated timeout: ID-balcony open away, ID-chamber open']);
  assert.deepEqual(row.stored, []);
});

test('SUBSCRIBE, Expires 0, presence known: answered at once, no probe (RFC 8048, section 7.2)', async () => {
  const row = new Row();
  await row.active();
  const watching = await row.watch({ expires: 0 });
  await watching.until(() => true);
  assert.deepEqual(await told(watching), ['terminated timeout: ID-balcony open']);
  assert.deepEqual(row.juliet.news(), []);
});

test('SUBSCRIBE, Expires 0, no answer to the probe: after 2 s, empty (RFC 8048, section 7.2)', async () => {
  const row = new Row();
  const beforeMs = stage.clock.nowMs();
  const watching = await row.watch({ expires: 0 });
  const waitedMs = stage.clock.nowMs() - beforeMs;
  assert.equal(watching.status, 200);
  assert.ok(waitedMs >= 1_900 && waitedMs < 4_500, `${waitedMs} ms`);
  await watching.until(() => true);
  assert.deepEqual(await told(watching), ['terminated timeout']);
});

test('SUBSCRIBE, Expires 0, she does not let him: empty (RFC 8048, section 7.2)', async () => {
  const row = new Row();
  const looking = row.watch({ expires: 0 });
  await row.juliet.until(({ attrs }) => attrs['type'] === 'probe', 'the probe');
  row.juliet.say({ to: 'alice', type: 'unsubscribed' });
  const watching = await looking;
  assert.equal(watching.status, 200);
  await watching.until(() => true);
  assert.deepEqual(await told(watching), ['terminated timeout']);
});

test('SUBSCRIBE, Expires 0, while nobody has decided: empty, and she is not asked once more', async () => {
  const row = new Row();
  const pending = await row.pending();
  const watching = await row.watch({ expires: 0 });
  await watching.until(() => true);
  assert.deepEqual(await told(watching), ['terminated timeout']);
  assert.deepEqual(row.juliet.news(), []);
  assert.deepEqual(await told(pending), ['pending']);
});

test('SUBSCRIBE, Expires 0, of a user of ours: what he shows where he allows it, else empty and the owner sees who looked (RFC 3857, section 4.7.1)', async () => {
  const winfo = await stage.winfo('owner2');
  await winfo.until('0 full');
  await (await stage.phone('owner2')).publish('writing');
  const first = await stage.watch('carol', 'sip:owner2@sip.example', { expires: 0 });
  await first.until(() => true);
  assert.deepEqual(await told(first), ['terminated timeout']);
  await winfo.until('1 carol waiting timeout');
  await stage.world.rule('owner2@sip.example', 'carol@sip.example', 'allow');
  await winfo.until('2 carol terminated approved');
  const second = await stage.watch('carol', 'sip:owner2@sip.example', { expires: 0 });
  await second.until(() => true);
  assert.deepEqual(await told(second), ['terminated timeout: t1 open']);
});

test('SUBSCRIBE, Expires 0 within a dialog: ends it, with one NOTIFY more (RFC 6665, section 4.1.2.3)', async () => {
  const row = new Row();
  const watching = await row.active();
  const { length } = watching.notifies;
  const answer = await watching.unsubscribe();
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('Expires'), '0');
  await watching.until(({ state }) => state.state === 'terminated');
  assert.equal((await told(watching, length)).length, 1);
});

/* Presence that nobody has asked for (RFC 6121, section 4.6). */

test('directed presence to one who holds no dialog: nothing to SIP, and known when he looks (RFC 6121, section 4.6)', async () => {
  const row = new Row();
  const alice = await stage.phone('alice');
  await stage.settled();
  const { length } = alice.phone.received;
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>chat</show>' });
  await stage.settled();
  assert.equal(alice.phone.received.length, length);
  const look = await row.watch({ expires: 0 });
  await look.until(() => true);
  assert.deepEqual(await told(look), ['terminated timeout: ID-balcony open chat']);
  assert.deepEqual(row.juliet.news(), []);
});

test('directed presence, then SUBSCRIBE: shown as soon as she allows it', async () => {
  const row = new Row();
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>chat</show>' });
  const watching = await row.pending();
  row.juliet.say({ to: 'alice', type: 'subscribed' });
  assert.equal((await told(watching, 1)).at(-1), 'active: ID-balcony open chat');
});

test('directed unavailable: what was kept is dropped', async () => {
  const row = new Row();
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>chat</show>' });
  row.juliet.say({ to: 'alice', resource: 'balcony', type: 'unavailable' });
  await stage.settled();
  const looking = row.watch({ expires: 0 });
  await row.juliet.until(({ attrs }) => attrs['type'] === 'probe', 'asked again');
  row.juliet.say({ to: 'alice', type: 'unsubscribed' });
  const look = await looking;
  await look.until(() => true);
  assert.deepEqual(await told(look), ['terminated timeout']);
});

test('she goes offline at one place of two: closed there, and then everywhere', async () => {
  const row = new Row();
  const watching = await row.active();
  row.juliet.say({ to: 'alice', resource: 'chamber' });
  await stage.settled();
  const { length } = watching.notifies;
  row.juliet.say({ to: 'alice', resource: 'balcony', type: 'unavailable' });
  const [first] = await told(watching, length);
  assert.match(first ?? '', /ID-chamber open/);
  assert.match(first ?? '', /ID-balcony closed/);
  row.juliet.say({ to: 'alice', type: 'unavailable' });
  const last = (await told(watching, length + 1)).at(-1) ?? '';
  assert.match(last, /^active: /);
  assert.ok(!last.includes('open'), last);
});

test('a dialog goes on after a crash: the same, with the next CSeq, and what she says meanwhile (RFC 6665, section 4.2.2)', async () => {
  const row = new Row();
  const watching = await row.active();
  const before = watching.notifies.at(-1)?.request.cseq.number ?? 0;
  const { length } = watching.notifies;
  await stage.crash();
  await row.juliet.until(({ attrs }) => attrs['type'] === 'probe', 'asked how she is');
  row.juliet.say({ to: 'alice', resource: 'balcony', children: '<show>dnd</show>' });
  const notify = await watching.until(({ document }) => document?.tuples[0]?.show === 'dnd', { from: length });
  assert.ok(notify.request.cseq.number > before);
  assert.ok(
    watching.notifies.every(({ state }) => state.state !== 'terminated'),
    'the watcher notices nothing but a pause',
  );
  assert.equal((await watching.refresh()).status, 200);
});
