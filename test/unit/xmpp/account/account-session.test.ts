import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../../src/cpim/address.ts';
import { type XmlElement, readXml, writeXml } from '../../../../src/cpim/xml.ts';
import { type AccountChannel, AccountSession } from '../../../../src/xmpp/account/account-session.ts';
import type { AccountLinkEvents } from '../../../../src/xmpp/link-account.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { LogRecorder } from '../../../support/log-recorder.ts';

const ME = 'liddell@chat.example';

class Channel implements AccountChannel {
  readonly name = 'public/alice@sip.example';
  isResumed = false;
  readonly sent: string[] = [];
  at: 'up' | 'down' = 'down';
  events: AccountLinkEvents | undefined;

  start(events: AccountLinkEvents): Promise<void> {
    this.events = events;
    return Promise.resolve();
  }
  send(stanza: XmlElement): Promise<void> {
    this.sent.push(writeXml(stanza));
    return Promise.resolve();
  }
  post(stanza: XmlElement): void {
    this.sent.push(writeXml(stanza));
  }
  broadcast(stanza: XmlElement): void {
    this.sent.push(writeXml(stanza));
  }
  state() {
    return { at: this.at, sinceMs: 0, unconfirmed: 0 };
  }
  stop(): Promise<void> {
    return Promise.resolve();
  }
}

type Stage = {
  readonly session: AccountSession;
  readonly channel: Channel;
  readonly clock: FakeClock;
  readonly log: LogRecorder;
  /** What came out for the user. */
  readonly inbox: string[];
  readonly changes: string[];
  readonly take: (xml: string) => void;
  /** What was sent since this was last asked. */
  readonly sent: () => string[];
};

/** A session that is up, its roster told. */
async function stage(
  options: { contacts?: 'anyone' | 'roster'; mayBeSeen?: boolean; roster?: string } = {},
): Promise<Stage> {
  const channel = new Channel();
  const clock = new FakeClock();
  const log = new LogRecorder();
  const inbox: string[] = [];
  const changes: string[] = [];
  const session = new AccountSession({
    link: channel,
    user: parseAddress('alice@sip.example')!,
    jid: { local: 'liddell', domain: 'chat.example' },
    domains: { domain: 'sip.example', name: 'sip.example' },
    contacts: options.contacts ?? 'anyone',
    mayBeSeenBy: () => options.mayBeSeen ?? true,
    clock,
    log,
  });
  await session.start({
    onStanza: (stanza) => void inbox.push(writeXml(stanza)),
    onUp: () => void changes.push('up'),
    onDown: () => void changes.push('down'),
    onRefused: () => void changes.push('refused'),
  });
  channel.at = 'up';
  channel.events?.onUp();
  const take = (xml: string): void => void channel.events?.onStanza(readXml(xml));
  const id = /id="(roster-\d+)"/.exec(channel.sent.join(''))?.[1] ?? '';
  assert.deepEqual(changes, [], 'not before the roster is known');
  take(`<iq type='result' id='${id}'><query xmlns='jabber:iq:roster'>${options.roster ?? ''}</query></iq>`);
  assert.deepEqual(changes, ['up']);
  channel.sent.length = 0;
  return { session, channel, clock, log, inbox, changes, take, sent: () => channel.sent.splice(0) };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const presence = (to: string, type?: string): XmlElement => ({
  name: 'presence',
  attrs: { from: 'alice@sip.example', to, ...(type === undefined ? {} : { type }) },
  children: [],
});

test('account session: what comes for the account is for the user, and what he sends is from the account', async () => {
  const { session, inbox, take, sent } = await stage();
  take(
    `<message xmlns='jabber:client' from='juliet@far.example/x' to='${ME}/interpres-1' type='chat'><body xmlns='jabber:client'>hi</body></message>`,
  );
  assert.deepEqual(inbox, [
    '<message to="alice@sip.example" type="chat" from="juliet@far.example/x"><body>hi</body></message>',
  ]);
  await session.send({
    name: 'message',
    attrs: { from: 'alice@sip.example/phone', to: 'juliet@far.example' },
    children: [],
  });
  assert.deepEqual(sent(), [`<message from="${ME}" to="juliet@far.example"/>`]);
  await assert.rejects(
    session.send({ name: 'message', attrs: { from: 'bob@sip.example', to: 'juliet@far.example' }, children: [] }),
    /somebody else than its user/,
  );
});

test('account session: copies are believed of the account itself alone', async () => {
  const { inbox, take, log } = await stage();
  const copy = (from: string, kind: string, to = `${ME}/desk`): string =>
    `<message from='${from}' to='${ME}/i'><${kind} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' id='m1' from='juliet@far.example/x' to='${to}' type='chat'><body>hi</body></message></forwarded></${kind}></message>`;
  take(copy('mallory@evil.example', 'received'));
  take(copy(`${ME}/other`, 'received'));
  assert.deepEqual(log.at('warn').length, 2);
  take(copy(ME, 'sent'));
  take(copy(ME, 'received', 'somebody@else.example'));
  assert.deepEqual(inbox, []);
  take(copy(ME, 'received'));
  assert.deepEqual(inbox, [
    '<message to="alice@sip.example" type="chat" from="juliet@far.example/x"><body>hi</body></message>',
  ]);
});

test('account session: a roster push of somebody else changes nothing', async () => {
  const { session, take, sent, inbox } = await stage({
    roster: "<item jid='juliet@far.example' subscription='both'/>",
  });
  const push = (from: string): string =>
    `<iq type='set' id='p1'${from}><query xmlns='jabber:iq:roster'><item jid='juliet@far.example' subscription='remove'/></query></iq>`;
  take(push(" from='mallory@evil.example'"));
  const contacts = (): number | undefined => session.roster.contacts?.length;
  assert.equal(contacts(), 1);
  assert.equal(inbox.length, 1, 'it is answered as any request is');
  take(push(` from='${ME}'`));
  assert.equal(contacts(), 0);
  assert.match(sent().join(''), /<iq type="result" .*id="p1"/);
  await settled();
  // What another client has taken out is over here, too, in both directions.
  assert.deepEqual(inbox.slice(1), [
    '<presence from="juliet@far.example" to="alice@sip.example" type="unsubscribed"/>',
    '<presence from="juliet@far.example" to="alice@sip.example" type="unsubscribe"/>',
  ]);
});

test('account session: what was granted long ago is not asked for again', async () => {
  const { session, sent, inbox } = await stage({ roster: "<item jid='juliet@far.example' subscription='to'/>" });
  await session.send(presence('juliet@far.example', 'subscribe'));
  await session.send(presence('nurse@far.example', 'subscribe'));
  await settled();
  assert.deepEqual(sent(), [`<presence from="${ME}" to="nurse@far.example" type="subscribe"/>`]);
  assert.deepEqual(inbox, ['<presence from="juliet@far.example" to="alice@sip.example" type="subscribed"/>']);
});

test('account session: a probe is answered from what is known, also before the push that follows a yes', async () => {
  const { session, take, inbox } = await stage({ roster: "<item jid='juliet@far.example' subscription='to'/>" });
  session.show([]);
  take("<presence from='juliet@far.example/x'><show>dnd</show></presence>");
  inbox.length = 0;
  await session.send(presence('juliet@far.example', 'probe'));
  await settled();
  assert.deepEqual(inbox.splice(0), [
    '<presence from="juliet@far.example/x" to="alice@sip.example"><show>dnd</show></presence>',
  ]);
  await session.send(presence('stranger@far.example', 'probe'));
  await settled();
  assert.match(inbox.splice(0).join(''), /type="unsubscribed"/);
  take(`<presence from='nurse@far.example' to='${ME}' type='subscribed'/>`);
  inbox.length = 0;
  await session.send(presence('nurse@far.example', 'probe'));
  await settled();
  assert.deepEqual(inbox, [], 'the service is about to tell');
});

test('account session: one presence for all contacts, none for single ones, and none once nobody is there', async () => {
  const { session, take, sent, inbox } = await stage({
    roster: "<item jid='juliet@far.example' subscription='both'/>",
  });
  session.show(undefined);
  assert.deepEqual(sent(), [], 'nothing was shown before');
  const show = { name: 'show', attrs: {}, children: ['dnd'] };
  session.show([show]);
  session.show([show]);
  assert.deepEqual(sent(), [`<presence from="${ME}"><show>dnd</show></presence>`]);
  await session.send(presence('juliet@far.example'));
  await session.send(presence('juliet@far.example', 'unavailable'));
  await session.send(presence('juliet@far.example', 'unsubscribe'));
  assert.deepEqual(sent(), []);
  take("<presence from='juliet@far.example/x'/>");
  inbox.length = 0;
  session.show(undefined);
  assert.deepEqual(sent(), [`<presence from="${ME}" type="unavailable"/>`]);
  await settled();
  assert.deepEqual(inbox, ['<presence from="juliet@far.example/x" to="alice@sip.example" type="unavailable"/>']);
});

test('account session: whoever is to see less than all is not let in by the service, which would show him all', async () => {
  const { session, sent } = await stage({ mayBeSeen: false });
  await session.send(presence('juliet@far.example', 'subscribed'));
  assert.deepEqual(sent(), []);
  await session.send(presence('juliet@far.example', 'unsubscribed'));
  assert.deepEqual(sent(), [`<presence from="${ME}" to="juliet@far.example" type="unsubscribed"/>`]);
});

test('account session: with contacts: roster strangers are left to other clients', async () => {
  const { inbox, take, log } = await stage({
    contacts: 'roster',
    roster: "<item jid='juliet@far.example' subscription='none'/>",
  });
  take(`<message from='stranger@far.example/x' to='${ME}'><body>buy</body></message>`);
  assert.deepEqual(inbox, []);
  assert.ok(log.at('info').includes('message of no contact left to other clients'));
  take(`<message from='juliet@far.example/x' to='${ME}'><body>hi</body></message>`);
  take(`<presence from='stranger@far.example' to='${ME}' type='subscribe'/>`);
  assert.equal(inbox.length, 2);
});

test('account session: a session that goes on asks for nothing again; a new one does', async () => {
  const { session, channel, sent, changes } = await stage();
  session.show([]);
  sent();
  channel.events?.onDown('cut');
  channel.isResumed = true;
  channel.events?.onUp();
  assert.deepEqual(sent(), []);
  assert.deepEqual(changes, ['up', 'down', 'up']);
  channel.events?.onDown('cut');
  channel.isResumed = false;
  channel.events?.onUp();
  assert.match(sent().join(''), /roster-2.*carbons-2/);
});

test('account session: a service that tells no roster is used all the same', async () => {
  const { channel, clock, changes } = await stage();
  channel.events?.onDown('cut');
  channel.events?.onUp();
  await clock.advanceAsync(10_000);
  assert.deepEqual(changes, ['up', 'down', 'up']);
});
