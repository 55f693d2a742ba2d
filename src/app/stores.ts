import type { DeliveryQueue } from '../core/ports.ts';
import { openSqliteStore, type SqliteStore } from '../store/sqlite-store.ts';
import type { AppOptions } from './options.ts';

type StoreNeeds = Pick<AppOptions, 'config' | 'clock' | 'log'>;

/** What outlives the process: the stores and the queue. `close` lets go of both, the queue first. */
export type Stores = {
  readonly store: SqliteStore;
  readonly queue: DeliveryQueue;
  close(): Promise<void>;
};

/**
 * Opens the stores and the queue where the configuration wants them.
 *
 * @param commits `here`: without a thread for writing, for a command that writes little and ends.
 * @throws GatewayError 'store-unavailable'; nothing stays open.
 */
export async function openStores(options: StoreNeeds, commits?: 'here'): Promise<Stores> {
  const store = await openSqliteStore({ ...storeOptions(options), ...(commits === undefined ? {} : { commits }) });
  try {
    const { queue, close } = await openQueue(options, store);
    return {
      store,
      queue,
      close: async () => {
        await close();
        await store.close();
      },
    };
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
}

/** The queue of a server that is not running, for the operator's commands; its attempts are never started. */
export async function openQueueOffline(
  options: StoreNeeds,
): Promise<{ readonly queue: DeliveryQueue; close(): Promise<void> }> {
  return openStores(options, 'here');
}

function storeOptions({ config, clock, log }: StoreNeeds) {
  return { folder: config.data, clock, log, ...queueOptions(config) };
}

function queueOptions({ queue }: StoreNeeds['config']) {
  const { limits, rememberSeconds, deadLetterSeconds } = queue;
  return {
    bounds: { total: limits.total, perHop: limits.perPeer, perOwner: limits.perSender },
    rememberSeconds,
    deadLetterSeconds,
  };
}

/** The queue where the configuration wants it: in the data folder, or in Redis. */
async function openQueue(
  { config, clock, log }: StoreNeeds,
  store: SqliteStore,
): Promise<{ queue: DeliveryQueue; close: () => Promise<void> }> {
  if (config.store === undefined) return { queue: store.queue, close: () => Promise.resolve() };
  // Loaded when wanted: a server on the embedded store does not pay for BullMQ at its start.
  const [{ RedisConnection }, { RedisQueue }] = await Promise.all([
    import('../store/redis-connection.ts'),
    import('../store/redis-queue.ts'),
  ]);
  const connection = await RedisConnection.open(config.store, log);
  const queue = new RedisQueue(connection, { clock, log, ...queueOptions(config) });
  await queue.refresh();
  return {
    queue,
    close: async () => {
      await queue.close();
      connection.close();
    },
  };
}
