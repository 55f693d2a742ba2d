import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  COMPONENT,
  federationConfig,
  SECRET,
  sipUser,
  startFederation,
  XMPP_DOMAIN,
  type Federation,
} from './federation.ts';
import { needs } from './peers.ts';
import { sippMessage } from './sipp.ts';
import { startXmppClient } from './xmpp-client.ts';
import type { ComponentHost, XmppServerOptions } from './xmpp-server.ts';

/** What becomes of the link when the XMPP server goes away, or does not want us. */
export function linkSuite(
  name: 'prosody' | 'ejabberd',
  startXmppServer: (options: XmppServerOptions) => Promise<ComponentHost>,
): void {
  describe(`${name}: the link`, needs(name, 'sipp'), () => {
    let world: Federation;
    before(async () => {
      world = await startFederation({ name: `${name}-link`, startXmppServer, sipUsers: ['alice'] });
    });
    after(() => world.stop());

    const message = (body: string, expect: number): Promise<void> =>
      sippMessage(world.sippTarget('udp'), sipUser('alice'), { to: `sip:juliet@${XMPP_DOMAIN}`, body, expect });

    test(`${name}: while it is down messages are accepted, and arrive once it is back`, async () => {
      await world.xmpp.stop();
      await world.interpres.untilLink('office', 'down');
      await message('while you were out', 202);
      await world.xmpp.start();
      await world.interpres.untilLink('office', 'up', 30_000);
      const juliet = await startXmppClient(world.xmpp, 'juliet');
      await juliet.untilMessage((stanza) => stanza.getChildText('body') === 'while you were out');
      const copies = juliet.messages().filter((stanza) => stanza.getChildText('body') === 'while you were out');
      assert.equal(copies.length, 1);
      await juliet.stop();
    });

    test(`${name}: a wrong secret is said clearly, and mended without us when the server learns ours`, async () => {
      await world.xmpp.stop();
      world.xmpp.setSecret('something else');
      await world.xmpp.start();
      const { reason } = await untilRefused(world);
      assert.match(reason, /not-authorized|secret|handshake/i);
      const logged = await world.interpres.untilLogged(/^link refused$/);
      assert.equal(logged['level'], 'error', 'somebody must act');
      assert.match(String(logged['remedy']), /secret/);
      assert.ok(!world.interpres.process().output().includes(SECRET), 'the log does not tell the secret');
      await message('kept for later', 202);

      await world.xmpp.stop();
      world.xmpp.setSecret(SECRET);
      await world.xmpp.start();
      await world.interpres.untilLink('office', 'up', 35_000);
      const juliet = await startXmppClient(world.xmpp, 'juliet');
      await juliet.untilMessage((stanza) => stanza.getChildText('body') === 'kept for later');
      await juliet.stop();
    });

    test(`${name}: after our own restart the link is up again and users are still known`, async () => {
      const ended = await world.interpres.stop();
      assert.equal(ended.code, 0);
      world.interpres.changeConfig(federationConfig(world.xmpp.componentPort));
      await world.interpres.start();
      await world.interpres.untilLink('office', 'up');
      const juliet = await startXmppClient(world.xmpp, 'juliet');
      await message('after the restart', 202);
      await juliet.untilMessage((stanza) => stanza.attrs['from'] === `alice@${COMPONENT}`);
      await juliet.stop();
    });
  });
}

async function untilRefused(world: Federation): Promise<{ reason: string }> {
  const endsAtMs = Date.now() + 35_000;
  for (;;) {
    const link = (await world.interpres.health()).links['office'];
    if (link?.reason !== undefined && /not-authorized|secret|handshake/i.test(link.reason))
      return { reason: link.reason };
    if (Date.now() > endsAtMs) throw new Error(`the link gives no such reason: ${JSON.stringify(link)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
