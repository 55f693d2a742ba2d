/** Presence of three nodes on one Redis: watchers on each of them, whoever keeps presence and whatever becomes of him. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { startCluster, type Cluster } from '../../support/cluster.ts';
import { CountingPublisher } from '../../support/counting-publisher.ts';
import { CountingWatchers } from '../../support/counting-watchers.ts';
import { SIP_DOMAIN } from '../../support/federation.ts';
import { needs } from '../../support/peers.ts';
import { until } from '../../support/until.ts';

const TRANSPORTS = ['udp', 'tcp', 'udp'] as const;
const EACH = 10;

/** Ten watchers of alice on each node, and a publisher of hers on each. */
async function watched(
  cluster: Cluster,
  t: TestContext,
): Promise<{ readonly watchers: readonly CountingWatchers[]; readonly publishers: readonly CountingPublisher[] }> {
  const watchers = await Promise.all(
    cluster.ports.map((port, n) =>
      CountingWatchers.open({
        transport: TRANSPORTS[n % 3]!,
        port,
        domain: SIP_DOMAIN,
        watched: Array.from({ length: EACH }, () => 'alice'),
        prefix: `n${n}w`,
      }),
    ),
  );
  const publishers = await Promise.all(
    cluster.ports.map((port) => CountingPublisher.open({ transport: 'udp', port, domain: SIP_DOMAIN, user: 'alice' })),
  );
  t.after(() => Promise.all([...watchers, ...publishers].map((end) => end.close())));
  await Promise.all(watchers.map((some) => some.subscribe()));
  return { watchers, publishers };
}

function untilTold(watchers: readonly CountingWatchers[], round: number, withinMs = 10_000): Promise<unknown> {
  return until(() => watchers.every((some) => some.holding(round) === EACH), {
    what: `everybody holds round ${round}`,
    withinMs,
    detail: () => JSON.stringify(watchers.map((some) => [some.live, some.holding(round), some.faults])),
  });
}

function counts(watchers: readonly CountingWatchers[]): readonly number[] {
  return watchers.flatMap(({ dialogs }) => dialogs.map(({ notified }) => notified));
}

const PRESENCE = { presence: { default: 'allow', notifyIntervalSeconds: 0 } };

test(
  'nodes: presence reaches watchers on each node once, also when its keeper is killed',
  needs('redis', 'prosody'),
  async (t) => {
    const cluster = await startCluster({ name: 'nodes-presence', nodes: 3, config: PRESENCE });
    t.after(() => cluster.stop());
    await cluster.untilOwned('presence');
    const { watchers, publishers } = await watched(cluster, t);
    await publishers[0]!.publish(0);
    await untilTold(watchers, 0);

    const before = counts(watchers);
    for (let round = 1; round <= 3; round++) {
      assert.equal(await publishers[0]!.publish(round), 200);
      await untilTold(watchers, round);
    }
    assert.deepEqual(
      counts(watchers).map((count, n) => count - before[n]!),
      Array.from({ length: 3 * EACH }, () => 3),
    );

    const owner = await cluster.untilOwned('presence');
    const others = [0, 1, 2].filter((n) => n !== owner);
    const [first = 0] = others;
    const killedAtMs = performance.now();
    await cluster.nodes[owner]!.kill();
    const rest = watchers.filter((_, n) => n !== owner);
    // The publication is another one, as its publisher is another phone.
    assert.equal(await publishers[first]!.publish(4), 200);
    await untilTold(rest, 4);
    const backMs = Math.round(performance.now() - killedAtMs);
    t.diagnostic(`told again ${backMs} ms after the keeper was killed`);
    assert.ok(backMs < 10_000);

    await cluster.nodes[owner]!.start();
    await untilTold(watchers, 4, 20_000);
    // The dialogs go on: a refresh is answered on each node.
    await Promise.all(watchers.map((some) => some.subscribe()));
    assert.equal(await publishers[first]!.publish(5), 200);
    await untilTold(watchers, 5);

    // In order: nobody notices anything.
    const keeper = await cluster.untilOwned('presence');
    await cluster.nodes[keeper]!.stop();
    await cluster.nodes[keeper]!.start();
    assert.equal(await publishers[first]!.publish(6), 200);
    await untilTold(watchers, 6, 20_000);
    for (const some of watchers) {
      assert.deepEqual(some.faults, { cseqRepeated: 0, wentBack: 0, terminated: 0, lost: 0, refused: {} });
    }
  },
);
