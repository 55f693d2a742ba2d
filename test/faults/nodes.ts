/**
 * What happens to several nodes on one Redis, at full length, one line of JSON per run; takes about five minutes.
 *
 *   node --import tsx test/faults/nodes.ts [runs] [killed|rolling|redis ...]
 *
 * Ends with 1 when something was lost, came twice unmarked or out of order, or a link was away for ten seconds.
 */
import { killedAndRestarted, redisAway, rollingRestart, type ClusterFaultReport } from '../support/cluster-faults.ts';

const FAULTS: Readonly<Record<string, (transport: 'udp' | 'tcp') => Promise<ClusterFaultReport>>> = {
  killed: (transport) => killedAndRestarted({ rate: 200, transport, betweenMs: 5_000, rounds: 3 }),
  rolling: (transport) => rollingRestart({ rate: 200, transport, betweenMs: 5_000 }),
  redis: (transport) => redisAway({ rate: 200, transport, betweenMs: 5_000 }),
};
const LINK_BACK_MS = 10_000;

const words = process.argv.slice(2);
const runs = Number(words.find((word) => /^[0-9]+$/.test(word)) ?? 1);
const names = words.filter((word) => word in FAULTS);
let isBroken = false;
for (const [name, run] of Object.entries(FAULTS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  for (const transport of ['udp', 'tcp'] as const) {
    for (let number = 1; number <= runs; number++) {
      const report = await run(transport);
      process.stdout.write(`${JSON.stringify({ run: number, ...report })}\n`);
      const { lost, reordered, doubledUnmarked, linkBackMs } = report;
      if (lost + reordered + doubledUnmarked > 0 || linkBackMs >= LINK_BACK_MS) isBroken = true;
    }
  }
}
process.exit(isBroken ? 1 : 0);
