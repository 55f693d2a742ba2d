import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from '../../../support/fake-clock.ts';
import { anAddress } from '../../../support/builders.ts';
import {
  JULIET_WATCHES,
  OWN,
  reportText,
  ROMEO_WATCHES,
  ROUTE,
  XmppPresenceWorld,
} from '../../../support/xmpp-presence-world.ts';

const ERRORS = 'urn:ietf:params:xml:ns:xmpp-stanzas';
const out = (type: string, id = ''): string =>
  `<presence from="romeo@${OWN}" to="juliet@xmpp.example"${id === '' ? '' : ` id="${id}"`} type="${type}"/>`;
const SUBSCRIBE = out('subscribe', 'subscribe');
const PROBE = out('probe', 'probe');

/** romeo has asked to watch juliet. */
async function asked(): Promise<XmppPresenceWorld> {
  const world = new XmppPresenceWorld();
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  assert.deepEqual(world.link.take(), [SUBSCRIBE]);
  return world;
}

/** juliet has said yes, and shows one client. */
async function active(): Promise<XmppPresenceWorld> {
  const world = await asked();
  await world.juliet(`type='subscribed'`, '', '');
  await world.juliet();
  world.link.take();
  world.takeReports();
  await settled();
  return world;
}

const condition = (name: string, id = 'subscribe'): string =>
  `type='error' id='${id}'><error type='cancel'><${name} xmlns='${ERRORS}'/></error`;
const failing = (world: XmppPresenceWorld, name: string, id = 'subscribe'): Promise<void> =>
  world.take(`<presence from='juliet@xmpp.example' to='romeo@${OWN}' ${condition(name, id)}></presence>`);

test('upstream: no authorization known: subscribe, and nothing is reported', async () => {
  const world = await asked();
  assert.deepEqual(world.takeReports(), []);
  assert.equal(reportText(world.presence.upstream.reportOf(ROMEO_WATCHES)!), 'asked');
});

test('upstream: the intention is stored before anything is sent', async () => {
  const world = new XmppPresenceWorld();
  world.store.holding = true;
  const watching = world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  await settled();
  assert.deepEqual(world.link.take(), []);
  await world.store.release();
  await watching;
  assert.deepEqual(world.link.take(), [SUBSCRIBE]);
});

test('upstream: a store that fails refuses, and leaves nothing behind', async () => {
  const world = new XmppPresenceWorld();
  world.store.failing = true;
  await assert.rejects(world.presence.upstream.watch(ROMEO_WATCHES, ROUTE), { code: 'store-unavailable' });
  assert.deepEqual(world.link.take(), []);
  assert.equal(world.presence.upstream.reportOf(ROMEO_WATCHES), undefined);
});

test('upstream: asking again for what is under way changes nothing', async () => {
  const world = await asked();
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  assert.deepEqual(world.link.take(), []);
});

test('upstream: authorization known: probe', async () => {
  const world = await active();
  world.presence.upstream.rest(ROMEO_WATCHES);
  world.link.take();
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  assert.deepEqual(world.link.take(), [PROBE]);
});

test('upstream: pending + subscribed: active without a document, and then what there is', async () => {
  const world = await asked();
  await world.juliet(`type='subscribed'`, '', '');
  assert.deepEqual(world.takeReports(), ['active']);
  assert.deepEqual(world.link.take(), [PROBE]);
  await world.juliet('', '<show>away</show>');
  assert.deepEqual(world.takeReports(), ['active: ID-balcony open away']);
});

test('upstream: pending + unavailable of nobody in particular: says nothing, as Prosody says it of everybody', async () => {
  const world = await asked();
  await world.juliet(`type='unavailable'`, '', '');
  await world.juliet(`type='subscribed'`, '', '');
  assert.deepEqual(world.takeReports(), ['active']);
});

test('upstream: one who is not heard of within 10 s of the probe is not there, as ejabberd does not say', async () => {
  const world = await asked();
  await world.juliet(`type='subscribed'`, '', '');
  await settled();
  assert.deepEqual(world.takeReports(), ['active']);
  await world.clock.advanceAsync(10_000);
  assert.deepEqual(world.takeReports(), ['active: account closed']);
});

/** What was asked about what he is called left out. */
const presenceOf = (stanzas: readonly string[]): string[] => stanzas.filter((text) => !text.startsWith('<iq'));

for (const [answer, report] of [
  ['subscribed', []],
  ['unsubscribed', ['ended rejected']],
] as const) {
  test(`upstream: active, link lost, no answer to the probe: asked again, ${answer}`, async () => {
    const world = await active();
    world.link.down();
    world.office.down();
    world.link.up();
    world.office.up();
    await settled();
    assert.deepEqual(world.link.take(), [PROBE]);
    await world.clock.advanceAsync(10_000);
    assert.deepEqual(presenceOf(world.link.take()), [SUBSCRIBE]);
    assert.deepEqual(world.takeReports(), ['active: ID-balcony closed']);
    await world.juliet(`type='${answer}'`, '', '');
    assert.deepEqual(world.takeReports(), report);
    await world.clock.advanceAsync(60_000);
    assert.deepEqual(presenceOf(world.link.take()), []);
  });
}

test('upstream: a client that comes takes the place of the word that nobody is there', async () => {
  const world = await asked();
  await world.juliet(`type='subscribed'`, '', '');
  await world.juliet(`type='unavailable'`, '', '');
  await world.juliet();
  assert.deepEqual(world.takeReports(), ['active', 'active: account closed', 'active: ID-balcony open']);
});

test('upstream: whoever is a user no more takes back all he has asked for, looked at or not', async () => {
  const world = await active();
  const tybalt = { ...ROMEO_WATCHES, presentity: anAddress('tybalt@xmpp.example') };
  const others = { ...ROMEO_WATCHES, watcher: anAddress('paris@sip.example') };
  await world.presence.upstream.watch(tybalt, ROUTE);
  await world.presence.upstream.watch(others, ROUTE);
  world.presence.upstream.rest(ROMEO_WATCHES);
  world.link.take();
  assert.deepEqual([...new Set(world.presence.upstream.contacts.watchers())].sort(), [
    'paris@sip.example',
    'romeo@sip.example',
  ]);
  world.presence.upstream.endAll('romeo@sip.example');
  assert.deepEqual(world.link.take().sort(), [
    out('unsubscribe', 'unsubscribe'),
    out('unsubscribe', 'unsubscribe').replace('juliet@', 'tybalt@'),
  ]);
  await settled();
  assert.deepEqual([...world.presence.upstream.contacts.watchers()], ['paris@sip.example']);
});

test('upstream: pending + subscribed: one report with the document where it is known already', async () => {
  const world = await asked();
  await world.juliet();
  assert.deepEqual(world.takeReports(), []);
  await world.juliet(`type='subscribed'`, '', '');
  assert.deepEqual(world.takeReports(), ['active: ID-balcony open']);
});

for (const at of ['pending', 'active'] as const) {
  test(`upstream: ${at} + unsubscribed: rejected, and nothing is known any more`, async () => {
    const world = at === 'active' ? await active() : await asked();
    await world.juliet(`type='unsubscribed'`, '', '');
    assert.deepEqual(world.takeReports(), ['ended rejected']);
    assert.equal(world.presence.upstream.reportOf(ROMEO_WATCHES), undefined);
    assert.deepEqual([...world.store.records('xmpp-upstream').all()], []);
  });
}

const ENDING: Readonly<Record<string, string>> = {
  'item-not-found': 'noresource',
  gone: 'noresource',
  forbidden: 'rejected',
  'not-allowed': 'rejected',
  'not-authorized': 'rejected',
  'policy-violation': 'rejected',
};
for (const [name, reason] of Object.entries(ENDING)) {
  test(`upstream: pending + error ${name} to the subscribe: ${reason}`, async () => {
    const world = await asked();
    await failing(world, name);
    assert.deepEqual(world.takeReports(), [`ended ${reason}`]);
    assert.deepEqual(world.link.take(), []);
  });
}

const WAITING = [
  'remote-server-not-found',
  'remote-server-timeout',
  'recipient-unavailable',
  'resource-constraint',
  'internal-server-error',
  'service-unavailable',
];
for (const name of WAITING) {
  test(`upstream: pending + error ${name} to the subscribe: stays pending, asks again with growing pauses`, async () => {
    const world = await asked();
    const pauses: number[] = [];
    for (let times = 0; times < 3; times += 1) {
      await failing(world, name);
      let waitedMs = 0;
      for (; world.link.stanzas.length === 0 && waitedMs < 1_000_000; waitedMs += 5_000)
        await world.clock.advanceAsync(5_000);
      assert.deepEqual(world.link.take(), [SUBSCRIBE]);
      pauses.push(waitedMs);
    }
    assert.deepEqual(world.takeReports(), []);
    assert.deepEqual(pauses, [45_000, 90_000, 180_000]);
  });
}

test('upstream: one that cannot be asked for a day is given up', async () => {
  const world = await asked();
  for (let hours = 0; hours < 26 && world.reports.length === 0; hours += 1) {
    await failing(world, 'remote-server-timeout');
    await world.clock.advanceAsync(3_600_000);
  }
  assert.deepEqual(world.takeReports(), ['ended giveup']);
  world.link.take();
  await world.clock.advanceAsync(86_400_000);
  assert.deepEqual(world.link.take(), []);
});

test('upstream: an error for what we did not ask means nothing', async () => {
  const world = await asked();
  await failing(world, 'forbidden', 'other');
  await failing(await active(), 'forbidden', 'subscribe');
  assert.deepEqual(world.takeReports(), []);
});

for (const [name, reason] of [['forbidden', 'rejected'], ['item-not-found', 'noresource'], ['remote-server-timeout', undefined], ['service-unavailable', undefined], ['feature-not-implemented', undefined]] as const) {
  test(`upstream: active + error ${name} to a probe: ${reason ?? 'nothing'}`, async () => {
    const world = await active();
    await failing(world, name, 'probe');
    assert.deepEqual(world.takeReports(), reason === undefined ? [] : [`ended ${reason}`]);
  });
} // prettier-ignore

const STEPS: ReadonlyArray<readonly [what: string, attrs: string, children: string, resource: string, report: string]> =
  [
    ['available', '', '<show>dnd</show>', '/balcony', 'active: ID-balcony open dnd'],
    ['another resource: the whole document', '', '', '/chamber', 'active: ID-balcony open, ID-chamber open'],
    ['unavailable: closed, no termination', `type='unavailable'`, '', '/balcony', 'active: ID-balcony closed'],
    ['unavailable from the bare JID: all of them', `type='unavailable'`, '', '', 'active: ID-balcony closed'],
  ];
for (const [what, attrs, children, resource, report] of STEPS) {
  test(`upstream: active + ${what}`, async () => {
    const world = await active();
    await world.juliet(attrs, children, resource);
    assert.deepEqual(world.takeReports(), [report]);
    // What is known already is no news.
    await world.juliet(attrs, children, resource);
    assert.deepEqual(world.takeReports(), []);
  });
}

test('upstream: a contact of whom only that he is away is known has one closed tuple', async () => {
  const world = await asked();
  await world.juliet(`type='subscribed'`, '', '');
  await world.juliet(`type='unavailable'`, '<status>Out</status>', '');
  assert.deepEqual(world.takeReports(), ['active', 'active: account closed']);
});

test('upstream: what a contact says comes through: notes with languages, priority, time', async () => {
  const world = await active();
  await world.juliet(
    `xml:lang='cs'`,
    `<status>Pryč</status><status xml:lang='en'>Away</status><priority>13</priority><delay xmlns='urn:xmpp:delay' stamp='2023-11-14T22:00:00Z'/>`,
  );
  const [tuple] = world.reports.at(-1)![1].document!.tuples;
  assert.deepEqual(tuple?.notes, [
    { text: 'Pryč', language: 'cs' },
    { text: 'Away', language: 'en' },
  ]);
  assert.deepEqual(tuple.contact, { uri: 'sip:juliet@xmpp.example', priority: 102 });
  assert.equal(tuple.timestampMs, Date.parse('2023-11-14T22:00:00Z'));
});

test('upstream: rest tells the contact that the user is gone, and keeps the permission (RFC 8048, section 5.3.3)', async () => {
  const world = await active();
  world.presence.upstream.rest(ROMEO_WATCHES);
  assert.deepEqual(world.link.take(), [out('unavailable')]);
  world.presence.upstream.rest(ROMEO_WATCHES);
  assert.deepEqual(world.link.take(), []);
  assert.equal(reportText(world.presence.upstream.reportOf(ROMEO_WATCHES)!), 'active: ID-balcony open');
});

test('upstream: rest does not tell a contact who watches the user himself that he is gone', async () => {
  const world = await active();
  world.subscribed();
  world.presence.upstream.rest(ROMEO_WATCHES);
  assert.deepEqual(world.link.take(), []);
});

test('upstream: at rest nothing is reported, and what came meanwhile is known afterwards', async () => {
  const world = await active();
  world.presence.upstream.rest(ROMEO_WATCHES);
  await world.juliet('', '<show>xa</show>');
  assert.deepEqual(world.takeReports(), []);
  assert.equal(reportText(world.presence.upstream.reportOf(ROMEO_WATCHES)!), 'active: ID-balcony open xa');
});

test('upstream: end sends unsubscribe, over outages and restarts until the link has confirmed it', async () => {
  const world = await active();
  world.link.down();
  world.presence.upstream.end(ROMEO_WATCHES);
  await settled();
  assert.equal(world.presence.upstream.reportOf(ROMEO_WATCHES), undefined);
  const again = world.restarted();
  again.office.up();
  await settled();
  assert.deepEqual(again.link.take(), [out('unsubscribe', 'unsubscribe')]);
  again.office.down();
  again.office.up();
  await settled();
  assert.deepEqual(again.link.take(), []);
  assert.deepEqual([...again.store.records('xmpp-upstream').all()], []);
});

test('upstream: what was asked while the link was down is asked when it is up', async () => {
  const world = new XmppPresenceWorld();
  world.link.down();
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  assert.deepEqual(world.link.take(), []);
  world.link.up();
  world.office.up();
  assert.deepEqual(world.link.take(), [SUBSCRIBE]);
});

test('upstream: a subscribe that was lost with the link, or whose answer was, is sent again', async () => {
  const world = await asked();
  world.office.down();
  world.office.up();
  assert.deepEqual(world.link.take(), [SUBSCRIBE]);
});

test('upstream: after a crash the last document is known before anything came, and the contact is probed', async () => {
  const before = await active();
  await before.juliet('', '<show>away</show>');
  await settled();
  const world = before.restarted();
  assert.equal(reportText(world.presence.upstream.reportOf(ROMEO_WATCHES)!), 'active: ID-balcony open away');
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  assert.deepEqual(world.link.take(), []);
  world.office.up();
  assert.deepEqual(world.link.take(), [PROBE]);
});

test('upstream: a resource that is not heard of within 10 s of the probe is gone', async () => {
  const world = await active();
  await world.juliet('', '', '/chamber');
  world.takeReports();
  world.office.down();
  world.office.up();
  await settled();
  await world.juliet('', '', '/chamber');
  await world.clock.advanceAsync(9_000);
  assert.deepEqual(world.takeReports(), []);
  await world.clock.advanceAsync(2_000);
  assert.deepEqual(world.takeReports(), ['active: ID-balcony closed, ID-chamber open']);
});

test('upstream: nobody is gone for a link that was lost again before the answers', async () => {
  const world = await active();
  world.office.down();
  world.office.up();
  await settled();
  world.office.down();
  await world.clock.advanceAsync(60_000);
  assert.deepEqual(world.takeReports(), []);
});

test('upstream: the 10 s begin when the link has confirmed the probe', async () => {
  const world = await active();
  world.link.isHolding = true;
  world.office.down();
  world.office.up();
  await world.clock.advanceAsync(30_000);
  assert.deepEqual(world.takeReports(), []);
  world.link.confirm();
  await settled();
  await world.clock.advanceAsync(10_000);
  assert.deepEqual(world.takeReports(), ['active: ID-balcony closed']);
});

test('upstream: many contacts are asked 100 at a time, and no more once the link is down', async () => {
  const world = new XmppPresenceWorld();
  for (let number = 0; number < 350; number += 1) {
    const watcher = anAddress(`u${number}@sip.example`);
    await world.presence.upstream.watch({ watcher, presentity: JULIET_WATCHES.watcher }, ROUTE);
  }
  world.link.take();
  world.office.up();
  assert.equal(world.link.take().length, 100);
  await world.clock.advanceAsync(100);
  assert.equal(world.link.take().length, 100);
  world.office.down();
  await world.clock.advanceAsync(1_000);
  assert.equal(world.link.take().length, 0);
  world.office.up();
  await world.clock.advanceAsync(1_000);
  assert.equal(new Set(world.link.take()).size, 350);
});

test('upstream: fetch of a contact who is known is answered at once', async () => {
  const world = await active();
  const report = await world.presence.upstream.fetch(ROMEO_WATCHES, ROUTE);
  assert.equal(reportText(report), 'active: ID-balcony open');
  assert.deepEqual(world.link.take(), []);
});

test('upstream: fetch probes, waits for the answers, and leaves no permission behind', async () => {
  const world = new XmppPresenceWorld();
  let report: string | undefined;
  void world.presence.upstream.fetch(ROMEO_WATCHES, ROUTE).then((found) => (report = reportText(found)));
  assert.deepEqual(world.link.take(), [PROBE]);
  await world.clock.advanceAsync(500);
  await world.juliet('', '', '/balcony');
  await world.clock.advanceAsync(100);
  await world.juliet('', '<show>away</show>', '/chamber');
  assert.equal(report, undefined);
  await world.clock.advanceAsync(100);
  assert.equal(report, 'active: ID-balcony open, ID-chamber open away');
  assert.equal(world.presence.upstream.reportOf(ROMEO_WATCHES), undefined);
  assert.deepEqual(world.takeReports(), []);
});

test('upstream: fetch without an answer resolves after 2 s with what is known', async () => {
  const world = new XmppPresenceWorld();
  let report: string | undefined;
  void world.presence.upstream.fetch(ROMEO_WATCHES, ROUTE).then((found) => (report = reportText(found)));
  await world.clock.advanceAsync(1_900);
  assert.equal(report, undefined);
  await world.clock.advanceAsync(100);
  assert.equal(report, 'asked');
});

test('upstream: fetch that is not allowed is rejected, and does not end what was asked meanwhile', async () => {
  const world = new XmppPresenceWorld();
  const fetched = world.presence.upstream.fetch(ROMEO_WATCHES, ROUTE);
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  await world.juliet(`type='unsubscribed'`, '', '');
  assert.equal(reportText(await fetched), 'ended rejected');
  assert.deepEqual(world.takeReports(), []);
  assert.equal(reportText(world.presence.upstream.reportOf(ROMEO_WATCHES)!), 'asked');
});

test('upstream: fetch while the contact has not decided asks nothing and tells nothing', async () => {
  const world = await asked();
  assert.equal(reportText(await world.presence.upstream.fetch(ROMEO_WATCHES, ROUTE)), 'asked');
  assert.deepEqual(world.link.take(), []);
});

test('upstream: fetch while the link is down resolves with what is known', async () => {
  const world = await active();
  world.office.down();
  world.link.down();
  assert.equal(reportText(await world.presence.upstream.fetch(ROMEO_WATCHES, ROUTE)), 'active: ID-balcony open');
});

test('directed presence: to one who watches nobody is kept, opens nothing, and answers a fetch', async () => {
  const world = new XmppPresenceWorld();
  await world.juliet('', '<show>chat</show>');
  assert.deepEqual([world.link.take(), world.takeReports()], [[], []]);
  assert.equal(reportText(await world.presence.upstream.fetch(ROMEO_WATCHES, ROUTE)), 'active: ID-balcony open chat');
  assert.deepEqual(world.store.calls('xmpp-upstream'), []);
});

test('directed presence: is there for the next subscription, once the contact allows it', async () => {
  const world = new XmppPresenceWorld();
  await world.juliet('', '<show>chat</show>');
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  assert.equal(reportText(world.presence.upstream.reportOf(ROMEO_WATCHES)!), 'asked');
  await world.juliet(`type='subscribed'`, '', '');
  assert.deepEqual(world.takeReports(), ['active: ID-balcony open chat']);
});

test('directed presence: unavailable drops it, and reports closed where somebody watches', async () => {
  const world = new XmppPresenceWorld();
  await world.juliet();
  await world.juliet(`type='unavailable'`);
  assert.deepEqual(world.presence.upstream.resourcesOf(ROMEO_WATCHES), []);
  const watching = await active();
  await watching.juliet(`type='unavailable'`);
  assert.deepEqual(watching.takeReports(), ['active: ID-balcony closed']);
});

test('directed presence: going offline clears the one resource', async () => {
  const world = new XmppPresenceWorld();
  await world.juliet('', '', '/a');
  await world.juliet('', '', '/b');
  await world.juliet(`type='unavailable'`, '', '/a');
  assert.deepEqual(
    world.presence.upstream
      .resourcesOf(ROMEO_WATCHES)
      .filter(({ isAvailable }) => isAvailable)
      .map(({ resource }) => resource),
    ['b'],
  );
});

test('upstream: what one contact sends for one user is reported for that pair alone (RFC 8048, section 8.2)', async () => {
  const world = await active();
  const nurse = { watcher: anAddress('nurse@sip.example'), presentity: ROMEO_WATCHES.presentity };
  await world.presence.upstream.watch(nurse, ROUTE);
  await world.take(`<presence from='juliet@xmpp.example' to='nurse@${OWN}' type='subscribed'/>`);
  world.reports.length = 0;
  await world.juliet('', '<show>dnd</show>');
  assert.deepEqual(
    world.reports.map(([pair]) => pair),
    ['romeo@sip.example juliet@xmpp.example'],
  );
});

test('upstream: thousands of resources of one contact cost no more than a few', async () => {
  const world = await active();
  for (let number = 0; number < 2_000; number += 1)
    await world.begin(`<presence from='juliet@xmpp.example/r${number}' to='romeo@${OWN}'/>`);
  assert.equal(world.presence.upstream.resourcesOf(ROMEO_WATCHES).length, 16);
  for (let number = 0; number < 2_000; number += 1) {
    await world.begin(`<presence from='juliet@xmpp.example/r${number}' to='romeo@${OWN}' type='unavailable'/>`);
  }
  assert.ok(world.presence.upstream.resourcesOf(ROMEO_WATCHES).length <= 3);
});

test('upstream: thousands of strangers who show themselves are forgotten again', async () => {
  const world = new XmppPresenceWorld();
  for (let number = 0; number < 25_000; number += 1) {
    void world.begin(`<presence from='u${number}@xmpp.example/r' to='romeo@${OWN}'/>`);
  }
  const kept = Array.from({ length: 25_000 }, (_, number) =>
    world.presence.upstream.resourcesOf({ ...ROMEO_WATCHES, presentity: anAddress(`u${number}@xmpp.example`) }),
  ).filter((resources) => resources.length > 0);
  assert.ok(kept.length > 0 && kept.length <= 10_000);
});

test('upstream: a contact that has no JID has no presence', async () => {
  const world = new XmppPresenceWorld();
  await world.presence.upstream.watch({ ...ROMEO_WATCHES, presentity: anAddress('%20x@xmpp.example') }, ROUTE);
  assert.deepEqual(world.takeReports(), ['ended noresource']);
});

for (const record of [null, 'x', {}, { watcher: 'a b', presentity: 'x', link: 'office', permission: 'active' }, { watcher: 'romeo@sip.example', presentity: 'juliet@xmpp.example', link: 'office', permission: 'maybe' }]) {
  test(`upstream: a record on the disk that is none is left out: ${JSON.stringify(record)}`, async () => {
    const world = new XmppPresenceWorld();
    await world.store.records<unknown>('xmpp-upstream').put('k', record);
    const again = world.restarted();
    assert.equal(again.presence.upstream.contacts.size, 0);
    assert.deepEqual(again.log.at('warn'), ['record of a contact cannot be read']);
  });
} // prettier-ignore
