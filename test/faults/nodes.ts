/**
 * What happens to several nodes on one Redis, at full length, one line of JSON per run; takes about six minutes.
 *
 *   node --import tsx test/faults/nodes.ts [runs] [killed|rolling|redis|failover ...]
 *
 * Ends with 1 when something was lost, came twice unmarked or out of order, or a link was away for ten seconds.
 */
import { killedAndRestarted, redisAway, redisClusterFailover, rollingRestart } from '../support/cluster-faults.ts';
import { runFaults } from '../support/fault-runs.ts';

const LINK_BACK_MS = 10_000;

await runFaults({
  faults: {
    killed: (transport) => killedAndRestarted({ rate: 200, transport, betweenMs: 5_000, rounds: 3 }),
    rolling: (transport) => rollingRestart({ rate: 200, transport, betweenMs: 5_000 }),
    redis: (transport) => redisAway({ rate: 200, transport, betweenMs: 5_000 }),
    failover: (transport) => redisClusterFailover({ rate: 200, transport, betweenMs: 5_000 }),
  },
  runs: 1,
  stores: ['redis'],
  isBroken: ({ lost, reordered, doubledUnmarked, linkBackMs }) =>
    lost + reordered + doubledUnmarked > 0 || linkBackMs >= LINK_BACK_MS,
});
