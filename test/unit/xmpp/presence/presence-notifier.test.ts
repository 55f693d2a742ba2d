import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeXml } from '../../../../src/cpim/xml.ts';
import { GatewayError } from '../../../../src/core/errors.ts';
import type { EndReason } from '../../../../src/core/presence/subscription.ts';
import { linkLeaseFrom, newLinkLease } from '../../../../src/xmpp/presence/link-lease.ts';
import { OWN_CAPS } from '../../../../src/xmpp/presence/own-caps.ts';
import { anAddress } from '../../../support/builders.ts';
import { settled } from '../../../support/fake-clock.ts';
import { aDocument, aTuple, OWN, XmppPresenceWorld } from '../../../support/xmpp-presence-world.ts';

const CAPS = OWN_CAPS.unknown.elements.map(writeXml).join('');
const ACTIVE = { at: 'active' } as const;

const to = (resource = ''): string => `to="juliet@xmpp.example${resource}" id="notify"`;
const word = (type: string): string => `<presence from="romeo@${OWN}" ${to()} type="${type}"/>`;
const available = (resource: string, children = '', at = ''): string =>
  `<presence from="romeo@${OWN}/${resource}" ${to(at)}>${children}${CAPS}</presence>`;
const unavailable = (resource: string, at = ''): string =>
  `<presence from="romeo@${OWN}/${resource}" ${to(at)} type="unavailable"/>`;

/** A world in which juliet has been told of one phone. */
async function aToldWorld(): Promise<XmppPresenceWorld> {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.notify(ACTIVE, aDocument([aTuple()]));
  world.link.take();
  world.subscriptions.calls.length = 0;
  return world;
}

test('notifier: pending says nothing to XMPP (RFC 8048, section 5.2.1)', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed('pending');
  assert.deepEqual(await world.notify({ at: 'pending' }), { kind: 'told' });
  assert.deepEqual(world.link.take(), []);
});

test('notifier: pending takes back what one saw who was let in before, where a crash kept it from being taken back', async () => {
  const world = await aToldWorld();
  assert.deepEqual(await world.notify({ at: 'pending' }), { kind: 'told' });
  assert.deepEqual(world.link.take(), [unavailable('phone')]);
  await world.notify({ at: 'pending' });
  assert.deepEqual(world.link.take(), []);
});

test('notifier: the first active says subscribed, and then the presence of each tuple', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  const document = aDocument([aTuple({ show: 'away' }), aTuple({ id: 'ID-desk', basic: 'closed' })]);
  assert.deepEqual(await world.notify(ACTIVE, document), { kind: 'told' });
  assert.deepEqual(world.link.take(), [
    word('subscribed'),
    available('phone', '<show>away</show>'),
    unavailable('desk'),
  ]);
});

test('notifier: the first active without a document says subscribed alone', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.notify(ACTIVE);
  assert.deepEqual(world.link.take(), [word('subscribed')]);
});

test('notifier: active with a document afterwards says what has changed, and subscribed no more', async () => {
  const world = await aToldWorld();
  await world.notify(ACTIVE, aDocument([aTuple(), aTuple({ id: 'ID-desk', show: 'dnd' })]));
  assert.deepEqual(world.link.take(), [available('desk', '<show>dnd</show>')]);
});

test('notifier: active without a document afterwards takes back what was said, and the next document is told whole', async () => {
  const world = await aToldWorld();
  assert.deepEqual(await world.notify(ACTIVE), { kind: 'told' });
  assert.deepEqual(world.link.take(), [unavailable('phone')]);
  assert.deepEqual(await world.notify(ACTIVE), { kind: 'told' });
  assert.deepEqual(world.link.take(), []);
  await world.notify(ACTIVE, aDocument([aTuple()]));
  assert.deepEqual(world.link.take(), [available('phone')]);
});

test('notifier: a tuple that has vanished is unavailable', async () => {
  const world = await aToldWorld();
  await world.notify(ACTIVE, aDocument([aTuple({ id: 'ID-desk' })]));
  assert.deepEqual(world.link.take(), [unavailable('phone'), available('desk')]);
});

const NOBODY_THERE =
  `<presence from="romeo@${OWN}" to="juliet@xmpp.example" type="error"><error type="cancel">` +
  '<item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></presence>';

const ENDS: ReadonlyArray<readonly [reason: EndReason, out: readonly string[]]> = [
  ['rejected', [unavailable('phone'), word('unsubscribed')]],
  ['noresource', [unavailable('phone'), word('unsubscribed')]],
  ['deactivated', [unavailable('phone')]],
  ['probation', [unavailable('phone')]],
  ['timeout', [unavailable('phone')]],
  ['giveup', [unavailable('phone')]],
];
for (const [reason, out] of ENDS) {
  test(`notifier: terminated;reason=${reason} of an active subscription`, async () => {
    const world = await aToldWorld();
    assert.deepEqual(await world.notify({ at: 'terminated', reason }), { kind: 'told' });
    assert.deepEqual(world.link.take(), out);
  });

  test(`notifier: terminated;reason=${reason} of one that was pending`, async () => {
    const world = new XmppPresenceWorld();
    world.subscribed('pending');
    await world.notify({ at: 'terminated', reason });
    // Why, to one who has just asked (RFC 3922, section 6.1).
    assert.deepEqual(world.link.take(), [...(reason === 'noresource' ? [NOBODY_THERE] : []), ...out.slice(1)]);
  });

  test(`notifier: terminated;reason=${reason} while the link is down is held, and said when it is up`, async () => {
    const world = await aToldWorld();
    world.link.down();
    assert.deepEqual(await world.notify({ at: 'terminated', reason }), { kind: 'held' });
    world.link.up();
    assert.deepEqual(await world.notify({ at: 'terminated', reason }), { kind: 'told' });
    assert.deepEqual(world.link.take(), out);
  });
}

test('notifier: after deactivated the watcher keeps his permission: active again says no second subscribed', async () => {
  const world = await aToldWorld();
  await world.notify({ at: 'terminated', reason: 'deactivated' });
  await world.notify({ at: 'pending' });
  world.link.take();
  await world.notify(ACTIVE, aDocument([aTuple()]));
  assert.deepEqual(world.link.take(), [available('phone')]);
});

test('notifier: told means that the link has confirmed everything', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  world.link.isHolding = true;
  let outcome: unknown;
  void world.notify(ACTIVE, aDocument([aTuple()])).then((kind) => (outcome = kind));
  await settled();
  assert.equal(world.link.stanzas.length, 2);
  assert.equal(outcome, undefined);
  world.link.confirm();
  await settled();
  assert.deepEqual(outcome, { kind: 'told' });
});

test('notifier: what was not confirmed when the link was lost is said again, subscribed included', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  world.link.isHolding = true;
  const told = world.notify(ACTIVE, aDocument([aTuple()]));
  await settled();
  world.link.down();
  assert.deepEqual(await told, { kind: 'held' });
  world.link.take();
  world.link.up();
  world.link.isHolding = false;
  await world.notify(ACTIVE, aDocument([aTuple()]));
  assert.deepEqual(world.link.take(), [word('subscribed'), available('phone')]);
});

test('notifier: a change that was lost with the link is said again, and what vanished meanwhile is gone', async () => {
  const world = await aToldWorld();
  world.link.isHolding = true;
  const told = world.notify(ACTIVE, aDocument([aTuple(), aTuple({ id: 'ID-desk' })]));
  await settled();
  world.link.down();
  await told;
  world.link.take();
  world.link.up();
  world.link.isHolding = false;
  await world.notify(ACTIVE, aDocument([aTuple({ show: 'xa' })]));
  assert.deepEqual(world.link.take(), [unavailable('desk'), available('phone', '<show>xa</show>')]);
});

test('notifier: while the link is down nothing is written and the notification is held', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  world.link.down();
  assert.deepEqual(await world.notify(ACTIVE, aDocument([aTuple()])), { kind: 'held' });
  assert.deepEqual(world.link.take(), []);
});

test('notifier: after a restart everything is said, and what it does not have any more is unavailable', async () => {
  const before = await aToldWorld();
  const lease = JSON.parse(JSON.stringify(before.subscriptions.find('s1')?.lease)) as ReturnType<typeof newLinkLease>;
  const world = new XmppPresenceWorld();
  world.subscribed('active', lease);
  await world.notify(ACTIVE, aDocument([aTuple({ id: 'ID-desk' })]));
  assert.deepEqual(world.link.take(), [unavailable('phone'), available('desk')]);
  assert.deepEqual(linkLeaseFrom(lease)?.resources, ['desk']);
});

test('notifier: a resource is stored before it is told as available', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  const { subscriptions, link } = world;
  let sentBefore = -1;
  const save = subscriptions.saveLease.bind(subscriptions);
  subscriptions.saveLease = async (id) => {
    await settled();
    sentBefore = link.stanzas.length;
    return save(id);
  };
  await world.notify(ACTIVE, aDocument([aTuple()]));
  assert.equal(sentBefore, 0);
  assert.deepEqual(subscriptions.calls, [
    'saveLease {"via":"link:office","resources":["phone"]}',
    'saveLeaseLater {"via":"link:office","resources":["phone"],"isAccepted":true}',
  ]);
});

test('notifier: a change of what is known to be told writes nothing', async () => {
  const world = await aToldWorld();
  await world.notify(ACTIVE, aDocument([aTuple({ show: 'away' })]));
  assert.deepEqual(world.subscriptions.calls, []);
});

test('notifier: when the store fails it is said later', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  world.subscriptions.isFailing = true;
  assert.deepEqual(await world.notify(ACTIVE, aDocument([aTuple()])), { kind: 'again', afterMs: 5_000 });
  assert.deepEqual(world.link.take(), []);
});

test('notifier: a subscription that was given up while its lease was stored is told nothing', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  world.subscriptions.saveLease = async () => {
    world.subscriptions.kept.clear();
  };
  assert.deepEqual(await world.notify(ACTIVE, aDocument([aTuple()])), { kind: 'told' });
  assert.deepEqual(world.link.take(), []);
});

test('notifier: told as a whole says everything', async () => {
  const world = await aToldWorld();
  const document = aDocument([aTuple()]);
  await world.notify(ACTIVE, document);
  await world.notify(ACTIVE, document, { isWhole: true });
  assert.deepEqual(world.link.take(), [available('phone')]);
});

test('notifier: one who probed is answered where he asked, and the others hear what has changed', async () => {
  const world = await aToldWorld();
  await world.juliet(`type='probe'`);
  const document = aDocument([aTuple(), aTuple({ id: 'ID-desk' })]);
  await world.notify(ACTIVE, document, { isWhole: true });
  assert.deepEqual(world.link.take(), [
    available('desk'),
    available('phone', '', '/balcony'),
    available('desk', '', '/balcony'),
  ]);
  await world.notify(ACTIVE, document);
  assert.deepEqual(world.link.take(), []);
});

test('notifier: a probe from the bare JID is answered to all', async () => {
  const world = await aToldWorld();
  const document = aDocument([aTuple()]);
  await world.juliet(`type='probe'`, '', '');
  await world.notify(ACTIVE, document, { isWhole: true });
  assert.deepEqual(world.link.take(), [available('phone')]);
});

test('notifier: a repeated subscribe is answered subscribed, and with everything', async () => {
  const world = await aToldWorld();
  await world.juliet(`type='subscribe'`, '', '');
  await world.notify(ACTIVE, aDocument([aTuple()]), { isWhole: true });
  assert.deepEqual(world.link.take(), [word('subscribed'), available('phone')]);
});

test('notifier: what became so long ago bears its time when it is told to one who has just come', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  const delay = `<delay xmlns="urn:xmpp:delay" from="romeo@${OWN}" stamp="2023-11-14T21:13:20Z"/>`;
  const atMs = world.clock.nowMs() - 3_600_000;
  await world.notify(ACTIVE, aDocument([aTuple({ timestampMs: atMs })]));
  assert.deepEqual(world.link.take(), [
    word('subscribed'),
    `<presence from="romeo@${OWN}/phone" ${to()}>${CAPS}${delay}</presence>`,
  ]);
  // A change has happened now, whatever the phone says.
  await world.notify(ACTIVE, aDocument([aTuple({ timestampMs: atMs, show: 'away' })]));
  assert.deepEqual(world.link.take(), [available('phone', '<show>away</show>')]);
});

test('notifier: a stanza that cannot be written ends nothing, and is logged as ours', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  world.link.refuses = (text) =>
    text.includes('/phone') ? new GatewayError('content-too-large', 'stanza over the size limit') : undefined;
  assert.deepEqual(await world.notify(ACTIVE, aDocument([aTuple()])), { kind: 'told' });
  assert.deepEqual(world.link.take(), [word('subscribed')]);
  assert.deepEqual(world.log.at('error'), ['presence stanza cannot be written']);
});

test('notifier: watchers of one document share what is written, by the pair of documents', async () => {
  const world = new XmppPresenceWorld();
  const others = ['a', 'b', 'c'].map((name) => {
    const id = `s-${name}`;
    return world.subscriptions.add({
      id,
      package: 'presence',
      watcher: anAddress(`${name}@xmpp.example`),
      presentity: anAddress('romeo@sip.example'),
      state: ACTIVE,
      subscribedAtMs: 0,
      lease: newLinkLease('office'),
    });
  });
  const [first, second] = [aDocument([aTuple()]), aDocument([aTuple({ show: 'away' })])];
  for (const document of [first, second]) {
    world.link.stanzas.length = 0;
    for (const subscription of others) {
      await world.presence.notifier.notify({ subscription, state: ACTIVE, body: { kind: 'presence', document } });
    }
    const shown = world.link.stanzas.filter(({ attrs }) => attrs['type'] === undefined);
    assert.equal(shown.length, 3);
    assert.equal(new Set(shown.map(({ children }) => children)).size, 1);
    assert.deepEqual(
      shown.map(({ attrs }) => attrs['to']),
      ['a@xmpp.example', 'b@xmpp.example', 'c@xmpp.example'],
    );
  }
});

test('notifier: a watcher that has no JID cannot be told any more', async () => {
  const world = new XmppPresenceWorld();
  const subscription = world.subscriptions.add({ ...world.subscribed(), watcher: anAddress('%20x@xmpp.example') });
  const outcome = await world.presence.notifier.notify({ subscription, state: ACTIVE });
  assert.equal(outcome.kind, 'gone');
});

test('notifier: a link that the configuration does not have holds what is for it', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed('active', newLinkLease('elsewhere'));
  assert.deepEqual(await world.notify(ACTIVE), { kind: 'held' });
});

for (const resources of [undefined, 'x', [1], { length: 1 }]) {
  test(`notifier: a lease on the disk with ${JSON.stringify(resources)} as resources is put right`, async () => {
    const world = new XmppPresenceWorld();
    world.subscribed('active', { via: 'link:office', resources } as unknown as ReturnType<typeof newLinkLease>);
    assert.deepEqual(await world.notify({ at: 'terminated', reason: 'rejected' }), { kind: 'told' });
    assert.deepEqual(world.link.take(), [word('unsubscribed')]);
  });
}
