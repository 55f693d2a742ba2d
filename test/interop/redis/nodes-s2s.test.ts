/**
 * Two nodes on one Redis that federate by themselves: one runs the pair with the peer's domain, and the peer's streams reach
 * the other. No acknowledgements and no stream used both ways, so that answers to pings come to the wrong node.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startInterpres, type InterpresProcess } from '../../support/interpres-process.ts';
import { needs } from '../../support/peers.ts';
import { freePort } from '../../support/ports.ts';
import { PresencePhone } from '../../support/presence-phone.ts';
import { startProsodyS2s } from '../../support/s2s-prosody.ts';
import type { S2sServer } from '../../support/s2s-server.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { says } from '../../support/roster-stage.ts';
import { ScriptedPhone } from '../../support/scripted-phone.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { until } from '../../support/until.ts';
import { startXmppClient, xml, type XmppClient } from '../../support/xmpp-client.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

const OURS = 'sip.example';
const THEIRS = 'xmpp.example';
const PAIR = `federation/${OURS}/${THEIRS}`;
const ALICE = `alice@${OURS}`;
const JULIET = `sip:juliet@${THEIRS}`;
/** Confirmed because the stream has outlived it, a message takes longer than this. */
const FAR_BELOW_MUTE_MS = 5_000;

const peers = needs('redis', 'prosody');
let redis: RedisServer;
let theirs: S2sServer;
let runner: InterpresProcess;
let reached: InterpresProcess;
let alice: PresencePhone;
let elsewhere: ScriptedPhone;
let juliet: XmppClient;

before(async () => {
  if (peers.skip !== undefined) return;
  const folder = temporaryFolder('nodes-s2s');
  const s2sPorts = [await freePort(), await freePort()] as const;
  const routes = { [OURS]: { port: s2sPorts[1] } };
  const plan = { folder, domain: THEIRS, users: ['juliet'], routes, bidi: false, sm: false };
  [redis, theirs] = await Promise.all([startRedis(), startProsodyS2s(plan)]);
  const node = (n: 0 | 1): Promise<InterpresProcess> =>
    startInterpres({
      folder: temporaryFolder(`nodes-s2s-n${n}`),
      config: {
        domains: [OURS],
        links: { federation: { type: 'xmpp-s2s', listen: [`tcp://127.0.0.1:${s2sPorts[n]}`] } },
        peers: [
          { domain: THEIRS, link: 'federation', security: 'dialback', nextHop: `tcp://127.0.0.1:${theirs.s2sPort}` },
        ],
        presence: { default: 'allow', notifyIntervalSeconds: 0 },
        rateLimits: 'off',
        store: { type: 'redis', url: redis.url },
        node: `n${n}`,
      },
      start: false,
    });
  [runner, reached] = [await node(0), await node(1)];
  await runner.addUser('alice', OURS, passwordOf('alice'));
  // The first one to come takes what there is.
  await runner.start();
  await reached.start();
  [alice, elsewhere, juliet] = [
    new PresencePhone(await phone(reached)),
    await phone(runner),
    await startXmppClient(theirs, 'juliet'),
  ];
  assert.equal((await alice.phone.register()).status, 200);
});

after(async () => {
  if (peers.skip !== undefined) return;
  await Promise.all([juliet.stop(), alice.phone.close(), elsewhere.close()]);
  await Promise.all([runner.stop(), reached.stop()]);
  await theirs.kill();
  await redis.stop();
});

function phone({ sipPort }: InterpresProcess): Promise<ScriptedPhone> {
  const server = { transport: 'udp', port: sipPort } as const;
  return ScriptedPhone.open({ user: 'alice', domain: OURS, password: passwordOf('alice'), server });
}

async function runs(node: InterpresProcess): Promise<string | undefined> {
  const { links } = (await node.health()) as unknown as { links: Record<string, { at: string; node?: string }> };
  return links[PAIR]?.at === 'up' ? links[PAIR].node : undefined;
}

const bodies = (): string[] => juliet.messages().map((stanza) => stanza.getChildText('body') ?? '');

/** What juliet has written to alice: not the words of NOTIFY. */
const written = (): string[] => alice.phone.texts.filter((text) => /^(in|meanwhile) \d/.test(text));

const detail = (): string =>
  [runner, reached, theirs].map((side) => side.process().output().slice(-5_000)).join('\n--------\n');

test(
  'nodes: a peer that speaks to one node is answered by the one that runs the pair: messages go both ways in order',
  peers,
  async (t) => {
    assert.deepEqual([await runs(runner), await runs(reached)], ['n0', 'n0']);
    const texts = Array.from({ length: 20 }, (_, n) => `out ${n}`);
    const startedAtMs = performance.now();
    for (const [n, text] of texts.entries()) {
      const { status } = await (n % 2 === 0 ? alice.phone : elsewhere).write(JULIET, text);
      assert.ok(status === 202 || status === 200, String(status));
    }
    const writtenMs = Math.round(performance.now() - startedAtMs);
    await until(async () => bodies().length >= 20 && (await reached.health()).queue.live === 0, {
      what: 'all are there, and confirmed',
      withinMs: 20_000,
      detail: () => `${JSON.stringify(bodies())}\n${detail()}`,
    });
    const tookMs = Math.round(performance.now() - startedAtMs);
    t.diagnostic(`twenty messages written in ${writtenMs} ms, confirmed in ${tookMs} ms`);
    assert.ok(tookMs < FAR_BELOW_MUTE_MS, `${writtenMs} ms, ${tookMs} ms\n${detail()}`);
    assert.deepEqual(bodies(), texts);
    for (let n = 0; n < 20; n++) await juliet.message(ALICE, `in ${n}`);
    await until(() => written().length >= 20, { what: 'alice has all', detail });
    assert.deepEqual(
      written(),
      texts.map((_, n) => `in ${n}`),
    );
    assert.equal(
      runner
        .log()
        .find(({ msg }) => msg === 'peer answers no pings: stanzas count as taken unless the stream breaks soon after'),
      undefined,
    );
  },
);

test('nodes: presence goes both ways with a peer that speaks to another node, each change once', peers, async () => {
  await alice.publish('at home');
  const watching = await alice.subscribe(JULIET);
  await juliet.untilPresence(({ attrs }) => attrs['type'] === 'subscribe');
  await juliet.presence({ to: ALICE, type: 'subscribed' });
  await juliet.presence({ to: ALICE, type: 'subscribe' });
  await watching.untilLast(says('active', 'open'));
  const statuses = (): string[] => juliet.presences().flatMap((stanza) => stanza.getChildText('status') ?? []);
  await until(() => statuses().includes('at home'), { what: 'juliet sees alice', detail });
  const from = statuses().length;
  const changes = ['in the garden', 'at the door', 'gone for a walk'];
  for (const change of changes) {
    await alice.publish(change);
    await until(() => statuses().includes(change), { what: `juliet sees ${change}`, detail });
  }
  const seen = watching.notifies.length;
  await juliet.presence({ children: [xml('show', {}, 'dnd')] });
  await watching.untilLast(says('active', 'open dnd'));
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(statuses().slice(from), changes);
  assert.equal(watching.notifies.length, seen + 1);
  // What is asked of the server at the node that is reached, it answers there.
  const info = await juliet.iq(OURS, 'get', xml('query', { xmlns: 'http://jabber.org/protocol/disco#info' }));
  assert.equal(info.attrs['type'], 'result');
});

test('nodes: who runs a pair is killed: another node has it up in seconds, nothing is lost', peers, async (t) => {
  const before = bodies().length;
  const back = written().length;
  const texts = Array.from({ length: 60 }, (_, n) => `late ${n}`);
  let killedAtMs = 0;
  let upMs = 0;
  let killed: Promise<unknown> = Promise.resolve();
  for (const [n, text] of texts.entries()) {
    if (n === 20) {
      killedAtMs = performance.now();
      killed = runner
        .kill()
        .then(() =>
          until(async () => (await runs(reached)) === 'n1', {
            what: 'the other node runs the pair',
            withinMs: 15_000,
            detail,
          }),
        )
        .then(() => (upMs = performance.now() - killedAtMs));
    }
    const { status } = await alice.phone.write(JULIET, text);
    assert.ok(status === 202 || status === 200, String(status));
    if (n % 10 === 0) await juliet.message(ALICE, `meanwhile ${n}`);
  }
  await killed;
  t.diagnostic(`the pair was up ${Math.round(upMs)} ms after the kill`);
  assert.ok(upMs < 10_000, String(upMs));
  await until(async () => bodies().includes(texts.at(-1)!) && (await reached.health()).queue.live === 0, {
    what: 'all are there, and confirmed',
    withinMs: 20_000,
    detail,
  });
  t.diagnostic(`all was confirmed ${Math.round(performance.now() - killedAtMs)} ms after the kill`);
  const got = juliet.messages().slice(before);
  const firsts = got.filter((stanza, n) => {
    const body = stanza.getChildText('body');
    const isAgain = got.slice(0, n).some((earlier) => earlier.getChildText('body') === body);
    // What may have been there before says so.
    if (isAgain) assert.notEqual(stanza.getChild('delay', 'urn:xmpp:delay'), undefined, String(stanza));
    return !isAgain;
  });
  assert.deepEqual(
    firsts.map((stanza) => stanza.getChildText('body')),
    texts,
  );
  await until(() => written().length >= back + 6, { what: 'alice has what came meanwhile', detail });
  assert.deepEqual(
    written().slice(back),
    [0, 10, 20, 30, 40, 50].map((n) => `meanwhile ${n}`),
  );
});
