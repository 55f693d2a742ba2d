/** Linked accounts of two nodes on one Redis: kept by the one that keeps presence, used and administered by both. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { AccountLine } from '../../../src/core/accounts.ts';
import { SERVICE } from '../../support/account-stage.ts';
import { SIP_DOMAIN } from '../../support/federation.ts';
import { type InterpresProcess, startInterpres } from '../../support/interpres-process.ts';
import { needs } from '../../support/peers.ts';
import { type AccountServer, startAccountServer } from '../../support/prosody-accounts.ts';
import { type RedisServer, startRedis } from '../../support/redis-server.ts';
import { ScriptedPhone } from '../../support/scripted-phone.ts';
import { type SlixmppClient, startSlixmpp } from '../../support/slixmpp.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { until } from '../../support/until.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

const sip = (user: string): string => `sip:${user}@${SIP_DOMAIN}`;
const jid = (user: string): string => `${user}@${SERVICE}`;

type Figures = { readonly accounts: number; readonly up: number };

describe('nodes: accounts that users link', needs('redis', 'prosody', 'slixmpp', 'openssl'), () => {
  let redis: RedisServer;
  let service: AccountServer;
  let nodes: readonly InterpresProcess[];
  let phones: readonly ScriptedPhone[];
  let juliet: SlixmppClient;

  before(async () => {
    const folder = temporaryFolder('nodes-accounts');
    const users = ['liddell', 'juliet'];
    [redis, service] = await Promise.all([startRedis(), startAccountServer({ folder, domain: SERVICE, users })]);
    const link = {
      type: 'xmpp-account',
      domains: [SERVICE],
      host: '127.0.0.1',
      port: service.c2sPort,
      ca: service.caFile,
    };
    const key = randomBytes(32).toString('base64');
    const started = [0, 1].map((n) =>
      startInterpres({
        folder: temporaryFolder(`nodes-accounts-n${n}`),
        config: {
          domains: [SIP_DOMAIN],
          links: { public: link },
          accounts: { key },
          rateLimits: 'off',
          store: { type: 'redis', url: redis.url },
          node: `n${n}`,
        },
        start: false,
      }),
    );
    nodes = await Promise.all(started);
    await nodes[0]!.addUser('alice', SIP_DOMAIN, passwordOf('alice'));
    await Promise.all(nodes.map((node) => node.start()));
    phones = await Promise.all(
      nodes.map(({ sipPort }) =>
        ScriptedPhone.open({
          user: 'alice',
          domain: SIP_DOMAIN,
          password: passwordOf('alice'),
          server: { transport: 'udp', port: sipPort },
        }),
      ),
    );
    juliet = await startSlixmpp(service, 'juliet', folder);
  });
  after(async () => {
    await juliet.stop();
    await Promise.all(phones.map((phone) => phone.close()));
    await Promise.all(nodes.map((node) => node.stop().catch(() => undefined)));
    await service.kill();
    await redis.stop();
  });

  async function keeper(among: readonly number[] = [0, 1]): Promise<number> {
    const owner = await until(
      async () => {
        for (const n of among) {
          const health = (await nodes[n]!.health()) as unknown as { presence: { node?: string } };
          if (among.some((one) => health.presence.node === `n${one}`)) return health.presence.node;
        }
        return undefined;
      },
      { what: 'presence is kept', withinMs: 10_000 },
    );
    return Number(owner.slice(1));
  }

  async function figures(n: number): Promise<Figures> {
    const health = (await nodes[n]!.health()) as unknown as { accounts: Record<string, Figures> };
    return health.accounts['public']!;
  }

  async function untilUp(n: number): Promise<void> {
    await until(async () => (await figures(n)).up === 1, {
      what: `the account is up as node ${n} sees it`,
      withinMs: 10_000,
      detail: () => nodes[n]!.process().output().slice(-4_000),
    });
  }

  async function untilText(text: string): Promise<void> {
    await until(() => phones.some(({ texts }) => texts.includes(text)), {
      what: `a phone is sent ${text}`,
      withinMs: 15_000,
    });
  }

  /** Out over each of these nodes, and in to the phones that are registered there. */
  async function talk(among: readonly number[], word: string): Promise<void> {
    for (const n of among) {
      const text = `${word} over ${n}`;
      assert.equal((await phones[n]!.write(`sip:${jid('juliet')}`, text)).status, 202);
      const got = await juliet.untilMessage(({ body }) => body === text);
      assert.equal(got.from.split('/')[0], jid('liddell'));
    }
    juliet.message({ to: jid('liddell'), body: `${word} to alice` });
    await untilText(`${word} to alice`);
  }

  test('nodes: an account is linked at a node that does not keep it, and messages go both ways through either', async () => {
    const kept = await keeper();
    const other = 1 - kept;
    await phones[other]!.register();
    const args = ['accounts', 'add', sip('alice'), jid('liddell'), '--password', passwordOf('liddell')];
    assert.match(await nodes[other]!.run(args), /linked liddell@chat\.example to sip:alice@sip\.example; it is up/);
    await talk([other, kept], 'first');
    await Promise.all([untilUp(kept), untilUp(other)]);
    const lists = await Promise.all(
      nodes.map(async (node) => JSON.parse(await node.run(['accounts', 'list', '--json'])) as AccountLine[]),
    );
    assert.deepEqual(lists[other], lists[kept]);
    assert.equal(lists[other]![0]?.state.at, 'up');
  });

  test('nodes: when the keeper is killed the account is up at the other within 10 s, and nothing is lost', async (t) => {
    const kept = await keeper();
    const other = 1 - kept;
    await nodes[kept]!.kill();
    const killedAtMs = performance.now();
    // What is written meanwhile waits.
    juliet.message({ to: jid('liddell'), body: 'in the gap' });
    assert.equal((await phones[other]!.write(`sip:${jid('juliet')}`, 'out of the gap')).status, 202);
    assert.equal(await keeper([other]), other);
    await untilUp(other);
    const backMs = Math.round(performance.now() - killedAtMs);
    t.diagnostic(`up again ${backMs} ms after the keeper was killed`);
    assert.ok(backMs < 10_000, `${backMs} ms`);
    await juliet.untilMessage(({ body }) => body === 'out of the gap');
    await talk([other], 'second');
    const told = juliet.messages().some(({ type, from }) => type === 'error' && from.startsWith(jid('liddell')));
    assert.ok(told || phones[other]!.texts.includes('in the gap'), 'it came, or its sender was told');
    await nodes[kept]!.start();
    await untilUp(kept);
  });

  test('nodes: when the keeper ends in order the account moves, and its messages are not lost or doubled', async (t) => {
    const kept = await keeper();
    const other = 1 - kept;
    const sent: string[] = [];
    const stoppedAtMs = performance.now();
    const stopped = nodes[kept]!.stop();
    for (let n = 0; n < 10; n += 1) {
      sent.push(`moving ${n}`);
      assert.equal((await phones[other]!.write(`sip:${jid('juliet')}`, sent.at(-1)!)).status, 202);
    }
    assert.equal(await keeper([other]), other);
    await untilUp(other);
    t.diagnostic(`up at the other ${Math.round(performance.now() - stoppedAtMs)} ms after SIGTERM`);
    await stopped;
    for (const text of sent) await juliet.untilMessage(({ body }) => body === text);
    const got = juliet.messages().filter(({ body }) => body.startsWith('moving '));
    assert.deepEqual(
      got.map(({ body }) => body),
      sent,
    );
    await talk([other], 'third');
    await nodes[other]!.run(['accounts', 'remove', sip('alice'), jid('liddell')]);
    assert.deepEqual(await figures(other), { accounts: 0, up: 0, refused: 0 });
  });
});
