/**
 * The faults of presence at full length, one line of JSON per run; takes about ten minutes.
 *
 *   node --import tsx test/faults/presence.ts [runs] [fan-out|subscribe|storm|dead ...]
 *
 * Ends with 1 when something happened that may not.
 */
import {
  deadWatchers,
  killedDuringFanOut,
  killedDuringSubscribe,
  watcherStorm,
  type PresenceFaultReport,
} from '../support/presence-faults.ts';

type Transport = 'udp' | 'tcp';

const FAULTS: Readonly<Record<string, (transport: Transport, seed: number) => Promise<PresenceFaultReport>>> = {
  'fan-out': (transport, seed) => killedDuringFanOut({ transport, watchers: 1_000, kills: 10, seed }),
  subscribe: (transport, seed) => killedDuringSubscribe({ transport, watchers: 5_000, kills: 5, seed }),
  // All in one moment; over UDP with as many on their way as the system holds for a socket, or its losses are measured.
  storm: (transport) =>
    watcherStorm({
      transport,
      watchers: 10_000,
      outstanding: transport === 'tcp' ? 10_000 : 1_000,
      messagesPerSecond: 100,
      lateMs: 1_000,
    }),
  dead: (transport) => deadWatchers({ transport, dead: 2_000, living: 200, lateMs: 1_000, isToTheEnd: true }),
};

const [first, ...rest] = process.argv.slice(2);
const runs = first === undefined || Number.isNaN(Number(first)) ? 1 : Number(first);
const names = [...(first !== undefined && Number.isNaN(Number(first)) ? [first] : []), ...rest];
let isBroken = false;
for (const [name, run] of Object.entries(FAULTS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  for (const transport of ['udp', 'tcp'] as const) {
    for (let number = 1; number <= runs; number += 1) {
      const report = await run(transport, number);
      process.stdout.write(`${JSON.stringify({ run: number, ...report })}\n`);
      if (report.broken.length > 0) isBroken = true;
    }
  }
}
process.exit(isBroken ? 1 : 0);
