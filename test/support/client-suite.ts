import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { COMPONENT, type Federation, SIP_DOMAIN, startFederation, XMPP_DOMAIN } from './federation.ts';
import { needs } from './peers.ts';
import { ScriptedPhone } from './scripted-phone.ts';
import { startSlixmpp, type SlixmppClient } from './slixmpp.ts';
import { until } from './until.ts';
import { startXmppClient, xml, type XmppClient } from './xmpp-client.ts';
import { passwordOf, type ComponentHost, type XmppServerOptions } from './xmpp-server.ts';

/** The smallest PNG: one pixel. */
const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==',
  'base64',
);
const SHA1 = createHash('sha1').update(PICTURE).digest('hex');
const ALICE = `alice@${COMPONENT}`;
const COMMANDS = 'http://jabber.org/protocol/commands';

export type ClientSuiteOptions = {
  /** The server lets its component read and write rosters (XEP-0356). */
  readonly isPrivileged: boolean;
};

/** What real clients find behind a real server of this kind: contacts, commands, the gateway. */
export function clientSuite(
  peer: 'prosody' | 'ejabberd',
  startXmppServer: (options: XmppServerOptions) => Promise<ComponentHost>,
  { isPrivileged }: ClientSuiteOptions,
): void {
  describe(`what clients expect, behind ${peer}`, needs(peer, 'slixmpp'), () => {
    let federation: Federation;
    let juliet: SlixmppClient;
    let romeo: XmppClient;
    let phone: ScriptedPhone;

    before(async () => {
      federation = await startFederation({
        name: `clients-${peer}`,
        startXmppServer,
        sipUsers: ['alice'],
        link: { registration: true },
        config: { presence: { default: 'allow', notifyIntervalSeconds: 0 } },
      });
      const { interpres, xmpp, folder } = federation;
      const picture = join(folder, 'alice.png');
      writeFileSync(picture, PICTURE);
      const facts = ['--name', 'Alice Liddell', '--email', 'alice@mail.example', '--avatar', picture];
      await interpres.run(['users', 'set', `sip:alice@${SIP_DOMAIN}`, ...facts]);
      const server = { transport: 'udp', port: interpres.sipPort } as const;
      phone = await ScriptedPhone.open({ user: 'alice', domain: SIP_DOMAIN, password: passwordOf('alice'), server });
      await phone.register(600, [['User-Agent', 'Looking-Glass/2.1']]);
      [juliet, romeo] = await Promise.all([
        startSlixmpp(xmpp, 'juliet', folder, { gateway: true }),
        startXmppClient(xmpp, 'romeo'),
      ]);
    });

    after(async () => {
      await juliet.stop();
      await romeo.stop();
      await phone.close();
      await federation.stop();
    });

    /** What slixmpp has found. @throws for an error */
    const found = async (...asked: Parameters<SlixmppClient['find']>): Promise<Readonly<Record<string, unknown>>> => {
      const { ok, condition, facts } = await juliet.find(...asked);
      assert.equal(ok, true, `${asked[0]} was answered ${condition ?? ''}`);
      return facts ?? {};
    };

    test('slixmpp reads vCard and picture, in both ways, and sees the picture in presence', async () => {
      assert.deepEqual(await found('vcard', ALICE), {
        name: 'Alice Liddell',
        email: 'alice@mail.example',
        photo: PICTURE.toString('base64'),
      });
      assert.deepEqual(await found('avatar', ALICE), { id: SHA1, sha1: SHA1 });
      juliet.presence({ to: ALICE, type: 'subscribe' });
      const shown = await juliet.untilPresence(
        ({ from, type }) => from.startsWith(`${ALICE}/`) && type === 'available',
      );
      assert.ok(shown.xml.includes(`<photo>${SHA1}</photo>`), shown.xml);
      const { features } = await juliet.ask('disco', shown.from);
      assert.ok(features?.includes('vcard-temp'));
    });

    test('slixmpp asks for version, last activity and time, of contact and domain; pings both', async () => {
      assert.equal((await juliet.ask('version', ALICE)).name, 'Looking-Glass');
      assert.equal((await juliet.ask('version', COMPONENT)).name, 'Interpres');
      assert.equal((await found('last', ALICE))['seconds'], 0);
      assert.ok(Number((await found('last', COMPONENT))['seconds']) < 600);
      assert.match(String((await found('time', COMPONENT))['utc']), /^\d{4}-/);
      assert.equal((await juliet.find('time', ALICE)).condition, 'service-unavailable');
      for (const to of [ALICE, COMPONENT]) assert.equal((await juliet.ask('ping', to)).ok, true);
      assert.equal((await juliet.find('vcard', `nobody@${COMPONENT}`)).ok, true);
    });

    test('@xmpp/client does, too', async () => {
      const card = await romeo.iq(ALICE, 'get', xml('vCard', { xmlns: 'vcard-temp' }));
      assert.equal(card.getChild('vCard', 'vcard-temp')?.getChildText('FN'), 'Alice Liddell');
      const last = await romeo.iq(ALICE, 'get', xml('query', { xmlns: 'jabber:iq:last' }));
      assert.equal(last.getChild('query', 'jabber:iq:last')?.attrs['seconds'], '0');
      const prompt = xml('query', { xmlns: 'jabber:iq:gateway' }, xml('prompt', {}, `sip:alice@${SIP_DOMAIN}`));
      const address = await romeo.iq(COMPONENT, 'set', prompt);
      assert.equal(address.getChild('query', 'jabber:iq:gateway')?.getChildText('jid'), ALICE);
      const card4 = xml('vCard', { xmlns: 'vcard-temp' }, xml('FN', {}, 'Eve'));
      await assert.rejects(romeo.iq(ALICE, 'set', card4), { condition: 'not-allowed' });
    });

    test('slixmpp finds the commands and goes through one in stages, back and on; cancels another', async () => {
      const { items } = await found('items', COMPONENT, { node: COMMANDS });
      assert.deepEqual((items as string[][]).map(([, node]) => node).sort(), ['help', 'history', 'status']);
      const steps = [['which', 'waiting'], 'prev', ['which', 'failed'], ['id', '']];
      const { stages } = await found('adhoc', COMPONENT, { node: 'history', values: steps });
      const seen = stages as Array<{ status: string; fields: string[]; texts: string[] }>;
      assert.deepEqual(
        seen.map(({ status, fields }) => [status, ...fields]),
        [
          ['executing', 'which'],
          ['executing', 'id'],
          ['executing', 'which'],
          ['executing', 'id'],
          ['completed', 'text'],
        ],
      );
      assert.match(seen.at(-1)!.texts.join(' '), /No message of yours has failed/);
      const cancelled = await found('adhoc', COMPONENT, { node: 'history', values: ['cancel'] });
      assert.equal((cancelled['stages'] as typeof seen).at(-1)!.status, 'canceled');
    });

    test('commands as messages: from slixmpp, @xmpp/client and a phone', async () => {
      juliet.message({ to: COMPONENT, body: 'status' });
      const status = await juliet.untilMessage(({ from, body }) => from === COMPONENT && body.startsWith('You are'));
      assert.match(status.body, new RegExp(`You are juliet@${XMPP_DOMAIN}`));
      await romeo.message(`interpres@${COMPONENT}`, 'help');
      await romeo.untilMessage((message) => message.getChildText('body')?.startsWith('Commands:') === true);
      await phone.write(`sip:interpres@${SIP_DOMAIN}`, 'rules');
      const told = await until(() => phone.texts.find((text) => text.includes(`juliet@${XMPP_DOMAIN}`)), {
        what: 'the phone is told of juliet',
        withinMs: 5_000,
      });
      assert.match(told, /juliet@xmpp\.example watches you; allow \(by default\)/);
    });

    test('slixmpp registers with the gateway and ends that; contacts are suggested', async () => {
      assert.equal((await found('register', COMPONENT))['registered'], false);
      await juliet.untilPresence(({ from, type }) => from === COMPONENT && type === 'subscribe');
      const suggested = await juliet.untilMessage(({ from, xml }) => from === COMPONENT && xml.includes('rosterx'));
      assert.ok(suggested.xml.includes(`jid="interpres@${COMPONENT}"`), suggested.xml);
      if (isPrivileged) {
        await federation.interpres.untilLogged(/^server grants privileges$/);
        // What ejabberd 23 lets be written in words and then fails on (docs/peer-quirks.md).
        await federation.interpres.untilLogged(/^roster was not changed by its server$/);
      }
      assert.equal((await found('register', COMPONENT, { remove: true }))['registered'], true);
      await juliet.untilPresence(({ from, type }) => from === COMPONENT && type === 'unavailable');
    });
  });
}
