import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { COMPONENT, SIP_DOMAIN, XMPP_DOMAIN, sipUser, startFederation, type Federation } from './federation.ts';
import { needs } from './peers.ts';
import { sippMessage, startSippPhone, type SippPhone } from './sipp.ts';
import { startSlixmpp, type SlixmppClient } from './slixmpp.ts';
import { startXmppClient, xml, type XmppClient } from './xmpp-client.ts';
import type { ComponentHost, XmppServerOptions } from './xmpp-server.ts';

const TEXTS = [
  { name: 'plain text', text: 'Neither, fair saint, if either thee dislike.' },
  { name: 'emoji and right-to-left text', text: '🌍👩‍👩‍👧 שלום עולם مرحبا \u202eabc\u202c é' },
  { name: 'what XML must escape', text: '<b>&amp; "quoted" \'text\' ]]>' },
  { name: 'several lines', text: 'first\n\nthird\nlast' },
];

const LONG = Array.from({ length: 1_000 }, (_, n) => `line ${String(n).padStart(3, '0')};`)
  .join('')
  .slice(0, 10_240);

/**
 * What every XMPP server must see of us, with SIPp as the SIP user and two XMPP clients, `@xmpp/client` and slixmpp.
 *
 * @param name what each test's name begins with: the peer
 */
export function messagesSuite(
  name: 'prosody' | 'ejabberd',
  startXmppServer: (options: XmppServerOptions) => Promise<ComponentHost>,
): void {
  describe(`${name}: messages`, needs(name, 'slixmpp', 'sipp'), () => {
    let world: Federation;
    let juliet: XmppClient;
    let romeo: SlixmppClient;
    let alice: SippPhone;

    before(async () => {
      world = await startFederation({
        name,
        startXmppServer,
        sipUsers: ['alice'],
        config: { rateLimits: 'off' },
      });
      [juliet, romeo, alice] = await Promise.all([
        startXmppClient(world.xmpp, 'juliet'),
        startSlixmpp(world.xmpp, 'romeo', world.folder),
        startSippPhone(world.sippTarget('tcp'), sipUser('alice')),
      ]);
    });
    after(async () => {
      await alice.stop();
      await juliet.stop();
      await romeo.stop();
      await world.stop();
    });

    for (const transport of ['udp', 'tcp'] as const) {
      for (const { name: what, text } of TEXTS.filter(({ text }) => !text.includes('[') && !text.includes(']]'))) {
        test(`${name}: ${what} from SIP over ${transport.toUpperCase()} reaches @xmpp/client as written`, async () => {
          const body = `${transport} ${text}`;
          await sippMessage(world.sippTarget(transport), sipUser('alice'), {
            to: `sip:juliet@${XMPP_DOMAIN}`,
            body,
            expect: 202,
          });
          // SIPp writes every line end as CRLF; XML knows LF alone.
          const message = await juliet.untilMessage((stanza) => stanza.getChildText('body') === body);
          assert.equal(message.attrs['from'], `alice@${COMPONENT}`);
        });
      }
    }

    for (const { name: what, text } of TEXTS) {
      test(`${name}: ${what} from slixmpp reaches SIP as written`, async () => {
        romeo.message({ to: `alice@${COMPONENT}`, body: `from romeo ${text}` });
        await alice.untilBody((body) => body === `from romeo ${text}`);
      });
    }

    test(`${name}: 10 kB from SIP over TCP reach slixmpp`, async () => {
      await sippMessage(world.sippTarget('tcp'), sipUser('alice'), {
        to: `sip:romeo@${XMPP_DOMAIN}`,
        body: LONG,
        expect: 202,
      });
      await romeo.untilMessage((message) => message.body === LONG);
    });

    test(`${name}: 10 kB from @xmpp/client reach SIP over TCP`, async () => {
      await juliet.message(`alice@${COMPONENT}`, LONG);
      await alice.untilBody((body) => body === LONG);
    });

    test(`${name}: Subject and Call-ID become subject and thread`, async () => {
      await sippMessage(world.sippTarget('tcp'), sipUser('alice'), {
        to: `sip:romeo@${XMPP_DOMAIN}`,
        headers: ['Subject: Grüße 🌹'],
        body: 'with a subject',
        expect: 202,
      });
      const message = await romeo.untilMessage(({ body }) => body === 'with a subject');
      assert.equal(message.subject, 'Grüße 🌹');
      assert.match(message.thread, /^1-\d+@127\.0\.0\.1$/, 'the Call-ID as SIPp makes it');
    });

    test(`${name}: the subject becomes Subject, and each message of a thread has a Call-ID of its own`, async () => {
      for (const body of ['thread 1', 'thread 2']) {
        await juliet.message(`alice@${COMPONENT}`, body, {
          children: [xml('subject', {}, 'Balkon'), xml('thread', {}, 'b2f4ad2b0b1c4a30')],
        });
        await alice.untilBody((received) => received === body);
      }
      const requests = alice.requests().filter((request) => /\n\nthread \d$/.test(request));
      assert.equal(requests.length, 2);
      for (const request of requests) assert.match(request, /^Subject: Balkon$/im);
      assert.equal(new Set(requests.map((request) => /^Call-ID: (.*)$/im.exec(request)?.[1])).size, 2);
      const sequence = requests.map((request) => Number(/^CSeq: (\d+) MESSAGE$/im.exec(request)?.[1]));
      assert.ok(sequence[0]! < sequence[1]!, `CSeq grows: ${sequence.join(', ')}`);
    });

    test(`${name}: a local user that does not exist is 404 to SIP`, async () => {
      await sippMessage(world.sippTarget('udp'), sipUser('alice'), {
        to: `sip:nobody@${SIP_DOMAIN}`,
        body: 'is there anybody',
        expect: 404,
      });
    });

    test(`${name}: a SIP user that does not exist is item-not-found to both clients`, async () => {
      const id = await juliet.message(`nobody@${COMPONENT}`, 'is there anybody');
      const error = await juliet.untilMessage(
        (stanza) => stanza.attrs['type'] === 'error' && stanza.attrs['id'] === id,
      );
      assert.ok(error.getChild('error')?.getChild('item-not-found'), String(error));
      assert.equal(error.attrs['from'], `nobody@${COMPONENT}`);
      romeo.message({ to: `nobody@${COMPONENT}`, body: 'nobody either', id: 'r-unknown' });
      const seen = await romeo.untilMessage((message) => message.type === 'error' && message.id === 'r-unknown');
      assert.equal(seen.condition, 'item-not-found');
    });

    test(`${name}: an XMPP user that does not exist is told to the SIP sender in words`, async () => {
      await sippMessage(world.sippTarget('tcp'), sipUser('alice'), {
        to: `sip:nobody@${XMPP_DOMAIN}`,
        body: 'are you there',
        expect: 202,
      });
      const told = await alice.untilBody((body) => body.includes('are you there') && body !== 'are you there');
      assert.match(told, /could not be delivered/);
    });

    test(`${name}: a domain in no peer entry is refused with 403`, async () => {
      await sippMessage(world.sippTarget('udp'), sipUser('alice'), {
        to: 'sip:someone@elsewhere.example',
        body: 'relay me',
        expect: 403,
      });
    });

    test(`${name}: slixmpp finds a gateway to SIP, its version, and gets its pings answered`, async () => {
      const disco = await romeo.ask('disco', COMPONENT);
      assert.deepEqual(disco.identities?.map(([category, type]) => `${category}/${type}`).sort(), [
        'gateway/simple',
        'gateway/sip',
      ]);
      assert.equal((await romeo.ask('ping', COMPONENT)).ok, true);
      assert.equal((await romeo.ask('ping', `alice@${COMPONENT}`)).ok, true);
      assert.equal((await romeo.ask('version', COMPONENT)).name, 'Interpres');
    });

    test(`${name}: what is not served is answered with an error at once`, async () => {
      const ask = (child: ReturnType<typeof xml>) => juliet.iq(`alice@${COMPONENT}`, 'get', child);
      await assert.rejects(ask(xml('query', { xmlns: 'urn:example:nothing' })), { condition: 'service-unavailable' });
      // What is personal is for those who may see her presence.
      await assert.rejects(ask(xml('vCard', { xmlns: 'vcard-temp' })), { condition: 'forbidden' });
    });

    test(`${name}: 200 messages each way arrive once and in order`, async () => {
      for (let n = 0; n < 200; n++) await juliet.message(`alice@${COMPONENT}`, `ordered ${n}`);
      await alice.untilBody((body) => body === 'ordered 199', 20_000);
      const seen = alice.bodies().filter((body) => body.startsWith('ordered '));
      assert.deepEqual(
        seen,
        Array.from({ length: 200 }, (_, n) => `ordered ${n}`),
      );
    });
  });
}
