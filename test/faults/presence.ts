/**
 * The faults of presence at full length, one line of JSON per run; takes about ten minutes, and as much again on Redis.
 *
 *   node --import tsx test/faults/presence.ts [runs] [fan-out|subscribe|storm|dead ...] [folder|redis]
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
import type { TestStore } from '../support/interpres-process.ts';

type Transport = 'udp' | 'tcp';

const FAULTS: Readonly<
  Record<string, (transport: Transport, seed: number, store: TestStore) => Promise<PresenceFaultReport>>
> = {
  'fan-out': (transport, seed, store) => killedDuringFanOut({ transport, watchers: 1_000, kills: 10, seed, store }),
  subscribe: (transport, seed, store) => killedDuringSubscribe({ transport, watchers: 5_000, kills: 5, seed, store }),
  // All in one moment; over UDP with as many on their way as the system holds for a socket, or its losses are measured.
  storm: (transport, _seed, store) =>
    watcherStorm({
      transport,
      watchers: 10_000,
      outstanding: transport === 'tcp' ? 10_000 : 1_000,
      messagesPerSecond: 100,
      lateMs: 1_000,
      store,
    }),
  dead: (transport, _seed, store) =>
    deadWatchers({ transport, dead: 2_000, living: 200, lateMs: 1_000, isToTheEnd: true, store }),
};

const STORES = ['folder', 'redis'] as const;
const [first, ...rest] = process.argv.slice(2);
const runs = first === undefined || Number.isNaN(Number(first)) ? 1 : Number(first);
const words = [...(first !== undefined && Number.isNaN(Number(first)) ? [first] : []), ...rest];
const names = words.filter((word) => word in FAULTS);
const stores = STORES.filter((store) => words.includes(store) || !STORES.some((other) => words.includes(other)));
let isBroken = false;
for (const store of stores) {
  for (const [name, run] of Object.entries(FAULTS)) {
    if (names.length > 0 && !names.includes(name)) continue;
    for (const transport of ['udp', 'tcp'] as const) {
      for (let number = 1; number <= runs; number += 1) {
        const report = await run(transport, number, store);
        process.stdout.write(`${JSON.stringify({ run: number, ...report })}\n`);
        if (report.broken.length > 0) isBroken = true;
      }
    }
  }
}
process.exit(isBroken ? 1 : 0);
