/**
 * What durable records cost, in a folder and in Redis: one JSON line per figure. `records.ts [folder|redis]`. Values of 600 bytes, keys in no order, as subscriptions have.
 *
 * CPU is that of the whole process, all threads; `stallMs` is the longest time the event loop was away.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Records, Store } from '../../src/core/ports.ts';
import { openRedisStore } from '../../src/store/redis-store.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system-clock.ts';
import { silentLog } from '../support/memory-queue.ts';
import { commandPath } from '../support/peers.ts';
import { startRedis } from '../support/redis-server.ts';

type Row = { readonly id: string; readonly version: number; readonly rest: string };

const COUNT = 100_000;
const REST = 'x'.repeat(600 - 45);
const KEYS = Array.from({ length: COUNT }, () => randomBytes(15).toString('base64url'));
const folder = mkdtempSync(join(tmpdir(), 'interpres-bench-'));
const bounds = { total: 1e9, perHop: 1e9, perOwner: 1e9 };
const needs = { clock: systemClock, log: silentLog, bounds };

async function main(): Promise<void> {
  const [wanted] = process.argv.slice(2);
  if (wanted !== 'redis') await rates('folder', () => openSqliteStore({ folder, ...needs }));
  if (wanted !== 'folder' && commandPath('redis-server') !== undefined) {
    for (const appendfsync of ['everysec', 'always']) {
      const server = await startRedis({ appendfsync });
      await rates(`redis ${appendfsync}`, () => openRedisStore({ config: server.config('bench'), ...needs }));
      await server.stop();
    }
  }
  rmSync(folder, { recursive: true, force: true });
}

async function rates(where: string, open: () => Promise<Store>): Promise<void> {
  const store = await open();
  const records = store.records<Row>('subscription');
  for (const [what, inFlight] of [
    ['new', 512],
    ['changed', 512],
    ['changed', 64],
    ['changed', 1],
  ] as const) {
    const count = inFlight === 1 ? 2_000 : COUNT;
    await measured({ bench: 'record put', store: where, what, inFlight }, count, () =>
      putAll(records, count, inFlight),
    );
  }
  await measured(
    { bench: 'record putLater', store: where, what: 'changed, one in 2,000 waited for' },
    COUNT,
    async () => {
      for (let n = 0; n < COUNT; n += 1) {
        if (n % 2_000 === 0) await records.put(KEYS[n]!, rowOf(n, 2));
        else records.putLater(KEYS[n]!, rowOf(n, 2));
      }
      await records.put(KEYS[0]!, rowOf(0, 3));
    },
  );
  await store.close();

  const began = performance.now();
  const again = await open();
  const openMs = performance.now() - began;
  let read = 0;
  for (const [, row] of again.records<Row>('subscription').all()) read += row.id === '' ? 0 : 1;
  const readMs = performance.now() - began - openMs;
  report({ bench: 'records at start', store: where, read, openMs: Math.round(openMs), readMs: Math.round(readMs) });
  await again.close();
}

async function putAll(records: Records<Row>, count: number, inFlight: number): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) {
      const n = next;
      next += 1;
      await records.put(KEYS[n]!, rowOf(n, inFlight));
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
}

function rowOf(n: number, version: number): Row {
  return { id: KEYS[n]!, version, rest: REST };
}

async function measured(name: Readonly<Record<string, unknown>>, count: number, work: () => Promise<void>) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  report({
    ...name,
    perSecond: Math.round(count / seconds),
    cpuMicrosecondsEach: Math.round((user + system) / count),
    stallMs: Math.round(delay.max / 1e4) / 100,
  });
}

function report(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}

await main();
