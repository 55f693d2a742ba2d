import { bindingStoreContract } from '../../contract/binding-store.ts';
import { openSqliteStore } from '../../../src/store/sqlite-store.ts';
import type { SqliteStore } from '../../../src/store/sqlite-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { NO_BOUNDS, imageOf } from '../../support/sqlite-world.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

bindingStoreContract('SqliteBindings', async () => {
  const clock = new FakeClock();
  let folder = temporaryFolder('store');
  const opened: SqliteStore[] = [];
  const open = async () => {
    const store = await openSqliteStore({ folder, clock, log: silentLog, bounds: NO_BOUNDS, commits: 'here' });
    opened.push(store);
    return store.bindings;
  };
  return {
    bindings: await open(),
    crash: () => {
      folder = imageOf(folder, opened.length);
      return open();
    },
    close: async () => {
      for (const store of opened) await store.close();
    },
  };
});
