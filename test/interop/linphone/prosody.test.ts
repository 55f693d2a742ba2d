import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { COMPONENT, SIP_DOMAIN, startFederation, XMPP_DOMAIN, type Federation } from '../../support/federation.ts';
import { startLinphone } from '../../support/linphone.ts';
import { needs } from '../../support/peers.ts';
import type { Phone } from '../../support/phone.ts';
import { startSlixmpp, type SlixmppClient } from '../../support/slixmpp.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

const TEXTS = ['Wherefore art thou', '🌍👩‍👩‍👧 שלום עולם مرحبا', `<&> "quotes" 'n' \\ backslash`, 'y'.repeat(10_000)];

for (const transport of ['udp', 'tcp'] as const) {
  describe(`linphone over ${transport}, prosody`, needs('linphone', 'prosody', 'slixmpp'), () => {
    let world: Federation;
    let phone: Phone;
    let juliet: SlixmppClient;
    before(async () => {
      world = await startFederation({ name: 'linphone', sipUsers: ['alice'] });
      [juliet, phone] = await Promise.all([
        startSlixmpp(world.xmpp, 'juliet', world.folder),
        startLinphone({
          user: 'alice',
          domain: SIP_DOMAIN,
          password: passwordOf('alice'),
          port: world.interpres.sipPort,
          transport,
          folder: world.folder,
        }),
      ]);
    });
    after(async () => {
      await phone.stop();
      await juliet.stop();
      await world.stop();
    });

    for (const text of TEXTS) {
      test(`linphone over ${transport}: ${text.slice(0, 30)} (${text.length}) goes to an XMPP user and back`, async () => {
        assert.equal(await phone.message(`sip:juliet@${XMPP_DOMAIN}`, text), true);
        const message = await juliet.untilMessage(({ body }) => body === text);
        assert.equal(message.from.split('/')[0], `alice@${COMPONENT}`);
        juliet.message({ to: message.from, body: `re: ${text}` });
        const reply = await phone.untilMessage((received) => received.text === `re: ${text}`);
        assert.match(reply.from, new RegExp(`sip:juliet@${XMPP_DOMAIN}`));
      });
    }

    test(`linphone over ${transport}: a user that does not exist is reported to its user as not delivered`, async () => {
      assert.equal(await phone.message(`sip:nobody@${SIP_DOMAIN}`, 'is there anybody'), false);
    });

    test(`linphone over ${transport}: an XMPP user that does not exist is told in a message`, async () => {
      await phone.message(`sip:nobody@${XMPP_DOMAIN}`, 'anybody at all');
      await phone.untilMessage(
        ({ text }) => text.includes('could not be delivered') && text.includes('anybody at all'),
      );
    });

    test(`linphone over ${transport}: nothing it received came twice`, () => {
      const texts = phone.messages().map(({ text }) => text);
      assert.deepEqual(
        texts.filter((text, at) => texts.indexOf(text) !== at),
        [],
      );
    });
  });
}
