import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { writeXml } from '../../src/cpim/xml.ts';
import type { Notified, SubscribeOptions, Watching } from '../support/presence-phone.ts';
import { PresenceStage } from '../support/presence-stage.ts';
import { rawRequest, type RawMessage } from '../support/raw-sip.ts';
import { PLACES } from '../support/running-app.ts';
import type { XmppContact } from '../support/xmpp-contact.ts';

/** Who is told what of somebody, and when: entity-tags, rules, and the pace. */
const OWNERS = Array.from({ length: 20 }, (_, at) => `owner${at + 1}`);

describe('what each may see', () => {
  let stage: PresenceStage;
  let owners = 0;
  let contacts = 0;

  before(async () => {
    stage = await PresenceStage.open({ users: OWNERS, presence: 'default: allow, notifyIntervalSeconds: 0' });
  });

  after(() => stage.stop());

  const nextOwner = (): string => OWNERS[owners++] ?? assert.fail('not enough owners');
  const nextContact = (): XmppContact => stage.contact(`juliet${(contacts += 1)}@xmpp.example`);
  const watchOf = (owner: string, watcher = 'alice', options: SubscribeOptions = {}): Promise<Watching> =>
    stage.watch(watcher, `sip:${owner}@sip.example`, options);

  /* Entity-tags (RFC 5839). */

  test('a refresh that names what is known: 204 and no NOTIFY, until something changes (RFC 5839, section 6.3)', async () => {
    const owner = nextOwner();
    const phone = await stage.phone(owner);
    await phone.publish('one');
    const watching = await watchOf(owner);
    const { request } = await watching.until(() => true);
    const tag = request.headers.get('SIP-ETag') ?? '';
    assert.notEqual(tag, '');
    const quiet = await watching.refresh(600, [['Suppress-If-Match', tag]]);
    assert.equal(quiet.status, 204);
    assert.equal(quiet.headers.get('Expires'), '600');
    await stage.settled();
    assert.equal(watching.notifies.length, 1);
    assert.equal((await watching.refresh(600, [['Suppress-If-Match', '*']])).status, 204);
    assert.equal((await watching.refresh(600, [['Suppress-If-Match', 'another']])).status, 200);
    const second = await watching.until(() => true, { from: 1 });
    assert.notEqual(second.body, '');
    assert.equal(second.request.headers.get('SIP-ETag'), tag);
    await phone.publish('two');
    const third = await watching.until(() => true, { from: 2 });
    assert.notEqual(third.request.headers.get('SIP-ETag'), tag);
    assert.equal((await watching.refresh(600, [['Suppress-If-Match', tag]])).status, 200);
    assert.notEqual((await watching.until(() => true, { from: 3 })).body, '');
  });

  test('a new subscription, or a look, that names what is known: NOTIFY without the body (RFC 5839, section 6.2)', async () => {
    const owner = nextOwner();
    await (await stage.phone(owner)).publish('one');
    const first = await watchOf(owner);
    const tag = (await first.until(() => true)).request.headers.get('SIP-ETag') ?? '';
    for (const expires of [600, 0]) {
      const again = await watchOf(owner, 'bob', { expires, headers: [['Suppress-If-Match', tag]] });
      assert.equal(again.status, 200);
      const notify = await again.until(() => true);
      assert.equal(notify.body, '');
      assert.equal(notify.request.headers.get('SIP-ETag'), tag);
      assert.equal(notify.state.state, expires === 0 ? 'terminated' : 'active');
    }
  });

  /* Who may see what. */

  test('a watcher without a name is refused where no rule is for him: 433 (RFC 5079, section 5)', async () => {
    const owner = nextOwner();
    const watching = await watchOf(owner, 'bob', { headers: [['Privacy', 'id']] });
    assert.equal(watching.status, 433);
  });

  test('a watcher without a name who may watch: the owner sees that there is one, and not who (RFC 3323, section 4.1.1.3)', async () => {
    const owner = nextOwner();
    await (await stage.phone(owner)).publish('here');
    const winfo = await stage.winfo(owner);
    await winfo.until('0 full');
    await stage.world.rule(`${owner}@sip.example`, 'anonymous', 'allow');
    const watching = await watchOf(owner, 'bob', { headers: [['Privacy', 'id']] });
    assert.equal(watching.status, 200);
    assert.match((await watching.until(() => true)).body, /here/);
    const lines = await winfo.until('1 anonymous active subscribe');
    assert.ok(!lines.some((line) => line.includes('bob')));
    assert.ok(!winfo.watching.notifies.some(({ body }) => body.includes('bob')));
    const { watchers } = await stage.world.watchers(`${owner}@sip.example`);
    assert.deepEqual(
      watchers.map(({ watcher }) => watcher),
      ['anonymous'],
    );
    // The same within his dialog, and nobody else there.
    assert.equal((await watching.refresh(600)).status, 200);
    await stage.world.rule(`${owner}@sip.example`, 'anonymous', 'block');
    assert.equal((await watching.until(({ state }) => state.state === 'terminated')).state.state, 'terminated');
  });

  test('an anonymous watcher for whom a trusted core speaks (RFC 3325, section 9.3)', async () => {
    const owner = nextOwner();
    await (await stage.phone(owner)).publish('here');
    await stage.world.rule(`${owner}@sip.example`, 'anonymous', 'allow');
    const core = await stage.world.udp(PLACES.core);
    const stranger = await stage.world.udp(PLACES.stranger);
    const subscribe = (contact: string): Buffer =>
      rawRequest({
        method: 'SUBSCRIBE',
        uri: `sip:${owner}@sip.example`,
        from: '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=a',
        to: `<sip:${owner}@sip.example>`,
        headers: ['Event: presence', 'Expires: 600', `Contact: <${contact}>`],
        body: '',
      });
    assert.equal((await stage.world.ask(stranger, subscribe(`sip:${PLACES.stranger}:${stranger.port}`))).status, 433);
    assert.equal((await stage.world.ask(core, subscribe(`sip:${PLACES.core}:${core.port}`))).status, 200);
    const notify: RawMessage = await core.next();
    assert.match(notify.startLine, /^NOTIFY /);
    assert.match(notify.body.toString(), /here/);
  });

  /** What of a NOTIFY may tell two watchings apart: everything but what each dialog has of its own. */
  const conduct = ({ request, body, state }: Notified): string => {
    const own = new Set(['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Contact', 'Subscription-State']);
    const fields = request.headers.fields
      .filter(([name]) => !own.has(name))
      .map(([name, value]) => `${name}: ${value}`);
    return [state.state, ...fields, body].join('\n');
  };

  test('polite block: byte for byte what is seen of one who is offline, and nothing ever comes when he moves (RFC 3856, section 6.6.2)', async () => {
    const owner = nextOwner();
    // Offline: what one who may watch sees of him.
    const allowed = await watchOf(owner);
    const offline = conduct(await allowed.until(() => true));
    await stage.world.rule(`${owner}@sip.example`, 'bob@sip.example', 'polite-block');
    const blocked = await watchOf(owner, 'bob');
    assert.equal(blocked.status, allowed.status);
    assert.deepEqual(
      blocked.response?.headers.fields.map(([name]) => name),
      allowed.response?.headers.fields.map(([name]) => name),
    );
    assert.equal(conduct(await blocked.until(() => true)), offline);

    const phone = await stage.phone(owner);
    for (const note of ['one', 'two', 'three']) {
      await phone.publish(note);
      await phone.phone.register();
      await stage.settled();
    }
    assert.ok(allowed.notifies.length > 3);
    assert.equal(blocked.notifies.length, 1, 'nothing that he could time');

    assert.equal((await blocked.refresh()).status, 200);
    assert.equal(conduct(await blocked.until(() => true, { from: 1 })), offline);
    const look = await watchOf(owner, 'bob', { expires: 0 });
    assert.equal((await look.until(() => true)).body, allowed.notifies[0]?.body);
    const tag = blocked.notifies[0]?.request.headers.get('SIP-ETag') ?? '';
    assert.equal((await blocked.refresh(600, [['Suppress-If-Match', tag]])).status, 204);
    await stage.crash();
    assert.equal((await blocked.refresh()).status, 200);
    await stage.settled();
    assert.ok(blocked.notifies.every((notify) => conduct(notify) === offline));
    // And so it is for him when the owner has really gone, which nobody is told.
    const { length } = blocked.notifies;
    await phone.unpublish();
    await phone.phone.register(0);
    await stage.settled();
    assert.equal(blocked.notifies.length, length);
    assert.equal(allowed.notifies.at(-1)?.body, allowed.notifies[0]?.body);
    assert.equal((await blocked.unsubscribe()).status, 200);
    const last = await blocked.until(({ state }) => state.state === 'terminated');
    assert.equal(last.body, allowed.notifies[0]?.body);
  });

  test('polite block that comes later looks like going offline, and allowing later like coming', async () => {
    const owner = nextOwner();
    const phone = await stage.phone(owner);
    const watching = await watchOf(owner, 'bob');
    const offline = conduct(await watching.until(() => true));
    await phone.publish('here');
    await watching.until(({ body }) => body.includes('here'));
    await stage.world.rule(`${owner}@sip.example`, 'bob@sip.example', 'polite-block');
    await stage.settled();
    assert.equal(conduct(watching.notifies.at(-1) ?? assert.fail()), offline);
    const { length } = watching.notifies;
    await phone.publish('still here');
    await stage.settled();
    assert.equal(watching.notifies.length, length);
    await stage.world.rule(`${owner}@sip.example`, 'bob@sip.example', 'allow');
    assert.match((await watching.until(() => true, { from: length })).body, /still here/);
  });

  test('polite block of an XMPP user: subscribed, and stanza for stanza what is seen of one who is offline', async () => {
    const owner = nextOwner();
    const [juliet, nurse] = [nextContact(), nextContact()];
    await stage.world.rule(`${owner}@sip.example`, juliet.jid, 'polite-block');
    nurse.say({ to: owner, type: 'subscribe' });
    juliet.say({ to: owner, type: 'subscribe' });
    await stage.settled();
    const phone = await stage.phone(owner);
    const writtenTo = (contact: XmppContact): string[] =>
      contact.received.map((stanza) => writeXml(stanza).replace(contact.jid, 'WATCHER'));
    assert.deepEqual(writtenTo(juliet), writtenTo(nurse));
    assert.equal(writtenTo(juliet).length, 2);
    await phone.publish('here');
    await stage.settled();
    assert.equal(writtenTo(juliet).length, 2);
    assert.equal(writtenTo(nurse).length > 2, true);
    juliet.say({ to: owner, type: 'probe' });
    await stage.settled();
    assert.equal(writtenTo(juliet)[2], writtenTo(juliet)[1]);
  });

  test('where he is, only those see whose rule says so, and he himself (RFC 4119, section 2)', async () => {
    const owner = nextOwner();
    const phone = await stage.phone(owner);
    const address = `${owner}@sip.example`;
    await stage.world.rule(address, 'bob@sip.example', 'allow', true);
    await stage.world.rule(address, 'carol@sip.example', 'allow');
    const juliet = nextContact();
    await stage.world.rule(address, juliet.jid, 'allow');
    juliet.say({ to: owner, type: 'subscribe' });
    const watchings = {
      bob: await watchOf(owner, 'bob'),
      carol: await watchOf(owner, 'carol'),
      dave: await watchOf(owner, 'dave'),
      self: await watchOf(owner, owner),
    };
    const place =
      '<gp:geopriv xmlns:gp="urn:ietf:params:xml:ns:pidf:geopriv10"><gp:location-info>' +
      '<gml:Point xmlns:gml="http://www.opengis.net/gml" srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>45.4408 12.3155</gml:pos></gml:Point>' +
      '</gp:location-info><gp:usage-rules/></gp:geopriv>';
    const tuple = `<tuple id="t"><status><basic>open</basic>${place}</status><note>here</note></tuple>`;
    const body = `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:${address}">${tuple}</presence>`;
    assert.equal((await phone.publishBody(body)).status, 200);
    for (const [name, watching] of Object.entries(watchings)) {
      const told = await watching.until(({ body: each }) => each.includes('here'));
      assert.equal(told.body.includes('45.4408'), name === 'bob' || name === 'self', name);
    }
    assert.ok(!juliet.received.some((stanza) => writeXml(stanza).includes('45.4408')));
    const { length } = watchings.bob.notifies;
    await stage.world.rule(address, 'bob@sip.example', 'allow');
    const last = await watchings.bob.until(() => true, { from: length });
    assert.ok(!last.body.includes('45.4408'));
    assert.ok(!watchings.carol.notifies.some((notify) => notify.body.includes('45.44')));
  });

  test('invisible: everybody sees him go, he sees himself; visible again: everybody sees him', async () => {
    const owner = nextOwner();
    const phone = await stage.phone(owner);
    const juliet = nextContact();
    juliet.say({ to: owner, type: 'subscribe' });
    const [other, self] = [await watchOf(owner, 'bob'), await watchOf(owner, owner)];
    const offline = conduct(await other.until(() => true));
    await phone.publish('here');
    await other.until(({ body }) => body.includes('here'));
    await stage.settled();
    juliet.news();
    await stage.world.setInvisible(`${owner}@sip.example`, true);
    await stage.settled();
    assert.equal(conduct(other.notifies.at(-1) ?? assert.fail()), offline);
    assert.deepEqual(juliet.news(), [`unavailable ${owner}/t1`, `unavailable ${owner}/offline`]);
    const { length } = other.notifies;
    await phone.publish('secretly here');
    await self.until(({ body }) => body.includes('secretly here'));
    await stage.settled();
    assert.equal(other.notifies.length, length);
    assert.deepEqual(juliet.news(), []);
    const late = await watchOf(owner, 'carol');
    assert.equal(conduct(await late.until(() => true)), offline);
    await stage.world.setInvisible(`${owner}@sip.example`, false);
    await other.until(({ body }) => body.includes('secretly here'), { from: length });
    await stage.settled();
    assert.equal(juliet.news().at(-1), `available ${owner}/t1: secretly here`);
  });
});

describe('at the usual pace', () => {
  let stage: PresenceStage;

  before(async () => {
    stage = await PresenceStage.open({ users: OWNERS, presence: 'default: allow' });
  });

  after(() => stage.stop());

  const notesOf = (watching: Watching): string[] =>
    watching.notifies.map(({ document }) => document?.tuples[0]?.notes[0]?.text ?? '');

  test('one NOTIFY in 5 s, the newest state then; the first and the last are never held back (RFC 3856, section 6.10)', async () => {
    const phone = await stage.phone('owner1');
    const watching = await stage.watch('alice', 'sip:owner1@sip.example');
    await watching.until(() => true);
    const toldMs = stage.clock.nowMs();
    for (const note of ['one', 'two', 'three']) await phone.publish(note);
    await stage.settled();
    assert.deepEqual(notesOf(watching), [''], 'not so soon after the first');
    stage.clock.run(5);
    await watching.until(() => true, { from: 1 });
    stage.clock.run(1);
    const waitedMs = stage.clock.nowMs() - toldMs;
    assert.ok(waitedMs >= 4_900, `${waitedMs} ms`);
    assert.deepEqual(notesOf(watching), ['', 'three']);
    await phone.publish('four');
    await stage.settled();
    assert.equal(watching.notifies.length, 2);
    // An answer to the watcher himself is no change, and carries the newest.
    assert.equal((await watching.refresh()).status, 200);
    await watching.until(() => true, { from: 2 });
    assert.deepEqual(notesOf(watching), ['', 'three', 'four']);
    await phone.publish('five');
    await stage.world.rule('owner1@sip.example', 'alice@sip.example', 'block');
    assert.equal((await watching.until(() => true, { from: 3 })).state.state, 'terminated');
    stage.clock.jump(6_000);
    await stage.settled();
    assert.equal(watching.notifies.length, 4);
  });

  test('a change alone, after a rest, is told at once', async () => {
    const phone = await stage.phone('owner2');
    const watching = await stage.watch('alice', 'sip:owner2@sip.example');
    await watching.until(() => true);
    stage.clock.jump(6_000);
    await phone.publish('alone');
    await stage.settled();
    assert.deepEqual(notesOf(watching), ['', 'alone']);
  });

  test('an XMPP watcher is told no more often than a phone', async () => {
    const phone = await stage.phone('owner3');
    const juliet = stage.contact('pace@xmpp.example');
    juliet.say({ to: 'owner3', type: 'subscribe' });
    await juliet.untilNews(2, 'subscribed and his absence');
    for (const note of ['one', 'two', 'three']) await phone.publish(note);
    await stage.settled();
    assert.deepEqual(juliet.news(), []);
    stage.clock.jump(6_000);
    await stage.settled();
    const news = juliet.news();
    assert.ok(news.includes('available owner3/t1: three'), news.join(', '));
    assert.ok(!news.some((line) => line.includes('one') || line.includes('two')));
  });
});
