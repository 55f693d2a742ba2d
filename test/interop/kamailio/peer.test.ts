import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  COMPONENT,
  federationConfig,
  SIP_DOMAIN,
  sipUser,
  startFederation,
  XMPP_DOMAIN,
  type Federation,
} from '../../support/federation.ts';
import { startKamailio } from '../../support/kamailio.ts';
import { startLinphone } from '../../support/linphone.ts';
import { needs } from '../../support/peers.ts';
import type { Phone } from '../../support/phone.ts';
import { freePort } from '../../support/ports.ts';
import type { TestProcess } from '../../support/process.ts';
import { sippMessage, startSippPhone, type SippPhone } from '../../support/sipp.ts';
import { startXmppClient, type XmppClient } from '../../support/xmpp-client.ts';

const PARTNER = 'partner.example';

describe('kamailio as a SIP peer', needs('kamailio', 'linphone', 'sipp', 'prosody'), () => {
  let world: Federation;
  let kamailio: TestProcess;
  let port: number;
  let bob: Phone;
  let alice: SippPhone;
  let juliet: XmppClient;

  before(async () => {
    port = await freePort();
    world = await startFederation({ name: 'kamailio', sipUsers: ['alice'] });
    // The ports are known only now: the peer is added, and the server started again with it.
    await world.interpres.stop();
    world.interpres.changeConfig({
      ...federationConfig(world.xmpp.componentPort),
      peers: [
        { domain: XMPP_DOMAIN, link: 'office' },
        { domain: PARTNER, link: 'sip', nextHop: `sip:127.0.0.1:${port};transport=tcp`, trust: ['127.0.0.1'] },
      ],
    });
    await world.interpres.start();
    await world.interpres.untilLink('office', 'up');
    const options = { folder: world.folder, domain: PARTNER, port, neighbourPort: world.interpres.sipPort };
    kamailio = await startKamailio(options);
    [bob, alice, juliet] = await Promise.all([
      startLinphone({ user: 'bob', domain: PARTNER, password: 'none', port, transport: 'tcp', folder: world.folder }),
      startSippPhone(world.sippTarget('tcp'), sipUser('alice')),
      startXmppClient(world.xmpp, 'juliet'),
    ]);
  });
  after(async () => {
    await bob.stop();
    await alice.stop();
    await juliet.stop();
    await kamailio.stop();
    await world.stop();
  });

  test('kamailio: a message from our SIP user reaches a user of the peer', async () => {
    const request = { to: `sip:bob@${PARTNER}`, body: 'over to you 🌍', expect: 202 };
    await sippMessage(world.sippTarget('udp'), sipUser('alice'), request);
    const message = await bob.untilMessage(({ text }) => text === 'over to you 🌍');
    assert.match(message.from, new RegExp(`sip:alice@${SIP_DOMAIN}`));
  });

  test('kamailio: a message from a user of the peer reaches our SIP user', async () => {
    assert.equal(await bob.message(`sip:alice@${SIP_DOMAIN}`, 'and back שלום'), true);
    await alice.untilBody((body) => body === 'and back שלום');
  });

  test('kamailio: a user of the peer that does not exist is told to our SIP user', async () => {
    const request = { to: `sip:nobody@${PARTNER}`, body: 'knock knock', expect: 202 };
    await sippMessage(world.sippTarget('udp'), sipUser('alice'), request);
    await alice.untilBody((body) => body.includes('could not be delivered') && body.includes('knock knock'));
  });

  test('kamailio: a user of ours that does not exist is refused to the peer', async () => {
    assert.equal(await bob.message(`sip:nobody@${SIP_DOMAIN}`, 'anybody'), false);
  });

  test('kamailio: the peer may not use us to reach XMPP', async () => {
    assert.equal(await bob.message(`sip:juliet@${XMPP_DOMAIN}`, 'relay me'), false);
    await juliet.message(`alice@${COMPONENT}`, 'marker');
    await alice.untilBody((body) => body === 'marker');
    assert.deepEqual(juliet.messages().map(String), []);
  });

  test('kamailio: while the peer is down messages wait, and arrive once it is back', async () => {
    await bob.stop();
    await kamailio.stop();
    const request = { to: `sip:bob@${PARTNER}`, body: 'when you are back', expect: 202 };
    await sippMessage(world.sippTarget('udp'), sipUser('alice'), request);
    const options = { folder: `${world.folder}/again`, domain: PARTNER, port, neighbourPort: world.interpres.sipPort };
    kamailio = await startKamailio(options);
    bob = await startLinphone({
      user: 'bob',
      domain: PARTNER,
      password: 'none',
      port,
      transport: 'tcp',
      folder: `${world.folder}/again`,
    });
    await bob.untilMessage(({ text }) => text === 'when you are back', 40_000);
  });
});
