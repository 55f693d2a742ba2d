import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { GatewayError } from '../../../src/core/errors.ts';
import type { Log } from '../../../src/core/log.ts';
import { openDatabase, databaseFile } from '../../../src/store/sqlite-database.ts';
import { directExecutor } from '../../../src/store/sqlite-executor.ts';
import { openSqlite } from '../../../src/store/sqlite-driver.ts';
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
  assert.deepEqual(world.lines, ['store refused a write']);
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

/** A writer whose medium fails while the test says so, and the values of its records. */
function aFailingWriter() {
  const medium = { isFailing: false };
  const world = aWriter('', (executor) => ({
    close: () => executor.close(),
    run: (batch) =>
      medium.isFailing
        ? Promise.resolve({ failed: batch.writes.map((_, n) => [n, 'io', 'test'] as const), changes: [], rows: [] })
        : executor.run(batch),
  }));
  const put = (key: string, value: number): WriteOp => ['record', 'k', key, String(value)];
  const values = (): ReadonlyArray<readonly [string, number]> => {
    const file = openSqlite(world.file);
    const rows = file.prepare('SELECT key, value FROM record ORDER BY number').all();
    file.close();
    return rows.map((row) => [String(row['key']), Number(row['value'])]);
  };
  return { ...world, medium, put, values };
}

test('an outage with more behind it than one batch: waiters are refused at once, notes go in order afterwards', async () => {
  const world = aFailingWriter();
  world.medium.isFailing = true;
  const count = 5_000;
  for (let n = 0; n < count; n += 1) world.writer.writeLater(world.put(`key-${n}`, n));
  await assert.rejects(world.writer.write(world.put('refused', 0)), isUnavailable);
  const tries = world.batches.length;
  await assert.rejects(world.writer.write(world.put('refused', 1)), isUnavailable);
  world.writer.writeLater(world.put('last', count));
  await pause(30);
  assert.equal(world.batches.length, tries + 1, 'nobody who waits, no attempt before its time');

  world.medium.isFailing = false;
  await world.writer.write(world.put('new', count + 1));
  const expected = Array.from({ length: count }, (_, n) => [`key-${n}`, n] as const);
  assert.deepEqual(world.values(), [...expected, ['last', count], ['new', count + 1]]);
  await world.close();
});

test('an outage that is very long: of each record the newest change is left, and no other is lost', async () => {
  const world = aFailingWriter();
  await world.writer.write(added(1));
  world.medium.isFailing = true;
  world.writer.writeLater(['gone', 1, 1, 1, 1]);
  await world.writer.settled();
  for (let n = 0; n < 250_000; n += 1) world.writer.writeLater(world.put(`key-${n % 1_000}`, n));
  world.medium.isFailing = false;
  await world.writer.write(world.put('new', 1));
  assert.deepEqual(world.rows(), []);
  const values = new Map(world.values());
  assert.equal(values.size, 1_001);
  for (let n = 0; n < 1_000; n += 1) assert.equal(values.get(`key-${n}`), 249_000 + n);
  const written = world.batches.reduce((sum, { writes }) => sum + writes.length, 0);
  assert.ok(written < 110_000, `${written} writes went to the medium`);
  assert.deepEqual(world.lines, ['store cannot be written', 'store can be written again']);
  await world.close();
});

test('an outage with more different changes than memory may take: the oldest go, and that is said', async () => {
  const world = aFailingWriter();
  world.medium.isFailing = true;
  world.writer.writeLater(world.put('first', 0));
  await world.writer.settled();
  for (let n = 0; n < 210_000; n += 1) world.writer.writeLater(world.put(`key-${n}`, n));
  assert.deepEqual(world.lines, ['store cannot be written', 'store fails for so long that changes had to be dropped']);
  world.medium.isFailing = false;
  await world.writer.write(world.put('new', 1));
  const values = new Map(world.values());
  assert.equal(values.has('first'), false);
  assert.equal(values.get('key-209999'), 209_999);
  assert.ok(values.size > 170_000 && values.size <= 200_000, String(values.size));
  await world.close();
});

test('a full disk: no record overtakes one that there was no room for', async () => {
  const world = aWriter('PRAGMA max_page_count = 40');
  const put = (key: string, size: number): WriteOp => ['record', 'k', key, 'x'.repeat(size)];
  await world.writer.write(put('small', 10));
  world.writer.writeLater(put('large', 200_000));
  world.writer.writeLater(put('small', 20));
  const refused = world.writer.write(put('other', 10));
  const written = world.writer.write(added(1));
  await assert.rejects(refused, isUnavailable);
  await written;
  const file = openSqlite(world.file);
  assert.deepEqual(
    file
      .prepare('SELECT key, length(value) AS size FROM record')
      .all()
      .map((row) => ({ ...row })),
    [{ key: 'small', size: 10 }],
  );
  file.close();
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
