import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { StoreConfig } from '../../src/core/config.ts';
import { openRedisStore } from '../../src/store/redis-store.ts';
import type { RedisStore, RedisStoreOptions } from '../../src/store/redis-store.ts';
import { systemClock } from '../../src/system-clock.ts';
import { silentLog } from './memory-queue.ts';
import { NO_BOUNDS } from './sqlite-world.ts';
import { until } from './until.ts';

/** Stores on one Redis under a prefix of their own, each as another process would have it. */
export class RedisWorld {
  readonly config: StoreConfig;
  readonly #opened: RedisStore[] = [];

  constructor(configOf: (prefix: string) => StoreConfig) {
    this.config = configOf(`test-${randomUUID()}`);
  }

  async open(more: Partial<RedisStoreOptions> = {}): Promise<RedisStore> {
    const options = { config: this.config, clock: systemClock, log: silentLog, bounds: NO_BOUNDS };
    const store = await openRedisStore({ ...options, lockSeconds: 1, lookSeconds: 0.5, ...more });
    this.#opened.push(store);
    return store;
  }

  /** Resolves when what one store has stored is known to another. */
  async told(isKnown: () => boolean): Promise<void> {
    await until(isKnown, { what: 'the other process knows', everyMs: 2 });
  }

  async pass(ms = 0): Promise<void> {
    await pause(Math.max(ms, 60));
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map((store) => store.close()));
  }
}
