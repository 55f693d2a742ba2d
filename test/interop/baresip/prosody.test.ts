import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBaresip } from '../../support/baresip.ts';
import { COMPONENT, SIP_DOMAIN, startFederation, XMPP_DOMAIN, type Federation } from '../../support/federation.ts';
import { needs } from '../../support/peers.ts';
import type { Phone } from '../../support/phone.ts';
import { startXmppClient, xml, type XmppClient } from '../../support/xmpp-client.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

const JULIET = `sip:juliet@${XMPP_DOMAIN}`;
const NOBODY = `sip:nobody@${SIP_DOMAIN}`;
const TEXTS = ['Wherefore art thou', '🌍👩‍👩‍👧 שלום עולם مرحبا', 'two\nlines', `<&> "quotes" 'n' \\ backslash`];

for (const transport of ['udp', 'tcp'] as const) {
  describe(`baresip over ${transport}, prosody`, needs('baresip', 'prosody'), () => {
    let world: Federation;
    let phone: Phone;
    let juliet: XmppClient;
    before(async () => {
      world = await startFederation({ name: 'baresip', sipUsers: ['alice'] });
      [juliet, phone] = await Promise.all([
        startXmppClient(world.xmpp, 'juliet'),
        startBaresip(
          {
            user: 'alice',
            domain: SIP_DOMAIN,
            password: passwordOf('alice'),
            port: world.interpres.sipPort,
            transport,
            folder: world.folder,
          },
          [JULIET, NOBODY],
        ),
      ]);
    });
    after(async () => {
      await phone.stop();
      await juliet.stop();
      await world.stop();
    });

    for (const text of TEXTS) {
      test(`baresip over ${transport}: ${JSON.stringify(text.slice(0, 30))} goes to an XMPP user and back`, async () => {
        assert.equal(await phone.message(JULIET, text), true);
        const message = await juliet.untilMessage((stanza) => stanza.getChildText('body') === text);
        assert.equal(String(message.attrs['from']).split('/')[0], `alice@${COMPONENT}`);
        await juliet.message(String(message.attrs['from']), `re: ${text}`);
        const reply = await phone.untilMessage((received) => received.text === `re: ${text}`);
        assert.match(reply.from, new RegExp(`^sip:juliet@${XMPP_DOMAIN}`));
      });
    }

    test(`baresip over ${transport}: 10 kB from an XMPP user reach it`, async () => {
      const text = 'z'.repeat(10_240);
      await juliet.message(`alice@${COMPONENT}`, text, { children: [xml('thread', {}, 'long')] });
      await phone.untilMessage((received) => received.text === text);
    });

    test(`baresip over ${transport}: a user that does not exist is refused`, async () => {
      assert.equal(await phone.message(NOBODY, 'is there anybody'), false);
    });

    test(`baresip over ${transport}: its random contact user is reached after it registered anew`, async () => {
      await phone.stop();
      phone = await startBaresip(
        {
          user: 'alice',
          domain: SIP_DOMAIN,
          password: passwordOf('alice'),
          port: world.interpres.sipPort,
          transport,
          folder: `${world.folder}/again`,
        },
        [JULIET],
      );
      await juliet.message(`alice@${COMPONENT}`, 'welcome back');
      await phone.untilMessage((received) => received.text === 'welcome back');
    });
  });
}
