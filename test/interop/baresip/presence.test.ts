import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBaresip, type Baresip } from '../../support/baresip.ts';
import { COMPONENT, SIP_DOMAIN, startFederation, XMPP_DOMAIN, type Federation } from '../../support/federation.ts';
import { needs } from '../../support/peers.ts';
import { until } from '../../support/until.ts';
import { startXmppClient, xml, type Stanza, type XmppClient } from '../../support/xmpp-client.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

const ALICE = `sip:alice@${SIP_DOMAIN}`;
const BOB = `sip:bob@${SIP_DOMAIN}`;
const JULIET = `sip:juliet@${XMPP_DOMAIN}`;
/** So that the phones refresh within seconds. */
const EXPIRES_SECONDS = 12;
const PUBLISH_SECONDS = 9;

describe('baresip', { ...needs('baresip', 'prosody'), concurrency: true }, () => {
  for (const transport of ['udp', 'tcp'] as const) {
    describe(`baresip's presence over ${transport}`, { concurrency: 1 }, () => {
      let world: Federation;
      let juliet: XmppClient;
      let alice: Baresip;
      let bob: Baresip;
      const phone = (user: string, contacts: readonly string[]): Promise<Baresip> =>
        startBaresip(
          {
            user,
            domain: SIP_DOMAIN,
            password: passwordOf(user),
            port: world.interpres.sipPort,
            transport,
            folder: world.folder,
          },
          contacts,
          PUBLISH_SECONDS,
        );
      before(async () => {
        world = await startFederation({
          name: 'baresip-presence',
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
        [alice, bob] = [await phone('alice', [BOB, JULIET]), await phone('bob', [ALICE])];
      });
      after(async () => {
        await alice.stop();
        await juliet.stop();
        await world.stop();
      });

      const lines = (message: string): ReadonlyArray<Readonly<Record<string, unknown>>> =>
        world.interpres.log().filter(({ msg }) => msg === message);
      /** How often a method was answered so, by Call-ID. */
      const answered = (method: string, status: number): ReadonlyMap<string, number> => {
        const counts = new Map<string, number>();
        for (const line of lines('request answered')) {
          if (line['method'] !== method || line['status'] !== status) continue;
          const callId = String(line['callId']);
          counts.set(callId, (counts.get(callId) ?? 0) + 1);
        }
        return counts;
      };
      const isFromAlice = ({ attrs }: Stanza): boolean => String(attrs['from']).startsWith(`alice@${COMPONENT}/`);
      const untilFromAlice = (type: string | undefined): Promise<Stanza> =>
        juliet.untilPresence((stanza) => isFromAlice(stanza) && stanza.attrs['type'] === type);

      test(`baresip over ${transport}: what it publishes reaches an XMPP user`, async () => {
        await juliet.presence({ to: `alice@${COMPONENT}`, type: 'subscribe' });
        await juliet.untilPresence(({ attrs }) => attrs['type'] === 'subscribed');
        await untilFromAlice(undefined);
      });

      test(`baresip over ${transport}: it shows an XMPP user once she allows it, as she comes and goes`, async () => {
        await juliet.untilPresence(
          ({ attrs }) => attrs['type'] === 'subscribe' && attrs['from'] === `alice@${COMPONENT}`,
          { withinMs: 20_000 },
        );
        await juliet.presence({ to: `alice@${COMPONENT}`, type: 'subscribed' });
        // That there is any word of her it does not say.
        await alice.process.said(/<presence [^>]*entity="pres:juliet@xmpp\.example">/);
        await juliet.presence({ children: [xml('show', {}, 'dnd')] });
        await alice.untilShown(JULIET, 'Busy');
        await juliet.presence();
        await alice.untilShown(JULIET, 'Online');
        await juliet.presence({ type: 'unavailable' });
        await alice.untilShown(JULIET, 'Offline');
        await juliet.presence();
        await alice.untilShown(JULIET, 'Online');
      });

      test(`baresip over ${transport}: it refreshes what it watches in its dialogs, and what it publishes`, async () => {
        // One of bob, two of alice.
        await until(() => [...answered('SUBSCRIBE', 200).values()].filter((times) => times >= 2).length >= 3, {
          what: 'refreshes of all subscriptions',
          withinMs: 40_000,
        });
        // A refresh of what is published has no body.
        const refreshes = (): number =>
          lines('request answered').filter(
            ({ method, status, bytes }) => method === 'PUBLISH' && status === 200 && bytes === 0,
          ).length;
        await until(() => refreshes() >= 2, { what: 'refreshes of what is published', withinMs: 30_000 });
        const expired = lines('subscription changed').filter(({ event }) => event === 'expired');
        assert.deepEqual(expired, []);
        assert.equal(answered('SUBSCRIBE', 481).size, 0);
        assert.equal(answered('PUBLISH', 412).size, 0);
      });

      test(`baresip over ${transport}: two phones see each other come and go`, async () => {
        for (const [what, shown] of [
          ['offline', 'Offline'],
          ['online', 'Online'],
        ] as const) {
          await bob.show(what);
          await alice.untilShown(BOB, shown);
        }
        await alice.show('offline');
        await untilFromAlice('unavailable');
      });

      test(`baresip over ${transport}: a phone that quits takes back what it has published, and its subscriptions`, async () => {
        await bob.stop();
        await until(
          () =>
            lines('subscription changed').some(
              ({ watcher, event }) => watcher === `bob@${SIP_DOMAIN}` && event === 'unsubscribed',
            ),
          { what: 'the end of its subscription' },
        );
        await alice.untilShown(BOB, 'Offline');
      });
    });
  }
});
