import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { childOf, childrenOf, textOf, writeXml, type XmlElement } from '../../src/cpim/xml.ts';
import { isVerified, readDiscoInfo } from '../../src/xmpp/presence/disco-info.ts';
import { readPresenceContent } from '../../src/xmpp/presence/presence-content.ts';
import { IqClient } from '../support/iq-client.ts';
import { COMPONENT, RunningApp } from '../support/running-app.ts';
import { XmppContact } from '../support/xmpp-contact.ts';
import { until } from '../support/until.ts';

const ALICE = `alice@${COMPONENT}`;
const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==',
  'base64',
);
const SHA1 = createHash('sha1').update(PICTURE).digest('hex');
const VCARD = `<vCard xmlns='vcard-temp'/>`;
const LAST = `<query xmlns='jabber:iq:last'/>`;
const VERSION = `<query xmlns='jabber:iq:version'/>`;
const TIME = `<time xmlns='urn:xmpp:time'/>`;
const INFO = `<query xmlns='http://jabber.org/protocol/disco#info'/>`;
const ITEMS = `<query xmlns='http://jabber.org/protocol/disco#items'/>`;
const node = (name: string): string =>
  `<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='${name}'/></pubsub>`;

/** Questions about alice, of whom juliet may see everything, mercutio nothing, and tybalt somebody who is never there. */
describe('what a client may ask about a contact', () => {
  let app: RunningApp;
  let juliet: IqClient;
  let mercutio: IqClient;
  let tybalt: IqClient;

  before(async () => {
    app = await RunningApp.start({ presence: 'default: confirm, notifyIntervalSeconds: 0' });
    await app.untilLinkUp();
    const { xmpp } = app;
    juliet = new IqClient(xmpp, 'juliet@xmpp.example/balcony');
    mercutio = new IqClient(xmpp, 'mercutio@xmpp.example/street');
    tybalt = new IqClient(xmpp, 'tybalt@xmpp.example/crypt');
    await app.rule('alice@sip.example', 'juliet@xmpp.example', 'allow');
    await app.rule('alice@sip.example', 'tybalt@xmpp.example', 'polite-block');
    await app.profile('alice@sip.example', {
      displayName: 'Alice Liddell',
      email: 'alice@mail.example',
      phone: '+1 555 0100',
      homepage: 'https://alice.example/',
      avatar: PICTURE.toString('base64'),
    });
  });

  after(() => app.stop());

  test('a stranger is told forbidden, for one who exists and for one who does not', async () => {
    for (const user of ['alice', 'nobody']) {
      for (const asked of [VCARD, LAST, VERSION, TIME, node('urn:xmpp:avatar:metadata')]) {
        assert.equal(await mercutio.refusal(`${user}@${COMPONENT}`, asked), 'forbidden', `${asked} of ${user}`);
      }
      assert.deepEqual(childrenOf(await mercutio.get(`${user}@${COMPONENT}`, ITEMS), 'item'), []);
    }
  });

  test('one who is blocked politely is told what is told of one of whom nothing is known', async () => {
    await app.rule('bob@sip.example', 'tybalt@xmpp.example', 'allow');
    for (const asked of [VCARD, LAST, VERSION, TIME, node('urn:xmpp:avatar:metadata')]) {
      const [blocked, allowed] = [await tybalt.ask(ALICE, asked), await tybalt.ask(`bob@${COMPONENT}`, asked)];
      const text = (answer: XmlElement): string =>
        writeXml({ ...answer, attrs: {} })
          .replaceAll('alice', 'x')
          .replaceAll('bob', 'x');
      assert.equal(text(blocked), text(allowed), asked);
    }
  });

  test('his vCard: directory data, and the picture (XEP-0054)', async () => {
    const vcard = await juliet.get(ALICE, VCARD);
    assert.equal(textOf(childOf(vcard, 'FN')!), 'Alice Liddell');
    assert.equal(textOf(childOf(childOf(vcard, 'EMAIL')!, 'USERID')!), 'alice@mail.example');
    assert.equal(textOf(childOf(childOf(vcard, 'TEL')!, 'NUMBER')!), '+1 555 0100');
    assert.equal(textOf(childOf(vcard, 'URL')!), 'https://alice.example/');
    assert.equal(textOf(childOf(vcard, 'JABBERID')!), ALICE);
    assert.equal(textOf(childOf(childOf(vcard, 'PHOTO')!, 'BINVAL')!), PICTURE.toString('base64'));
  });

  test('nobody writes the vCard of another', async () => {
    const card = `<vCard xmlns='vcard-temp'><FN>Eve</FN></vCard>`;
    assert.equal(await juliet.refusal(ALICE, card, 'set'), 'not-allowed');
    assert.equal(await juliet.refusal(COMPONENT, card, 'set'), 'not-allowed');
  });

  test('the nodes of his account: picture (XEP-0084), vCard 4 (XEP-0292), nick; what is not there is not found', async () => {
    const item = (pubsub: XmlElement): XmlElement => childOf(childOf(pubsub, 'items')!, 'item')!;
    const metadata = item(await juliet.get(ALICE, node('urn:xmpp:avatar:metadata')));
    const info = childOf(childOf(metadata, 'metadata', 'urn:xmpp:avatar:metadata')!, 'info')!;
    assert.deepEqual(info.attrs, { id: SHA1, type: 'image/png', bytes: String(PICTURE.length) });
    const data = item(await juliet.get(ALICE, node('urn:xmpp:avatar:data')));
    assert.equal(data.attrs['id'], SHA1);
    assert.equal(textOf(childOf(data, 'data', 'urn:xmpp:avatar:data')!), PICTURE.toString('base64'));
    const vcard = writeXml(item(await juliet.get(ALICE, node('urn:xmpp:vcard4'))));
    assert.match(vcard, /<fn><text>Alice Liddell<\/text><\/fn>/);
    assert.match(writeXml(await juliet.get(ALICE, node('http://jabber.org/protocol/nick'))), /Alice Liddell/);
    assert.equal(await juliet.refusal(ALICE, node('urn:xmpp:omemo:2:devices')), 'item-not-found');
    assert.equal(await juliet.refusal(`bob@${COMPONENT}`, node('urn:xmpp:avatar:metadata')), 'forbidden');
  });

  test('one who has gone: since when; one who is there: his software, and that he is not idle', async () => {
    const phone = await app.phone('alice');
    await phone.register(600, [['User-Agent', 'Looking-Glass/2.1 (chess)']]);
    assert.equal((await juliet.get(ALICE, LAST)).attrs['seconds'], '0');
    const version = await juliet.get(ALICE, VERSION);
    assert.equal(textOf(childOf(version, 'name')!), 'Looking-Glass');
    assert.equal(textOf(childOf(version, 'version')!), '2.1');
    assert.equal(childrenOf(await juliet.get(ALICE, ITEMS), 'item').length, 1);
    await phone.register(0);
    const gone = Number((await juliet.get(ALICE, LAST)).attrs['seconds']);
    assert.ok(gone >= 0 && gone < 30, String(gone));
    assert.equal(await juliet.refusal(ALICE, VERSION), 'service-unavailable');
    assert.equal(await juliet.refusal(ALICE, TIME), 'service-unavailable');
    assert.equal(await tybalt.refusal(ALICE, LAST), 'service-unavailable');
  });

  test('what presence says of capabilities and picture is what is answered when a client asks', async () => {
    new XmppContact(app, 'juliet@xmpp.example').say({ to: 'alice', type: 'subscribe' });
    const phone = await app.phone('alice');
    await phone.register();
    const presence = await until(
      () =>
        app.xmpp.received.find(
          ({ name, attrs }) =>
            name === 'presence' &&
            attrs['type'] === undefined &&
            attrs['to']?.startsWith('juliet@xmpp.example') === true,
        ),
      { what: 'juliet sees alice', withinMs: 5_000 },
    );
    const { caps } = readPresenceContent(presence);
    assert.ok(caps !== undefined);
    assert.equal(textOf(childOf(childOf(presence, 'x', 'vcard-temp:x:update')!, 'photo')!), SHA1);
    const query = (at: string): string => INFO.replace('/>', ` node='${at}'/>`);
    const info = await juliet.get(presence.attrs['from']!, query(`${caps.node}#${caps.ver}`));
    assert.equal(isVerified(caps, readDiscoInfo(info)!), true);
    const hash = textOf(childOf(childOf(presence, 'c', 'urn:xmpp:caps')!, 'hash', 'urn:xmpp:hashes:2')!);
    const again = await juliet.get(presence.attrs['from']!, query(`urn:xmpp:caps#sha-256.${hash}`));
    assert.deepEqual(readDiscoInfo(again), readDiscoInfo(info));
    const account = readDiscoInfo(await juliet.get(ALICE, INFO))!;
    assert.ok(account.identities.some(({ category, type }) => category === 'pubsub' && type === 'pep'));
  });
});
