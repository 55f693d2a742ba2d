/**
 * The faults at full length, three runs each, one line of JSON per run; takes about 15 minutes.
 *
 *   node --import tsx test/faults/long.ts [runs] [away|killed|phone|killed-xmpp ...]
 *
 * Ends with 1 when something was lost that may not be.
 */
import {
  killedUnderSipLoad,
  killedUnderXmppLoad,
  phoneAway,
  xmppServerAway,
  type FaultReport,
} from '../support/faults.ts';

type Transport = 'udp' | 'tcp';

const FAULTS: Readonly<Record<string, (transport: Transport) => Promise<FaultReport>>> = {
  away: (transport) => xmppServerAway({ rate: 100, beforeMs: 5_000, awayMs: 20_000, afterMs: 10_000, transport }),
  killed: (transport) => killedUnderSipLoad({ rate: 200, kills: 5, betweenMs: 4_000, transport }),
  phone: (transport) => phoneAway({ messages: 200, rate: 200, transport }),
  'killed-xmpp': (transport) => killedUnderXmppLoad({ rate: 200, kills: 5, betweenMs: 4_000, transport }),
};

const [first, ...rest] = process.argv.slice(2);
const runs = first === undefined || Number.isNaN(Number(first)) ? 3 : Number(first);
const names = [...(first !== undefined && Number.isNaN(Number(first)) ? [first] : []), ...rest];
let isBroken = false;
for (const [name, run] of Object.entries(FAULTS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  for (const transport of ['udp', 'tcp'] as const) {
    for (let number = 1; number <= runs; number++) {
      const report = await run(transport);
      process.stdout.write(`${JSON.stringify({ run: number, ...report })}\n`);
      const mayLose = name === 'killed-xmpp'; // XEP-0114 has no acknowledgement
      if (report.reordered > 0 || report.doubledUnmarked > 0 || (report.lost > 0 && !mayLose)) isBroken = true;
    }
  }
}
process.exit(isBroken ? 1 : 0);
