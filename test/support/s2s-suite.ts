import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { needs } from './peers.ts';
import type { PresencePhone } from './presence-phone.ts';
import { OURS, startFederated, THEIRS, type Federated, type FederatedPlan } from './s2s-federation.ts';
import type { S2sServer, S2sServerOptions } from './s2s-server.ts';
import { until } from './until.ts';
import { startXmppClient, type XmppClient } from './xmpp-client.ts';

type Variant = Pick<FederatedPlan, 'security' | 'tls' | 'isDirect' | 'bidi' | 'sm'> & {
  readonly what: string;
  /** Log lines of ours that show how the two have proved themselves. */
  readonly proof: { readonly by: 'certificate' | 'dialback'; readonly isSecure: boolean };
};

const VARIANTS: readonly Variant[] = [
  {
    what: 'STARTTLS and EXTERNAL',
    security: 'certificate',
    tls: 'by-authority',
    proof: { by: 'certificate', isSecure: true },
  },
  {
    what: 'direct TLS',
    security: 'certificate',
    tls: 'by-authority',
    isDirect: true,
    proof: { by: 'certificate', isSecure: true },
  },
  { what: 'dialback without TLS', security: 'dialback', proof: { by: 'dialback', isSecure: false } },
  {
    what: 'dialback over TLS',
    security: 'dialback-over-tls',
    tls: 'self-signed',
    proof: { by: 'dialback', isSecure: true },
  },
];

/** What every XMPP server must see of us between servers, each way of proving who is who in both directions. */
export function s2sSuite(
  name: 'prosody' | 'ejabberd',
  startServer: (options: S2sServerOptions) => Promise<S2sServer>,
  options: { readonly hasBidi: boolean },
): void {
  const plan = (more: Omit<Partial<FederatedPlan>, 'security'> & Pick<FederatedPlan, 'security'>): FederatedPlan => ({
    name: `${name}-s2s`,
    startServer,
    users: ['alice'],
    xmppUsers: ['juliet'],
    ...more,
  });
  const variants: readonly Variant[] = options.hasBidi
    ? [
        ...VARIANTS,
        {
          what: 'a stream used both ways',
          security: 'certificate',
          tls: 'by-authority',
          bidi: true,
          proof: { by: 'certificate', isSecure: true },
        },
      ]
    : VARIANTS;

  for (const { what, proof, ...variant } of variants) {
    describe(`${name}: ${what}`, needs(name), () => {
      let world: Federated;
      let juliet: XmppClient;
      let alice: PresencePhone;

      before(async () => {
        world = await startFederated(plan(variant));
        [juliet, alice] = await Promise.all([startXmppClient(world.theirs, 'juliet'), world.ours.phone('alice')]);
      });
      after(async () => {
        await juliet.stop();
        await world.stop();
      });

      test(`${name}: ${what}: messages go both ways`, async () => {
        await alice.phone.write(`sip:juliet@${THEIRS}`, 'from alice');
        await juliet
          .untilMessage((stanza) => stanza.getChildText('body') === 'from alice')
          .catch((thrown: unknown) => {
            throw new Error(
              `${String(thrown)}\n${world.ours.logText()}\n${world.theirs.process().output().slice(-6_000)}`,
            );
          });
        await juliet.message(`alice@${OURS}`, 'from juliet');
        await untilReceived(alice, 'from juliet', world);
        await until(() => world.ours.app.health().queue.live === 0, { what: 'all is confirmed', withinMs: 20_000 });
      });

      test(`${name}: ${what}: it is what it says`, () => {
        const proved = world.ours.log.lines.find(({ message }) => message === 'peer has proved its domain');
        const isBothWays = variant.bidi === true && proved === undefined;
        if (isBothWays) return;
        assert.equal(proved?.fields['by'], proof.by);
        assert.equal(proved.fields['isSecure'], proof.isSecure);
      });
    });
  }
}

async function untilReceived(phone: PresencePhone, body: string, world: Federated): Promise<void> {
  await until(() => phone.phone.texts.includes(body), {
    what: `the phone receives ${body}`,
    withinMs: 15_000,
    detail: () => `${world.ours.logText()}\n${world.theirs.process().output().slice(-6_000)}`,
  });
}
