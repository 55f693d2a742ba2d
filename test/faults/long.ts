/**
 * The faults at full length, three runs each, one line of JSON per run; takes about 15 minutes, and as much again on Redis.
 *
 *   node --import tsx test/faults/long.ts [runs] [away|killed|phone|killed-xmpp|redis-killed ...] [folder|redis]
 *
 * Ends with 1 when something was lost that may not be.
 */
import {
  killedUnderSipLoad,
  killedUnderXmppLoad,
  phoneAway,
  redisKilled,
  xmppServerAway,
  type FaultReport,
} from '../support/faults.ts';
import type { TestStore } from '../support/interpres-process.ts';

type Transport = 'udp' | 'tcp';

const FAULTS: Readonly<Record<string, (transport: Transport, store: TestStore) => Promise<FaultReport>>> = {
  away: (transport, store) =>
    xmppServerAway({ rate: 100, beforeMs: 5_000, awayMs: 20_000, afterMs: 10_000, transport, store }),
  killed: (transport, store) => killedUnderSipLoad({ rate: 200, kills: 5, betweenMs: 4_000, transport, store }),
  phone: (transport, store) => phoneAway({ messages: 200, rate: 200, transport, store }),
  'killed-xmpp': (transport, store) => killedUnderXmppLoad({ rate: 200, kills: 5, betweenMs: 4_000, transport, store }),
  'redis-killed': (transport) => redisKilled({ rate: 200, kills: 5, awayMs: 3_000, betweenMs: 4_000, transport }),
};
const STORES = ['folder', 'redis'] as const;

const [first, ...rest] = process.argv.slice(2);
const runs = first === undefined || Number.isNaN(Number(first)) ? 3 : Number(first);
const words = [...(first !== undefined && Number.isNaN(Number(first)) ? [first] : []), ...rest];
const names = words.filter((word) => word in FAULTS);
const stores = STORES.filter((store) => words.includes(store) || !STORES.some((other) => words.includes(other)));
let isBroken = false;
for (const store of stores) {
  for (const [name, run] of Object.entries(FAULTS)) {
    if (names.length > 0 && !names.includes(name)) continue;
    if (name === 'redis-killed' && store !== 'redis') continue;
    for (const transport of ['udp', 'tcp'] as const) {
      for (let number = 1; number <= runs; number++) {
        const report = await run(transport, store);
        process.stdout.write(`${JSON.stringify({ run: number, ...report })}\n`);
        const mayLose = name === 'killed-xmpp'; // XEP-0114 has no acknowledgement
        if (report.reordered > 0 || report.doubledUnmarked > 0 || (report.lost > 0 && !mayLose)) isBroken = true;
      }
    }
  }
}
process.exit(isBroken ? 1 : 0);
