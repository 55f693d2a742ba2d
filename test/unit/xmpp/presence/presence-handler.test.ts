import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../../../src/core/errors.ts';
import { settled } from '../../../support/fake-clock.ts';
import { JULIET_WATCHES, OWN, ROMEO_WATCHES, ROUTE, XmppPresenceWorld } from '../../../support/xmpp-presence-world.ts';

const ERRORS = 'urn:ietf:params:xml:ns:xmpp-stanzas';
const UNSUBSCRIBED = `<presence from="romeo@${OWN}" to="juliet@xmpp.example" id="notify" type="unsubscribed"/>`;
const PAIR = 'juliet@xmpp.example romeo@sip.example';

test('subscribe, none: a new subscription over the link, without an end', async () => {
  const world = new XmppPresenceWorld();
  await world.juliet(`type='subscribe' id='a'`, `<nick xmlns='http://jabber.org/protocol/nick'>Jule</nick>`, '');
  assert.deepEqual(world.subscriptions.requests, [
    {
      ...JULIET_WATCHES,
      id: 't1',
      package: 'presence',
      lease: { via: 'link:office', resources: [] },
      expires: 'never',
      displayName: 'Jule',
      origin: { kind: 'link', link: 'office', domain: 'xmpp.example' },
    },
  ]);
  assert.deepEqual(world.link.take(), []);
});

test('subscribe from a full JID is that of the user (RFC 6121, section 3.1.2)', async () => {
  const world = new XmppPresenceWorld();
  await world.juliet(`type='subscribe'`);
  assert.deepEqual(world.subscriptions.take(), [`subscribe ${PAIR}`]);
  assert.deepEqual(world.subscriptions.requests[0]?.lease, { via: 'link:office', resources: [], askedFrom: 'balcony' });
});

for (const at of ['active', 'pending'] as const) {
  test(`subscribe, ${at} already: no second subscription${at === 'active' ? ', told again' : ', nothing is told'}`, async () => {
    const world = new XmppPresenceWorld();
    world.subscribed(at);
    await world.juliet(`type='subscribe'`, '', '');
    assert.deepEqual(world.subscriptions.take(), ['attend s1 true', ...(at === 'active' ? ['tellAgain s1'] : [])]);
    assert.deepEqual(world.link.take(), []);
  });
}

test('subscribe by one who is blocked: unsubscribed', async () => {
  const world = new XmppPresenceWorld();
  world.subscriptions.refuses = 'sender-forbidden';
  await world.juliet(`type='subscribe' id='a'`, '', '');
  assert.deepEqual(world.link.take(), [
    `<presence type="unsubscribed" from="romeo@${OWN}" to="juliet@xmpp.example" id="a"/>`,
  ]);
});

const REFUSED: Partial<Record<ErrorCode, string>> = {
  'rate-exceeded': 'resource-constraint',
  'policy-violated': 'policy-violation',
  'store-unavailable': 'resource-constraint',
  'recipient-unknown': 'item-not-found',
};
for (const [code, condition] of Object.entries(REFUSED)) {
  test(`subscribe refused with ${code}: ${condition}, the permission is not decided`, async () => {
    const world = new XmppPresenceWorld();
    world.subscriptions.refuses = code as ErrorCode;
    await world.juliet(`type='subscribe' id='a'`, '', '');
    const [answer = ''] = world.link.take();
    assert.match(answer, /^<presence type="error"/);
    assert.ok(answer.includes(`<${condition} `));
  });
}

test('subscribe to the domain itself: service-unavailable', async () => {
  const world = new XmppPresenceWorld();
  await world.take(`<presence from='juliet@xmpp.example' to='${OWN}' type='subscribe'/>`);
  assert.match(world.link.take().join(''), /service-unavailable/);
});

test('unsubscribe: the subscription is forgotten, what was told is gone, unsubscribed (RFC 8048, section 5.2.3)', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed('active', { via: 'link:office', resources: ['phone', ''], isAccepted: true });
  await world.juliet(`type='unsubscribe'`, '', '');
  assert.deepEqual(world.subscriptions.take(), ['forget s1']);
  assert.deepEqual(world.link.take(), [
    `<presence from="romeo@${OWN}/phone" to="juliet@xmpp.example" id="notify" type="unavailable"/>`,
    `<presence from="romeo@${OWN}" to="juliet@xmpp.example" id="notify" type="unavailable"/>`,
    UNSUBSCRIBED,
  ]);
});

test('unsubscribe without a subscription is answered the same', async () => {
  const world = new XmppPresenceWorld();
  await world.juliet(`type='unsubscribe'`, '', '');
  assert.deepEqual(world.subscriptions.take(), []);
  assert.deepEqual(world.link.take(), [UNSUBSCRIBED]);
});

test('one direction ends without the other (RFC 8048, sections 5.2.3 and 5.3.3)', async () => {
  const world = new XmppPresenceWorld();
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  await world.juliet(`type='subscribed'`, '', '');
  world.subscribed();
  world.takeReports();
  await world.juliet(`type='unsubscribe'`, '', '');
  assert.deepEqual(world.takeReports(), []);
  world.subscribed();
  world.subscriptions.take();
  await world.juliet(`type='unsubscribed'`, '', '');
  assert.deepEqual(world.takeReports(), ['ended rejected']);
  assert.deepEqual(world.subscriptions.take(), []);
});

test('probe, active: he is there, and is told again', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.juliet(`type='probe'`);
  assert.deepEqual(world.subscriptions.take(), ['attend s1 true', 'tellAgain s1']);
  assert.deepEqual(world.link.take(), []);
});

test('probe, pending: nothing is told', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed('pending');
  await world.juliet(`type='probe'`);
  assert.deepEqual(world.subscriptions.take(), ['attend s1 true']);
  assert.deepEqual(world.link.take(), []);
});

for (const user of ['romeo', 'nobody']) {
  test(`probe, none, for ${user}: unsubscribed (RFC 6121, section 4.3.2)`, async () => {
    const world = new XmppPresenceWorld();
    await world.take(`<presence from='juliet@xmpp.example/balcony' to='${user}@${OWN}' type='probe'/>`);
    assert.deepEqual(world.link.take(), [UNSUBSCRIBED.replace('romeo@', `${user}@`)]);
  });
}

test('available from a watcher: he is there; unavailable of his last resource: he is not', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.juliet('', '', '/a');
  await world.juliet('', '', '/b');
  await world.juliet(`type='unavailable'`, '', '/a');
  await world.juliet(`type='unavailable'`, '', '/b');
  assert.deepEqual(world.subscriptions.take(), [
    'attend s1 true',
    'attend s1 true',
    'attend s1 true',
    'attend s1 false',
  ]);
});

test('available and unavailable of one who watches nobody: nothing to the core', async () => {
  const world = new XmppPresenceWorld();
  await world.juliet();
  await world.juliet(`type='unavailable'`);
  assert.deepEqual([world.subscriptions.take(), world.link.take()], [[], []]);
});

for (const name of ['gone', 'item-not-found']) {
  test(`error ${name} for what a watcher was told: he does not exist any more`, async () => {
    const world = new XmppPresenceWorld();
    world.subscribed();
    const error = `<error type='cancel'><${name} xmlns='${ERRORS}'/></error>`;
    await world.juliet(`type='error' id='notify'`, error, '/balcony');
    assert.deepEqual(world.subscriptions.take(), []);
    await world.juliet(`type='error' id='notify'`, error, '');
    assert.deepEqual(world.subscriptions.take(), ['forget s1']);
    assert.deepEqual(world.link.take(), []);
  });
}

for (const name of ['service-unavailable', 'remote-server-timeout', 'recipient-unavailable']) {
  test(`error ${name} for what a watcher was told ends nothing, and is not answered`, async () => {
    const world = new XmppPresenceWorld();
    world.subscribed();
    await world.juliet(`type='error' id='notify'`, `<error type='wait'><${name} xmlns='${ERRORS}'/></error>`, '');
    assert.deepEqual([world.subscriptions.take(), world.link.take()], [[], []]);
  });
}

test('presence of an unknown type is ignored', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.juliet(`type='invisible'`);
  assert.deepEqual([world.subscriptions.take(), world.link.take(), world.takeReports()], [[], [], []]);
});

for (const [what, xml] of [
  ['a stranger', `<presence from='a@other.example' to='romeo@${OWN}' type='subscribe'/>`],
  ['one who claims our name', `<presence from='a@${OWN}' to='romeo@${OWN}' type='subscribe'/>`],
  ['one who claims our domain', `<presence from='a@sip.example' to='romeo@${OWN}' type='subscribed'/>`],
  ['one who means another domain', `<presence from='juliet@xmpp.example' to='romeo@sip.example' type='subscribe'/>`],
] as const) {
  test(`presence of ${what} is dropped`, async () => {
    const world = new XmppPresenceWorld();
    await world.take(xml);
    assert.deepEqual([world.subscriptions.take(), world.link.take()], [[], []]);
  });
}

test('order: what one sends is taken in its order, also while something is being stored', async () => {
  const world = new XmppPresenceWorld();
  let open = (): void => undefined;
  world.subscriptions.gate = new Promise((resolve) => (open = resolve));
  const first = world.begin(`<presence from='juliet@xmpp.example' to='romeo@${OWN}' type='subscribe'/>`);
  const second = world.begin(`<presence from='juliet@xmpp.example' to='romeo@${OWN}' type='subscribe'/>`);
  const third = world.begin(`<presence from='juliet@xmpp.example' to='romeo@${OWN}' type='unsubscribe'/>`);
  const other = world.begin(`<presence from='nurse@xmpp.example' to='romeo@${OWN}' type='probe'/>`);
  assert.deepEqual(world.subscriptions.take(), [`subscribe ${PAIR}`]);
  assert.deepEqual(world.link.take(), [UNSUBSCRIBED.replace('juliet@', 'nurse@')]);
  open();
  await Promise.all([first, second, third, other]);
  assert.deepEqual(world.subscriptions.take(), ['attend t1 true', 'tellAgain t1', 'forget t1']);
  assert.deepEqual(world.link.take(), [UNSUBSCRIBED]);
});

test('order: one that is refused does not hold up the next', async () => {
  const world = new XmppPresenceWorld();
  world.subscriptions.refuses = 'store-unavailable';
  const first = world.begin(`<presence from='juliet@xmpp.example' to='romeo@${OWN}' type='subscribe' id='1'/>`);
  const second = world.begin(`<presence from='juliet@xmpp.example' to='romeo@${OWN}' type='probe' id='2'/>`);
  await Promise.all([first, second]);
  const [refused = '', answered] = world.link.take();
  assert.match(refused, /type="error".*id="1".*resource-constraint/);
  assert.equal(answered, UNSUBSCRIBED);
});

test('unavailable from the account says that nobody is there only where the user may see who is', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  await world.juliet(`type='unavailable'`, '', '');
  assert.deepEqual(world.subscriptions.take(), []);
  await world.juliet(`type='subscribed'`, '', '');
  await world.juliet(`type='unavailable'`, '', '');
  assert.deepEqual(world.subscriptions.take(), ['attend s1 false']);
});

// --- whether a watcher is still there (RFC 8048, section 8.1)

const PING = (to: string, id = 't1'): string =>
  `<iq type="get" id="${id}" from="romeo@${OWN}" to="${to}"><ping xmlns="urn:xmpp:ping"/></iq>`;
const iq = (type: string, condition = '', from = 'juliet@xmpp.example/balcony', id = 't1'): string =>
  `<iq type='${type}' from='${from}' to='romeo@${OWN}' id='${id}'>${condition === '' ? '' : `<error type='cancel'><${condition} xmlns='${ERRORS}'/></error>`}</iq>`;

test('still there: one who shows that he is available, without asking', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.juliet();
  assert.equal(await world.presence.isStillThere(JULIET_WATCHES), true);
  assert.deepEqual(world.link.take(), []);
});

test('still there: nobody without a subscription', async () => {
  assert.equal(await new XmppPresenceWorld().presence.isStillThere(JULIET_WATCHES), false);
});

const THERE: ReadonlyArray<readonly [what: string, answer: string, isThere: boolean]> = [
  ['a result from where he asked last', iq('result'), true],
  ['an error from there', iq('error', 'service-unavailable'), false],
  ['no such client', iq('error', 'item-not-found'), false],
  ['a client that knows no pings', iq('error', 'feature-not-implemented'), true],
  ['that his server cannot be reached', iq('error', 'remote-server-timeout'), true],
  ['an answer from elsewhere, so none', iq('error', 'item-not-found', 'nurse@xmpp.example/balcony'), true],
  ['no answer', '', true],
];
for (const [what, answer, isThere] of THERE) {
  test(`still there: ${what}: ${isThere ? 'yes' : 'no'}`, async () => {
    const world = new XmppPresenceWorld();
    world.subscribed();
    await world.juliet(`type='probe'`);
    const found = world.presence.isStillThere(JULIET_WATCHES);
    assert.deepEqual(world.link.take(), [PING('juliet@xmpp.example/balcony')]);
    if (answer !== '') await world.take(answer);
    await world.clock.advanceAsync(10_000);
    assert.equal(await found, isThere);
  });
}

for (const [what, answer, isThere] of [
  ['a result', iq('result', '', 'juliet@xmpp.example'), true],
  ['that it serves no pings', iq('error', 'service-unavailable', 'juliet@xmpp.example'), true],
  ['that there is no such user', iq('error', 'item-not-found', 'juliet@xmpp.example'), false],
  ['that his server cannot be reached', iq('error', 'remote-server-timeout', 'juliet@xmpp.example'), true],
] as const) {
  test(`still there: one who never asked from a client, whose account says ${what}: ${isThere ? 'yes' : 'no'}`, async () => {
    const world = new XmppPresenceWorld();
    world.subscribed();
    const found = world.presence.isStillThere(JULIET_WATCHES);
    assert.deepEqual(world.link.take(), [PING('juliet@xmpp.example')]);
    await world.take(answer);
    assert.equal(await found, isThere);
  });
}

test('still there: where he asked from last is stored, so that a later process can ask', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.juliet(`type='probe'`);
  await world.juliet(`type='probe'`);
  await settled();
  assert.deepEqual(
    world.subscriptions.calls.filter((call) => call.startsWith('saveLeaseLater')),
    ['saveLeaseLater {"via":"link:office","resources":[],"askedFrom":"balcony"}'],
  );
});

test('still there: over a link that is lost nobody can say, so that he is kept', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.juliet(`type='probe'`);
  const found = world.presence.isStillThere(JULIET_WATCHES);
  world.link.down();
  world.office.down();
  assert.equal(await found, true);
  world.link.take();
  assert.equal(await world.presence.isStillThere(JULIET_WATCHES), true);
  assert.deepEqual(world.link.take(), []);
});
