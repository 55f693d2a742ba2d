import type { StoreConfig } from '../../src/core/config.ts';
import type { Store } from '../../src/core/ports.ts';
import { openRedisStore } from '../../src/store/redis-store.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system-clock.ts';
import { silentLog } from './memory-queue.ts';

const bounds = { total: 1e6, perHop: 1e6, perOwner: 1e6 };

/** Opens the store that a crash test is about. @param place a folder, or the JSON of a section `store` */
export function openCrashStore(place: string): Promise<Store> {
  if (!place.startsWith('{')) return openSqliteStore({ folder: place, clock: systemClock, log: silentLog, bounds });
  const config = JSON.parse(place) as StoreConfig;
  return openRedisStore({ config, clock: systemClock, log: silentLog, bounds, lockSeconds: 1, lookSeconds: 0.5 });
}
