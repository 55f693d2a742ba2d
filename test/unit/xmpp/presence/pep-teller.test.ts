import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capsVer } from '../../../../src/xmpp/presence/disco-info.ts';
import { newLinkLease } from '../../../../src/xmpp/presence/link-lease.ts';
import type { PresenceDocument } from '../../../../src/cpim/presence/document.ts';
import { anAddress } from '../../../support/builders.ts';
import { settled } from '../../../support/fake-clock.ts';
import {
  aDocument,
  aTuple,
  OWN,
  ROMEO_WATCHES,
  ROUTE,
  XmppPresenceWorld,
} from '../../../support/xmpp-presence-world.ts';

const MOOD = 'http://jabber.org/protocol/mood';
const ACTIVITY = 'http://jabber.org/protocol/activity';
const DISCO = 'http://jabber.org/protocol/disco#info';
const ACTIVE = { at: 'active' } as const;

const verOf = (features: readonly string[]): string => capsVer({ identities: [], features, forms: [] }, 'sha-1') ?? '';
const capsOf = (ver: string): string =>
  `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:n' ver='${ver}'/>`;
const query = (id: string, ver: string, at = 'balcony', who = 'juliet'): string =>
  `<iq type="get" id="${id}" from="romeo@${OWN}" to="${who}@xmpp.example/${at}"><query xmlns="${DISCO}" node="urn:n#${ver}"/></iq>`;
const answer = (id: string, features: readonly string[], at = 'balcony', who = 'juliet'): string =>
  `<iq type='result' id='${id}' from='${who}@xmpp.example/${at}' to='romeo@${OWN}'><query xmlns='${DISCO}'>${features.map((feature) => `<feature var='${feature}'/>`).join('')}</query></iq>`;
const event = (node: string, payload: string, at = 'balcony'): string =>
  `<message from="romeo@${OWN}" to="juliet@xmpp.example/${at}" type="headline"><event xmlns="http://jabber.org/protocol/pubsub#event"><items node="${node}"><item id="current">${payload}</item></items></event></message>`;
const mood = (name: string): string =>
  `<mood xmlns="${MOOD}">${name === '' ? '' : `<${name}/>`}</mood>`.replace(
    '></mood>',
    name === '' ? '/>' : '></mood>',
  );

const moody = (name: string | undefined): PresenceDocument =>
  aDocument([aTuple()], {
    persons: [{ id: 'p', rich: name === undefined ? {} : { mood: { values: [{ name }] } }, notes: [], extensions: [] }],
  });

const WANTS_MOOD = [DISCO, `${MOOD}+notify`];
const VER = verOf(WANTS_MOOD);

/** juliet watches romeo and has shown him one client with these capabilities. */
async function shown(ver = VER): Promise<XmppPresenceWorld> {
  const world = new XmppPresenceWorld();
  world.subscribed('active', { ...newLinkLease('office'), isAccepted: true });
  await world.juliet('', capsOf(ver));
  return world;
}

const messages = (world: XmppPresenceWorld): string[] =>
  world.link.take().filter((text) => !text.startsWith('<presence'));

test('pep: a client is asked once what it wants, and is told it', async () => {
  const world = await shown();
  await world.notify(ACTIVE, moody('happy'));
  assert.deepEqual(messages(world), [query('t1', VER)]);
  await world.take(answer('t1', WANTS_MOOD));
  assert.deepEqual(messages(world), [event(MOOD, mood('happy'))]);
});

test('pep: only what has changed is told, and that it is over', async () => {
  const world = await shown();
  await world.notify(ACTIVE, moody('happy'));
  await world.take(answer('t1', WANTS_MOOD));
  messages(world);
  await world.notify(ACTIVE, moody('happy'));
  assert.deepEqual(messages(world), []);
  await world.notify(ACTIVE, moody('sad'));
  assert.deepEqual(messages(world), [event(MOOD, mood('sad'))]);
  await world.notify(ACTIVE, moody(undefined));
  assert.deepEqual(messages(world), [event(MOOD, mood(''))]);
});

test('pep: who wants nothing is told nothing', async () => {
  const world = await shown(verOf([DISCO]));
  await world.notify(ACTIVE, moody('happy'));
  messages(world);
  await world.take(answer('t1', [DISCO]));
  assert.deepEqual(messages(world), []);
});

test('pep: where there is nothing to tell nobody is asked', async () => {
  const world = await shown();
  await world.notify(ACTIVE, aDocument([aTuple()]));
  assert.deepEqual(messages(world), []);
});

test('pep: one who has not shown a client to the presentity is not told', async () => {
  const world = new XmppPresenceWorld();
  world.subscribed();
  await world.notify(ACTIVE, moody('happy'));
  assert.deepEqual(messages(world), []);
});

test('pep: all who show the same verified capabilities are told without being asked', async () => {
  const world = await shown();
  await world.notify(ACTIVE, moody('happy'));
  await world.take(answer('t1', WANTS_MOOD));
  messages(world);
  await world.juliet('', capsOf(VER), '/chamber');
  assert.deepEqual(messages(world), [event(MOOD, mood('happy'), 'chamber')]);
});

test('pep: capabilities that are not what their hash says count for nobody (XEP-0115, section 9.2)', async () => {
  const world = await shown();
  await world.notify(ACTIVE, moody('happy'));
  await world.take(answer('t1', [...WANTS_MOOD, `${ACTIVITY}+notify`]));
  assert.deepEqual(messages(world), [query('t1', VER)]);
  // Another who shows the same is asked himself.
  await world.juliet('', capsOf(VER), '/chamber');
  await settled();
  assert.deepEqual(messages(world), [query('t2', VER, 'chamber')]);
  await world.take(answer('t2', WANTS_MOOD, 'chamber'));
  assert.equal(messages(world).includes(event(MOOD, mood('happy'), 'chamber')), true);
});

test('pep: two who show the same at once: one is asked', async () => {
  const world = await shown();
  await world.juliet('', capsOf(VER), '/chamber');
  await world.notify(ACTIVE, moody('happy'));
  assert.deepEqual(messages(world), [query('t1', VER)]);
  await world.take(answer('t1', WANTS_MOOD));
  await settled();
  assert.deepEqual(messages(world).sort(), [event(MOOD, mood('happy')), event(MOOD, mood('happy'), 'chamber')].sort());
});

test('pep: an answer in the name of another is none', async () => {
  const world = await shown();
  await world.notify(ACTIVE, moody('happy'));
  messages(world);
  await world.take(answer('t1', WANTS_MOOD, 'balcony', 'nurse'));
  assert.deepEqual(messages(world), []);
  await world.take(answer('t1', WANTS_MOOD));
  assert.deepEqual(messages(world), [event(MOOD, mood('happy'))]);
});

test('pep: one who does not answer is told nothing, and is not asked with every change', async () => {
  const world = await shown();
  await world.notify(ACTIVE, moody('happy'));
  messages(world);
  await world.clock.advanceAsync(10_000);
  await world.notify(ACTIVE, moody('sad'));
  await world.notify(ACTIVE, moody('calm'));
  assert.deepEqual(messages(world), []);
});

test('pep: after the link was lost it is told again', async () => {
  const world = await shown();
  await world.notify(ACTIVE, moody('happy'));
  await world.take(answer('t1', WANTS_MOOD));
  messages(world);
  world.office.down();
  world.office.up();
  await world.notify(ACTIVE, moody('happy'));
  assert.deepEqual(messages(world), [event(MOOD, mood('happy'))]);
});

test('pep: what is of one presentity is told to his watchers alone', async () => {
  const world = await shown();
  const { notifier } = world.presence;
  const nurse = world.subscriptions.add({
    ...world.subscribed(),
    id: 's2',
    watcher: anAddress('nurse@xmpp.example'),
    lease: newLinkLease('office'),
  });
  await notifier.notify({ subscription: nurse, state: ACTIVE, body: { kind: 'presence', document: moody('happy') } });
  assert.deepEqual(messages(world), []);
});

// --- and what XMPP users tell

const toRomeo = (payload: string, node = MOOD, from = 'juliet@xmpp.example'): string =>
  `<message from='${from}' to='romeo@${OWN}' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='${node}'><item>${payload}</item></items></event></message>`;

async function watching(): Promise<XmppPresenceWorld> {
  const world = new XmppPresenceWorld();
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  await world.juliet(`type='subscribed'`, '', '');
  await world.juliet();
  world.reports.length = 0;
  return world;
}

test('pep from a contact: the mood of his person is reported, and stored', async () => {
  const world = await watching();
  await world.take(toRomeo(mood('happy')));
  assert.deepEqual(world.reports[0]?.[1].document?.persons[0]?.rich.mood, { values: [{ name: 'happy' }] });
  await settled();
  const again = world.restarted().presence.upstream.reportOf(ROMEO_WATCHES);
  assert.deepEqual(again?.document?.persons[0]?.rich.mood, { values: [{ name: 'happy' }] });
});

for (const [what, xml] of [
  ['his client and not his account', toRomeo(mood('happy'), MOOD, 'juliet@xmpp.example/balcony')],
  ['one who is not watched', toRomeo(mood('happy'), MOOD, 'nurse@xmpp.example')],
  ['a stranger', toRomeo(mood('happy'), MOOD, 'juliet@other.example')],
] as const) {
  test(`pep from ${what} is nothing`, async () => {
    const world = await watching();
    await world.take(xml);
    assert.deepEqual(world.reports, []);
  });
}

test('pep from a contact who has not decided yet is nothing', async () => {
  const world = new XmppPresenceWorld();
  await world.presence.upstream.watch(ROMEO_WATCHES, ROUTE);
  await world.take(toRomeo(mood('happy')));
  await world.juliet(`type='subscribed'`, '', '');
  await world.juliet();
  assert.deepEqual(world.reports.at(-1)?.[1].document?.persons, []);
});
