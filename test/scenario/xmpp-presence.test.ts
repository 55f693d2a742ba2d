import assert from 'node:assert/strict';
import { test } from 'node:test';
import { domainOf } from '../../src/cpim/address.ts';
import { readXml, textOf } from '../../src/cpim/xml.ts';
import { PresenceService } from '../../src/core/presence/presence-service.ts';
import type { Notification, NotifyOutcome } from '../../src/core/presence/subscription.ts';
import { xmppDispatch } from '../../src/xmpp/dispatch.ts';
import { XmppPresence } from '../../src/xmpp/presence/xmpp-presence.ts';
import { aConfig, anAddress } from '../support/builders.ts';
import { FakeClock, settled } from '../support/fake-clock.ts';
import { anIqDesk } from '../support/iq-desk.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { MemoryRecordStore } from '../support/memory-records.ts';
import { aNote as aNote } from '../support/presence-world.ts';
import { RecordingLink } from '../support/recording-link.ts';
import { DOMAINS, OWN } from '../support/xmpp-presence-world.ts';

const ROMEO = anAddress('romeo@sip.example');
const JULIET = anAddress('juliet@xmpp.example');

/** The presence core and the XMPP side of it as app.ts puts them together; SIP watchers write down what they are told. */
class World {
  readonly link = new RecordingLink();
  readonly log = new LogRecorder();
  readonly toSip: string[] = [];
  readonly clock: FakeClock;
  readonly store: MemoryRecordStore;
  readonly core: PresenceService;
  readonly xmpp: XmppPresence;
  readonly #dispatch: ReturnType<typeof xmppDispatch>;
  #ids: number;

  constructor(rule: string, clock = new FakeClock(), store = new MemoryRecordStore(), ids = 0) {
    this.clock = clock;
    this.store = store;
    this.#ids = ids;
    const newToken = (): string => `token-${(this.#ids += 1)}`;
    this.xmpp = new XmppPresence({
      links: new Map([['office', { link: this.link, domains: DOMAINS }]]),
      records: store.records('xmpp-upstream'),
      subscriptions: () => this.core.subscriptions,
      onReport: (pair, report) => this.core.upstreamReported(pair, report),
      newToken,
      clock,
      random: () => 0.5,
      log: this.log,
    });
    const sip = { notify: (notification: Notification) => this.#toldSip(notification) };
    this.core = new PresenceService({
      config: aConfig(`presence: { default: ${rule}, notifyIntervalSeconds: 0 }`).presence,
      records: {
        publications: store.records('publication'),
        rules: store.records('rules'),
        subscriptions: store.records('subscription'),
        unsettled: store.records('unsettled'),
      },
      isUser: (address) => address === ROMEO,
      routeOf: ({ presentity }) =>
        domainOf(presentity) === 'sip.example' ? { kind: 'local' } : { kind: 'link', link: 'office' },
      admit: () => undefined,
      bindingsOf: () => [],
      upstreamOf: () => this.xmpp.upstream,
      notifierOf: (via) => (via === 'sip' ? sip : this.xmpp.notifier),
      isOwn: (domain) => domain === 'sip.example',
      permissions: {
        owners: () => this.xmpp.upstream.contacts.watchers(),
        forget: (watcherKey) => this.xmpp.upstream.endAll(watcherKey),
      },
      newToken,
      clock,
      log: this.log,
    });
    const office = this.xmpp.forLink('office')!;
    this.#dispatch = xmppDispatch({
      link: 'office',
      domains: DOMAINS,
      post: (stanza) => this.link.post(stanza),
      isPeer: (domain) => domain === 'xmpp.example',
      accept: () => Promise.resolve(),
      presence: office,
      failedLater: () => undefined,
      clock,
      log: this.log,
      isService: () => false,
      iq: anIqDesk(),
    });
    this.core.load();
    this.core.start();
  }

  up(): void {
    this.link.up();
    this.xmpp.forLink('office')?.up();
    this.core.subscriptions.wake('link:office');
  }

  down(): void {
    this.link.down();
    this.xmpp.forLink('office')?.down();
  }

  async juliet(attrs = '', children = '', resource = '/balcony'): Promise<void> {
    await this.#dispatch(
      readXml(`<presence from='juliet@xmpp.example${resource}' to='romeo@${OWN}' ${attrs}>${children}</presence>`),
    );
    await this.pass();
  }

  /** romeo publishes; his document has one tuple, `t1`. */
  async publish(note: string): Promise<void> {
    await this.core.publish({ presentity: ROMEO, document: aNote(note) });
    await this.pass();
  }

  async pass(ms = 50): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) await this.clock.advanceAsync(1);
    await this.clock.advanceAsync(ms);
  }

  /** What went to XMPP, as `type from status`. */
  sent(): string[] {
    const presence = this.link.take().filter((text) => !text.includes('vcard-temp"'));
    return presence.map((text) => {
      const { attrs, children } = readXml(text);
      const status = children.find((child) => typeof child !== 'string' && child.name === 'status');
      const words = typeof status === 'object' ? ` ${textOf(status)}` : '';
      return `${attrs['type'] ?? 'available'} ${attrs['from']?.replace(`@${OWN}`, '') ?? ''}${words}`;
    });
  }

  /** Everybody in this process dies; another takes up what is on the disk. */
  async crashed(rule: string): Promise<World> {
    const store = this.store.crash();
    this.xmpp.stop();
    void this.core.stop(0);
    await settled();
    return new World(rule, this.clock, store, 1_000);
  }

  #toldSip({ state, body }: Notification): Promise<NotifyOutcome> {
    const document = body?.kind === 'presence' ? body.document : undefined;
    const tuples = document?.tuples.map(({ id, basic, show }) => [id, basic, show].join(' ').trim()).join(', ');
    const reason = state.at === 'terminated' ? ` ${state.reason}` : '';
    this.toSip.push(`${state.at}${reason}${tuples === undefined ? '' : `: ${tuples}`}`);
    return Promise.resolve({ kind: 'told' });
  }
}

test('an XMPP user asks, waits, is approved, and sees what changes; unsubscribes and sees him go', async () => {
  const world = new World('confirm');
  await world.publish('at home');
  await world.juliet(`type='subscribe'`, '', '');
  assert.deepEqual(world.sent(), []);
  await world.core.watchers.set(ROMEO, JULIET, { action: 'allow' });
  await world.pass();
  assert.deepEqual(world.sent(), ['subscribed romeo', 'available romeo/t1 at home']);
  await world.publish('at work');
  assert.equal(
    world.sent().some((text) => text.endsWith('at work')),
    true,
  );
  await world.juliet(`type='unsubscribe'`, '', '');
  const last = world.sent();
  assert.equal(last.at(-1), 'unsubscribed romeo');
  assert.ok(last.slice(0, -1).every((text) => text.startsWith('unavailable romeo/')));
  await world.publish('in the garden');
  assert.deepEqual(world.sent(), []);
});

test('an XMPP user is refused: unsubscribed; the same later, and at once when he is blocked', async () => {
  const world = new World('confirm');
  await world.juliet(`type='subscribe'`, '', '');
  await world.core.watchers.set(ROMEO, JULIET, { action: 'block' });
  await world.pass();
  assert.deepEqual(world.sent(), ['unsubscribed romeo']);
  await world.juliet(`type='subscribe'`, '', '');
  assert.deepEqual(world.sent(), ['unsubscribed romeo']);
  await world.juliet(`type='probe'`);
  assert.deepEqual(world.sent(), ['unsubscribed romeo']);
});

test('an XMPP user who may watch and is blocked later: unavailable, unsubscribed', async () => {
  const world = new World('allow');
  await world.publish('at home');
  await world.juliet(`type='subscribe'`, '', '');
  assert.deepEqual(world.sent(), ['subscribed romeo', 'available romeo/t1 at home']);
  await world.core.watchers.set(ROMEO, JULIET, { action: 'block' });
  await world.pass();
  assert.deepEqual(world.sent(), ['unavailable romeo/t1', 'unsubscribed romeo']);
});

test('an approval that was not confirmed before a crash is said by the next process', async () => {
  const world = new World('allow');
  await world.publish('at home');
  world.link.isHolding = true;
  await world.juliet(`type='subscribe'`, '', '');
  const again = await world.crashed('allow');
  again.up();
  await again.pass();
  assert.deepEqual(again.sent(), ['subscribed romeo', 'available romeo/t1 at home']);
});

test('a refusal that could not be said while the link was down is said when it is up', async () => {
  const world = new World('allow');
  await world.publish('at home');
  await world.juliet(`type='subscribe'`, '', '');
  world.sent();
  world.down();
  await world.core.watchers.set(ROMEO, JULIET, { action: 'block' });
  await world.pass();
  world.up();
  await world.pass();
  assert.deepEqual(world.sent(), ['unavailable romeo/t1', 'unsubscribed romeo']);
});

test('what changed while the link was down is said when it is up, the newest alone', async () => {
  const world = new World('allow');
  const { etag } = await world.core.publish({ presentity: ROMEO, document: aNote('one') });
  await world.juliet(`type='subscribe'`, '', '');
  world.sent();
  world.down();
  let ifMatch = etag;
  for (const note of ['two', 'three', 'four']) {
    ifMatch = (await world.core.publish({ presentity: ROMEO, document: aNote(note), ifMatch })).etag;
    await world.pass();
  }
  world.up();
  await world.pass();
  assert.deepEqual(world.sent(), ['available romeo/t1 four']);
});

test('a probe is answered to whoever asked, a repeated subscribe with subscribed', async () => {
  const world = new World('allow');
  await world.publish('at home');
  await world.juliet(`type='subscribe'`, '', '');
  world.sent();
  await world.juliet(`type='probe'`);
  assert.deepEqual(
    world.link.stanzas.map(({ attrs }) => attrs['to']),
    ['juliet@xmpp.example/balcony'],
  );
  assert.deepEqual(world.sent(), ['available romeo/t1 at home']);
  await world.juliet(`type='subscribe'`, '', '');
  assert.deepEqual(world.sent(), ['subscribed romeo', 'available romeo/t1 at home']);
});

test('a SIP user watches an XMPP user: pending, active, two resources, offline, over a restart', async () => {
  const world = new World('allow');
  const subscribed = (one: World): Promise<unknown> =>
    one.core.subscriptions.subscribe({
      id: 'dialog-1',
      package: 'presence',
      watcher: ROMEO,
      presentity: JULIET,
      lease: { via: 'sip' },
      expires: 3_600,
      origin: { kind: 'local', user: ROMEO },
    });
  await subscribed(world);
  await world.pass();
  assert.deepEqual(world.toSip.splice(0), ['pending']);
  assert.deepEqual(world.sent(), ['subscribe romeo']);
  await world.juliet(`type='subscribed'`, '', '');
  assert.deepEqual(world.toSip.splice(0), ['active']);
  await world.juliet('', '<show>away</show>');
  await world.juliet('', '', '/chamber');
  assert.deepEqual(world.toSip.splice(0), [
    'active: ID-balcony open away',
    'active: ID-balcony open away, ID-chamber open',
  ]);
  const again = await world.crashed('allow');
  again.up();
  await again.pass();
  assert.deepEqual(again.sent(), ['probe romeo']);
  await again.juliet('', '<show>away</show>');
  again.toSip.length = 0;
  // chamber was not heard of again.
  await again.pass(10_000);
  assert.deepEqual(again.toSip.splice(0), ['active: ID-balcony open away, ID-chamber closed']);
  await again.core.subscriptions.refresh('dialog-1', { expiresSeconds: 0 });
  await again.pass();
  assert.match(again.toSip.join(), /^terminated timeout: \S+ closed$/);
  assert.deepEqual(again.sent(), ['unavailable romeo']);
  // The permission stays: he watches again without asking.
  await subscribed(again);
  await again.pass();
  assert.deepEqual(again.sent(), ['probe romeo']);
  assert.match(again.toSip.at(-1) ?? '', /^active: /);
});

for (const server of ['Prosody', 'ejabberd'] as const) {
  test(`an XMPP user comes back after an hour: each side sees what holds then (${server})`, async () => {
    const world = new World('allow');
    await world.publish('at home');
    await world.core.subscriptions.subscribe({
      id: 'dialog-1',
      package: 'presence',
      watcher: ROMEO,
      presentity: JULIET,
      lease: { via: 'sip' },
      expires: 86_400,
      origin: { kind: 'local', user: ROMEO },
    });
    await world.juliet(`type='subscribed'`, '', '');
    await world.juliet();
    await world.juliet(`type='subscribe'`, '', '');
    await world.juliet(`type='unavailable'`);
    assert.equal(world.toSip.splice(0).at(-1), 'active: ID-balcony closed');
    await world.pass(600_000);
    await world.publish('at work');
    await world.pass(3_000_000);
    world.sent();
    // Of the same moment; which is first depends on her server.
    const stanzas = ['', `type='probe'`];
    if (server === 'ejabberd') stanzas.reverse();
    for (const attrs of stanzas) await world.juliet(attrs, '', '/garden');
    assert.deepEqual(
      world.link.stanzas.map(({ attrs }) => attrs['to']),
      Array.from(world.link.stanzas, () => 'juliet@xmpp.example/garden'),
      'told to the client that has come',
    );
    assert.deepEqual(
      world.sent().filter((text) => text.startsWith('available')),
      ['available romeo/t1 at work'],
      'once, and without what is over by then',
    );
    assert.equal(world.toSip.at(-1), 'active: ID-balcony closed, ID-garden open');
  });
}

test('a SIP user watches an XMPP user who says no', async () => {
  const world = new World('allow');
  await world.core.subscriptions.subscribe({
    id: 'dialog-1',
    package: 'presence',
    watcher: ROMEO,
    presentity: JULIET,
    lease: { via: 'sip' },
    origin: { kind: 'local', user: ROMEO },
  });
  await world.pass();
  await world.juliet(`type='unsubscribed'`, '', '');
  assert.deepEqual(world.toSip, ['pending', 'terminated rejected']);
});

test('an XMPP user subscribes to nobody: item-not-found', async () => {
  const world = new World('allow');
  await world.publish('at home');
  await world.juliet(`type='subscribe'`, '', '');
  world.sent();
  const dispatched = world.xmpp.forLink('office')?.presence({
    kind: 'presence',
    type: 'subscribe',
    from: { local: 'juliet', domain: 'xmpp.example' },
    to: { local: 'nobody', domain: OWN },
    statuses: [],
  });
  await assert.rejects(Promise.resolve(dispatched), { code: 'recipient-unknown' });
});
