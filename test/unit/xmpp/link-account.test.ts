import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Refusal } from '../../../src/xmpp/account/login-outcome.ts';
import { textOf, type XmlElement } from '../../../src/cpim/xml.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import { LINK_LIMITS, xmppLinkContract, type LinkWorld } from '../../contract/xmpp-link.ts';
import { accountWorld, type AccountWorld } from '../../support/account-world.ts';
import { until } from '../../support/until.ts';

for (const counts of ['yes', 'no'] as const) {
  xmppLinkContract(
    `AccountLink ${counts === 'yes' ? 'with' : 'without'} stream management`,
    async (): Promise<LinkWorld> => {
      const { link, server, clock, end } = await accountWorld({ limits: LINK_LIMITS });
      server.script.counts = counts;
      return {
        link,
        peer: server,
        clock,
        own: 'chat.example',
        far: 'far.example',
        pace: { longestMs: [10_000, 20_250], tries: [6, 20] },
        trusting: (trusts) => void (server.script.password = trusts ? 'two households' : 'another one'),
        mend: () => void link.changePassword('two households'),
        end,
      };
    },
  );
}

type Seen = {
  readonly stanzas: XmlElement[];
  readonly refusals: Refusal[];
  ups: boolean[];
  hold?: () => Promise<void>;
};

async function withAccount(
  run: (world: AccountWorld, seen: Seen) => Promise<void>,
  options: Parameters<typeof accountWorld>[0] & { readonly prepare?: (world: AccountWorld) => void } = {},
): Promise<void> {
  const world = await accountWorld(options);
  const seen: Seen = { stanzas: [], refusals: [], ups: [] };
  options.prepare?.(world);
  try {
    await world.link.start({
      onStanza: (stanza) => {
        seen.stanzas.push(stanza);
        return seen.hold?.();
      },
      onUp: () => void seen.ups.push(world.link.isResumed),
      onDown: () => undefined,
      onRefused: (refusal) => void seen.refusals.push(refusal),
    });
    await run(world, seen);
  } finally {
    await world.end();
  }
}

function message(body: string): XmlElement {
  return {
    name: 'message',
    attrs: { from: 'romeo@chat.example', to: 'juliet@far.example' },
    children: [{ name: 'body', attrs: {}, children: [body] }],
  };
}

function bodies(stanzas: readonly XmlElement[]): string[] {
  return stanzas.flatMap(({ children }) =>
    children.flatMap((child) => (typeof child === 'string' ? [] : [textOf(child)])),
  );
}

/** Moves the time until the link is up for the so-manieth time. */
async function untilUp({ link, clock, server }: AccountWorld, handshakes = 2): Promise<void> {
  await until(
    async () => {
      if (link.state().at === 'down') await clock.advanceAsync(250);
      return server.handshakes >= handshakes && link.state().at === 'up';
    },
    { what: 'the account is up', everyMs: 1 },
  );
}

const resumable = { prepare: ({ server }: AccountWorld) => void (server.script.counts = 'resumable') };

test('account: a session that is gone on with sends again what was missed, once, and in order', () =>
  withAccount(async (world, seen) => {
    const { link, server } = world;
    await link.send(message('a'));
    server.answering(false);
    const sent = ['b', 'c', 'd'].map((body) => link.send(message(body)));
    await until(() => server.received.length === 4, { what: 'all are written', everyMs: 1 });
    server.drop();
    server.script.acknowledges = true;
    await untilUp(world);
    await Promise.all(sent);
    await link.send(message('e'));
    assert.deepEqual(bodies(server.received), ['a', 'b', 'c', 'd', 'e']);
    assert.equal(server.resumptions, 1);
    assert.deepEqual(seen.ups, [false, true]);
  }, resumable));

test('account: a session of which the service has counted more than was sent is given up for a new one', () =>
  withAccount(async (world, seen) => {
    const { link, server } = world;
    await link.send(message('a'));
    server.answering(false);
    const doubtful = link.send(message('b'));
    await until(() => server.received.length === 2, { what: 'both are written', everyMs: 1 });
    server.miscount(5);
    server.drop();
    server.script.acknowledges = true;
    const rejected = assert.rejects(
      doubtful,
      (thrown) => thrown instanceof GatewayError && thrown.code === 'peer-unreachable',
    );
    await untilUp(world);
    await rejected;
    await link.send(message('c'));
    assert.deepEqual(seen.ups, [false, false]);
    assert.equal(server.resumptions, 1);
  }, resumable));

test('account: what came in before a break is not handled twice, and what was not acknowledged comes again', () =>
  withAccount(async (world, seen) => {
    const { server } = world;
    const stanza = (id: string): XmlElement => ({
      name: 'message',
      attrs: { from: 'juliet@far.example', to: 'romeo@chat.example', id },
      children: [],
    });
    server.send(stanza('1'));
    server.send(stanza('2'));
    await until(() => seen.stanzas.length === 2, { what: 'both are in', everyMs: 1 });
    server.drop();
    await untilUp(world);
    server.send(stanza('3'));
    await until(() => seen.stanzas.length === 3, { what: 'the third is in', everyMs: 1 });
    assert.deepEqual(
      seen.stanzas.map(({ attrs }) => attrs['id']),
      ['1', '2', '3'],
    );
    assert.match(server.management.find((line) => line.startsWith('resume')) ?? '', /^resume \w+ 2$/);
  }, resumable));

test('account: nothing is acknowledged before it is handled', () =>
  withAccount(async ({ server }, seen) => {
    const held: Array<() => void> = [];
    seen.hold = () => new Promise((resolve) => held.push(resolve));
    for (const id of ['1', '2', '3']) {
      server.send({
        name: 'message',
        attrs: { from: 'juliet@far.example', to: 'romeo@chat.example', id },
        children: [],
      });
    }
    server.sendRaw("<r xmlns='urn:xmpp:sm:3'/>");
    await until(() => server.management.includes('a 0'), { what: 'it says that none is handled', everyMs: 1 });
    held[1]?.();
    held[0]?.();
    held[2]?.();
    await until(() => server.management.includes('a 3'), { what: 'it says that all are', everyMs: 1 });
  }));

test('account: a session that is over lets what is in doubt be tried again; what the service counted was taken', () =>
  withAccount(async (world) => {
    const { link, server } = world;
    server.answering(false);
    const outcome = link.send(message('a')).then(
      () => 'taken',
      () => 'lost',
    );
    await until(() => server.received.length === 1, { what: 'it is written', everyMs: 1 });
    server.forgetSessions();
    server.drop();
    server.script.acknowledges = true;
    await untilUp(world);
    assert.equal(await outcome, 'lost');
  }, resumable));

test('account: a service that counts more than was sent loses its stream, and nothing is taken for delivered', () =>
  withAccount(async (world, seen) => {
    world.server.answering(false);
    const outcome = world.link.send(message('a')).then(
      () => 'taken',
      () => 'lost',
    );
    await until(() => world.server.received.length === 1, { what: 'it is written', everyMs: 1 });
    world.server.sendRaw("<a xmlns='urn:xmpp:sm:3' h='5000'/>");
    assert.equal(await outcome, 'lost');
    assert.equal(seen.ups.length, 1);
  }, resumable));

const REFUSED = ['not-authorized', 'account-disabled', 'credentials-expired'] as const;
for (const condition of REFUSED) {
  test(`account: ${condition} ends all trying, and is told`, () =>
    withAccount(
      async ({ link, server, clock }, seen) => {
        assert.deepEqual(
          seen.refusals.map((refusal) => refusal.condition),
          [condition],
        );
        await clock.advanceAsync(3_600_000);
        assert.equal(server.logins, 1);
        assert.equal(link.refusal?.condition, condition);
        server.script.failsWith = undefined;
        await link.changePassword('two households');
        assert.equal(link.state().at, 'up');
        assert.equal(link.refusal, undefined);
      },
      { prepare: ({ server }) => void (server.script.failsWith = condition) },
    ));
}

test('account: temporary-auth-failure is tried again by itself', () =>
  withAccount(
    async (world, seen) => {
      world.server.script.failsWith = undefined;
      await untilUp(world, 1);
      assert.deepEqual(seen.refusals, []);
    },
    { prepare: ({ server }) => void (server.script.failsWith = 'temporary-auth-failure') },
  ));

test('account: another password takes the place of one that is in use', () =>
  withAccount(async ({ link, server }) => {
    server.script.password = 'three households';
    await link.changePassword('three households');
    assert.equal(link.state().at, 'up');
    assert.equal(server.handshakes, 2);
  }));

const UNSAFE: ReadonlyArray<readonly [string, (world: AccountWorld) => void, RegExp]> = [
  ['offers only PLAIN', ({ server }) => void (server.script.mechanisms = ['PLAIN']), /no way to log in .*PLAIN/],
  [
    'does not prove that it knows the password',
    ({ server }) => void (server.script.isProofless = true),
    /does not know/,
  ],
  ['asks for a million rounds', ({ server }) => void (server.script.rounds = 1_000_000), /rounds/],
  ['asks for ten rounds', ({ server }) => void (server.script.rounds = 10), /rounds/],
];
for (const [what, prepare, reason] of UNSAFE) {
  test(`account: a service that ${what} is not logged in to`, () =>
    withAccount(
      async ({ link, server }) => {
        assert.equal(link.state().at, 'down');
        assert.match(link.state().reason ?? '', reason);
        assert.equal(server.handshakes, 0);
      },
      { prepare },
    ));
}

test('account: PLAIN is used where it is allowed', () =>
  withAccount(
    async ({ link }) => {
      assert.equal(link.state().at, 'up');
      await link.send(message('a'));
    },
    { allowPlain: true, prepare: ({ server }) => void (server.script.mechanisms = ['PLAIN']) },
  ));

test('account: a certificate for another name is refused before anything is said', () =>
  withAccount(
    async ({ link, server }) => {
      assert.equal(link.state().at, 'down');
      assert.match(link.state().reason ?? '', /certificate/);
      assert.equal(server.logins, 0);
    },
    { names: ['DNS:other.example'] },
  ));

test('account: no password is in the log', () =>
  withAccount(
    async ({ log }) => {
      assert.ok(!JSON.stringify(log.lines).includes('a wrong guess'));
    },
    { password: 'a wrong guess' },
  ));
