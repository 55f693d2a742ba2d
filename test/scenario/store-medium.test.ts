import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { Log } from '../../src/core/log.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system-clock.ts';
import { anEntry } from '../contract/delivery-queue.ts';
import { silentLog } from '../support/memory-queue.ts';
import { NO_BOUNDS } from '../support/sqlite-world.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const isUnavailable = (thrown: unknown): boolean =>
  thrown instanceof GatewayError && thrown.code === 'store-unavailable';

/** A file system of 4 MB of the test's own, or why there is none. */
function smallDisk(): { folder: string; remount: (how: 'ro' | 'rw') => void; unmount: () => void } | string {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'mounting a small disk takes root on Linux';
  const folder = temporaryFolder('disk');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], { stdio: 'pipe' });
  } catch {
    return 'this container may not mount a tmpfs';
  }
  return {
    folder,
    remount: (how) => execFileSync('mount', ['-o', `remount,${how}`, folder], { stdio: 'pipe' }),
    unmount: () => execFileSync('umount', ['-l', folder], { stdio: 'pipe' }),
  };
}

function recorded(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const write = (_fields: unknown, message: string): void => void lines.push(message);
  return { log: { ...silentLog, error: write, warn: write, info: write }, lines };
}

const disk = smallDisk();
const options = typeof disk === 'string' ? { skip: disk } : {};

test(
  'a disk that fills up and is freed: refused, said once, nothing lost, works again by itself',
  options,
  async () => {
    assert.ok(typeof disk !== 'string');
    const { log, lines } = recorded();
    const open = () => openSqliteStore({ folder: disk.folder, clock: systemClock, log, bounds: NO_BOUNDS });
    let store = await open();
    const kept: string[] = [];
    const add = async (id: string, text: string): Promise<void> => {
      await store.queue.add(anEntry({ id, text }, Date.now()));
      kept.push(id);
    };
    await add('before', 'x');
    const ballast = join(disk.folder, 'ballast');
    let size = 3_500_000;
    for (; size > 0; size -= 100_000) {
      try {
        writeFileSync(ballast, Buffer.alloc(size));
        break;
      } catch {
        rmSync(ballast, { force: true });
      }
    }
    let refused = 0;
    for (let n = 0; n < 300; n += 1) await add(`big-${n}`, 'y'.repeat(10_000)).catch(() => (refused += 1));
    assert.ok(refused > 0, 'the disk did fill up');
    await assert.rejects(store.queue.add(anEntry({ id: 'more', text: 'z'.repeat(10_000) }, Date.now())), isUnavailable);
    assert.equal(lines.filter((line) => line === 'store cannot be written').length, 1);
    rmSync(ballast);
    await add('after', 'x');
    assert.equal(lines.filter((line) => line === 'store can be written again').length, 1);
    await store.close();
    store = await open();
    const seen: string[] = [];
    await store.queue.start(
      async ({ id }) => {
        seen.push(id);
        return { kind: 'delivered' };
      },
      () => 8,
    );
    await until(() => seen.length === kept.length, { what: 'all that was kept is delivered' });
    assert.deepEqual(seen, kept);
    await store.close();
  },
);

test('a data folder that is read-only at the start is refused, by name', options, async () => {
  assert.ok(typeof disk !== 'string');
  disk.remount('ro');
  try {
    await assert.rejects(
      openSqliteStore({ folder: disk.folder, clock: systemClock, log: silentLog, bounds: NO_BOUNDS }),
      (thrown: unknown) => isUnavailable(thrown) && (thrown as Error).message.includes(disk.folder),
    );
  } finally {
    disk.remount('rw');
  }
});

test('the small disk is taken away', options, () => {
  assert.ok(typeof disk !== 'string');
  disk.unmount();
});
