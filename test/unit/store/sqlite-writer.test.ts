import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { GatewayError } from '../../../src/core/errors.ts';
import type { Log } from '../../../src/core/log.ts';
import { openDatabase, databaseFile } from '../../../src/store/sqlite-database.ts';
import { directExecutor } from '../../../src/store/sqlite-executor.ts';
import type { BatchExecutor } from '../../../src/store/sqlite-executor.ts';
import { SqliteWriter } from '../../../src/store/sqlite-writer.ts';
import type { Batch, WriteOp } from '../../../src/store/sqlite-writes.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { silentLog } from '../../support/memory-queue.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

function added(position: number, size = 10): WriteOp {
  return ['add', position, `id-${position}`, 'a\nb', 'link:x', 'a', 1, 2, size, 'x'.repeat(size)];
}

type World = {
  readonly file: string;
  readonly writer: SqliteWriter;
  readonly clock: FakeClock;
  readonly batches: Batch[];
  readonly lines: string[];
  readonly rows: () => number[];
  readonly close: () => Promise<void>;
};

/** A writer on a real file; `wrap` stands between it and the file. */
function aWriter(pragmas = '', wrap: (executor: BatchExecutor) => BatchExecutor = (executor) => executor): World {
  const folder = temporaryFolder('store');
  const connection = openDatabase(folder, 0);
  const clock = new FakeClock();
  const batches: Batch[] = [];
  const lines: string[] = [];
  const log: Log = {
    ...silentLog,
    error: (_fields, message) => lines.push(message),
    info: (_fields, message) => lines.push(message),
  };
  const direct = wrap(directExecutor(databaseFile(folder), pragmas));
  const executor: BatchExecutor = {
    run: (batch) => {
      batches.push(batch);
      return direct.run(batch);
    },
    close: () => direct.close(),
  };
  const writer = new SqliteWriter({ executor, clock, log, file: databaseFile(folder) });
  const rows = () =>
    connection
      .prepare('SELECT position FROM entry ORDER BY position')
      .all()
      .map((row) => Number(row['position']));
  return {
    file: databaseFile(folder),
    writer,
    clock,
    batches,
    lines,
    rows,
    close: async () => {
      await writer.close();
      connection.close();
    },
  };
}

const isUnavailable = (thrown: unknown): boolean =>
  thrown instanceof GatewayError && thrown.code === 'store-unavailable';

test('writes of one turn share a commit, and the next gather while it is made', async () => {
  const world = aWriter();
  await Promise.all([1, 2, 3].map((position) => world.writer.write(added(position))));
  assert.deepEqual(
    world.batches.map(({ writes }) => writes.length),
    [3],
  );
  assert.deepEqual(world.rows(), [1, 2, 3]);
  await world.close();
});

test('a write that cannot be written takes no other with it', async () => {
  const world = aWriter();
  await world.writer.write(added(1));
  const results = await Promise.allSettled([2, 1, 3].map((position) => world.writer.write(added(position))));
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(world.rows(), [1, 2, 3]);
  assert.deepEqual(world.lines, []);
  await world.close();
});

test('a full disk: the adds are refused, notes are kept until there is room, one line for the outage', async () => {
  const world = aWriter('PRAGMA max_page_count = 40');
  let last = 0;
  for (let isFull = false; !isFull && last < 200; last += 1) {
    isFull = await world.writer.write(added(last + 1, 2_000)).then(
      () => false,
      () => true,
    );
  }
  await assert.rejects(world.writer.write(added(900, 9_000)), isUnavailable);
  assert.deepEqual(world.lines, ['store cannot be written']);
  const before = world.rows();
  assert.ok(before.length > 5, 'there was room for some');
  for (const position of before.slice(0, 4)) world.writer.writeLater(['gone', position, 1, 1, 1]);
  await world.writer.settled();
  await world.writer.write(added(901, 2_000));
  assert.deepEqual(world.rows(), [...before.slice(4), 901]);
  assert.deepEqual(world.lines, ['store cannot be written', 'store can be written again']);
  await world.close();
});

test('notes that fail go again, in order and before all others', async () => {
  let isFailing = false;
  const world = aWriter('', (executor) => ({
    close: () => executor.close(),
    run: (batch) =>
      isFailing
        ? Promise.resolve({ failed: batch.writes.map((_, n) => [n, 'io', 'test'] as const), changes: [], rows: [] })
        : executor.run(batch),
  }));
  await world.writer.write(added(1));
  isFailing = true;
  world.writer.writeLater(['again', 1, 1, 5, 'peer-timeout', 'no word']);
  world.writer.writeLater(['gone', 1, 1, 1, 1]);
  await world.writer.settled();
  assert.deepEqual(world.rows(), [1]);
  isFailing = false;
  world.clock.advance(1_000);
  await world.writer.settled();
  assert.deepEqual(world.rows(), []);
  assert.deepEqual(
    world.batches.at(-1)?.writes.map(([op]) => op),
    ['again', 'gone'],
  );
  await world.close();
});

test('a medium that becomes read-only: refused, notes kept, works again when it is writable', async () => {
  let file = '';
  let isReadOnly = false;
  let readOnly: BatchExecutor | undefined;
  const world = aWriter('', (executor) => ({
    close: async () => {
      await readOnly?.close();
      await executor.close();
    },
    run: (batch) => (isReadOnly ? (readOnly ??= directExecutor(file, 'PRAGMA query_only = 1')) : executor).run(batch),
  }));
  ({ file } = world);
  await world.writer.write(added(1));
  isReadOnly = true;
  await assert.rejects(world.writer.write(added(2)), isUnavailable);
  world.writer.writeLater(['gone', 1, 1, 1, 1]);
  await world.writer.settled();
  assert.deepEqual(world.rows(), [1]);
  isReadOnly = false;
  await world.writer.write(added(2));
  assert.deepEqual(world.rows(), [2]);
  assert.deepEqual(world.lines, ['store cannot be written', 'store can be written again']);
  await world.close();
});

test('a thread that is lost is an outage, not the end', async () => {
  let isLost = true;
  const world = aWriter('', (executor) => ({
    close: () => executor.close(),
    run: (batch) => (isLost ? Promise.reject(new Error('gone')) : executor.run(batch)),
  }));
  await assert.rejects(world.writer.write(added(1)), isUnavailable);
  await assert.rejects(world.writer.read(['dead-one', 'x']), isUnavailable);
  isLost = false;
  await world.writer.write(added(1));
  assert.deepEqual(world.rows(), [1]);
  await world.close();
});

test('what nobody waits for is written with the next, or a few ms later', async () => {
  const world = aWriter();
  await world.writer.write(added(1));
  world.writer.writeLater(['gone', 1, 1, 1, 1]);
  await world.writer.write(added(2));
  assert.deepEqual(
    world.batches.map(({ writes }) => writes.length),
    [1, 2],
  );
  world.writer.writeLater(['gone', 2, 1, 1, 1]);
  await pause(30);
  assert.deepEqual(world.rows(), []);
  await world.close();
});

test('nothing is written after the end', async () => {
  const world = aWriter();
  await world.close();
  world.writer.writeLater(['gone', 1, 1, 1, 1]);
  await assert.rejects(world.writer.write(added(1)), isUnavailable);
  await assert.rejects(world.writer.read(['dead-one', 'x']), isUnavailable);
  assert.equal(world.batches.length, 0);
});
