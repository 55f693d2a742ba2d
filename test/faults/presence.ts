/**
 * The faults of presence at full length, one line of JSON per run; takes about ten minutes, and as much again on Redis.
 *
 *   node --import tsx test/faults/presence.ts [runs] [fan-out|subscribe|storm|dead ...] [folder|redis]
 *
 * Ends with 1 when something happened that may not.
 */
import { deadWatchers, killedDuringFanOut, killedDuringSubscribe, watcherStorm } from '../support/presence-faults.ts';
import { runFaults } from '../support/fault-runs.ts';

await runFaults({
  faults: {
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
  },
  runs: 1,
  stores: ['folder', 'redis'],
  isBroken: ({ broken }) => broken.length > 0,
});
