import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type XmlElement } from '../../src/cpim/xml.ts';
import type { ParsedRequest } from '../../src/sip/engine/parser.ts';
import { parseNameAddr } from '../../src/sip/header-values.ts';
import type { StoredSubscription } from '../../src/core/presence/watched.ts';
import { PresenceStage } from '../support/presence-stage.ts';
import { COMPONENT } from '../support/running-app.ts';
import { granted, pidfOf, type ScriptedPresenceServer } from '../support/scripted-presence-server.ts';
import { until } from '../support/until.ts';
import { linkSettled, type XmppContact } from '../support/xmpp-contact.ts';

/**
 * An XMPP user watches somebody of SIP (RFC 8048, section 5.2): one who is behind a presence server of his domain, so
 * that SUBSCRIBE and NOTIFY are on the wire, and a user of ours. Both are at sip.example.
 */
let stage: PresenceStage;
let server: ScriptedPresenceServer;
let rows = 0;

const LOCAL = ['local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7', 'local8'];

before(async () => {
  stage = await PresenceStage.open({ homeCore: true, users: LOCAL, presence: 'notifyIntervalSeconds: 0' });
  server = await stage.homeServer();
});

after(async () => {
  await stage.stop();
  await server.close();
});

const OPEN = '<status><basic>open</basic></status>';
const CLOSED = '<status><basic>closed</basic></status>';
const noted = (text: string): string => `${OPEN}<note>${text}</note>`;

/** One row: a watcher and a presentity of its own. */
class Row {
  readonly romeo: string;
  readonly juliet: XmppContact;

  constructor() {
    rows += 1;
    this.romeo = `romeo${rows}`;
    this.juliet = stage.contact(`juliet${rows}@xmpp.example`);
  }

  /** She asks; resolves with the SUBSCRIBE. */
  async asking(): Promise<ParsedRequest> {
    this.juliet.say({ to: this.romeo, type: 'subscribe' });
    return server.untilSubscribe(this.romeo, 1);
  }

  async pending(): Promise<ParsedRequest> {
    const subscribe = await this.asking();
    await this.told(subscribe, 'pending;expires=600');
    return subscribe;
  }

  /** She sees what he shows, and shows him that she is there. */
  async active(tuples: Parameters<typeof pidfOf>[1] = [['desk', noted('here')]]): Promise<ParsedRequest> {
    const subscribe = await this.asking();
    await this.told(subscribe, 'active;expires=600', this.pidf(tuples));
    await this.juliet.untilNews(1 + tuples.length, 'subscribed, and a presence for each tuple');
    this.juliet.say({ to: this.romeo, resource: 'balcony' });
    await linkSettled(stage.world);
    return subscribe;
  }

  /** The far side notifies, which must be taken. */
  async told(subscribe: ParsedRequest, state: string, body?: string): Promise<void> {
    const { status } = await server.notify(subscribe, { state, ...(body === undefined ? {} : { body }) });
    assert.equal(status, 200);
  }

  pidf(tuples: Parameters<typeof pidfOf>[1]): string {
    return pidfOf(`${this.romeo}@sip.example`, tuples);
  }

  subscribe(number: number, what?: string): Promise<ParsedRequest> {
    return server.untilSubscribe(this.romeo, number, what);
  }

  get subscribes(): readonly ParsedRequest[] {
    return server.subscribes(this.romeo);
  }

  /** What she is told from now until everything that is under way is done; his name is left out. */
  async news(): Promise<string[]> {
    await stage.settled();
    return this.juliet.news().map((line) => line.replaceAll(this.romeo, 'romeo'));
  }

  /** The state of her subscription as it is stored. */
  get stored(): string | undefined {
    return [...stage.world.stored<StoredSubscription>('subscription').values()].find(
      ({ watcher }) => watcher === this.juliet.jid,
    )?.state.at;
  }
}

const expiresOf = ({ headers }: ParsedRequest): string | undefined => headers.get('Expires');
const callIdOf = ({ headers }: ParsedRequest): string => headers.get('Call-ID') ?? '';
const isInDialog = (request: ParsedRequest): boolean => request.to.params.has('tag');
/** Answers from here on, and the usual ones again at the end. */
async function answering(answer: ScriptedPresenceServer['answer'], run: () => Promise<void>): Promise<void> {
  server.answer = answer;
  try {
    await run();
  } finally {
    server.answer = granted;
  }
}

test('none + subscribe: SUBSCRIBE for her to his presence server (RFC 8048, section 5.2.1)', async () => {
  const row = new Row();
  const subscribe = await row.asking();
  const { headers, uri, from, to } = subscribe;
  assert.equal(uri, `sip:${row.romeo}@sip.example`);
  assert.equal(to.uri, uri);
  assert.equal(to.params.has('tag'), false);
  assert.equal(from.uri, `sip:${row.juliet.jid}`);
  assert.equal(headers.get('Event'), 'presence');
  assert.match(headers.get('Accept') ?? '', /application\/pidf\+xml/);
  assert.equal(expiresOf(subscribe), '3600');
  assert.match(parseNameAddr(headers.get('Contact') ?? '')?.uri ?? '', /^sip:127\.0\.0\.1:\d+;transport=tcp$/);
  assert.deepEqual(await row.news(), []);
  assert.equal(row.stored, 'pending');
});

for (const status of [200, 202]) {
  test(`asking + ${status}: nothing to XMPP, since neither is a decision (RFC 8048, section 5.2.1; RFC 6665, section 8.3.1)`, async () => {
    await answering(
      (request) => ({ ...granted(request), status }),
      async () => {
        const row = new Row();
        const subscribe = await row.asking();
        assert.deepEqual(await row.news(), []);
        await row.told(subscribe, 'active;expires=600', row.pidf([['desk', OPEN]]));
        assert.deepEqual(await row.news(), ['subscribed romeo', 'available romeo/desk']);
        assert.equal(row.subscribes.length, 1);
      },
    );
  });
}

test('asking + NOTIFY pending: 200, and nothing to XMPP (RFC 8048, section 5.2.1)', async () => {
  const row = new Row();
  const subscribe = await row.asking();
  await row.told(subscribe, 'pending;expires=600', row.pidf([['desk', CLOSED]]));
  assert.deepEqual(await row.news(), []);
  assert.equal(row.stored, 'pending');
});

for (const from of ['asking', 'pending'] as const) {
  test(`${from} + first NOTIFY active: subscribed, then the presence of each tuple (RFC 8048, section 5.2.1)`, async () => {
    const row = new Row();
    const subscribe = await row[from]();
    const tuples = [
      ['desk', '<status><basic>open</basic><show xmlns="jabber:client">away</show></status><note>soon</note>'],
      ['mobile', CLOSED],
    ] as const;
    await row.told(subscribe, 'active;expires=499', row.pidf(tuples));
    assert.deepEqual(await row.news(), [
      'subscribed romeo',
      'available romeo/desk away: soon',
      'unavailable romeo/mobile',
    ]);
    assert.equal(row.stored, 'active');
  });

  test(`${from} + first NOTIFY active without a body: subscribed, and nothing is known of him (RFC 8048, section 5.2.1)`, async () => {
    const row = new Row();
    await row.told(await row[from](), 'active;expires=600');
    assert.deepEqual(await row.news(), ['subscribed romeo']);
    assert.equal(row.stored, 'active');
  });

  test(`${from} + NOTIFY terminated;reason=rejected: unsubscribed (RFC 8048, section 5.2.1)`, async () => {
    const row = new Row();
    await row.told(await row[from](), 'terminated;reason=rejected');
    assert.deepEqual(await row.news(), ['unsubscribed romeo']);
    assert.equal(row.stored, undefined);
    stage.clock.jump(700_000);
    await stage.settled();
    assert.equal(row.subscribes.length, 1, 'not asked again');
  });
}

for (const status of [403, 489, 603]) {
  test(`asking + ${status}: unsubscribed, for good (RFC 8048, section 5.2.2)`, async () => {
    await answering(
      () => ({ status }),
      async () => {
        const row = new Row();
        await row.asking();
        assert.deepEqual(await row.juliet.untilNews(1, 'the refusal'), [`unsubscribed ${row.romeo}`]);
        await stage.settled();
        assert.equal(row.stored, undefined);
        stage.clock.jump(700_000);
        await stage.settled();
        assert.equal(row.subscribes.length, 1);
      },
    );
  });
}

test('asking + no NOTIFY until Timer N: asked again in another dialog, nothing to XMPP (RFC 6665, section 4.1.2.4)', async () => {
  const row = new Row();
  const first = await row.asking();
  await stage.settled();
  stage.clock.jump(33_000);
  await stage.settled();
  stage.clock.jump(11_000);
  const second = await row.subscribe(2, 'after Timer N');
  assert.notEqual(callIdOf(second), callIdOf(first));
  assert.equal(isInDialog(second), false);
  assert.deepEqual(await row.news(), []);
  await row.told(second, 'active;expires=600');
  assert.deepEqual(await row.news(), ['subscribed romeo']);
});

test('asking + 423: asked again for as long as Min-Expires says (RFC 8048, section 5.2.2)', async () => {
  await answering(
    (request) =>
      Number(expiresOf(request)) < 7_200 ? { status: 423, headers: [['Min-Expires', '7200']] } : granted(request),
    async () => {
      const row = new Row();
      await row.asking();
      const second = await row.subscribe(2);
      assert.equal(expiresOf(second), '7200');
      assert.deepEqual(await row.news(), []);
    },
  );
});

for (const [status, retryAfter] of [[480], [500], [503, 40]] as const) {
  const name = retryAfter === undefined ? `${status}` : `${status} with Retry-After: ${retryAfter}`;
  test(`asking + ${name}: kept, and asked again later, nothing to XMPP (RFC 8048, section 5.2.2)`, async () => {
    const row = new Row();
    const headers = retryAfter === undefined ? [] : ([['Retry-After', String(retryAfter)]] as const);
    server.answer = () => ({ status, headers });
    await row.asking();
    await stage.settled();
    server.answer = granted;
    if (retryAfter !== undefined) {
      stage.clock.jump(30_000);
      await stage.settled();
      assert.equal(row.subscribes.length, 1, 'not before Retry-After');
    }
    stage.clock.jump(15_000);
    await row.told(await row.subscribe(2), 'active;expires=600');
    assert.deepEqual(await row.news(), ['subscribed romeo']);
  });
}

for (const status of [404, 604]) {
  test(`asking + ${status}: there is no such user, which is the end (RFC 6665, section 4.1.3: noresource)`, async () => {
    await answering(
      () => ({ status }),
      async () => {
        const row = new Row();
        await row.asking();
        const news = await row.juliet.untilNews(2, 'the end');
        assert.deepEqual(news, [`error ${row.romeo} item-not-found`, `unsubscribed ${row.romeo}`]);
        await stage.settled();
        assert.equal(row.stored, undefined);
      },
    );
  });
}

test('active + NOTIFY active with body: presence for the tuples that have changed (RFC 3922, section 6.3.1)', async () => {
  const row = new Row();
  const subscribe = await row.active([
    ['desk', noted('here')],
    ['mobile', noted('there')],
  ]);
  await row.told(
    subscribe,
    'active;expires=600',
    row.pidf([
      ['desk', noted('here')],
      ['mobile', noted('elsewhere')],
    ]),
  );
  assert.deepEqual(await row.news(), ['available romeo/mobile: elsewhere']);
  await row.told(
    subscribe,
    'active;expires=600',
    row.pidf([
      ['desk', noted('here')],
      ['mobile', noted('elsewhere')],
    ]),
  );
  assert.deepEqual(await row.news(), []);
});

test('active + NOTIFY active, empty: no change (RFC 8048, section 5.2.1)', async () => {
  const row = new Row();
  await row.told(await row.active(), 'active;expires=500');
  assert.deepEqual(await row.news(), []);
});

test('active + a tuple vanished from the document: unavailable from that resource (RFC 3856, section 6.8)', async () => {
  const row = new Row();
  const subscribe = await row.active([
    ['desk', OPEN],
    ['mobile', OPEN],
  ]);
  await row.told(subscribe, 'active;expires=600', row.pidf([['desk', OPEN]]));
  assert.deepEqual(await row.news(), ['unavailable romeo/mobile']);
});

test('active + near expiry, and she is there: refreshed in its dialog in good time (RFC 8048, section 5.2.2)', async () => {
  const row = new Row();
  const first = await row.active();
  stage.clock.jump(100_000);
  await stage.settled();
  assert.equal(row.subscribes.length, 1, 'too soon');
  stage.clock.jump(400_000);
  const second = await row.subscribe(2, 'refresh');
  assert.equal(callIdOf(second), callIdOf(first));
  assert.equal(second.to.params.get('tag'), 'ps');
  assert.equal(second.from.params.get('tag'), first.from.params.get('tag'));
  assert.ok(second.cseq.number > first.cseq.number);
  assert.equal(expiresOf(second), '3600');
  await row.told(second, 'active;expires=3600', row.pidf([['desk', noted('here')]]));
  assert.deepEqual(await row.news(), []);
});

for (const isThere of [true, false]) {
  test(`active + near expiry: she is asked first whether she is still there, and ${isThere ? 'is' : 'is not'} (RFC 8048, section 8.1)`, async () => {
    const row = new Row();
    row.juliet.say({ to: row.romeo, type: 'subscribe', resource: 'garden' });
    const first = await row.subscribe(1);
    await row.told(first, 'active;expires=600', row.pidf([['desk', OPEN]]));
    await row.juliet.untilNews(2, 'subscribed and presence');
    stage.clock.jump(500_000);
    const ping = await until(
      () =>
        stage.world.xmpp.received.find(
          ({ name, attrs }) => name === 'iq' && attrs['to'] === `${row.juliet.jid}/garden`,
        ),
      { what: 'the ping' },
    );
    assert.equal(ping.attrs['type'], 'get');
    assert.equal(ping.attrs['from'], `${row.romeo}@${COMPONENT}`);
    assert.deepEqual(namesIn(ping), ['ping urn:xmpp:ping']);
    const { id = '', from = '', to = '' } = ping.attrs;
    const gone = `<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`;
    stage.world.xmpp.sendRaw(
      isThere
        ? `<iq type='result' id='${id}' from='${to}' to='${from}'/>`
        : `<iq type='error' id='${id}' from='${to}' to='${from}'>${gone}</iq>`,
    );
    const second = await row.subscribe(2);
    assert.equal(callIdOf(second), callIdOf(first));
    assert.equal(expiresOf(second), isThere ? '3600' : '0');
    await row.told(second, isThere ? 'active;expires=3600' : 'terminated;reason=timeout');
    assert.deepEqual(await row.news(), []);
    assert.equal(row.stored, 'active', 'the permission stays');
  });
}

test('active + her last resource goes: the dialog is left, the permission stays (RFC 8048, section 5.2.2)', async () => {
  const row = new Row();
  const first = await row.active();
  row.juliet.say({ to: row.romeo, resource: 'garden' });
  row.juliet.say({ to: row.romeo, resource: 'balcony', type: 'unavailable' });
  await stage.settled();
  assert.equal(row.subscribes.length, 1, 'one is still there');
  row.juliet.say({ to: row.romeo, resource: 'garden', type: 'unavailable' });
  const second = await row.subscribe(2, 'Expires 0');
  assert.equal(callIdOf(second), callIdOf(first));
  assert.equal(expiresOf(second), '0');
  await row.told(second, 'terminated;reason=timeout', row.pidf([['desk', CLOSED]]));
  assert.deepEqual(await row.news(), []);
  assert.equal(row.stored, 'active');
  stage.clock.jump(700_000);
  await stage.settled();
  assert.equal(row.subscribes.length, 2, 'nothing while she is away');
});

for (const how of ['initial presence', 'a probe of her server'] as const) {
  test(`dormant + ${how}: a new SUBSCRIBE (RFC 8048, section 5.2.2)`, async () => {
    const row = new Row();
    const first = await row.active();
    row.juliet.say({ to: row.romeo, resource: 'balcony', type: 'unavailable' });
    await row.told(await row.subscribe(2), 'terminated;reason=timeout');
    // An hour later what was known of him says nothing any more.
    stage.clock.jump(3_600_000);
    await stage.settled();
    row.juliet.news();
    if (how === 'initial presence') row.juliet.say({ to: row.romeo, resource: 'balcony' });
    else row.juliet.say({ to: row.romeo, type: 'probe' });
    const third = await row.subscribe(3);
    assert.notEqual(callIdOf(third), callIdOf(first));
    assert.equal(isInDialog(third), false);
    assert.equal(expiresOf(third), '3600');
    await row.told(third, 'active;expires=3600', row.pidf([['desk', noted('back')]]));
    const news = await row.news();
    assert.equal(news.at(-1), 'available romeo/desk: back');
    assert.ok(!news.some((line) => line.startsWith('subscribed') || line.startsWith('unsubscribed')));
  });
}

for (const from of ['asking', 'pending', 'active'] as const) {
  test(`${from} + unsubscribe: Expires 0 in the dialog, and unsubscribed (RFC 8048, section 5.2.3)`, async () => {
    const row = new Row();
    const first = await row[from]();
    await stage.settled();
    row.juliet.news();
    row.juliet.say({ to: row.romeo, type: 'unsubscribe' });
    const last = await row.subscribe(2);
    assert.equal(callIdOf(last), callIdOf(first));
    assert.equal(isInDialog(last), true);
    assert.equal(expiresOf(last), '0');
    const gone = from === 'active' ? ['unavailable romeo/desk'] : [];
    assert.deepEqual(await row.news(), [...gone, 'unsubscribed romeo']);
    // RFC 6665, section 4.2.1.4: the notifier's last word.
    await row.told(last, 'terminated;reason=timeout', row.pidf([['desk', CLOSED]]));
    assert.deepEqual(await row.news(), []);
    assert.equal(row.stored, undefined);
    assert.deepEqual(
      [...stage.world.stored<{ watcher: string }>('sip-upstream').values()].filter(
        ({ watcher }) => watcher === row.juliet.jid,
      ),
      [],
    );
  });
}

test('active + subscribe again: subscribed and his presence again, in the one dialog there is (RFC 6121, section 3.1.3)', async () => {
  const row = new Row();
  await row.active();
  row.juliet.say({ to: row.romeo, type: 'subscribe' });
  assert.deepEqual(await row.news(), ['subscribed romeo', 'available romeo/desk: here']);
  assert.equal(row.subscribes.length, 1);
});

test('pending + subscribe again: nothing, since nobody has decided (RFC 8048, section 5.2.1)', async () => {
  const row = new Row();
  await row.pending();
  row.juliet.say({ to: row.romeo, type: 'subscribe' });
  assert.deepEqual(await row.news(), []);
  assert.equal(row.subscribes.length, 1);
});

test('active + 481 to a refresh: a new dialog at once, nothing to XMPP (RFC 8048, section 5.2.2)', async () => {
  const row = new Row();
  const first = await row.active();
  await answering(
    (request) => (isInDialog(request) ? { status: 481 } : granted(request)),
    async () => {
      stage.clock.jump(500_000);
      await row.subscribe(2, 'refresh');
      const third = await row.subscribe(3, 'new dialog');
      assert.notEqual(callIdOf(third), callIdOf(first));
      assert.equal(isInDialog(third), false);
      await row.told(third, 'active;expires=600', row.pidf([['desk', noted('here')]]));
      assert.deepEqual(await row.news(), []);
      assert.equal(row.stored, 'active');
    },
  );
});

for (const status of [403, 489, 603]) {
  test(`active + ${status} to a refresh: unavailable for each resource, then unsubscribed (RFC 8048, section 5.2.2)`, async () => {
    const row = new Row();
    await row.active([
      ['desk', OPEN],
      ['mobile', OPEN],
    ]);
    await answering(
      () => ({ status }),
      async () => {
        stage.clock.jump(500_000);
        await row.subscribe(2, 'refresh');
        const news = await row.juliet.untilNews(3, 'the end');
        assert.deepEqual(
          news,
          ['unavailable ROMEO/desk', 'unavailable ROMEO/mobile', 'unsubscribed ROMEO'].map((line) =>
            line.replace('ROMEO', row.romeo),
          ),
        );
        await stage.settled();
        assert.equal(row.stored, undefined);
      },
    );
  });
}

test('a subscription of an XMPP user goes on after a crash: same dialog, next CSeq, nothing said twice (RFC 8048, section 5.2.2)', async () => {
  const row = new Row();
  const first = await row.active();
  await stage.crash();
  const news = await row.news();
  assert.ok(!news.some((line) => line.includes('subscribed') || line.startsWith('unavailable')), news.join(', '));
  row.juliet.say({ to: row.romeo, resource: 'balcony' });
  await linkSettled(stage.world);
  stage.clock.jump(500_000);
  const second = await row.subscribe(2, 'refresh');
  assert.equal(callIdOf(second), callIdOf(first));
  assert.ok(second.cseq.number > first.cseq.number);
  await row.told(second, 'active;expires=600', row.pidf([['desk', noted('still here')]]));
  assert.equal((await row.news()).at(-1), 'available romeo/desk: still here');
});

/* What Subscription-State says (RFC 6665, section 4.1.3), and what she sees of it. */

type Asked = 'nothing' | 'at once' | 'after retry-after';
type StateRow = {
  readonly value: string;
  /** When he is asked again. */
  readonly again: Asked;
  readonly seen: readonly string[];
  /** As stored afterwards. */
  readonly left?: 'active';
};
const STATE_ROWS: readonly StateRow[] = [
  { value: 'active;expires=600', again: 'nothing', seen: [], left: 'active' },
  { value: 'pending;expires=600', again: 'nothing', seen: [], left: 'active' },
  { value: 'terminated;reason=deactivated', again: 'at once', seen: [], left: 'active' },
  { value: 'terminated;reason=probation;retry-after=30', again: 'after retry-after', seen: [], left: 'active' },
  { value: 'terminated;reason=rejected', again: 'nothing', seen: ['unavailable romeo/desk', 'unsubscribed romeo'] },
  { value: 'terminated;reason=timeout', again: 'at once', seen: [], left: 'active' },
  { value: 'terminated;reason=giveup;retry-after=30', again: 'after retry-after', seen: [], left: 'active' },
  { value: 'terminated;reason=giveup', again: 'at once', seen: [], left: 'active' },
  { value: 'terminated;reason=noresource', again: 'nothing', seen: ['unavailable romeo/desk', 'unsubscribed romeo'] },
  { value: 'terminated;reason=invariant', again: 'nothing', seen: [], left: 'active' },
  { value: 'terminated', again: 'at once', seen: [], left: 'active' },
  { value: 'terminated;reason=private-matter;retry-after=30', again: 'after retry-after', seen: [], left: 'active' },
];
for (const { value, again, seen, left } of STATE_ROWS) {
  test(`Subscription-State: ${value}: she sees ${seen.join(' and ') || 'nothing'}, he is asked again: ${again} (RFC 6665, section 4.1.3)`, async () => {
    const row = new Row();
    const first = await row.active();
    await row.told(first, value);
    assert.deepEqual(await row.news(), seen);
    assert.equal(row.stored, left);
    if (again === 'after retry-after') {
      stage.clock.jump(20_000);
      await stage.settled();
      assert.equal(row.subscribes.length, 1, 'too soon');
      stage.clock.jump(15_000);
    }
    if (again === 'nothing') {
      stage.clock.jump(60_000);
      await stage.settled();
      assert.equal(row.subscribes.length, 1);
      return;
    }
    const second = await row.subscribe(2, 'asked again');
    assert.notEqual(callIdOf(second), callIdOf(first));
    assert.equal(isInDialog(second), false);
    await row.told(second, 'active;expires=600', row.pidf([['desk', noted('again')]]));
    assert.deepEqual(await row.news(), ['available romeo/desk: again']);
  });
}

for (const [value, reason] of [
  ['terminated;reason=deactivated', 'deactivated'],
  ['terminated;reason=timeout', 'timeout'],
] as const) {
  test(`Subscription-State: ${value} while pending: asked again at once, still nothing to XMPP (RFC 6665, section 4.1.3: ${reason})`, async () => {
    const row = new Row();
    await row.told(await row.pending(), value);
    const second = await row.subscribe(2);
    assert.deepEqual(await row.news(), []);
    await row.told(second, 'active;expires=600');
    assert.deepEqual(await row.news(), ['subscribed romeo']);
  });
}

test('Subscription-State: terminated;reason=probation: unavailable once it is not restored for some minutes', async () => {
  const row = new Row();
  await row.told(await row.active(), 'terminated;reason=probation;retry-after=3600');
  assert.deepEqual(await row.juliet.untilNews(1, 'he cannot be seen'), [`unavailable ${row.romeo}/desk`]);
  await stage.settled();
  assert.equal(row.stored, 'active');
});

test('Subscription-State: expires counts more than the Expires of the answer (RFC 6665, section 4.1.3)', async () => {
  const row = new Row();
  const first = await row.active();
  // The 2xx has said 3600, the first NOTIFY 600.
  await row.told(first, 'active;expires=100');
  stage.clock.jump(85_000);
  assert.equal(callIdOf(await row.subscribe(2, 'refresh')), callIdOf(first));
});

test('a NOTIFY of no subscription of ours: 481 (RFC 6665, section 4.1.3)', async () => {
  const row = new Row();
  const first = await row.active();
  const body = row.pidf([['desk', CLOSED]]);
  const otherTag = (first.headers.get('From') ?? '').replace(/tag=.*/, 'tag=another');
  for (const parts of [{ callId: 'another' }, { to: otherTag }, { to: otherTag.replace(/;tag=.*/, '') }]) {
    assert.equal((await server.notify(first, { body, ...parts })).status, 481);
  }
  assert.deepEqual(await row.news(), []);
});

const BAD_NOTIFIES: ReadonlyArray<readonly [name: string, parts: Parameters<ScriptedPresenceServer['notify']>[1], status: number]> = [
  ['of another package: 489 (RFC 6665, section 4.1.3)', { event: 'dialog' }, 489],
  ['with an Event id that the SUBSCRIBE had not: 481 (RFC 6665, section 4.4.1)', { event: 'presence;id=7' }, 481],
  ['without a Subscription-State: 400 (RFC 6665, section 8.2.3)', { state: '' }, 400],
  ['of a type that Accept did not name: 415 (RFC 3856, section 6.5)', { body: 'x', headers: [['Content-Type', 'text/plain']] }, 415],
  ['whose document is none: 400', { body: '<presence' }, 400],
]; // prettier-ignore
for (const [name, parts, status] of BAD_NOTIFIES) {
  test(`a NOTIFY ${name}, and nothing changes`, async () => {
    const row = new Row();
    const first = await row.active();
    assert.equal((await server.notify(first, parts)).status, status);
    assert.deepEqual(await row.news(), []);
    await row.told(first, 'active;expires=600', row.pidf([['desk', noted('later')]]));
    assert.deepEqual(await row.news(), ['available romeo/desk: later']);
  });
}

/* The same for a user of ours, whose consent is here. */

const localNews = async (juliet: XmppContact): Promise<string[]> => {
  await stage.settled();
  return juliet.news();
};

test('a user of ours: nothing before he decides, subscribed and his presence when he does (RFC 8048, section 5.2.1)', async () => {
  const juliet = stage.contact('local-juliet1@xmpp.example');
  const local = await stage.phone('local1');
  await local.publish('at home');
  juliet.say({ to: 'local1', type: 'subscribe' });
  assert.deepEqual(await localNews(juliet), []);
  await stage.world.rule('local1@sip.example', juliet.jid, 'allow');
  assert.deepEqual(await localNews(juliet), ['subscribed local1', 'available local1/t1: at home']);
  await local.publish('out');
  assert.deepEqual(await localNews(juliet), ['available local1/t1: out']);
  await local.republish();
  assert.deepEqual(await localNews(juliet), [], 'a refresh is no change');
  await local.unpublish();
  const news = await localNews(juliet);
  assert.ok(news.includes('unavailable local1/t1'), news.join(', '));
});

test('a user of ours who refuses: unsubscribed, and again whenever it is asked (RFC 8048, section 5.2.1)', async () => {
  const juliet = stage.contact('local-juliet2@xmpp.example');
  juliet.say({ to: 'local2', type: 'subscribe' });
  assert.deepEqual(await localNews(juliet), []);
  await stage.world.rule('local2@sip.example', juliet.jid, 'block');
  assert.deepEqual(await localNews(juliet), ['unsubscribed local2']);
  juliet.say({ to: 'local2', type: 'subscribe' });
  const answers = await localNews(juliet);
  assert.deepEqual(answers, ['unsubscribed local2']);
});

test('a user of ours who blocks her later: unavailable for each resource, unsubscribed (RFC 8048, section 5.3.3)', async () => {
  const juliet = stage.contact('local-juliet3@xmpp.example');
  await (await stage.phone('local3')).publish('at home');
  await stage.world.rule('local3@sip.example', juliet.jid, 'allow');
  juliet.say({ to: 'local3', type: 'subscribe' });
  assert.deepEqual(await localNews(juliet), ['subscribed local3', 'available local3/t1: at home']);
  await stage.world.rule('local3@sip.example', juliet.jid, 'block');
  assert.deepEqual(await localNews(juliet), ['unavailable local3/t1', 'unsubscribed local3']);
});

test('a user of ours who takes his consent back: unavailable, and she waits again (RFC 6665, section 4.1.3: deactivated)', async () => {
  const juliet = stage.contact('local-juliet4@xmpp.example');
  await (await stage.phone('local4')).publish('at home');
  await stage.world.rule('local4@sip.example', juliet.jid, 'allow');
  juliet.say({ to: 'local4', type: 'subscribe' });
  assert.equal((await localNews(juliet)).length, 2);
  await stage.world.removeRule('local4@sip.example', juliet.jid);
  assert.deepEqual(await localNews(juliet), ['unavailable local4/t1']);
  await stage.world.rule('local4@sip.example', juliet.jid, 'allow');
  const news = await localNews(juliet);
  assert.equal(news.at(-1), 'available local4/t1: at home');
});

test('a user of ours: subscribe again, unsubscribe, and a probe afterwards (RFC 6121, sections 3.1.3, 3.3.3 and 4.3.2)', async () => {
  const juliet = stage.contact('local-juliet5@xmpp.example');
  await (await stage.phone('local5')).publish('at home');
  await stage.world.rule('local5@sip.example', juliet.jid, 'allow');
  juliet.say({ to: 'local5', type: 'subscribe' });
  juliet.say({ to: 'local5', type: 'subscribe' });
  const news = await localNews(juliet);
  assert.deepEqual([...new Set(news)], ['subscribed local5', 'available local5/t1: at home']);
  juliet.say({ to: 'local5', type: 'probe', resource: 'balcony' });
  assert.deepEqual(await localNews(juliet), ['available local5/t1: at home']);
  juliet.say({ to: 'local5', type: 'unsubscribe' });
  assert.deepEqual(await localNews(juliet), ['unavailable local5/t1', 'unsubscribed local5']);
  juliet.say({ to: 'local5', type: 'probe' });
  assert.deepEqual(await localNews(juliet), ['unsubscribed local5']);
});

test('a user of ours who is registered and publishes nothing is available by his phone, and gone without it', async () => {
  const juliet = stage.contact('local-juliet6@xmpp.example');
  const local = await stage.phone('local6');
  await stage.world.rule('local6@sip.example', juliet.jid, 'allow');
  juliet.say({ to: 'local6', type: 'subscribe' });
  assert.deepEqual(await localNews(juliet), ['subscribed local6', 'unavailable local6/offline']);
  await local.phone.register();
  const [there] = (await localNews(juliet)).filter((line) => line.startsWith('available'));
  assert.match(there ?? '', /^available local6\/phone-[0-9a-f]{6}$/);
  await local.phone.register(0);
  const gone = await localNews(juliet);
  assert.ok(
    gone.some((line) => line.startsWith('unavailable local6/phone-')),
    gone.join(', '),
  );
});

function namesIn({ children }: XmlElement): string[] {
  return children.flatMap((child) =>
    typeof child === 'string' ? [] : [`${child.name} ${child.attrs['xmlns'] ?? ''}`],
  );
}

test('every presence sent to XMPP in these tests is well-formed and comes from one of our names', () => {
  for (const { name, attrs } of stage.world.xmpp.received) {
    if (name !== 'presence') continue;
    assert.match(attrs['from'] ?? '', new RegExp(`^[a-z0-9-]+@${COMPONENT.replaceAll('.', '\\.')}(/.+)?$`));
  }
  assert.deepEqual(stage.world.xmpp.streamErrors, []);
});
