import type { Log } from '../core/log.ts';
import type { Clock, CredentialStore, QueueBounds, Store } from '../core/ports.ts';
import { EmbeddedQueue } from './embedded-queue.ts';
import { SqliteBindings } from './sqlite-bindings.ts';
import { SqliteCredentials } from './sqlite-credentials.ts';
import { checkDatabase, databaseFile, lockFolder, openDatabase } from './sqlite-database.ts';
import { directExecutor, threadExecutor } from './sqlite-executor.ts';
import type { BatchExecutor } from './sqlite-executor.ts';
import { SqliteMedium } from './sqlite-queue.ts';
import { SqliteRecords } from './sqlite-records.ts';
import { SqliteWriter } from './sqlite-writer.ts';

export type SqliteStoreOptions = {
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly bounds: QueueBounds;
  /** How long an id that left the queue is known. Default 900. */
  readonly rememberSeconds?: number;
  /** How long dead letters are kept. Default 30 days. */
  readonly deadLetterSeconds?: number;
  /** Default 16 million characters, which take about 32 MB. */
  readonly operationSizeMax?: number;
  /** Where commits are made. Default 'thread'; 'here' for tests, and for commands that have nothing else to do. */
  readonly commits?: 'thread' | 'here';
  /** More pragmas for the connection that writes, for tests: `PRAGMA max_page_count = 50` is a small disk. */
  readonly pragmas?: string;
};

/** The store in a folder of one server. */
export type SqliteStore = Store;

const REMEMBER_SECONDS = 900;
const DEAD_LETTER_SECONDS = 30 * 86_400;
/** About 20 MB of memory, and rows of the database that a start has to read. */
const REMEMBER_MAX = 1_000_000;

/**
 * Opens the store of a server in its folder, and keeps other servers out of it.
 *
 * @throws GatewayError 'store-unavailable' naming the file and the remedy
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const unlock = lockFolder(options.folder);
  try {
    return await openLocked(options, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Opens only the users' credentials, also beside a running server. */
export function openCredentials(
  folder: string,
): Promise<{ readonly credentials: CredentialStore; readonly close: () => Promise<void> }> {
  return new Promise((resolve) => {
    const connection = openDatabase(folder, Date.now());
    const executor = directExecutor(databaseFile(folder));
    const writer = new SqliteWriter({ executor, clock: NO_CLOCK, log: NO_LOG, file: databaseFile(folder) });
    resolve({
      credentials: new SqliteCredentials(connection, writer),
      close: async () => {
        await writer.close();
        connection.close();
      },
    });
  });
}

async function openLocked(options: SqliteStoreOptions, unlock: () => void): Promise<Store> {
  const { folder, clock, log, bounds, operationSizeMax } = options;
  const file = databaseFile(folder);
  const connection = openDatabase(folder, clock.nowMs());
  let executor: BatchExecutor | undefined;
  try {
    checkDatabase(connection, folder);
    executor = (options.commits === 'here' ? directExecutor : threadExecutor)(file, options.pragmas);
    const writer = new SqliteWriter({ executor, clock, log, file });
    const medium = new SqliteMedium(connection, writer, {
      rememberSeconds: options.rememberSeconds ?? REMEMBER_SECONDS,
      rememberMax: REMEMBER_MAX,
      nowMs: () => clock.nowMs(),
    });
    const queue = new EmbeddedQueue(medium, {
      clock,
      log,
      bounds,
      deadLetterSeconds: options.deadLetterSeconds ?? DEAD_LETTER_SECONDS,
      ...(operationSizeMax === undefined ? {} : { operationSizeMax }),
    });
    const bindings = new SqliteBindings(connection, writer);
    const credentials = new SqliteCredentials(connection, writer);
    // The writer is there, and works, before anybody is told that the store is open.
    await writer.read(['dead-one', '']);
    return {
      queue,
      bindings,
      credentials,
      records: <T>(kind: string) => new SqliteRecords<T>(connection, writer, kind, log),
      // One server at a time has the folder; what the command line changes beside it is asked for each time.
      onChange: () => () => undefined,
      isCurrent: () => !writer.isFailing,
      close: async () => {
        await queue.stop(0);
        await writer.close();
        connection.close();
        unlock();
      },
    };
  } catch (error) {
    await executor?.close();
    connection.close();
    throw error;
  }
}

/** The command line reports a failed write by its exit; nothing waits for a time there. */
const NO_CLOCK: Clock = { nowMs: () => Date.now(), after: () => () => undefined };
const nothing = (): void => undefined;
const NO_LOG: Log = {
  error: nothing,
  warn: nothing,
  info: nothing,
  debug: nothing,
  trace: nothing,
  child: () => NO_LOG,
};
