import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { COMPONENT, SIP_DOMAIN, startFederation, XMPP_DOMAIN, type Federation } from '../../support/federation.ts';
import { startLinphone } from '../../support/linphone.ts';
import { needs } from '../../support/peers.ts';
import type { WatchingPhone } from '../../support/phone.ts';
import { until } from '../../support/until.ts';
import { startXmppClient, xml, type Stanza, type XmppClient } from '../../support/xmpp-client.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

const ALICE = `sip:alice@${SIP_DOMAIN}`;
const BOB = `sip:bob@${SIP_DOMAIN}`;
const JULIET = `sip:juliet@${XMPP_DOMAIN}`;
/** So that the phones refresh within seconds. */
const EXPIRES_SECONDS = 10;

describe('linphone', { ...needs('linphone', 'prosody'), concurrency: true }, () => {
  for (const transport of ['udp', 'tcp'] as const) {
    describe(`linphone's presence over ${transport}`, { concurrency: 1 }, () => {
      let world: Federation;
      let juliet: XmppClient;
      let alice: WatchingPhone;
      let bob: WatchingPhone;
      const phone = (user: string, friends: readonly string[]): Promise<WatchingPhone> =>
        startLinphone(
          {
            user,
            domain: SIP_DOMAIN,
            password: passwordOf(user),
            port: world.interpres.sipPort,
            transport,
            folder: world.folder,
          },
          friends,
        );
      before(async () => {
        world = await startFederation({
          name: 'linphone-presence',
          sipUsers: ['alice', 'bob'],
          config: {
            presence: {
              default: 'allow',
              notifyIntervalSeconds: 0,
              expires: { min: 5, default: EXPIRES_SECONDS, max: EXPIRES_SECONDS },
            },
            log: { level: 'trace' },
          },
        });
        juliet = await startXmppClient(world.xmpp, 'juliet');
        [alice, bob] = await Promise.all([phone('alice', [BOB, JULIET]), phone('bob', [ALICE])]);
      });
      after(async () => {
        await alice.stop();
        await juliet.stop();
        await world.stop();
      });

      /** Requests of a method that were answered so, by their Call-ID. */
      const answered = (method: string, status: number): readonly string[] =>
        world.interpres
          .log()
          .filter(
            (line) => line['msg'] === 'request answered' && line['method'] === method && line['status'] === status,
          )
          .map((line) => String(line['callId']));
      const isFromAlice = ({ attrs }: Stanza): boolean => String(attrs['from']).startsWith(`alice@${COMPONENT}/`);

      test(`linphone over ${transport}: two phones publish, and see each other`, async () => {
        await alice.untilShown(BOB, 'open');
        await bob.untilShown(ALICE, 'open');
      });

      test(`linphone over ${transport}: an XMPP user sees it, with what the phone is`, async () => {
        await juliet.presence({ to: `alice@${COMPONENT}`, type: 'subscribe' });
        await juliet.untilPresence(({ attrs }) => attrs['type'] === 'subscribed');
        const seen = await juliet.untilPresence((stanza) => isFromAlice(stanza) && stanza.attrs['type'] === undefined);
        // Its contact has the priority 0.8.
        assert.equal(seen.getChildText('priority'), '102');
      });

      test(`linphone over ${transport}: it shows an XMPP user once she allows it, as she comes and goes`, async () => {
        await juliet.untilPresence(
          ({ attrs }) => attrs['type'] === 'subscribe' && attrs['from'] === `alice@${COMPONENT}`,
        );
        assert.ok(!alice.shown(JULIET).includes('open'));
        await juliet.presence({ to: `alice@${COMPONENT}`, type: 'subscribed' });
        await alice.untilShown(JULIET, 'open');
        await juliet.presence({ type: 'unavailable' });
        await alice.untilShown(JULIET, 'closed');
        await juliet.presence({ children: [xml('show', {}, 'dnd'), xml('status', {}, 'in the tomb')] });
        // By the activity, which is what phones know.
        await alice.untilShown(JULIET, 'busy');
      });

      test(`linphone over ${transport}: it refreshes what it publishes and watches, in time and in the same dialogs`, async () => {
        const again = (method: string, count: number): Promise<unknown> =>
          until(
            () => {
              const counts = new Map<string, number>();
              for (const callId of answered(method, 200)) counts.set(callId, (counts.get(callId) ?? 0) + 1);
              return [...counts.values()].filter((times) => times >= 2).length >= count;
            },
            { what: `${count} refreshes with ${method}`, withinMs: 30_000 },
          );
        await again('SUBSCRIBE', 3);
        await again('PUBLISH', 2);
        assert.deepEqual(answered('SUBSCRIBE', 481), []);
        assert.deepEqual(answered('PUBLISH', 412), []);
        assert.equal(alice.shown(BOB).at(-1), 'open');
        assert.equal(alice.shown(JULIET).at(-1), 'busy');
      });

      test(`linphone over ${transport}: a phone that quits takes back what it has published, and its subscriptions`, async () => {
        await bob.stop();
        await alice.untilShown(BOB, 'closed');
        await until(
          () =>
            world.interpres
              .log()
              .some(
                (line) =>
                  line['msg'] === 'subscription changed' &&
                  line['watcher'] === `bob@${SIP_DOMAIN}` &&
                  line['state'] === 'terminated',
              ),
          { what: 'the end of its subscription' },
        );
      });
    });
  }
});
