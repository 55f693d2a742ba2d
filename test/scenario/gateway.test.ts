import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { childOf, childrenOf, readXml, writeXml, type XmlElement } from '../../src/cpim/xml.ts';
import { IqClient } from '../support/iq-client.ts';
import { COMPONENT, RunningApp } from '../support/running-app.ts';
import { until } from '../support/until.ts';

const REGISTER = `<query xmlns='jabber:iq:register'/>`;
const REMOVE = `<query xmlns='jabber:iq:register'><remove/></query>`;
const ROSTERX = 'http://jabber.org/protocol/rosterx';

/** The link as a gateway that XMPP users register with (XEP-0100). */
describe('gateway', () => {
  let app: RunningApp;
  let seen = 0;

  before(async () => {
    app = await RunningApp.start({ registration: true, presence: 'default: confirm' });
    await app.untilLinkUp();
  });

  after(() => app.stop());

  const client = (name: string): IqClient => new IqClient(app.xmpp, `${name}@xmpp.example/pda`);
  const say = (from: string, to: string, type = ''): void =>
    app.xmpp.send(readXml(`<presence from='${from}' to='${to}' ${type === '' ? '' : `type='${type}'`}/>`));

  /** The next stanza that suits, after those that were taken before. */
  const next = async (what: string, suits: (stanza: XmlElement) => boolean): Promise<XmlElement> => {
    const found = await until(
      () => {
        const at = app.xmpp.received.findIndex((stanza, index) => index >= seen && suits(stanza));
        return at < 0 ? undefined : { at, stanza: app.xmpp.received[at]! };
      },
      { what, withinMs: 5_000 },
    );
    seen = found.at + 1;
    return found.stanza;
  };
  const presence = (type: string, to: string) => (stanza: XmlElement) =>
    stanza.name === 'presence' && (stanza.attrs['type'] ?? 'available') === type && stanza.attrs['to'] === to;
  const request = (namespace: string, to: string) => (stanza: XmlElement) =>
    stanza.name === 'iq' &&
    stanza.attrs['to'] === to &&
    stanza.children.some((child) => typeof child !== 'string' && child.attrs['xmlns'] === namespace);
  const answer = ({ attrs }: XmlElement, payload: string): void =>
    app.xmpp.send(
      readXml(`<iq type='result' id='${attrs['id']}' from='${attrs['to']}' to='${attrs['from']}'>${payload}</iq>`),
    );

  test('it is offered, asks nothing, and says whether one has registered', async () => {
    const juliet = client('juliet');
    const info = await juliet.get(COMPONENT, `<query xmlns='http://jabber.org/protocol/disco#info'/>`);
    assert.match(writeXml(info), /<feature var="jabber:iq:register"\/>/);
    const before = await juliet.get(COMPONENT, REGISTER);
    assert.equal(childOf(before, 'registered'), undefined);
    assert.notEqual(childOf(before, 'instructions'), undefined);
    assert.equal(await juliet.refusal(COMPONENT, REMOVE, 'set'), 'registration-required');
    await juliet.get(COMPONENT, REGISTER, 'set');
    assert.notEqual(childOf(await juliet.get(COMPONENT, REGISTER), 'registered'), undefined);
  });

  test('whoever has registered sees the gateway come, go with its link, and come again; a stranger does not', async () => {
    const romeo = client('romeo');
    await romeo.get(COMPONENT, REGISTER, 'set');
    await next('the gateway asks to see him', presence('subscribe', 'romeo@xmpp.example'));
    say('romeo@xmpp.example', COMPONENT, 'subscribed');
    say('romeo@xmpp.example', COMPONENT, 'subscribe');
    await next('he may see it', presence('subscribed', 'romeo@xmpp.example'));
    await next('he sees it', presence('available', 'romeo@xmpp.example'));
    say('romeo@xmpp.example/pda', COMPONENT, 'probe');
    await next('he sees it when he comes', presence('available', 'romeo@xmpp.example/pda'));
    say('mercutio@xmpp.example', COMPONENT, 'subscribe');
    const refusal = await next('a stranger is refused', ({ attrs }) => attrs['to'] === 'mercutio@xmpp.example');
    assert.equal(refusal.attrs['type'], 'error');
    app.xmpp.drop();
    await next('he sees it again', presence('available', 'romeo@xmpp.example'));
    await app.untilLinkUp();
  });

  test('the end of a registration takes all of it back, and outlives the process', async () => {
    const tybalt = client('tybalt');
    await tybalt.get(COMPONENT, REGISTER, 'set');
    await next('the gateway asks to see him', presence('subscribe', 'tybalt@xmpp.example'));
    assert.equal(app.stored('gateway-user').has('office\ntybalt@xmpp.example'), true);
    await tybalt.get(COMPONENT, REMOVE, 'set');
    for (const type of ['unsubscribe', 'unsubscribed', 'unavailable']) {
      await next(type, presence(type, 'tybalt@xmpp.example'));
    }
    assert.equal(app.stored('gateway-user').has('office\ntybalt@xmpp.example'), false);
  });

  test('a client that takes suggestions is given the address for commands, and who wants to watch (XEP-0144)', async () => {
    const alice = await app.registered('alice');
    await alice.request({
      method: 'SUBSCRIBE',
      uri: 'sip:nurse@xmpp.example',
      headers: [
        ['Event', 'presence'],
        ['Contact', `<${alice.contact}>`],
        ['Expires', '600'],
      ],
    });
    await next('alice asks', presence('subscribe', 'nurse@xmpp.example'));
    const nurse = client('nurse');
    await nurse.get(COMPONENT, REGISTER, 'set');
    const asked = await next('what the client can do', request('http://jabber.org/protocol/disco#info', nurse.jid));
    answer(asked, `<query xmlns='http://jabber.org/protocol/disco#info'><feature var='${ROSTERX}'/></query>`);
    const suggested = await next('the suggestion', ({ name }) => name === 'message');
    assert.equal(suggested.attrs['to'], nurse.jid);
    assert.deepEqual(
      childrenOf(childOf(suggested, 'x', ROSTERX)!, 'item').map(({ attrs }) => [attrs['action'], attrs['jid']]),
      [
        ['add', `interpres@${COMPONENT}`],
        ['add', `alice@${COMPONENT}`],
      ],
    );
  });

  test('a server that lets its roster be written is asked to, without what is in it; for its own users alone (XEP-0356)', async () => {
    const grant = (from: string): void =>
      app.xmpp.send(
        readXml(
          `<message from='${from}' to='${COMPONENT}'><privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='both'/><perm access='message' type='outgoing'/></privilege></message>`,
        ),
      );
    grant('mallory@xmpp.example');
    const peter = client('peter');
    await peter.get(COMPONENT, REGISTER, 'set');
    await next('no roster is asked for', request('http://jabber.org/protocol/disco#info', peter.jid));
    grant('xmpp.example');
    await peter.get(COMPONENT, REGISTER, 'set');
    const roster = await next('the roster is read', request('jabber:iq:roster', 'peter@xmpp.example'));
    assert.equal(roster.attrs['type'], 'get');
    answer(roster, `<query xmlns='jabber:iq:roster'/>`);
    const written = await next('the roster is written', request('jabber:iq:roster', 'peter@xmpp.example'));
    assert.equal(written.attrs['type'], 'set');
    assert.match(writeXml(written), new RegExp(`jid="interpres@${COMPONENT}" name="Interpres"`));
    answer(written, '');
    await peter.get(COMPONENT, REGISTER, 'set');
    answer(
      await next('the roster is read again', request('jabber:iq:roster', 'peter@xmpp.example')),
      `<query xmlns='jabber:iq:roster'><item jid='interpres@${COMPONENT}'/></query>`,
    );
    const before = app.xmpp.received.length;
    await peter.get(COMPONENT, `<ping xmlns='urn:xmpp:ping'/>`);
    assert.equal(app.xmpp.received.slice(before).some(request('jabber:iq:roster', 'peter@xmpp.example')), false);
  });

  test('the address for commands has presence for everybody', async () => {
    say('paris@xmpp.example', `interpres@${COMPONENT}`, 'subscribe');
    await next('he may see it', presence('subscribed', 'paris@xmpp.example'));
    const shown = await next('he sees it', presence('available', 'paris@xmpp.example'));
    assert.equal(shown.attrs['from'], `interpres@${COMPONENT}`);
    say('paris@xmpp.example', `interpres@${COMPONENT}`, 'unsubscribe');
    await next('he has given it up', presence('unsubscribed', 'paris@xmpp.example'));
  });
});
