import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSuggestions } from '../../../../src/app/account-suggestions.ts';
import type { AppOptions } from '../../../../src/app/options.ts';
import type { PresenceSide } from '../../../../src/app/presence.ts';
import { readXml, writeXml, type XmlElement } from '../../../../src/cpim/xml.ts';
import { AccountSession } from '../../../../src/xmpp/account/account-session.ts';
import { formatJid, parseJid } from '../../../../src/xmpp/jid.ts';
import type { AccountLink, AccountLinkEvents } from '../../../../src/xmpp/link-account.ts';
import { anAddress } from '../../../support/builders.ts';
import { FakeClock, settled } from '../../../support/fake-clock.ts';
import { LogRecorder } from '../../../support/log-recorder.ts';
import { RecordingLink } from '../../../support/recording-link.ts';

const ALICE = anAddress('alice@sip.example');
const DOMAINS = { domain: 'sip.example', name: 'sip.example' };

test('account: its other clients are told of, and nothing of them goes further', async () => {
  let events: AccountLinkEvents | undefined;
  const link = {
    name: 'public/alice@sip.example',
    start: (given: AccountLinkEvents) => {
      events = given;
      return Promise.resolve();
    },
  } as unknown as AccountLink;
  const clients: string[] = [];
  const session = new AccountSession({
    link,
    user: ALICE,
    jid: parseJid('a@chat.example')!,
    domains: DOMAINS,
    contacts: 'anyone',
    onOwnClient: (client) => void clients.push(formatJid(client)),
    mayBeSeenBy: () => true,
    clock: new FakeClock(),
    log: new LogRecorder(),
  });
  const further: XmlElement[] = [];
  await session.start({
    onStanza: (stanza) => void further.push(stanza),
    onUp: () => undefined,
    onDown: () => undefined,
    onRefused: () => undefined,
  });
  for (const presence of [
    `<presence from='a@chat.example/pda'/>`,
    `<presence from='a@chat.example/pda' type='unavailable'/>`,
    `<presence from='a@chat.example'/>`,
  ]) {
    await events?.onStanza(readXml(presence));
  }
  assert.deepEqual(clients, ['a@chat.example/pda']);
  assert.deepEqual(further, []);
});

test('account: whom its user watches from his phones is suggested to a client that takes it, once a day (XEP-0144)', async () => {
  const link = new RecordingLink();
  link.up();
  const clock = new FakeClock();
  const contacts = [anAddress('juliet@xmpp.example'), anAddress('romeo@xmpp.example')];
  const takes = readXml(
    `<iq type='result'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='http://jabber.org/protocol/rosterx'/></query></iq>`,
  );
  const side = {
    xmpp: {
      requestsOf: () => ({ ask: () => Promise.resolve(takes) }),
      upstream: { contacts: { contactsOf: () => contacts } },
    },
  } as unknown as PresenceSide;
  const suggest = createSuggestions(new Map([['public/a', { link, domains: DOMAINS }]]), () => side, {
    clock,
    log: new LogRecorder(),
  } as unknown as AppOptions);
  const told = async (): Promise<readonly string[]> => {
    suggest('public/a', ALICE, parseJid('a@chat.example/pda')!, ({ local }) => local === 'romeo');
    await settled();
    return link.take();
  };
  assert.deepEqual(await told(), [
    writeXml(
      readXml(
        `<message from='alice@sip.example' to='a@chat.example/pda'><x xmlns='http://jabber.org/protocol/rosterx'><item action='add' jid='juliet@xmpp.example'><group>SIP</group></item></x></message>`,
      ),
    ),
  ]);
  assert.deepEqual(await told(), []);
  await clock.advanceAsync(86_400_000);
  assert.equal((await told()).length, 1);
});
