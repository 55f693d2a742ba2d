import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { needs, type PeerName } from './peers.ts';
import type { PresencePhone } from './presence-phone.ts';
import { says } from './roster-stage.ts';
import { OURS, startFederated, THEIRS, type Federated, type FederatedPlan } from './s2s-federation.ts';
import type { S2sServer, S2sServerOptions } from './s2s-server.ts';
import { until } from './until.ts';
import { startXmppClient, xml, type XmppClient } from './xmpp-client.ts';

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

  for (const variant of variants) {
    const { what, proof } = variant;
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

      if (variant === VARIANTS[0])
        thoroughTests(
          name,
          () => ({ world, juliet, alice }),
          (client) => (juliet = client),
        );

      test(`${name}: ${what}: it is what it says`, () => {
        const proved = world.ours.log.lines.find(({ message }) => message === 'peer has proved its domain');
        const isBothWays = variant.bidi === true && proved === undefined;
        if (isBothWays) return;
        assert.equal(proved?.fields['by'], proof.by);
        assert.equal(proved.fields['isSecure'], proof.isSecure);
      });
    });
  }
  wrongCertificateTests(name, plan({ security: 'certificate', tls: 'wrong-name' }));
}

type Stage = { readonly world: Federated; readonly juliet: XmppClient; readonly alice: PresencePhone };

/** What is looked at for one way of proving alone: presence, and servers that go and come back. */
function thoroughTests(name: PeerName, stage: () => Stage, renewed: (client: XmppClient) => void): void {
  test(`${name}: between servers: a phone and an XMPP user see each other`, async () => {
    const { alice, juliet } = stage();
    await alice.publish('at home');
    const watching = await alice.subscribe(`sip:juliet@${THEIRS}`);
    await juliet.untilPresence(({ attrs }) => attrs['type'] === 'subscribe');
    await juliet.presence({ to: `alice@${OURS}`, type: 'subscribed' });
    await juliet.presence({ to: `alice@${OURS}`, type: 'subscribe' });
    await watching.untilLast(says('active', 'open'));
    await juliet.untilPresence((stanza) => stanza.getChildText('status') === 'at home');
    await juliet.presence({ children: [xml('show', {}, 'dnd')] });
    await watching.untilLast(says('active', 'open dnd'));
    await alice.publish('gone for a walk');
    await juliet.untilPresence((stanza) => stanza.getChildText('status') === 'gone for a walk');
  });

  test(`${name}: between servers: a user that does not exist is told in words`, async () => {
    const { alice, world } = stage();
    await alice.phone.write(`sip:nobody@${THEIRS}`, 'are you there');
    await until(() => alice.phone.texts.some((text) => text.includes('could not be delivered')), {
      what: 'the phone is told',
      withinMs: 15_000,
      detail: () => world.ours.logText(),
    });
  });

  test(`${name}: between servers: theirs goes and comes back: nothing lost, nothing twice, in order`, async () => {
    const { alice, juliet, world } = stage();
    const { ours, theirs } = world;
    await juliet.stop();
    await theirs.stop();
    await ours.untilLink(THEIRS, 'down');
    const texts = Array.from({ length: 20 }, (_, n) => `while you were out ${n}`);
    for (const text of texts) assert.equal((await alice.phone.write(`sip:juliet@${THEIRS}`, text)).status, 202);
    await theirs.start();
    const back = await startXmppClient(theirs, 'juliet');
    renewed(back);
    await back.untilMessage((stanza) => stanza.getChildText('body') === texts.at(-1), 30_000);
    const got = back.messages().map((stanza) => stanza.getChildText('body') ?? '');
    assert.deepEqual(
      got.filter((text) => text.startsWith('while')),
      texts,
    );
    await ours.untilLink(THEIRS, 'up');
    await back.message(`alice@${OURS}`, 'I am back');
    await untilReceived(alice, 'I am back', world);
  });

  test(`${name}: between servers: ours goes and comes back`, async () => {
    const { alice, juliet, world } = stage();
    await world.ours.restart();
    await alice.phone.register();
    await alice.phone.write(`sip:juliet@${THEIRS}`, 'restarted');
    await juliet.untilMessage((stanza) => stanza.getChildText('body') === 'restarted');
  });
}

/** A server whose certificate is for another domain: nothing goes to it, and nothing comes from it. */
function wrongCertificateTests(name: PeerName, plan: FederatedPlan): void {
  test(`${name}: a wrong certificate is refused in both directions, and nothing is lost`, needs(name), async (t) => {
    const world = await startFederated(plan);
    t.after(() => world.stop());
    const [juliet, alice] = await Promise.all([startXmppClient(world.theirs, 'juliet'), world.ours.phone('alice')]);
    t.after(() => juliet.stop());
    await alice.phone.write(`sip:juliet@${THEIRS}`, 'for your eyes only');
    await world.ours.untilLink(THEIRS, 'down');
    assert.match(world.ours.link(THEIRS)?.reason ?? '', /certificate/);
    assert.equal(world.ours.app.health().queue.live, 1);
    const id = await juliet.message(`alice@${OURS}`, 'from somebody who says to be juliet');
    await juliet.untilMessage(({ attrs }) => attrs['type'] === 'error' && attrs['id'] === id, 30_000);
    assert.deepEqual(alice.phone.texts, []);
    assert.deepEqual(
      juliet.messages().filter(({ attrs }) => attrs['type'] !== 'error'),
      [],
    );
  });
}

async function untilReceived(phone: PresencePhone, body: string, world: Federated): Promise<void> {
  await until(() => phone.phone.texts.includes(body), {
    what: `the phone receives ${body}`,
    withinMs: 15_000,
    detail: () => `${world.ours.logText()}\n${world.theirs.process().output().slice(-6_000)}`,
  });
}
