import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { childOf, childrenOf, readXml, textOf, writeXml, type XmlElement } from '../../src/cpim/xml.ts';
import { IqClient } from '../support/iq-client.ts';
import { bodyOf, COMPONENT, RunningApp } from '../support/running-app.ts';
import type { ScriptedPhone } from '../support/scripted-phone.ts';
import { until } from '../support/until.ts';

const COMMANDS = 'http://jabber.org/protocol/commands';
const FORM = 'jabber:x:data';

/** Commands as phones, XMPP clients and their users give them. */
describe('commands of users', () => {
  let app: RunningApp;
  let juliet: IqClient;

  before(async () => {
    app = await RunningApp.start({ presence: 'default: confirm' });
    await app.untilLinkUp();
    juliet = new IqClient(app.xmpp, 'juliet@xmpp.example/balcony');
  });

  after(() => app.stop());

  /** What a phone is told, the texts of the answers so far left out. */
  async function told(phone: ScriptedPhone, to: string, text: string): Promise<string> {
    const before = phone.received.length;
    const { status } = await phone.write(to, text);
    assert.equal(status, 200);
    await phone.count(before + 1);
    return phone.received.at(-1)!.body.toString('utf8');
  }

  test('by phone: help, in whatever form; status; rules that count', async () => {
    const alice = await app.registered('alice');
    for (const to of ['sip:interpres@sip.example', 'sip:sip.example', 'sip:INTERPRES@sip.example']) {
      for (const text of ['help', ' /Help '])
        assert.match(await told(alice, to, text), /^Commands:\nhelp: these lines\n/);
    }
    assert.equal(alice.received.at(-1)!.headers.get('From')?.includes('sip:'), true);
    assert.match(
      await told(alice, 'sip:sip.example', 'status'),
      /^You are alice@sip\.example\.\nRegistered phones: 1\./,
    );
    assert.match(await told(alice, 'sip:sip.example', 'rules'), /^Nobody watches you/);
    const allowed = await told(alice, 'sip:sip.example', 'rules allow sip:bob@sip.example');
    assert.equal(allowed, 'bob@sip.example may see your presence.');
    const { watchers } = await app.watchers('alice@sip.example');
    assert.deepEqual(
      watchers.map(({ watcher, action }) => [watcher, action]),
      [['bob@sip.example', 'allow']],
    );
    assert.match(await told(alice, 'sip:sip.example', 'rules remove bob@sip.example'), /no rule for bob@sip\.example/);
    assert.match(
      await told(alice, 'sip:sip.example', 'rules allow no body'),
      /^This was not understood: body is too much/,
    );
    assert.match(await told(alice, 'sip:sip.example', 'link account'), /^You have linked no account\./);
  });

  test('by phone: what is no command is answered with help, and whoever goes on is refused', async () => {
    const bob = await app.registered('bob');
    for (let at = 0; at < 5; at += 1) {
      assert.match(await told(bob, 'sip:interpres@sip.example', `hello ${at}`), /^This is no command\.\nCommands:/);
    }
    const { status, headers } = await bob.write('sip:interpres@sip.example', 'hello again');
    assert.equal(status, 503);
    assert.notEqual(headers.get('Retry-After'), undefined);
  });

  test('by phone: the history of what has failed, and nothing of others', async () => {
    const carol = await app.registered('carol');
    await carol.write('sip:juliet@xmpp.example', 'wherefore');
    const sent = await until(() => app.xmppMessages.find((stanza) => bodyOf(stanza) === 'wherefore'), {
      what: 'the message is on the link',
      withinMs: 5_000,
    });
    const history = await told(carol, 'sip:sip.example', 'history waiting');
    assert.match(history, /^No message of yours waits\./);
    const id = sent.attrs['id']!;
    const dave = await app.registered('dave');
    assert.equal(await told(dave, 'sip:sip.example', `history failed ${id}`), `No message of yours has the id ${id}.`);
  });

  test('by XMPP message: answered to the client that has asked, from where it was asked; users of ours have more', async () => {
    for (const to of [COMPONENT, `interpres@${COMPONENT}`]) {
      const before = app.xmppMessages.length;
      app.xmpp.send(
        readXml(
          `<message from='juliet@xmpp.example/balcony' to='${to}' type='chat' id='m1'><body>help</body></message>`,
        ),
      );
      const answer = await until(() => app.xmppMessages[before], { what: 'help', withinMs: 5_000 });
      assert.equal(answer.attrs['from'], to);
      assert.equal(answer.attrs['to'], 'juliet@xmpp.example/balcony');
      assert.equal(answer.attrs['xml:lang'], 'en');
      assert.match(bodyOf(answer), /^Commands:\nhelp/);
      assert.equal(bodyOf(answer).includes('rules'), false);
    }
  });

  test('nothing is answered to errors, headlines, servers, or postmasters', async () => {
    const before = app.xmppMessages.length;
    const send = (from: string, type: string): void =>
      app.xmpp.send(
        readXml(`<message from='${from}' to='interpres@${COMPONENT}' type='${type}'><body>help</body></message>`),
      );
    send('juliet@xmpp.example/balcony', 'error');
    send('juliet@xmpp.example/balcony', 'headline');
    send('xmpp.example', 'chat');
    send('postmaster@xmpp.example', 'chat');
    await juliet.get(COMPONENT, `<ping xmlns='urn:xmpp:ping'/>`);
    assert.equal(app.xmppMessages.length, before);
  });

  test('what the server says and nobody takes is reported to nobody', async () => {
    const erin = await app.registered('erin');
    erin.answer = () => ({ status: 403 });
    const { status } = await erin.write('sip:sip.example', 'help');
    assert.equal(status, 200);
    await erin.count(1);
    await juliet.get(COMPONENT, `<ping xmlns='urn:xmpp:ping'/>`);
    assert.equal(
      app.logLines.some((line) => line.includes('"operation":"report"')),
      false,
    );
  });

  const command = (node: string, attrs = '', children = ''): string =>
    `<command xmlns='${COMMANDS}' node='${node}' ${attrs}>${children}</command>`;
  const submit = (name: string, value: string): string =>
    `<x xmlns='${FORM}' type='submit'><field var='${name}'><value>${value}</value></field></x>`;
  const fieldOf = (answer: XmlElement): XmlElement => childOf(childOf(answer, 'x', FORM)!, 'field')!;

  test('ad hoc: listed, described, and carried out in one stage (XEP-0050)', async () => {
    const items = await juliet.get(COMPONENT, `<query xmlns='http://jabber.org/protocol/disco#items'/>`);
    assert.deepEqual(
      childrenOf(items, 'item').map(({ attrs }) => [attrs['jid'], attrs['node']]),
      [
        [COMPONENT, COMMANDS],
        [`interpres@${COMPONENT}`, undefined],
      ],
    );
    const list = await juliet.get(
      COMPONENT,
      `<query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS}'/>`,
    );
    assert.deepEqual(
      childrenOf(list, 'item').map(({ attrs }) => attrs['node']),
      ['help', 'status', 'history'],
    );
    const page = await juliet.get(
      COMPONENT,
      `<query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS}'><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><after>help</after></set></query>`,
    );
    assert.deepEqual(
      childrenOf(page, 'item').map(({ attrs }) => attrs['node']),
      ['status'],
    );
    const info = await juliet.get(COMPONENT, `<query xmlns='http://jabber.org/protocol/disco#info' node='status'/>`);
    assert.match(writeXml(info), /category="automation" type="command-node"/);
    const done = await juliet.get(COMPONENT, command('status', `action='execute'`), 'set');
    assert.equal(done.attrs['status'], 'completed');
    assert.match(textOf(childOf(fieldOf(done), 'value')!), /You are juliet@xmpp\.example/);
  });

  test('ad hoc: in stages, back and on, completed and cancelled; of nobody else', async () => {
    const first = await juliet.get(COMPONENT, command('history'), 'set');
    assert.equal(first.attrs['status'], 'executing');
    assert.equal(fieldOf(first).attrs['var'], 'which');
    const session = `sessionid='${first.attrs['sessionid']}'`;
    const wrong = await juliet.get(COMPONENT, command('history', session, submit('which', 'all')), 'set');
    assert.equal(childOf(wrong, 'note')?.attrs['type'], 'error');
    const second = await juliet.get(
      COMPONENT,
      command('history', `${session} action='next'`, submit('which', 'waiting')),
      'set',
    );
    assert.equal(fieldOf(second).attrs['var'], 'id');
    assert.deepEqual(childrenOf(childOf(second, 'actions')!, 'prev').length, 1);
    const back = await juliet.get(COMPONENT, command('history', `${session} action='prev'`), 'set');
    assert.equal(fieldOf(back).attrs['var'], 'which');
    const other = new IqClient(app.xmpp, 'juliet@xmpp.example/chamber');
    assert.equal(await other.refusal(COMPONENT, command('history', session), 'set'), 'bad-request');
    const done = await juliet.get(
      COMPONENT,
      command('history', `${session} action='complete'`, submit('which', 'failed')),
      'set',
    );
    assert.equal(done.attrs['status'], 'completed');
    assert.match(textOf(childOf(fieldOf(done), 'value')!), /No message of yours has failed/);
    assert.equal(await juliet.refusal(COMPONENT, command('history', session), 'set'), 'bad-request');
    const again = await juliet.get(`interpres@${COMPONENT}`, command('history'), 'set');
    const cancelled = await juliet.get(
      `interpres@${COMPONENT}`,
      command('history', `sessionid='${again.attrs['sessionid']}' action='cancel'`),
      'set',
    );
    assert.equal(cancelled.attrs['status'], 'canceled');
  });

  test('ad hoc: what is not there, or for users of ours alone, is not found; too many at once are refused', async () => {
    assert.equal(await juliet.refusal(COMPONENT, command('nothing'), 'set'), 'item-not-found');
    assert.equal(await juliet.refusal(COMPONENT, command('rules'), 'set'), 'item-not-found');
    assert.equal(await juliet.refusal(COMPONENT, command('history', `action='fly'`), 'set'), 'bad-request');
    const tybalt = new IqClient(app.xmpp, 'tybalt@xmpp.example/street');
    for (let at = 0; at < 5; at += 1) await tybalt.get(COMPONENT, command('history'), 'set');
    assert.equal(await tybalt.refusal(COMPONENT, command('history'), 'set'), 'resource-constraint');
  });

  test('the gateway prompt makes a JID of an address (XEP-0100)', async () => {
    const asked = await juliet.get(COMPONENT, `<query xmlns='jabber:iq:gateway'/>`);
    assert.notEqual(childOf(asked, 'prompt'), undefined);
    const set = (text: string): string => `<query xmlns='jabber:iq:gateway'><prompt>${text}</prompt></query>`;
    const jid = textOf(childOf(await juliet.get(COMPONENT, set('sip:alice@sip.example;transport=tcp'), 'set'), 'jid')!);
    assert.equal(jid, `alice@${COMPONENT}`);
    assert.equal(await juliet.refusal(COMPONENT, set('sip:eve@elsewhere.example'), 'set'), 'item-not-found');
  });
});
