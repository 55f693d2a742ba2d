import assert from 'node:assert/strict';
import { deflateSync } from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import { contentFromBytes } from '../../src/cpim/content.ts';
import { noticeFrom, wantsFrom } from '../support/imdn-in.ts';
import { childOf, readXml, writeXml, type XmlElement } from '../../src/cpim/xml.ts';
import type { ParsedRequest } from '../../src/sip/engine/parser.ts';
import { IqClient } from '../support/iq-client.ts';
import { COMPONENT, RunningApp } from '../support/running-app.ts';
import type { ScriptedPhone } from '../support/scripted-phone.ts';
import { until } from '../support/until.ts';

const RECEIPTS = 'urn:xmpp:receipts';
const MARKERS = 'urn:xmpp:chat-markers:0';
const JULIET = 'juliet@xmpp.example/balcony';
const ASKS = `<request xmlns='${RECEIPTS}'/><markable xmlns='${MARKERS}'/>`;

const asking = (id: string, text: string, what = 'positive-delivery, display'): string =>
  [
    'From: <im:alice@sip.example>',
    'To: <im:juliet@xmpp.example>',
    'NS: imdn <urn:ietf:params:imdn>',
    `imdn.Message-ID: ${id}`,
    'DateTime: 2023-11-14T22:13:20Z',
    `imdn.Disposition-Notification: ${what}`,
    '',
    'Content-Type: text/plain',
    '',
    text,
  ].join('\r\n');
const CPIM = ['Content-Type', 'message/cpim'] as const;
const IMDN = ['Content-Type', 'message/imdn+xml'] as const;
const telling = (id: string, kind = 'delivery-notification', status = 'delivered'): string =>
  `<?xml version="1.0"?><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>${id}</message-id>` +
  `<datetime>2023-11-14T22:13:20Z</datetime><${kind}><status><${status}/></status></${kind}></imdn>`;

/** Receipts between XMPP (XEP-0184, XEP-0333) and SIP (RFC 5438), over a component link. */
describe('receipts', () => {
  let app: RunningApp;
  let alice: ScriptedPhone;
  let bob: ScriptedPhone;

  before(async () => {
    app = await RunningApp.start({ presence: 'default: allow', rateLimits: 'off' });
    await app.untilLinkUp();
    alice = await app.registered('alice');
    bob = await app.registered('bob');
  });
  after(async () => {
    await app.stop();
    assert.deepEqual(app.errors, []);
  });

  const say = (inner: string, { id = '', from = JULIET, to = `alice@${COMPONENT}` } = {}): void =>
    app.xmpp.send(readXml(`<message from='${from}' to='${to}' ${id === '' ? '' : `id='${id}'`}>${inner}</message>`));
  const stanza = (what: string, suits: (stanza: XmlElement) => boolean): Promise<XmlElement> =>
    until(() => app.xmppMessages.find(suits), { what, withinMs: 5_000 });
  const word = (name: string, id: string) => (message: XmlElement) =>
    childOf(message, name, name === 'received' ? RECEIPTS : MARKERS)?.attrs['id'] === id;
  const arrival = (phone: ScriptedPhone, text: string): Promise<ParsedRequest> =>
    until(
      () => phone.received.find(({ method, body }) => method === 'MESSAGE' && Buffer.from(body).toString() === text),
      {
        what: text,
        withinMs: 5_000,
      },
    );
  const notices = (phone: ScriptedPhone) =>
    phone.received.flatMap(({ method, headers, body }) => {
      const type = headers.get('Content-Type') ?? '';
      if (method !== 'MESSAGE' || type !== 'message/cpim') return [];
      const notice = noticeFrom(contentFromBytes(type, body));
      return notice === undefined ? [] : [notice];
    });
  const callIdAt = async (phone: ScriptedPhone, text: string): Promise<string> =>
    (await arrival(phone, text)).headers.get('Call-ID') ?? '';
  const debugs = (text: string): number => app.logLines.filter((line) => line.includes(text)).length;

  test('the phone takes what an XMPP user asks about, and he is told it was delivered; once', async () => {
    say(`<body>one</body>${ASKS}`, { id: 'from-juliet-1' });
    const told = await stanza('a receipt', word('received', 'from-juliet-1'));
    assert.equal(told.attrs['from'], `alice@${COMPONENT}`);
    assert.equal(told.attrs['to'], JULIET);
    assert.equal(childOf(told, 'body'), undefined);
    assert.equal(childOf(told, 'request', RECEIPTS), undefined);
    const { headers } = await arrival(alice, 'one');
    assert.equal(headers.get('Content-Type'), 'text/plain;charset=UTF-8', 'plain text, as ever');
    // What liblinphone sends unasked: the Call-ID as message-id, deflated.
    const callId = headers.get('Call-ID') ?? '';
    const packed = deflateSync(telling(callId));
    const reply = await alice.write('sip:juliet@xmpp.example', packed, [IMDN, ['Content-Encoding', 'deflate']]);
    assert.equal(reply.status, 200);
    assert.equal(app.xmppMessages.filter(word('received', 'from-juliet-1')).length, 1);
    const shown = telling(callId, 'display-notification', 'displayed');
    assert.equal((await alice.write('sip:juliet@xmpp.example', shown, [IMDN])).status, 200);
    await stanza('it was shown', word('displayed', 'from-juliet-1'));
    assert.equal((await alice.write('sip:juliet@xmpp.example', shown, [IMDN])).status, 200);
    assert.equal(app.xmppMessages.filter(word('displayed', 'from-juliet-1')).length, 1);
  });

  test('who asks nothing, or not for that, is told nothing; a notification about nothing is taken', async () => {
    say(`<body>two</body>`, { id: 'from-juliet-2' });
    say(`<body>three</body><request xmlns='${RECEIPTS}'/>`, { id: 'from-juliet-3' });
    const [two, three] = [await callIdAt(alice, 'two'), await callIdAt(alice, 'three')];
    await stanza('a receipt', word('received', 'from-juliet-3'));
    const before = debugs('receipt for nothing that was asked');
    for (const text of [
      telling(two),
      telling('never'),
      telling(three, 'display-notification', 'displayed'),
      telling(three, 'delivery-notification', 'failed'),
    ]) {
      assert.equal((await alice.write('sip:juliet@xmpp.example', text, [IMDN])).status, 200);
    }
    assert.equal(debugs('receipt for nothing that was asked') - before, 3);
    assert.equal(app.xmppMessages.filter(word('displayed', 'from-juliet-3')).length, 0);
    assert.equal(app.xmppMessages.filter(word('received', 'from-juliet-2')).length, 0);
    assert.equal((await alice.write('sip:juliet@xmpp.example', '<imdn>', [IMDN])).status, 400);
  });

  test('what is only stored is not delivered; then it is', async () => {
    await bob.register(0);
    say(`<body>four</body>${ASKS}`, { id: 'from-juliet-4', to: `bob@${COMPONENT}` });
    await until(() => app.app.health().queue.live === 1, { what: 'it waits' });
    assert.equal(app.xmppMessages.filter(word('received', 'from-juliet-4')).length, 0);
    await bob.register();
    await stanza('a receipt', word('received', 'from-juliet-4'));
    bob.answer = () => ({ status: 202 });
    say(`<body>five</body>${ASKS}`, { id: 'from-juliet-5', to: `bob@${COMPONENT}` });
    await arrival(bob, 'five');
    await until(() => app.app.health().queue.live === 0, { what: 'it is gone' });
    assert.equal(app.xmppMessages.filter(word('received', 'from-juliet-5')).length, 0);
    bob.answer = () => ({ status: 200 });
  });

  test('who may not see whether a user is there is told nothing', async () => {
    for (const [n, action] of ['confirm', 'block', 'polite-block'].entries()) {
      const from = `watcher-${n}@xmpp.example`;
      await app.rule('alice@sip.example', from, action as 'block');
      say(`<body>hidden ${n}</body>${ASKS}`, { id: `hidden-${n}`, from });
      const id = await callIdAt(alice, `hidden ${n}`);
      assert.equal((await alice.write(`sip:${from}`, telling(id), [IMDN])).status, 200);
      await until(() => app.app.health().queue.live === 0, { what: 'nothing waits' });
      assert.equal(app.xmppMessages.filter(word('received', `hidden-${n}`)).length, 0);
    }
  });

  test('a SIP user who asks in message/cpim is told what the XMPP user says', async () => {
    assert.equal((await alice.write('sip:juliet@xmpp.example', asking('34jk324j', 'six'), [CPIM])).status, 202);
    const sent = await stanza('the message', (message) => writeXml(message).includes('<body>six</body>'));
    assert.notEqual(childOf(sent, 'request', RECEIPTS), undefined);
    assert.notEqual(childOf(sent, 'markable', MARKERS), undefined);
    const id = sent.attrs['id'] ?? '';
    say(`<received xmlns='${RECEIPTS}' id='${id}'/>`);
    await until(() => notices(alice).length === 1, { what: 'alice is told' });
    assert.deepEqual(notices(alice), [{ messageId: '34jk324j', status: 'delivered' }]);
    say(`<received xmlns='${RECEIPTS}' id='${id}'/>`);
    say(`<displayed xmlns='${MARKERS}' id='${id}'/>`);
    await until(() => notices(alice).length === 2, { what: 'alice is told more' });
    assert.deepEqual(notices(alice)[1], { messageId: '34jk324j', status: 'displayed' });
    const { headers, body } = alice.received.findLast(({ method }) => method === 'MESSAGE')!;
    assert.match(headers.get('From') ?? '', /^<sip:juliet@xmpp\.example/);
    assert.equal(wantsFrom(contentFromBytes('message/cpim', body)), undefined);
    assert.match(Buffer.from(body).toString(), /<datetime>2023-11-14T22:13:20Z<\/datetime>/);
  });

  test('a crash between message and receipt loses nothing', async () => {
    assert.equal((await alice.write('sip:juliet@xmpp.example', asking('crash', 'seven'), [CPIM])).status, 202);
    const sent = await stanza('the message', (message) => writeXml(message).includes('<body>seven</body>'));
    await app.crash();
    await app.untilLinkUp();
    say(`<received xmlns='${RECEIPTS}' id='${sent.attrs['id']}'/>`);
    await until(() => notices(alice).some(({ messageId }) => messageId === 'crash'), { what: 'alice is told' });
  });

  test('an error for a message that asked is told under its name', async () => {
    assert.equal((await alice.write('sip:juliet@xmpp.example', asking('gone', 'eight'), [CPIM])).status, 202);
    const sent = await stanza('the message', (message) => writeXml(message).includes('<body>eight</body>'));
    await until(() => app.app.health().queue.live === 0, { what: 'it is confirmed' });
    app.xmpp.send(
      readXml(
        `<message type='error' id='${sent.attrs['id']}' from='juliet@xmpp.example' to='${sent.attrs['from']}'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
      ),
    );
    await until(() => alice.texts.some((text) => text.includes('could not be delivered')), { what: 'alice is told' });
  });

  test('disco says so, and only for users', async () => {
    const info = await new IqClient(app.xmpp, JULIET).get(
      `alice@${COMPONENT}/x`,
      `<query xmlns='http://jabber.org/protocol/disco#info'/>`,
    );
    assert.match(writeXml(info), /var="urn:xmpp:receipts"/);
    const domain = await new IqClient(app.xmpp, JULIET).get(
      COMPONENT,
      `<query xmlns='http://jabber.org/protocol/disco#info'/>`,
    );
    assert.doesNotMatch(writeXml(domain), /urn:xmpp:receipts/);
  });

  test('vulnerability: receipts of strangers, for others, with made-up names, and in a flood tell nobody anything', async () => {
    assert.equal((await alice.write('sip:juliet@xmpp.example', asking('mine', 'nine'), [CPIM])).status, 202);
    const sent = await stanza('the message', (message) => writeXml(message).includes('<body>nine</body>'));
    const id = sent.attrs['id'] ?? '';
    const received = (name: string): string => `<received xmlns='${RECEIPTS}' id='${name}'/>`;
    const known = notices(alice).length;
    const before = debugs('receipt for nothing that was asked');
    say(received(id), { from: 'tybalt@xmpp.example/x' });
    say(received(id), { to: `bob@${COMPONENT}` });
    say(received(id.split('.', 1)[0] ?? ''));
    say(received(`${id}A`));
    for (let n = 0; n < 300; n += 1) say(received(`${id.slice(0, -8)}${String(n).padStart(8, '0')}`));
    say(`<received xmlns='${RECEIPTS}'/>`);
    await until(() => debugs('receipt for nothing that was asked') - before === 304, { what: 'all are read' });
    assert.equal(app.app.health().queue.live, 0);
    assert.equal(notices(alice).length, known);
    assert.equal(notices(bob).length, 0);
    // A receipt that asks for one, and one that is a message besides: neither is answered with a receipt for a receipt.
    const answers = app.xmppMessages.length;
    say(`${received(id)}<request xmlns='${RECEIPTS}'/>`, { id: 'loop' });
    await until(() => notices(alice).length === known + 1, { what: 'alice is told' });
    assert.equal(app.xmppMessages.length, answers);
    // An error is no receipt.
    app.xmpp.send(readXml(`<message type='error' from='${JULIET}' to='alice@${COMPONENT}'>${received(id)}</message>`));
    assert.equal(notices(alice).length, known + 1);
  });

  test('vulnerability: a SIP user cannot say of a message what only its recipient can', async () => {
    say(`<body>ten</body>${ASKS}`, { id: 'from-juliet-10' });
    const callId = await callIdAt(alice, 'ten');
    await stanza('a receipt', word('received', 'from-juliet-10'));
    const shown = telling(callId, 'display-notification', 'displayed');
    assert.equal((await bob.write('sip:juliet@xmpp.example', shown, [IMDN])).status, 200);
    assert.equal((await alice.write('sip:romeo@xmpp.example', shown, [IMDN])).status, 200);
    await until(() => app.app.health().queue.live === 0, { what: 'nothing waits' });
    assert.equal(app.xmppMessages.filter(word('displayed', 'from-juliet-10')).length, 0);
  });
});
