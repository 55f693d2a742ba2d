import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aPerson, aTuple } from './presence-builders.ts';
import { aPresenceDocument } from './presence-documents.ts';
import { isFrom, jid, says, sip, type RosterStage } from './roster-stage.ts';
import { until } from './until.ts';
import { xml } from './xmpp-client.ts';

const IDLE_SINCE = '2026-01-02T03:04:05Z';

/** Who asks, who allows, who takes it back, in both directions; what the roster says of it, and what is seen. */
export function presenceRosterTests(name: string, stage: () => RosterStage): void {
  test(`${name}: a phone watches an XMPP user: asked, approved, two resources, languages, gone`, async () => {
    const [juliet, bob] = await Promise.all([stage().slixmpp('juliet'), stage().phone('bob', 'tcp')]);
    const watching = await bob.subscribe(sip('juliet'));
    assert.equal(watching.status, 200);
    await watching.untilLast(says('pending', 'no document'));
    await juliet.untilPresence(({ from, type }) => from === jid('bob') && type === 'subscribe');

    juliet.presence({ to: jid('bob'), type: 'subscribed' });
    const first = await watching.untilLast(says('active', 'open'), { what: 'one open tuple' });
    assert.equal(first.document?.tuples[0]?.id, 'ID-slixmpp');
    assert.equal(first.document.entity, 'pres:juliet@xmpp.example');

    const phone = await stage().slixmpp('juliet', { resource: 'my phone', available: false });
    phone.presence({ show: 'dnd', priority: 5, statuses: { en: 'Wooing', cs: 'Námluvy' } });
    const second = await watching.untilLast(says('active', 'open', 'open dnd en:Wooing cs:Námluvy'));
    const tuple = second.document?.tuples.find(({ id }) => id === 'ID-my_x20phone');
    assert.equal(tuple?.contact?.priority, 39, 'RFC 8048, section 6.2: 5 of 127');
    assert.deepEqual(second.document?.persons[0]?.rich.activities?.values, [{ name: 'busy' }]);

    phone.presence({ show: 'away', priority: 5 });
    await watching.untilLast(says('active', 'open', 'open away'));
    phone.presence({ type: 'unavailable' });
    await watching.untilLast(says('active', 'closed', 'open'));
    juliet.presence({ type: 'unavailable', statuses: { '': 'good night' } });
    // The language is that of her stream.
    await watching.untilLast(says('active', 'closed en:good night'));
    juliet.presence();
    await watching.untilLast(({ document }) => document?.tuples.some(({ basic }) => basic === 'open') === true);
  });

  test(`${name}: an XMPP user refuses, then allows, then takes it back, and allows again`, async () => {
    const [romeo, carol] = await Promise.all([stage().client('romeo'), stage().phone('carol')]);
    const asked = async (): Promise<void> => {
      const seen = romeo.presences().length;
      await romeo.untilPresence(isFrom('carol', 'subscribe'), { from: seen });
    };
    const ask = async () => {
      const question = asked();
      const watching = await carol.subscribe(sip('romeo'));
      assert.equal(watching.status, 200);
      await watching.until(says('pending', 'no document'));
      await question;
      return watching;
    };
    const refused = await ask();
    await romeo.presence({ to: jid('carol'), type: 'unsubscribed' });
    await refused.untilLast(says('terminated rejected', 'no document'));
    assert.equal((await refused.refresh()).status, 481);

    const allowed = await ask();
    await romeo.presence({ to: jid('carol'), type: 'subscribed' });
    await allowed.untilLast(says('active', 'open'));
    assert.deepEqual(await romeo.roster(), [{ jid: jid('carol'), subscription: 'from' }]);
    await romeo.presence({ to: jid('carol'), type: 'unsubscribed' });
    await allowed.untilLast(({ state }) => state.state === 'terminated' && state.reason === 'rejected');

    const again = await ask();
    await romeo.presence({ to: jid('carol'), type: 'subscribed' });
    await again.untilLast(says('active', 'open'));
  });

  test(`${name}: a phone that stops watching and begins again asks nobody a second time`, async () => {
    const dave = await stage().phone('dave');
    const first = await dave.subscribe(sip('benvolio'));
    // He was not there: his server has kept the question for him.
    const benvolio = await stage().client('benvolio');
    await benvolio.untilPresence(isFrom('dave', 'subscribe'));
    await benvolio.presence({ to: jid('dave'), type: 'subscribed' });
    await first.untilLast(says('active', 'open'));
    assert.equal((await first.unsubscribe()).status, 200);
    const end = await first.untilLast(({ state }) => state.state === 'terminated');
    assert.deepEqual(end.state, { state: 'terminated', reason: 'timeout' });
    assert.ok(
      end.document?.tuples.every(({ basic }) => basic === 'closed'),
      'nobody is there to be seen any more',
    );

    await benvolio.presence({ children: [xml('show', {}, 'xa')] });
    const second = await dave.subscribe(sip('benvolio'));
    await second.untilLast(says('active', 'open xa'));
    assert.ok(
      second.notifies.every(({ state }) => state.state === 'active'),
      second.describe(),
    );
    const once = await dave.subscribe(sip('benvolio'), { expires: 0 });
    await once.untilLast(says('terminated timeout', 'open xa'));
    assert.equal(benvolio.presences().filter(isFrom('dave', 'subscribe')).length, 1);
    assert.deepEqual(await benvolio.roster(), [{ jid: jid('dave'), subscription: 'from' }]);
  });

  test(`${name}: an XMPP user watches a phone: waits, is approved, sees it all, is blocked`, async () => {
    const [mercutio, alice] = await Promise.all([stage().slixmpp('mercutio'), stage().phone('alice')]);
    const document = aPresenceDocument({
      entity: 'pres:alice@sip.example',
      tuples: [
        aTuple({
          id: 'desk',
          contact: { uri: alice.phone.contact, priority: 500 },
          notes: [
            { text: 'In the orchard', language: 'en' },
            { text: 'V sadu', language: 'cs' },
          ],
          rich: { userInput: { state: 'idle', lastInputMs: Date.parse(IDLE_SINCE) } },
        }),
      ],
      persons: [aPerson({ rich: { activities: { values: [{ name: 'meeting' }] } } })],
    });
    assert.equal((await alice.publish(document)).status, 200);
    mercutio.presence({ to: jid('alice'), type: 'subscribe' });
    await until(async () => (await stage().watcherOf('alice', 'mercutio@xmpp.example')) === 'pending confirm', {
      what: 'mercutio waits',
      everyMs: 100,
    });
    // What is asked after it is answered after it: nothing has been shown until now.
    await mercutio.ask('ping', jid('alice'));
    assert.deepEqual(
      mercutio.presences().filter(({ from }) => from.startsWith(jid('alice'))),
      [],
    );
    assert.deepEqual(await mercutio.roster(), [{ jid: jid('alice'), subscription: 'none', ask: 'subscribe' }]);

    await stage().watchers('allow', 'alice', 'mercutio@xmpp.example');
    const seen = await mercutio.untilPresence(({ from, show }) => from === `${jid('alice')}/desk` && show === 'dnd');
    assert.deepEqual(seen.statuses, { en: 'In the orchard', cs: 'V sadu' });
    assert.equal(seen.priority, 64, 'RFC 8048, section 6.3: 0.5 of 127, upwards');
    assert.match(seen.xml, /<idle[^>]* since=['"]2026-01-02T03:04:05(\.000)?Z['"]/);
    assert.deepEqual(await mercutio.roster(), [{ jid: jid('alice'), subscription: 'to', ask: '' }]);

    const changed = { ...document, persons: [], tuples: [aTuple({ id: 'desk', notes: [{ text: 'Free' }] })] };
    await alice.publish(changed);
    await mercutio.untilPresence(({ statuses, show }) => show === '' && statuses[''] === 'Free');
    await alice.unpublish();
    await mercutio.untilPresence(({ from, type }) => from === `${jid('alice')}/desk` && type === 'unavailable');
    await alice.publish('back');
    const back = mercutio.presences().length;
    await mercutio.untilPresence(({ type, statuses }) => type === 'available' && statuses[''] === 'back');

    await stage().watchers('block', 'alice', 'mercutio@xmpp.example');
    await mercutio.untilPresence(({ from, type }) => from === jid('alice') && type === 'unsubscribed', {
      from: back,
    });
    assert.equal(mercutio.presences().at(-2)?.type, 'unavailable', 'first gone, then refused');
    assert.deepEqual(await mercutio.roster(), [{ jid: jid('alice'), subscription: 'none', ask: '' }]);
    const asked = mercutio.presences().length;
    mercutio.presence({ to: jid('alice'), type: 'subscribe' });
    await mercutio.untilPresence(({ type }) => type === 'unsubscribed', { from: asked });
    assert.deepEqual(await mercutio.roster(), [{ jid: jid('alice'), subscription: 'none', ask: '' }]);
  });

  test(`${name}: a polite block and invisibility show somebody who is never there`, async () => {
    const [tybalt, erin] = await Promise.all([stage().client('tybalt'), stage().phone('erin')]);
    await erin.publish('first');
    await stage().watchers('polite-block', 'erin', 'tybalt@xmpp.example');
    await tybalt.presence({ to: jid('erin'), type: 'subscribe' });
    await tybalt.untilPresence(isFrom('erin', 'subscribed'));
    await erin.publish('second');
    await stage().watchers('allow', 'erin', 'tybalt@xmpp.example');
    await tybalt.untilPresence((stanza) => stanza.getChildText('status') === 'second');
    const available = tybalt.presences().filter(isFrom('erin', undefined));
    assert.equal(available.length, 1, 'nothing was to be seen while he was blocked politely');

    const visible = tybalt.presences().length;
    await stage().watchers('invisible', 'erin', 'on');
    await tybalt.untilPresence(isFrom('erin', 'unavailable'), { from: visible });
    await erin.publish('unseen');
    const hidden = tybalt.presences().length;
    await stage().watchers('invisible', 'erin', 'off');
    await tybalt.untilPresence((stanza) => stanza.getChildText('status') === 'unseen', { from: hidden });
    assert.deepEqual(
      tybalt
        .presences()
        .slice(hidden)
        .filter((stanza) => stanza.attrs['type'] !== undefined),
      [],
    );
  });

  test(`${name}: an XMPP user stops watching a phone, and begins again without asking`, async () => {
    const [paris, frank] = await Promise.all([stage().client('paris'), stage().phone('frank', 'tcp')]);
    await frank.publish('here');
    await stage().watchers('allow', 'frank', 'paris@xmpp.example');
    await paris.presence({ to: jid('frank'), type: 'subscribe' });
    await paris.untilPresence((stanza) => stanza.getChildText('status') === 'here');
    assert.equal(await stage().watcherOf('frank', 'paris@xmpp.example'), 'active allow');
    await paris.presence({ to: jid('frank'), type: 'unsubscribe' });
    await until(async () => (await stage().watcherOf('frank', 'paris@xmpp.example')) === '- allow', {
      what: 'paris watches no more',
      everyMs: 100,
    });
    assert.equal((await paris.roster())[0]?.subscription, 'none');
    const before = paris.presences().length;
    await paris.presence({ to: jid('frank'), type: 'subscribe' });
    await paris.untilPresence((stanza) => stanza.getChildText('status') === 'here', { from: before });
    assert.equal((await paris.roster())[0]?.subscription, 'to');
  });
}
