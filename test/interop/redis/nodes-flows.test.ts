/** Two nodes on one Redis: whoever is asked, and wherever a phone or a link is, what is sent arrives once. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCluster, type Cluster, type NodesSeen } from '../../support/cluster.ts';
import { SIP_DOMAIN, COMPONENT, XMPP_DOMAIN } from '../../support/federation.ts';
import { needs } from '../../support/peers.ts';
import { ScriptedPhone } from '../../support/scripted-phone.ts';
import { digestAnswer } from '../../support/sip-wire.ts';
import { until } from '../../support/until.ts';
import { startXmppClient } from '../../support/xmpp-client.ts';
import { passwordOf } from '../../support/xmpp-server.ts';

const peers = needs('redis', 'prosody');
let cluster: Cluster;
const ends: Array<{ close(): Promise<void> }> = [];

before(async () => {
  if (peers.skip !== undefined) return;
  cluster = await startCluster({
    name: 'nodes-flows',
    nodes: 2,
    sipUsers: ['alice', 'bob', 'carol'],
    // Nobody is trusted by his address here: phones have passwords.
    config: { domains: [SIP_DOMAIN], presence: { default: 'allow', notifyIntervalSeconds: 0 } },
  });
  await cluster.untilLinkUp(0);
  await cluster.untilLinkUp(1);
  await cluster.untilOwned('presence');
});

after(async () => {
  await Promise.all(ends.map((end) => end.close()));
  if (peers.skip === undefined) await cluster.stop();
});

async function phone(user: string, node: number, transport: 'udp' | 'tcp'): Promise<ScriptedPhone> {
  const opened = await ScriptedPhone.open({
    user,
    domain: SIP_DOMAIN,
    password: passwordOf(user),
    server: { transport, port: cluster.ports[node]! },
  });
  ends.push(opened);
  return opened;
}

test(
  'nodes: a phone is reached over its connection to one node from the other, and its sender hears so',
  peers,
  async () => {
    const alice = await phone('alice', 1, 'tcp');
    assert.equal((await alice.register()).status, 200);
    // From now on only the connection leads to it.
    await alice.closeListener();
    const bob = await phone('bob', 0, 'udp');
    // So that all is warm: what follows is about the way, not about the first start of it.
    await bob.write(`sip:alice@${SIP_DOMAIN}`, 'first');
    await alice.count(1);
    for (let n = 0; n < 12; n++) {
      const sentAtMs = performance.now();
      const { status } = await bob.write(`sip:alice@${SIP_DOMAIN}`, `to alice ${n}`);
      assert.equal(status, 200, String(n));
      // Whichever node has attempted it: nobody has waited for his patience to end.
      assert.ok(performance.now() - sentAtMs < 1_500);
    }
    await alice.count(13);
    assert.deepEqual(alice.texts, ['first', ...Array.from({ length: 12 }, (_, n) => `to alice ${n}`)]);
  },
);

test(
  'nodes: a refusal by a phone of the other node reaches the sender as its answer, and as nothing else',
  peers,
  async () => {
    const carol = await phone('carol', 1, 'tcp');
    carol.answer = () => ({ status: 603 });
    assert.equal((await carol.register()).status, 200);
    const bob = await phone('bob', 0, 'udp');
    assert.equal((await bob.register()).status, 200);
    for (let n = 0; n < 6; n++) assert.equal((await bob.write(`sip:carol@${SIP_DOMAIN}`, `no ${n}`)).status, 603);
    assert.deepEqual(bob.texts, []);
  },
);

test('nodes: one MESSAGE that is sent to both nodes is delivered once', peers, async () => {
  const alice = await phone('alice', 1, 'tcp');
  await alice.register();
  const juliet = await startXmppClient(cluster.xmpp, 'juliet');
  const [there, here] = [await phone('alice', 0, 'udp'), await phone('alice', 1, 'udp')];
  for (let n = 0; n < 5; n++) {
    const uri = `sip:juliet@${XMPP_DOMAIN}`;
    const request = { method: 'MESSAGE', uri, callId: `both-${n}-${process.pid}`, cseq: 1, body: `once ${n}` };
    const challenge = await there.exchange(there.bytesOf({ ...request, headers: [['Content-Type', 'text/plain']] }));
    const asked = { user: 'alice', password: passwordOf('alice'), method: 'MESSAGE', uri };
    const authorized = (value: string) =>
      ({
        ...request,
        cseq: 2,
        headers: [
          ['Content-Type', 'text/plain'],
          ['Authorization', value],
        ],
      }) as const;
    // Each node has asked, and takes what answers the other's question.
    const answers = [0, 1].map(() => digestAnswer(` ${challenge.headers.all('WWW-Authenticate').at(-1)!}`, asked));
    const [one] = answers;
    const statuses = await Promise.all([
      there.exchange(there.bytesOf(authorized(one!))),
      here.exchange(here.bytesOf(authorized(one!))),
    ]);
    // The same proof at the same moment may be taken by both; the message is one all the same.
    assert.ok(statuses.some(({ status }) => status === 202));
    for (const { status } of statuses) assert.ok(status === 202 || status === 401, String(status));
  }
  await until(() => juliet.messages().filter((message) => message.getChildText('body') !== null).length >= 5, {
    what: 'juliet has all five',
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual(
    juliet.messages().map((message) => message.getChildText('body')),
    Array.from({ length: 5 }, (_, n) => `once ${n}`),
  );
  await juliet.stop();
});

test('nodes: a challenge of one node is answered at the other, and the answer is good once', peers, async () => {
  const [first, second] = [await phone('bob', 0, 'udp'), await phone('bob', 1, 'udp')];
  const uri = `sip:${SIP_DOMAIN}`;
  const request = { method: 'REGISTER', uri, to: `<sip:bob@${SIP_DOMAIN}>` };
  const challenge = await first.exchange(first.bytesOf(request));
  assert.equal(challenge.status, 401);
  const authorization = digestAnswer(` ${challenge.headers.all('WWW-Authenticate').at(-1)!}`, {
    user: 'bob',
    password: passwordOf('bob'),
    method: 'REGISTER',
    uri,
  });
  const again = { ...request, headers: [['Authorization', authorization]] } as const;
  assert.equal((await second.exchange(second.bytesOf(again))).status, 200);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const replayed = await first.exchange(first.bytesOf(again));
  assert.equal(replayed.status, 401);
  assert.match(replayed.headers.all('WWW-Authenticate')[0] ?? '', /stale=true/);
});

test(
  'nodes: whom an XMPP user watches is seen wherever he registers, and a message comes the other way',
  peers,
  async () => {
    const romeo = await startXmppClient(cluster.xmpp, 'romeo');
    const jid = `bob@${COMPONENT}`;
    await romeo.presence({ to: jid, type: 'subscribe' });
    await romeo.untilPresence(({ attrs }) => attrs['type'] === 'subscribed');
    for (const node of [0, 1]) {
      const bob = await phone('bob', node, 'tcp');
      const from = romeo.presences().length;
      assert.equal((await bob.register()).status, 200);
      await romeo.untilPresence(({ attrs }) => String(attrs['from']).startsWith(jid) && attrs['type'] === undefined, {
        from,
      });
      await romeo.message(jid, `to bob at ${node}`);
      await until(() => bob.texts.includes(`to bob at ${node}`), { what: 'bob has it' });
      const left = romeo.presences().length;
      assert.equal((await bob.register(0)).status, 200);
      await romeo.untilPresence(
        ({ attrs }) => String(attrs['from']).startsWith(jid) && attrs['type'] === 'unavailable',
        { from: left },
      );
    }
    await romeo.stop();
  },
);

test('nodes: each node says the same of all, and takes what an operator decides', peers, async () => {
  const seen = (await Promise.all([0, 1].map((n) => cluster.nodes[n]!.control('/nodes')))) as NodesSeen[];
  assert.deepEqual(
    seen.map(({ node }) => node),
    ['n0', 'n1'],
  );
  assert.deepEqual(seen[0]!.nodes, seen[1]!.nodes);
  assert.deepEqual(seen[0]!.nodes.flatMap(({ owns }) => owns).sort(), ['link:office', 'presence']);
  const listed = await cluster.nodes[0]!.run(['nodes']);
  assert.match(listed, /^node +since +version +listens +owns\nn0 .*\nn1 .*\n(last handed over: link:office .*\n)?$/);
  for (const n of [0, 1]) {
    await cluster.nodes[n]!.run(['watchers', 'block', `sip:bob@${SIP_DOMAIN}`, `eve${n}@${XMPP_DOMAIN}`]);
    const watchers = await cluster.nodes[1 - n]!.run(['watchers', 'list', `sip:bob@${SIP_DOMAIN}`]);
    assert.match(watchers, new RegExp(`eve${n}@${XMPP_DOMAIN} .*block`));
    const health = (await cluster.nodes[n]!.health()) as unknown as { node: { name: string } };
    assert.equal(health.node.name, `n${n}`);
  }
});
