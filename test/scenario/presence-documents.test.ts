import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { writeXml, type XmlElement } from '../../src/cpim/xml.ts';
import { readPresence } from '../../src/cpim/presence/presence-formats.ts';
import { PresencePhone, type SubscribeOptions, type Watching } from '../support/presence-phone.ts';
import { needs } from '../support/peers.ts';
import { assertValid, PresenceStage } from '../support/presence-stage.ts';
import { COMPONENT } from '../support/running-app.ts';
import { pidfOf, type ScriptedPresenceServer } from '../support/scripted-presence-server.ts';
import type { XmppContact } from '../support/xmpp-contact.ts';
import { until } from '../support/until.ts';

/**
 * What is said of somebody, on the wire in both directions: documents and stanzas, formats, and the URIs of those they are
 * about. Every document that phones get in these tests is valid against the published schemas.
 */
const OWNERS = Array.from({ length: 60 }, (_, at) => `owner${at + 1}`);
const OPEN = '<status><basic>open</basic></status>';

/** What an XMPP user sees of a resource: its children but for the capabilities, which are always the same. */
function shown(stanza: XmlElement | undefined): string {
  const children = (stanza?.children ?? []).filter((child) => typeof child === 'string' || child.name !== 'c');
  return children.map((child) => (typeof child === 'string' ? child : writeXml(child))).join('');
}

describe('documents', () => {
  let stage: PresenceStage;
  let server: ScriptedPresenceServer;
  let owners = 0;
  let contacts = 0;

  before(async () => {
    stage = await PresenceStage.open({
      homeCore: true,
      users: OWNERS,
      presence: 'default: allow, notifyIntervalSeconds: 0',
    });
    server = await stage.homeServer();
  });

  after(async () => {
    await stage.stop();
    await server.close();
  });

  const nextOwner = (): string => OWNERS[owners++] ?? assert.fail('not enough owners');
  const nextContact = (): XmppContact => stage.contact(`juliet${(contacts += 1)}@xmpp.example`);
  const watchOf = (owner: string, watcher = 'alice', options: SubscribeOptions = {}): Promise<Watching> =>
    stage.watch(watcher, `sip:${owner}@sip.example`, options);

  /** A user of ours whom an XMPP user watches. */
  async function watchedOverXmpp(): Promise<{ owner: string; phone: PresencePhone; juliet: XmppContact }> {
    const owner = nextOwner();
    const juliet = nextContact();
    juliet.say({ to: owner, type: 'subscribe' });
    await juliet.untilNews(2, 'subscribed, and that he is not there');
    return { owner, phone: await stage.phone(owner), juliet };
  }

  /** An XMPP user whom alice watches. */
  async function watchedOverSip(options: SubscribeOptions = {}): Promise<{ juliet: XmppContact; watching: Watching }> {
    const juliet = nextContact();
    const watching = await stage.watch('alice', `sip:${juliet.jid}`, options);
    await juliet.untilNews(1, 'the request');
    juliet.say({ to: 'alice', type: 'subscribed' });
    await watching.until(({ state }) => state.state === 'active');
    return { juliet, watching };
  }

  async function published(phone: PresencePhone, inside: string, more = ''): Promise<void> {
    const namespaces =
      'xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" ' +
      'xmlns:r="urn:ietf:params:xml:ns:pidf:rpid"';
    const tuple = inside === '' ? '' : `<tuple id="desk">${inside}</tuple>`;
    const body = `<presence ${namespaces} entity="pres:${phone.address}">${tuple}${more}</presence>`;
    assert.equal((await phone.publishBody(body)).status, 200);
    await stage.settled();
  }

  /* A document of a phone, as an XMPP user sees it (RFC 8048, section 6.3). */

  const TO_XMPP: ReadonlyArray<readonly [name: string, tuple: string, more: string, seen: string]> = [
    ['one note', `${OPEN}<note>Here</note>`, '', '<status>Here</status>'],
    ['notes in several languages', `${OPEN}<note xml:lang="en">Here</note><note xml:lang="cs">Tady</note><note>ici</note>`, '', '<status xml:lang="en">Here</status><status xml:lang="cs">Tady</status><status>ici</status>'],
    ['a note of the document, where the tuple has none', OPEN, '<note xml:lang="de">Hier</note>', '<status xml:lang="de">Hier</status>'],
    ['a note of the document, where the tuple has one', `${OPEN}<note>mine</note>`, '<note>all</note>', '<status>mine</status>'],
    ...['away', 'chat', 'dnd', 'xa'].map((show) => [`show ${show}`, `<status><basic>open</basic><show xmlns="jabber:client">${show}</show></status>`, '', `<show>${show}</show>`] as const),
    ['a show that XMPP does not have', '<status><basic>open</basic><show xmlns="jabber:client">lunch</show></status>', '', ''],
    ['show before activities', '<status><basic>open</basic><show xmlns="jabber:client">chat</show></status>', '<dm:person id="p"><r:activities><r:busy/></r:activities></dm:person>', '<show>chat</show>'],
    ...['busy', 'meeting', 'on-the-phone', 'performance', 'presentation', 'steering', 'appointment'].map((each) => [`activity ${each}`, OPEN, `<dm:person id="p"><r:activities><r:${each}/></r:activities></dm:person>`, '<show>dnd</show>'] as const),
    ...['away', 'breakfast', 'dinner', 'meal', 'in-transit', 'shopping', 'travel', 'tv', 'spectator', 'playing'].map((each) => [`activity ${each}`, OPEN, `<dm:person id="p"><r:activities><r:${each}/></r:activities></dm:person>`, '<show>away</show>'] as const),
    ...['holiday', 'permanent-absence', 'sleeping', 'vacation', 'worship'].map((each) => [`activity ${each}`, OPEN, `<dm:person id="p"><r:activities><r:${each}/></r:activities></dm:person>`, '<show>xa</show>'] as const),
    ...['working', 'looking-for-work', 'other', 'unknown'].map((each) => [`activity ${each}`, OPEN, `<dm:person id="p"><r:activities><r:${each}/></r:activities></dm:person>`, ''] as const),
    ['an activity that is over', OPEN, '<dm:person id="p"><r:activities until="2001-01-01T00:00:00Z"><r:busy/></r:activities></dm:person>', ''],
    ['an activity that has not begun', OPEN, '<dm:person id="p"><r:activities from="2190-01-01T00:00:00Z"><r:busy/></r:activities></dm:person>', ''],
    ...([['0', 0], ['0.001', 1], ['0.007', 1], ['0.008', 2], ['0.015', 2], ['0.5', 64], ['0.992', 126], ['0.999', 126], ['1', 127], ['1.0', 127]] as const).map(([q, p]) => [`priority ${q}`, `${OPEN}<contact priority="${q}">sip:desk@sip.example</contact>`, '', `<priority>${p}</priority>`] as const),
    ...['1.5', '-1', 'high'].map((q) => [`a priority that is none: ${q}`, `${OPEN}<contact priority="${q}">sip:desk@sip.example</contact>`, '', ''] as const),
    ['a contact without priority, and a timestamp', `${OPEN}<contact>sip:desk@sip.example</contact><timestamp>${new Date().toISOString()}</timestamp>`, '', ''],
    ['input long ago', `${OPEN}<r:user-input last-input="2021-01-01T00:00:00Z">idle</r:user-input>`, '', '<idle xmlns="urn:xmpp:idle:1" since="2021-01-01T00:00:00Z"/>'],
    ['input just now', `${OPEN}<r:user-input>active</r:user-input>`, '', ''],
    ['elements of others', `${OPEN}<x xmlns="urn:example:x"><y/></x><note>here</note>`, '<z xmlns="urn:example:z"/>', '<status>here</status>'],
    ['a text with markup and characters of other scripts', `${OPEN}<note>&lt;b&gt; &amp; "q" ✓ \u{1F339}</note>`, '', '<status>&lt;b&gt; &amp; "q" ✓ \u{1F339}</status>'],
  ]; // prettier-ignore
  test('a document in XMPP, one after the other (RFC 8048, section 6.3)', async (t) => {
    const { owner, phone, juliet } = await watchedOverXmpp();
    for (const [name, tuple, more, seen] of TO_XMPP) {
      await t.test(`a document in XMPP: ${name}`, async () => {
        // From the same start, so that there is something to be told.
        await published(phone, '<status><basic>open</basic></status><note>before</note>');
        juliet.news();
        await published(phone, tuple, more);
        const stanza = juliet.received.findLast(({ attrs }) => attrs['from'] === `${owner}@${COMPONENT}/desk`);
        assert.equal(stanza?.attrs['type'], undefined);
        assert.equal(stanza?.attrs['to'], juliet.jid);
        assert.equal(shown(stanza), seen);
      });
    }
  });

  test('several tuples are several resources; ids lose their ID- (RFC 8048, section 6.3; RFC 3922, section 6.3.1)', async () => {
    const { owner, phone, juliet } = await watchedOverXmpp();
    await published(
      phone,
      OPEN,
      `<tuple id="ID-orchard">${OPEN}</tuple><tuple id="ID-ID-x">${OPEN}</tuple>` +
        `<tuple id="ID-my_x20phone"><status><basic>closed</basic></status></tuple>`,
    );
    assert.deepEqual(
      juliet
        .news()
        .filter((line) => !line.includes('/offline'))
        .sort(),
      [
        `available ${owner}/ID-x`,
        `available ${owner}/desk`,
        `available ${owner}/orchard`,
        `unavailable ${owner}/my phone`,
      ],
    );
  });

  test('basic closed is unavailable, with its note (RFC 8048, section 6.3)', async () => {
    const { owner, phone, juliet } = await watchedOverXmpp();
    await published(
      phone,
      '<status><basic>closed</basic><show xmlns="jabber:client">dnd</show></status><note>gone</note>',
    );
    const stanza = juliet.received.findLast(({ attrs }) => attrs['from'] === `${owner}@${COMPONENT}/desk`);
    assert.equal(stanza?.attrs['type'], 'unavailable');
    assert.equal(shown(stanza), '<status>gone</status>');
  });

  /** Documents only a presence server elsewhere sends: ours always has a tuple. */
  const WHOLE: ReadonlyArray<readonly [name: string, inside: string, lines: readonly string[]]> = [
    ['no tuple: unavailable from the bare JID (RFC 3922, section 6.3.2)', '', ['unavailable romeo']],
    ['notes alone: nothing (RFC 3922, section 5.2.11)', '<note>hello</note>', []],
    ['no tuple, and an activity: available from the bare JID', '<dm:person xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" id="p"><r:activities xmlns:r="urn:ietf:params:xml:ns:pidf:rpid"><r:meeting/></r:activities></dm:person>', ['available romeo dnd']],
    ['no basic status, and a show: available', '<tuple id="t"><status><show xmlns="jabber:client">xa</show></status></tuple>', ['available romeo/t xa']],
    ['no basic status, and nothing else: left out', '<tuple id="t"><status><x xmlns="urn:example:x"/></status></tuple>', []],
    ['two tuples for one instance: both are seen', `<tuple id="t">${OPEN}</tuple><tuple id="ID-t">${OPEN}</tuple>`, ['available romeo/t', 'available romeo/ID-t']],
    ['busy of the extension that RFC 3922 shows: read as dnd', `<tuple id="t"><status><basic>open</basic><im:im xmlns:im="urn:ietf:params:xml:ns:pidf:im">busy</im:im></status></tuple>`, ['available romeo/t dnd']],
  ]; // prettier-ignore
  WHOLE.forEach(([name, inside, lines], at) => {
    test(`a whole document in XMPP: ${name}`, async () => {
      const juliet = nextContact();
      const romeo = `romeo${at}`;
      juliet.say({ to: romeo, type: 'subscribe' });
      const subscribe = await server.untilSubscribe(romeo, 1);
      const body = `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:${romeo}@sip.example">${inside}</presence>`;
      assert.equal((await server.notify(subscribe, { body })).status, 200);
      await stage.settled();
      const expected = ['subscribed romeo', ...lines].map((line) => line.replace('romeo', romeo));
      assert.deepEqual(juliet.news().sort(), expected.sort());
    });
  });

  test('CPIM presence of a presence server is read (RFC 3922, section 5.2)', async () => {
    const juliet = nextContact();
    juliet.say({ to: 'cpimromeo', type: 'subscribe' });
    const subscribe = await server.untilSubscribe('cpimromeo', 1);
    const body = pidfOf('cpimromeo@sip.example', [['t', `${OPEN}<note>by CPIM</note>`]]).replace(
      'urn:ietf:params:xml:ns:pidf',
      'urn:ietf:params:xml:ns:cpim-pidf',
    );
    const headers = [['Content-Type', 'application/cpim-pidf+xml']] as const;
    const { status } = await server.notify(subscribe, { body, headers });
    assert.equal(status, 200);
    await stage.settled();
    assert.deepEqual(juliet.news(), ['subscribed cpimromeo', 'available cpimromeo/t: by CPIM']);
  });

  /* A stanza, as a phone sees it (RFC 8048, section 6.2). */

  const TUPLE_PARTS = /<tuple id="([^"]*)">(.*?)<\/tuple>/s;
  const TO_SIP: ReadonlyArray<readonly [name: string, children: string, seen: RegExp, language?: string]> = [
    ['nothing said', '', /^<status><basic>open<\/basic><\/status><contact>sip:JID<\/contact><timestamp>[^<]*<\/timestamp>$/],
    ['a status', '<status>here</status>', /<note>here<\/note>/],
    ['a status in the language of the stanza', '<status>tady</status>', /<note xml:lang="cs">tady<\/note>/, 'cs'],
    ['statuses in several languages', "<status>here</status><status xml:lang='de'>da</status><status xml:lang='cz'>tady</status>", /<note>here<\/note><note xml:lang="de">da<\/note><note xml:lang="cz">tady<\/note>/],
    ...['away', 'chat', 'dnd', 'xa'].map((show) => [`show ${show}`, `<show>${show}</show>`, new RegExp(`<status><basic>open</basic><show xmlns="jabber:client">${show}</show></status>`)] as const),
    ['a show that there is not', '<show>lunch</show>', /<status><basic>open<\/basic><\/status>/],
    ...([[0, '0'], [1, '0.007'], [2, '0.015'], [13, '0.102'], [126, '0.992'], [127, '1']] as const).map(([p, q]) => [`priority ${p}`, `<priority>${p}</priority>`, new RegExp(`<contact priority="${q}">sip:JID</contact>`)] as const),
    ['a negative priority', '<priority>-1</priority>', /<contact>sip:JID<\/contact>/],
    ['a priority that is none', '<priority>128</priority>', /<contact>sip:JID<\/contact>/],
    ['idle since', "<idle xmlns='urn:xmpp:idle:1' since='2021-01-01T00:00:00Z'/>", /<rpid:user-input last-input="2021-01-01T00:00:00Z">idle<\/rpid:user-input>/],
    ['other children', "<x xmlns='vcard-temp:x:update'><photo>1</photo></x><status>here</status>", /^<status><basic>open<\/basic><\/status><contact>sip:JID<\/contact><note>here<\/note><timestamp>[^<]*<\/timestamp>$/],
    ['markup in a status', '<status>&lt;b&gt; &amp; ✓ \u{1F339}</status>', /<note>&lt;b&gt; &amp; ✓ \u{1F339}<\/note>/u],
  ]; // prettier-ignore
  test('a stanza in SIP, one after the other (RFC 8048, section 6.2)', async (t) => {
    const { juliet, watching } = await watchedOverSip();
    for (const [at, [name, children, seen, language]] of TO_SIP.entries()) {
      await t.test(`a stanza in SIP: ${name}`, async () => {
        const { length } = watching.notifies;
        juliet.say({ to: 'alice', resource: 'balcony', children: `<status>before ${at}</status>` });
        await watching.until(({ body }) => body.includes(`before ${at}`), { from: length });
        const { length: from } = watching.notifies;
        const parts = { to: 'alice', resource: 'balcony', children };
        juliet.say(language === undefined ? parts : { ...parts, language });
        const { body, request } = await watching.until(() => true, { from });
        assert.equal(request.headers.get('Content-Type'), 'application/pidf+xml');
        assert.match(body, new RegExp(`^[^>]*>\\n<presence [^>]*entity="pres:${juliet.jid}"`));
        const [, id, inside = ''] = TUPLE_PARTS.exec(body) ?? [];
        assert.equal(id, 'ID-balcony');
        assert.match(inside.replaceAll(juliet.jid, 'JID'), seen);
      });
    }
  });

  const PERSONS: ReadonlyArray<readonly [show: string, activity: string | undefined]> = [
    ['away', 'away'],
    ['xa', 'away'],
    ['dnd', 'busy'],
    ['chat', undefined],
  ];
  for (const [show, activity] of PERSONS) {
    test(`show ${show} is activity ${activity ?? 'none'} for phones that know no show (RFC 4480, section 3.2)`, async () => {
      const { juliet, watching } = await watchedOverSip();
      juliet.say({ to: 'alice', resource: 'balcony', children: `<show>${show}</show>` });
      const { document } = await watching.until(({ document: each }) => each?.tuples[0]?.show !== undefined);
      const names = document?.persons.flatMap(({ rich }) => rich.activities?.values.map(({ name }) => name) ?? []);
      assert.deepEqual(names, activity === undefined ? [] : [activity]);
    });
  }

  test('resources are tuples whose ids can be read back, whatever they hold (RFC 8048, section 6.2, note 2)', async () => {
    const { juliet, watching } = await watchedOverSip();
    const resources = ['desk', 'my phone', 'a/b@c', '7', 'home_phone', 'ID-x', 'Größe', 'ключ', '\u{1F339}'];
    for (const resource of resources) juliet.say({ to: 'alice', resource });
    const { document } = await watching.until(({ document: each }) => each?.tuples.length === resources.length);
    const ids = document?.tuples.map(({ id }) => id) ?? [];
    assert.equal(new Set(ids).size, resources.length);
    assert.ok(
      ids.every((id) => /^ID-[\p{L}\p{N}_.-]*$/u.test(id)),
      ids.join(' '),
    );
    assert.ok(ids.includes('ID-desk') && ids.includes('ID-7') && ids.includes('ID-my_x20phone'));
  });

  test('the document of a phone reaches a phone whole, what nobody understands included (RFC 3863, section 4.2.3)', async () => {
    const owner = nextOwner();
    const watching = await watchOf(owner);
    await published(
      await stage.phone(owner),
      `<status><basic>open</basic><x:mood xmlns:x="urn:example:x" x:a="1">so <x:b/> so</x:mood></status><note xml:lang="en">here</note>`,
      '<y:ext xmlns:y="urn:example:y">kept</y:ext><dm:person id="p"><r:mood><r:happy/></r:mood><dm:note>well</dm:note></dm:person>' +
        '<dm:device id="d"><dm:deviceID>urn:uuid:48662e19-5fbf-43fc-a2fd-d23002787599</dm:deviceID></dm:device>',
    );
    const { body, document } = await watching.until(({ document: each }) => each?.tuples[0]?.basic === 'open');
    for (const part of ['urn:example:x', 'urn:example:y', 'kept', 'so <', 'urn:uuid:48662e19']) {
      assert.ok(body.includes(part), part);
    }
    assert.ok(document);
    assert.deepEqual(
      document.persons[0]?.rich.mood?.values.map(({ name }) => name),
      ['happy'],
    );
    assert.equal(document.devices.length, 1);
  });

  /* Formats. */

  test('a phone that publishes CPIM presence, application/cpim-pidf+xml', async () => {
    const owner = nextOwner();
    const watching = await watchOf(owner);
    const phone = await stage.phone(owner);
    const body = `<presence xmlns="urn:ietf:params:xml:ns:cpim-pidf" entity="pres:${owner}@sip.example"><tuple id="t1">${OPEN}<note>by CPIM</note></tuple></presence>`;
    assert.equal((await phone.publishBody(body, 'application/cpim-pidf+xml')).status, 200);
    const { document, request } = await watching.until(({ document: each }) => each?.tuples[0]?.basic === 'open');
    assert.equal(request.headers.get('Content-Type'), 'application/pidf+xml');
    assert.equal(document?.tuples[0]?.notes[0]?.text, 'by CPIM');
  });

  const ACCEPTS: ReadonlyArray<readonly [accept: readonly string[], type: string]> = [
    [['application/xpidf+xml'], 'application/xpidf+xml'],
    [['application/xpidf+xml', 'application/pidf+xml'], 'application/pidf+xml'],
    [['application/pidf+xml;q=0.5', 'application/xpidf+xml;q=0.9'], 'application/xpidf+xml'],
    [['*/*'], 'application/pidf+xml'],
    [['application/*;q=0.3', 'application/pidf+xml;q=0'], 'application/xpidf+xml'],
    [['Application/PIDF+XML'], 'application/pidf+xml'],
  ];
  for (const [accept, type] of ACCEPTS) {
    test(`Accept: ${accept.join(', ')} gets ${type} (RFC 3856, section 6.5)`, async () => {
      const owner = nextOwner();
      await (await stage.phone(owner)).publish('here');
      const watching = await watchOf(owner, 'alice', { accept });
      const { request, body } = await watching.until(() => true);
      assert.equal(request.headers.get('Content-Type'), type);
      assert.equal(readPresence(type, body).tuples[0]?.basic, 'open');
    });
  }

  test('an old watcher of an XMPP user gets application/xpidf+xml, too', async () => {
    const { juliet, watching } = await watchedOverSip({ accept: ['application/xpidf+xml'] });
    juliet.say({ to: 'alice', resource: 'balcony', children: '<show>dnd</show>' });
    const { request, body } = await watching.until(({ body: each }) => each !== '');
    assert.equal(request.headers.get('Content-Type'), 'application/xpidf+xml');
    assert.equal(readPresence('application/xpidf+xml', body).tuples[0]?.basic, 'open');
  });

  /* pres: URIs (RFC 3859). */

  const PRES: ReadonlyArray<readonly [name: string, uri: (user: string) => string, from: string]> = [
    ['Request-URI and To', (user) => `pres:${user}@sip.example`, '<sip:alice@sip.example>'],
    ['From', (user) => `sip:${user}@sip.example`, '<pres:alice@sip.example>'],
    ['both, with a display name', (user) => `pres:${user}@sip.example`, '"Alice" <pres:alice@sip.example>'],
    ['both, percent-encoded', (user) => `PRES:%${user.charCodeAt(0).toString(16)}${user.slice(1)}@SIP.example`, '<pres:alice@sip.example>'],
  ]; // prettier-ignore
  for (const [name, uri, from] of PRES) {
    test(`pres: URIs in ${name} (RFC 3859, section 3.2)`, async () => {
      const owner = nextOwner();
      const phone = await stage.phone(owner);
      await phone.publish('here');
      const alice = await stage.phone('alice');
      const callId = `pres-${owner}`;
      const answer = await alice.phone.request({
        method: 'SUBSCRIBE',
        uri: uri(owner),
        from,
        callId,
        headers: [
          ['Contact', `<${alice.phone.contact}>`],
          ['Event', 'presence'],
          ['Accept', 'application/pidf+xml'],
          ['Expires', '600'],
        ],
      });
      assert.equal(answer.status, 200);
      const notify = await until(() => alice.phone.received.find(({ headers }) => headers.get('Call-ID') === callId), {
        what: 'the NOTIFY',
      });
      // A dialog's URIs stay as they were (RFC 3261, section 12.2.1.1).
      assert.equal(notify.from.uri, uri(owner));
      assert.equal(notify.to.uri, from.slice(from.indexOf('<') + 1, -1));
      assert.ok(notify.body.includes('here'));
      const { watchers } = await stage.world.watchers(`${owner}@sip.example`);
      assert.deepEqual(
        watchers.map(({ watcher, state }) => `${watcher} ${state}`),
        ['alice@sip.example active'],
      );
    });
  }

  test('pres: URI of an XMPP user, and PUBLISH to one (RFC 3859, section 3.2)', async () => {
    const juliet = nextContact();
    const watching = await stage.watch('alice', `pres:${juliet.jid}`);
    assert.equal(watching.status, 200);
    assert.deepEqual(await juliet.untilNews(1, 'the request'), ['subscribe alice']);
    const owner = nextOwner();
    const phone = await stage.phone(owner);
    const answer = await phone.phone.request({
      method: 'PUBLISH',
      uri: `pres:${owner}@sip.example`,
      from: `<pres:${owner}@sip.example>`,
      headers: [
        ['Event', 'presence'],
        ['Content-Type', 'application/pidf+xml'],
      ],
      body: `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:${owner}@sip.example"><tuple id="t">${OPEN}</tuple></presence>`,
    });
    assert.equal(answer.status, 200);
    const seen = await watchOf(owner);
    assert.equal((await seen.until(() => true)).document?.tuples[0]?.basic, 'open');
  });
});

test('what the tests hold for valid is, and what is not would be seen', needs('xmllint'), () => {
  const notify = (body: string): unknown => ({
    method: 'NOTIFY',
    headers: { get: () => 'application/pidf+xml' },
    body: Buffer.from(body),
  });
  const phoneWith = (body: string): PresencePhone =>
    new PresencePhone({ received: [notify(body)] } as unknown as ConstructorParameters<typeof PresencePhone>[0]);
  const good = pidfOf('romeo@sip.example', [['t', OPEN]]);
  assertValid([phoneWith(good)]);
  assert.throws(() => assertValid([phoneWith(good.replace('<status>', '<note>early</note><status>'))]));
});
