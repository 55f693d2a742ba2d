import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { databaseFile } from '../../src/store/sqlite-database.ts';
import { openSqlite } from '../../src/store/sqlite-driver.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { SqliteStore, SqliteStoreOptions } from '../../src/store/sqlite-store.ts';
import type { MakeQueueWorld } from '../contract/delivery-queue.ts';
import { FakeClock, settled } from './fake-clock.ts';
import { silentLog } from './memory-queue.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const NO_BOUNDS = { total: 1e9, perHop: 1e9, perOwner: 1e9 };

/** What a process that ends now would leave: the store's files as they are, in a folder of their own. */
export function imageOf(folder: string, copies: number): string {
  const image = `${folder}/image-${copies}`;
  mkdirSync(image);
  for (const ending of ['', '-wal']) {
    const file = `${databaseFile(folder)}${ending}`;
    if (existsSync(file)) copyFileSync(file, `${databaseFile(image)}${ending}`);
  }
  return image;
}

/** The world of the SQLite queue: a fake clock, a temporary folder, and a disk that fails when another has locked it. */
export function sqliteWorld(more: Partial<SqliteStoreOptions>): MakeQueueWorld {
  return async (options) => {
    const clock = new FakeClock();
    let folder = temporaryFolder('store');
    let images = 0;
    const opened: SqliteStore[] = [];
    const open = async () => {
      const store = await openSqliteStore({
        folder,
        clock,
        log: silentLog,
        bounds: options.bounds ?? NO_BOUNDS,
        ...(options.rememberSeconds === undefined ? {} : { rememberSeconds: options.rememberSeconds }),
        pragmas: 'PRAGMA busy_timeout = 1',
        ...more,
      });
      opened.push(store);
      return store.queue;
    };
    // A commit in another thread takes turns of this one, but no time of the fake clock.
    const turns = async (count: number) => {
      for (let turn = 0; turn < count; turn += 1) {
        await settled();
        if (more.commits !== 'here') await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    let locker: ReturnType<typeof openSqlite> | undefined;
    return {
      queue: await open(),
      expirySeconds: 60,
      nowMs: () => clock.nowMs(),
      pass: async (ms) => {
        await turns(3);
        await clock.advanceAsync(ms);
        await turns(3);
      },
      until: async (probe, what) => {
        for (let turn = 0; turn < 500; turn += 1) {
          if (probe()) return;
          await turns(1);
        }
        throw new Error(`never: ${what}`);
      },
      crash: async () => {
        await turns(3);
        folder = imageOf(folder, (images += 1));
        return open();
      },
      reopen: async () => {
        await opened.pop()?.close();
        return open();
      },
      setFailing: async (isFailing) => {
        if (isFailing) {
          locker = openSqlite(join(folder, 'interpres.sqlite'));
          locker.exec('BEGIN IMMEDIATE');
        } else {
          locker?.exec('ROLLBACK');
          locker?.close();
        }
      },
      close: async () => {
        for (const store of opened) await store.close();
      },
    };
  };
}
