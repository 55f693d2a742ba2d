/** Presence between two domains that know each other by certificate alone (RFC 5922), without DNS. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { PresencePhone, type Notified } from '../support/presence-phone.ts';
import { tlsPair, type TlsDomain } from '../support/tls-domain.ts';
import { until } from '../support/until.ts';

const PRESENCE = `presence: { default: allow, notifyIntervalSeconds: 0, expires: { min: 5, default: 3600 } }`;

async function pair(t: TestContext, namesOfB: readonly string[]): Promise<Record<'a' | 'b', TlsDomain>> {
  const { a, b } = await tlsPair(namesOfB, PRESENCE);
  t.after(async () => {
    await a.stop();
    await b.stop();
  });
  return { a, b };
}

const shows =
  (text: string) =>
  ({ document }: Notified): boolean =>
    document?.tuples.some(({ notes }) => notes.some((note) => note.text === text)) === true;

test('TLS peers: a watcher of one domain sees a presentity of the other, and the last word of either end is heard', async (t) => {
  const { a, b } = await pair(t, ['DNS:b.example']);
  const [alice, bob] = [new PresencePhone(a.phone), new PresencePhone(b.phone)];
  assert.equal((await bob.publish('over TLS')).status, 200);
  const watching = await alice.subscribe('sip:bob@b.example');
  await watching.untilLast(shows('over TLS'));
  assert.equal((await bob.publish('and changed')).status, 200);
  await watching.untilLast(shows('and changed'));
  assert.equal((await watching.unsubscribe()).status, 200);
  await until(() => b.app.health().presence.subscriptions === 0, { what: 'the end at b' });
});

test('TLS peers: whichever end is started anew, the dialog goes on over new connections', async (t) => {
  const { a, b } = await pair(t, ['DNS:b.example']);
  const [alice, bob] = [new PresencePhone(a.phone), new PresencePhone(b.phone)];
  assert.equal((await bob.publish('before')).status, 200);
  const watching = await alice.subscribe('sip:bob@b.example');
  await watching.untilLast(shows('before'));
  for (const [name, domain] of Object.entries({ a, b })) {
    await domain.restart();
    assert.equal((await bob.publish(`after ${name}`)).status, 200);
    await watching.untilLast(shows(`after ${name}`), { withinMs: 20_000 });
  }
  assert.equal(b.app.health().presence.subscriptions, 1);
  const ended = watching.notifies.filter(({ state }) => state.state === 'terminated');
  assert.deepEqual(ended, [], watching.describe());
});

test('TLS peers: presence neither goes to a certificate for another name nor comes from one', async (t) => {
  const { a, b } = await pair(t, ['DNS:mallory.example']);
  const [alice, bob] = [new PresencePhone(a.phone), new PresencePhone(b.phone)];
  assert.equal((await bob.publish('for friends')).status, 200);
  assert.equal((await alice.publish('at home')).status, 200);
  // Outwards: the SUBSCRIBE is kept, not given to whoever answers there.
  const watching = await alice.subscribe('sip:bob@b.example');
  await until(() => a.log.lines.some(({ message }) => message === 'subscription request was not answered'), {
    what: 'the connection to be given up',
  });
  assert.deepEqual(
    watching.notifies.map(({ state, body }) => [state.state, body]),
    [['pending', '']],
  );
  assert.equal(b.app.health().presence.subscriptions, 0);
  // Inwards: its From is of a peer domain, its certificate is not.
  const refused = await bob.subscribe('sip:alice@a.example');
  const last = await refused.untilLast(({ state }) => state.state === 'terminated');
  assert.deepEqual(last.state, { state: 'terminated', reason: 'rejected' });
  assert.ok(!refused.notifies.some(shows('at home')));
});
