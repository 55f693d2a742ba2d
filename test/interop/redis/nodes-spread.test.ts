/**
 * Three nodes on one Redis that start one after the other: the first has all links, and hands them over while messages go
 * both ways: to component links on scripted servers, and to a domain that Prosody serves, over server-to-server streams.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { App } from '../../../src/app.ts';
import { systemClock } from '../../../src/system-clock.ts';
import { ComponentServer } from '../../support/component-server.ts';
import { Ledger } from '../../support/counting-ledger.ts';
import { CountingSipSender } from '../../support/counting-sip-sender.ts';
import { CountingXmppClient } from '../../support/counting-xmpp-client.ts';
import { settleLedger } from '../../support/faults.ts';
import { needs } from '../../support/peers.ts';
import { freePort } from '../../support/ports.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { startRedis } from '../../support/redis-server.ts';
import { startProsodyS2s } from '../../support/s2s-prosody.ts';
import { ScriptedPhone } from '../../support/scripted-phone.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { until } from '../../support/until.ts';
import { configOf } from '../../support/whole-app.ts';
import { childOf, textOf } from '../../../src/cpim/xml.ts';

const OURS = 'sip.example';
const THEIRS = 'xmpp.example';
const SECRET = 'only for tests';
const PACE = { quietMs: 1_500, pauseMs: 500 };
const PAIR = `link:a/${OURS}/${THEIRS}`;
const COMPONENTS = ['b', 'c'];

test('nodes: links spread over nodes that start one after the other, under load, in order', needs('redis', 'prosody'), async (t) => {
  const folder = temporaryFolder('nodes-spread');
  const s2sPorts = [await freePort(), await freePort(), await freePort()];
  const plan = { folder, domain: THEIRS, users: ['juliet'], routes: { [OURS]: { port: s2sPorts[0]! } }, bidi: true };
  const [redis, prosody] = await Promise.all([startRedis(), startProsodyS2s(plan)]);
  const servers = COMPONENTS.map((name) => new ComponentServer({ name: `${name}.${OURS}`, secret: SECRET }));
  for (const server of servers) await server.start();
  const log = new RecordingLog();
  const apps: App[] = [];
  const start = async (n: number): Promise<void> => {
    const own = temporaryFolder(`nodes-spread-n${n}`);
    const config = configOf(
      JSON.stringify({
        domains: [{ name: OURS, trust: ['127.0.0.1'] }],
        data: own,
        store: { type: 'redis', url: redis.url },
        node: `n${n}`,
        sip: { listen: ['udp://127.0.0.1:0'] },
        links: {
          a: { type: 'xmpp-s2s', listen: [`tcp://127.0.0.1:${s2sPorts[n]}`] },
          ...Object.fromEntries(
            COMPONENTS.map((name, at) => [
              name,
              { type: 'xmpp-component', host: '127.0.0.1', port: servers[at]!.port, name: `${name}.${OURS}`, domain: OURS, secret: SECRET },
            ]),
          ),
        },
        peers: [
          { domain: THEIRS, link: 'a', security: 'dialback', nextHop: `tcp://127.0.0.1:${prosody.s2sPort}` },
          ...COMPONENTS.map((name) => ({ domain: `${name}.example`, link: name })),
        ],
        rateLimits: 'off',
      }),
      own,
    ); // prettier-ignore
    const app = await App.create({ config, version: 'test', controlSocket: join(own, 'control.sock'), clock: systemClock, random: Math.random, log, spread: PACE });
    apps.push(app);
    await app.start();
  }; // prettier-ignore
  const owned = (): number[] => apps.map((app) => app.health().node?.owns.length ?? 0);
  const [out, back] = [new Ledger({ stamped: true }), new Ledger({ stamped: false })];
  const juliet = new CountingXmppClient({ server: prosody, user: 'juliet', received: out, sent: back });
  t.after(async () => {
    juliet.close();
    await Promise.all(apps.map((app) => app.stop()));
    await Promise.all([redis.stop(), prosody.kill(), ...servers.map((server) => server.stop())]);
  });
  for (const server of servers) {
    server.onStanza = (stanza) => {
      const body = childOf(stanza, 'body');
      const mark = body === undefined ? undefined : Ledger.markOf(textOf(body));
      if (mark !== undefined) out.seen(mark, { id: stanza.attrs['id'] ?? '', delayed: childOf(stanza, 'delay') !== undefined });
    }; // prettier-ignore
  }
  await start(0);
  const port = (n: number): number => apps[n]?.listeners[0]?.port ?? 0;
  const alice = await ScriptedPhone.open({ user: 'alice', domain: OURS, password: 'x', server: { transport: 'udp', port: port(0) } }); // prettier-ignore
  t.after(() => alice.close());
  assert.equal((await alice.register()).status, 200);
  await juliet.open();
  await start(1);
  await start(2);
  assert.deepEqual(owned(), [4, 0, 0]);

  const domains = [THEIRS, ...COMPONENTS.map((name) => `${name}.example`)];
  const pairs = Array.from({ length: 30 }, (_, n) => ({ from: `s${n}@${OURS}`, to: `juliet@${domains[n % 3]}` }));
  const sender = new CountingSipSender({ ledger: out, transport: 'udp', port: [0, 1, 2].map(port), pairs, rate: 150 });
  t.after(() => sender.close());
  await sender.start();
  const rate = 40;
  let isOver = false;
  const writing = juliet.sendAtRate({ pairs: [{ pair: 100, to: `alice@${OURS}` }], total: 160, rate }).then(() => (isOver = true)); // prettier-ignore
  await until(() => owned().every((count) => count <= 2) && isOver, { what: 'ownership has spread', withinMs: 15_000, detail: () => JSON.stringify(owned()) }); // prettier-ignore
  await writing;
  await sender.drain(20_000);
  await settleLedger(out, 10_000);
  // What UDP repeats is of one transaction (RFC 3261, section 17.1.2.2); one delivered twice would be of two.
  const had = (): Array<number | undefined> => {
    const byBranch = new Map(alice.received.map(({ via, body }) => [via.params.get('branch'), body.toString('utf8')]));
    return [...byBranch.values()].map((text) => Ledger.markOf(text)?.number);
  };
  await until(() => had().length >= 160, { what: 'alice has all', detail: () => String(had().length) });

  assert.deepEqual(owned(), [2, 1, 1]);
  const said = log.lines.filter(({ message }) => message === 'lease was handed over to spread the load');
  assert.deepEqual(
    said.map(({ fields }) => [fields['lease'], fields['from'], fields['to'], fields['reason']]),
    [
      [PAIR, 'n0', 'n1', 'node n0 has 4, node n1 has 0'],
      ['link:b', 'n0', 'n2', 'node n0 has 3, node n2 has 0'],
    ],
  );
  await until(() => apps.every((app) => app.nodes?.handOvers?.count === 2), { what: 'all nodes have heard of both' });
  const figures = out.figures();
  t.diagnostic(JSON.stringify({ ...figures, latencyMs: out.latencyMs(50, 99, 100) }));
  const { lost, reordered, refused, doubledUnmarked } = figures;
  assert.deepEqual({ lost, reordered, refused, doubledUnmarked }, { lost: 0, reordered: 0, refused: 0, doubledUnmarked: 0 });
  assert.ok(figures.accepted > 300, String(figures.accepted));
  // What came in went on over the streams of the node that ran the pair before.
  assert.equal(juliet.errors.size, 0);
  assert.deepEqual(
    had(),
    Array.from({ length: 160 }, (_, n) => n),
  );
}); // prettier-ignore
