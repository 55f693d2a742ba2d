/**
 * The faults at full length, three runs each, one line of JSON per run; takes about 15 minutes, and as much again on Redis.
 *
 *   node --import tsx test/faults/long.ts [runs] [away|killed|phone|killed-xmpp|redis-killed ...] [folder|redis]
 *
 * Ends with 1 when something was lost that may not be.
 */
import { killedUnderSipLoad, killedUnderXmppLoad, phoneAway, redisKilled, xmppServerAway } from '../support/faults.ts';
import { runFaults } from '../support/fault-runs.ts';

await runFaults({
  faults: {
    away: (transport, _number, store) =>
      xmppServerAway({ rate: 100, beforeMs: 5_000, awayMs: 20_000, afterMs: 10_000, transport, store }),
    killed: (transport, _number, store) =>
      killedUnderSipLoad({ rate: 200, kills: 5, betweenMs: 4_000, transport, store }),
    phone: (transport, _number, store) => phoneAway({ messages: 200, rate: 200, transport, store }),
    'killed-xmpp': (transport, _number, store) =>
      killedUnderXmppLoad({ rate: 200, kills: 5, betweenMs: 4_000, transport, store }),
    'redis-killed': (transport) => redisKilled({ rate: 200, kills: 5, awayMs: 3_000, betweenMs: 4_000, transport }),
  },
  runs: 3,
  stores: ['folder', 'redis'],
  needs: (fault) => (fault === 'redis-killed' ? 'redis' : undefined),
  isBroken: ({ reordered, doubledUnmarked, lost }, fault) => {
    const mayLose = fault === 'killed-xmpp'; // XEP-0114 has no acknowledgement
    return reordered > 0 || doubledUnmarked > 0 || (lost > 0 && !mayLose);
  },
});
