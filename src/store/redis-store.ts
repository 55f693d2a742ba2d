import type { StoreConfig } from '../core/config.ts';
import type { Log } from '../core/log.ts';
import type { Clock, QueueBounds, Store } from '../core/ports.ts';
import { BINDING_KIND, RedisBindings } from './redis-bindings.ts';
import { RedisChanges } from './redis-changes.ts';
import { RedisConnection } from './redis-connection.ts';
import { CREDENTIAL_KIND, RedisCredentials } from './redis-credentials.ts';
import { RedisQueue } from './redis-queue.ts';
import { RedisRecords } from './redis-records.ts';
import { RedisReplica } from './redis-replica.ts';
import { RedisWriter } from './redis-writer.ts';

export type RedisStoreOptions = {
  readonly config: StoreConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly bounds: QueueBounds;
  /** How long an id that left the queue is known. Default 900. */
  readonly rememberSeconds?: number;
  /** How long dead letters are kept. Default 30 days. */
  readonly deadLetterSeconds?: number;
  /** After so long without a word a process counts as dead, and its lanes go to others. Default 5. */
  readonly lockSeconds?: number;
  /** This process in the queue, and one that is known to be gone. */
  readonly process?: string;
  readonly formerProcess?: string;
  /** How often the queue looks for lifetimes that are over and tokens that got lost. Default 15. */
  readonly lookSeconds?: number;
};

/** A store in Redis, with the connection for whatever else is kept there. */
export type RedisStore = Store & {
  readonly connection: RedisConnection;
  /** See `Stores.ownedRecords`. */
  readonly ownedRecords: OwnedRecords;
};

/**
 * Records for the holder of a lease, with all that was stored before: whoever held it with a lower fence has nothing
 * stored any more from then on. `close` stores what is left to store.
 *
 * @throws GatewayError 'store-unavailable'
 */
export type OwnedRecords = (
  lease: string,
  fence: number,
) => Promise<{ readonly records: Store['records']; readonly close: () => Promise<void> }>;

/**
 * Opens the store of a server in Redis, which other servers may use at the same time.
 *
 * Everything but the queue is read into memory, and kept as it is in Redis by what this process stores and what it hears
 * of the others.
 *
 * @throws GatewayError 'store-unavailable' naming the server
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<RedisStore> {
  const { config, clock, log } = options;
  const connection = await RedisConnection.open(config, log);
  try {
    const parts = recordParts(connection, clock, log);
    const { replica, writer, changes } = parts;
    await changes.read();
    writer.begin(changes.birth, changes.version);
    changes.follow();
    const refresh = (kind: string, key: string): Promise<void> => changes.refresh(kind, key);
    const bindings = new RedisBindings(replica, writer, refresh);
    const queue = new RedisQueue(connection, options);
    await queue.refresh();
    return {
      connection,
      queue,
      bindings,
      credentials: new RedisCredentials(replica, writer),
      records: <T>(kind: string) => new RedisRecords<T>(replica, writer, kind, log),
      onChange: (kind, listener) => {
        const name = STORED_AS[kind] ?? kind;
        return replica.onChange(name, (key, text, isOwn) => {
          if (!isOwn) listener(key, text !== undefined);
        });
      },
      ownedRecords: async (lease, fence) => {
        await connection.run('store-bar', lease, fence);
        await changes.catchUp();
        const guard = { name: lease, fence };
        const owned = new RedisWriter({ connection, replica, clock, log, onLoss: () => changes.readAgain(), guard });
        changes.addWriter(owned);
        owned.begin(changes.birth, changes.version);
        return {
          records: <T>(kind: string) => new RedisRecords<T>(replica, owned, kind, log),
          close: () => owned.close(),
        };
      },
      isCurrent: () => connection.isReady && changes.isCurrent,
      close: async () => {
        await queue.close();
        await writer.close();
        await changes.close();
        connection.close();
      },
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Opens only the users' credentials, also beside running servers. @throws GatewayError 'store-unavailable' */
export async function openRedisCredentials(
  options: Pick<RedisStoreOptions, 'config' | 'clock' | 'log'>,
): Promise<Pick<RedisStore, 'credentials' | 'close'>> {
  const connection = await RedisConnection.open(options.config, options.log);
  try {
    const { replica, writer, changes } = recordParts(connection, options.clock, options.log);
    await changes.read([CREDENTIAL_KIND]);
    writer.begin(changes.birth, changes.version);
    return {
      credentials: new RedisCredentials(replica, writer),
      close: async () => {
        await writer.close();
        connection.close();
      },
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

const STORED_AS: Readonly<Record<string, string>> = { bindings: BINDING_KIND, credentials: CREDENTIAL_KIND };

function recordParts(connection: RedisConnection, clock: Clock, log: Log) {
  const replica = new RedisReplica(() => clock.nowMs());
  const writer = new RedisWriter({ connection, replica, clock, log, onLoss: () => changes.readAgain() });
  const changes: RedisChanges = new RedisChanges({ connection, replica, clock, log, writer });
  return { replica, writer, changes };
}
