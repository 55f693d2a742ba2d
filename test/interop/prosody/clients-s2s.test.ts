import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { needs } from '../../support/peers.ts';
import type { PresencePhone } from '../../support/presence-phone.ts';
import { OURS, startFederated, THEIRS, type Federated } from '../../support/s2s-federation.ts';
import { startProsodyS2s } from '../../support/s2s-prosody.ts';
import { until } from '../../support/until.ts';
import { startXmppClient, xml, type XmppClient } from '../../support/xmpp-client.ts';

const COMMANDS = 'http://jabber.org/protocol/commands';

describe('what clients expect, between servers', needs('prosody'), () => {
  let world: Federated;
  let juliet: XmppClient;
  let alice: PresencePhone;

  before(async () => {
    world = await startFederated({
      name: 'clients-s2s',
      startServer: startProsodyS2s,
      users: ['alice'],
      xmppUsers: ['juliet'],
      security: 'dialback',
    });
    [juliet, alice] = await Promise.all([startXmppClient(world.theirs, 'juliet'), world.ours.phone('alice')]);
  });
  after(async () => {
    await juliet.stop();
    await world.stop();
  });

  test('our domain and its contacts answer, and take commands in both ways', async () => {
    const contact = await juliet.iq(`alice@${OURS}`, 'get', xml('query', { xmlns: 'jabber:iq:last' }));
    assert.equal(contact.getChild('query', 'jabber:iq:last')?.attrs['seconds'], '0');
    const done = await juliet.iq(OURS, 'set', xml('command', { xmlns: COMMANDS, node: 'status', action: 'execute' }));
    assert.equal(done.getChild('command', COMMANDS)?.attrs['status'], 'completed');
    await juliet.message(OURS, 'help');
    await juliet.untilMessage(
      (message) => message.attrs['from'] === OURS && message.getChildText('body')?.startsWith('Commands:') === true,
    );
    await alice.phone.write(`sip:${OURS}`, 'status');
    const status = await until(() => alice.phone.texts.find((text) => text.startsWith('You are')), {
      what: 'the phone is told',
      withinMs: 5_000,
    });
    assert.ok(status.includes(`${THEIRS} can be reached.`), status);
  });
});
