import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../core/config.ts';
import type { CredentialStore, DeliveryQueue, Store } from '../core/ports.ts';
import type { RedisConnection } from '../store/redis-connection.ts';
import type { OwnedRecords } from '../store/redis-store.ts';
import { lockFolder } from '../store/sqlite-database.ts';
import { openCredentials, openSqliteStore } from '../store/sqlite-store.ts';
import type { AppOptions } from './options.ts';

type StoreNeeds = Pick<AppOptions, 'config' | 'clock' | 'log'>;

/** What outlives the process: the stores and the queue. `close` lets go of both, the queue first. */
export type Stores = {
  readonly store: Store;
  readonly queue: DeliveryQueue;
  /** Where the store is in Redis, which other nodes may share. */
  readonly redis?: RedisConnection;
  /** Only there: records for the node that alone may write them. */
  readonly ownedRecords?: OwnedRecords;
  close(): Promise<void>;
};

/**
 * Opens the stores and the queue where the configuration wants them, and keeps a second server out of the data folder.
 *
 * @param commits `here`: without a thread for writing, for a command that writes little and ends.
 * @throws GatewayError 'store-unavailable'; nothing stays open.
 */
export async function openStores(options: StoreNeeds, commits?: 'here'): Promise<Stores> {
  const { config, clock, log } = options;
  if (config.store === undefined) {
    const store = await openSqliteStore({
      folder: config.data,
      clock,
      log,
      ...queueOptions(config),
      ...(commits === undefined ? {} : { commits }),
    });
    return { store, queue: store.queue, close: () => store.close() };
  }
  // The control socket is there, of one server.
  const unlock = lockFolder(config.data);
  try {
    return await openInRedis(options, config.store, unlock, processesOf(config.data));
  } catch (thrown) {
    unlock();
    throw thrown;
  }
}

/** The queue of a server that is not running, for the operator's commands; its attempts are never started. */
export async function openQueueOffline(
  options: StoreNeeds,
): Promise<{ readonly queue: DeliveryQueue; close(): Promise<void> }> {
  if (options.config.store === undefined) return openStores(options, 'here');
  // Other servers may be at it: whatever is asked for here they do.
  return openInRedis(options, options.config.store, () => undefined);
}

/** The users alone, beside whatever server is running. @throws GatewayError 'store-unavailable' */
export async function openUsers({
  config,
  clock,
  log,
}: StoreNeeds): Promise<{ readonly credentials: CredentialStore; readonly close: () => Promise<void> }> {
  if (config.store === undefined) return openCredentials(config.data);
  const { openRedisCredentials } = await import('../store/redis-store.ts');
  return openRedisCredentials({ config: config.store, clock, log });
}

async function openInRedis(
  { config, clock, log }: StoreNeeds,
  redis: NonNullable<Config['store']>,
  unlock: () => void,
  processes: { readonly process?: string; readonly formerProcess?: string } = {},
): Promise<Stores> {
  // Loaded when wanted: a server on the embedded store does not pay for BullMQ at its start.
  const { openRedisStore } = await import('../store/redis-store.ts');
  const store = await openRedisStore({ config: redis, clock, log, ...queueOptions(config), ...processes });
  return {
    store,
    queue: store.queue,
    redis: store.connection,
    ownedRecords: store.ownedRecords,
    close: async () => {
      await store.close();
      unlock();
    },
  };
}

/**
 * The name of this process in the queue, and that of the one that had the folder before. The folder is locked, so that
 * one is gone, and what it was at need not wait until it is missed.
 */
function processesOf(folder: string): { readonly process: string; readonly formerProcess?: string } {
  const file = join(folder, 'queue-process');
  const name = randomBytes(9).toString('base64url');
  const former = existsSync(file) ? readFileSync(file, 'latin1') : '';
  writeFileSync(file, name);
  return { process: name, ...(/^[A-Za-z0-9_-]{1,64}$/.test(former) ? { formerProcess: former } : {}) };
}

function queueOptions({ queue }: Config) {
  const { limits, rememberSeconds, deadLetterSeconds } = queue;
  return {
    bounds: { total: limits.total, perHop: limits.perPeer, perOwner: limits.perSender },
    rememberSeconds,
    deadLetterSeconds,
  };
}
