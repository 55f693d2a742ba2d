/**
 * Messages from SIP to XMPP through one, two and three nodes on one Redis. One line of JSON per figure.
 *
 *   node --import tsx test/bench/nodes.ts [messages] [udp|tcp]
 *
 * Nodes, Redis, Prosody, sender and receivers share the machine: on two cores more nodes are not faster, and the CPU time
 * says what they cost. Build first (`npm run build`): what is measured is `dist`.
 */
import { startCluster } from '../support/cluster.ts';
import { Ledger } from '../support/counting-ledger.ts';
import { CountingSipSender } from '../support/counting-sip-sender.ts';
import { CountingXmppClient } from '../support/counting-xmpp-client.ts';
import { SIP_DOMAIN, XMPP_DOMAIN } from '../support/federation.ts';
import { cpuSeconds } from '../support/process-figures.ts';
import { until } from '../support/until.ts';

const XMPP_USERS = 4;
const PAIRS = 32;
const WARM_UP = 2_000;

const words = process.argv.slice(2);
const messages = Number(words.find((word) => /^[0-9]+$/.test(word)) ?? 8_000);
const transport = words.includes('tcp') ? 'tcp' : 'udp';
const xmppUsers = Array.from({ length: XMPP_USERS }, (_, n) => `u${n}`);
const pairs = Array.from({ length: PAIRS }, (_, n) => ({
  from: `s${n}@${SIP_DOMAIN}`,
  to: `u${n % XMPP_USERS}@${XMPP_DOMAIN}`,
}));

for (const nodes of [1, 2, 3]) {
  const cluster = await startCluster({ name: `bench-nodes-${nodes}`, nodes, xmppUsers });
  let ledger = new Ledger({ stamped: true });
  const receivers = xmppUsers.map(
    (user) => new CountingXmppClient({ server: cluster.xmpp, user, received: () => ledger }),
  );
  await Promise.all(receivers.map((receiver) => receiver.open()));
  for (let n = 0; n < nodes; n++) await cluster.untilLinkUp(n);
  const send = async (total: number): Promise<number> => {
    ledger = new Ledger({ stamped: true });
    const sender = new CountingSipSender({ ledger, transport, port: cluster.ports, pairs, rate: Infinity, total });
    const startedMs = performance.now();
    await sender.start();
    await sender.finished(240_000);
    await until(() => ledger.isComplete(), { what: 'all have arrived', withinMs: 60_000 });
    sender.close();
    return Math.round((total * 1_000) / (ledger.lastArrivalMs - startedMs));
  };
  await send(WARM_UP);
  const pids = cluster.nodes.map((node) => node.process().pid);
  const used = (): readonly number[] => [...pids, cluster.redis?.pid() ?? 0].map((pid) => cpuSeconds(pid));
  const before = used();
  const perSecond = await send(messages);
  const per1000 = used().map((seconds, n) => Math.round(((seconds - before[n]!) * 1_000_000) / messages) / 1_000);
  const redis = per1000.at(-1);
  const figures = {
    bench: 'nodes, SIP to XMPP, closed loop',
    nodes,
    transport,
    window: PAIRS,
    messages,
    perSecond,
    cpuSecondsPer1000: Math.round(per1000.slice(0, -1).reduce((sum, one) => sum + one, 0) * 1_000) / 1_000,
    ofEachNode: per1000.slice(0, -1),
    redisCpuPer1000: redis,
    latencyMs: ledger.latencyMs(50, 99, 100),
    ...ledger.figures(),
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  for (const receiver of receivers) receiver.close();
  await cluster.stop();
}
process.exit(0);
