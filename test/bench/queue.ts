/**
 * What the durable queue costs: one JSON line per figure. `node --import tsx test/bench/queue.ts [thread|here]`
 *
 * CPU is that of the whole process, all threads; `stallMs` is the longest time the event loop was away.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { sqliteDriverName } from '../../src/store/sqlite-driver.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import type { DeliveryQueue } from '../../src/core/ports.ts';
import { RedisConnection } from '../../src/store/redis-connection.ts';
import { RedisQueue } from '../../src/store/redis-queue.ts';
import type { SqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system-clock.ts';
import { anEntry } from '../contract/delivery-queue.ts';
import { silentLog } from '../support/memory-queue.ts';
import { commandPath } from '../support/peers.ts';
import { startRedis } from '../support/redis-server.ts';

type Commits = 'thread' | 'here';

const COUNT = 40_000;
const TEXT = 'Neither, fair saint, if either thee dislike. '.repeat(4);
const NO_BOUNDS = { total: 1e9, perHop: 1e9, perOwner: 1e9 };

async function main(): Promise<void> {
  const [what = 'all', folder = ''] = process.argv.slice(2);
  if (what === 'start-up') return startUp(folder);
  for (const commits of what === 'all' ? (['thread', 'here'] as const) : [what as Commits]) {
    // In a process each, so that one does not warm up the other.
    if (what === 'all') {
      process.stdout.write(execFileSync(process.execPath, [...process.execArgv, process.argv[1] ?? '', commits]));
    } else await rates(commits);
  }
  if (what === 'all') {
    await backlog();
    await inRedis();
  }
}

async function inRedis(): Promise<void> {
  if (commandPath('redis-server') === undefined) return;
  for (const perSecond of [500, 3_000, Infinity]) {
    const server = await startRedis();
    const connection = await RedisConnection.open(server.config('bench'), silentLog);
    const queue = new RedisQueue(connection, { clock: systemClock, log: silentLog, bounds: NO_BOUNDS });
    await addAndDeliver('redis', queue, Math.min(20_000, perSecond * 6), perSecond);
    await queue.close();
    connection.close();
    await server.stop();
  }
}

async function rates(commits: Commits): Promise<void> {
  await inStore(commits, async (store) => {
    for (const inFlight of [1, 64, 512]) {
      const count = inFlight === 1 ? 2_000 : COUNT;
      await measured({ bench: 'queue add', commits, inFlight }, count, async () => {
        await adding(store.queue, count, inFlight, `add-${inFlight}`, Infinity);
        return undefined;
      });
    }
  });
  for (const perSecond of [500, 3_000, 6_000, Infinity]) {
    const count = Math.min(COUNT, perSecond * 6);
    await inStore(commits, ({ queue }) => addAndDeliver(commits, queue, count, perSecond));
  }
}

async function addAndDeliver(
  commits: Commits | 'redis',
  queue: DeliveryQueue,
  count: number,
  perSecond: number,
): Promise<void> {
  let delivered = 0;
  let resolve = (): void => undefined;
  const done = new Promise<void>((end) => (resolve = end));
  await queue.start(
    async () => {
      await new Promise((next) => setImmediate(next));
      delivered += 1;
      if (delivered === count) setImmediate(resolve);
      return { kind: 'delivered' };
    },
    () => 64,
  );
  await measured({ bench: 'queue add and deliver', commits, offered: perSecond }, count, async () => {
    const waits = await adding(queue, count, 256, 'deliver', perSecond);
    await done;
    return waits;
  });
}

/** Adds entries with so many adds under way, at most so many per second. @returns how long each add took, ms */
function adding(
  queue: DeliveryQueue,
  count: number,
  inFlight: number,
  name: string,
  perSecond: number,
): Promise<Float64Array> {
  const waits = new Float64Array(count);
  const startedAt = performance.now();
  let next = 0;
  let ended = 0;
  return new Promise((resolve, reject) => {
    const one = (n: number): void => {
      const sketch = { id: `${name}-${n}-0123456789abcdef0123`, from: `user${n % 200}@sip.example`, text: TEXT };
      const began = performance.now();
      queue.add(anEntry(sketch, Date.now())).then(() => {
        waits[n] = performance.now() - began;
        ended += 1;
        if (ended === count) resolve(waits);
        else if (perSecond === Infinity && next < count) one(next++);
      }, reject);
    };
    if (perSecond === Infinity) {
      while (next < Math.min(count, inFlight)) one(next++);
      return;
    }
    // As they come from sockets: a few at each turn of the event loop.
    const timer = setInterval(() => {
      const due = Math.min(count, ((performance.now() - startedAt) * perSecond) / 1_000);
      while (next < due) one(next++);
      if (next === count) clearInterval(timer);
    }, 1);
  });
}

async function backlog(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'interpres-bench-'));
  try {
    const store = await openSqliteStore({ folder, clock: systemClock, log: silentLog, bounds: NO_BOUNDS });
    await adding(store.queue, 100_000, 512, 'backlog', Infinity);
    await store.close();
    process.stdout.write(
      execFileSync(process.execPath, [...process.execArgv, process.argv[1] ?? '', 'start-up', folder]),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startUp(folder: string): Promise<void> {
  const bareRss = process.memoryUsage().rss;
  const began = performance.now();
  const store = await openSqliteStore({ folder, clock: systemClock, log: silentLog, bounds: NO_BOUNDS });
  const openMs = performance.now() - began;
  const openRss = process.memoryUsage().rss;
  const { live } = store.queue.figures();
  let delivered = 0;
  let rssMax = 0;
  let firstMs = 0;
  await new Promise<void>((resolve) => {
    void store.queue.start(
      async () => {
        if (delivered === 0) firstMs = performance.now() - began;
        await new Promise((next) => setImmediate(next));
        delivered += 1;
        if (delivered % 1_000 === 0) rssMax = Math.max(rssMax, process.memoryUsage().rss);
        if (delivered === live) resolve();
        return { kind: 'delivered' };
      },
      () => 64,
    );
  });
  const seconds = (performance.now() - began - openMs) / 1_000;
  report({
    bench: 'queue start-up',
    queued: live,
    openMs: Math.round(openMs),
    rssOpenMb: Math.round(openRss / 1e6),
    firstAttemptMs: Math.round(firstMs),
    drainedPerSecond: Math.round(live / seconds),
    rssMb: Math.round(rssMax / 1e6),
    rssBeforeMb: Math.round(bareRss / 1e6),
  });
  await store.close();
}

async function inStore(commits: Commits, work: (store: SqliteStore) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'interpres-bench-'));
  const store = await openSqliteStore({ folder, clock: systemClock, log: silentLog, bounds: NO_BOUNDS, commits });
  try {
    await work(store);
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measured(
  name: Readonly<Record<string, unknown>>,
  count: number,
  work: () => Promise<Float64Array | undefined>,
): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  const began = performance.now();
  const waits = await work();
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  delay.disable();
  const sorted = waits?.sort();
  report({
    ...name,
    driver: name['commits'] === 'redis' ? 'bullmq' : sqliteDriverName(),
    perSecond: Math.round(count / seconds),
    cpuMicrosecondsEach: Math.round((user + system) / count),
    ...(sorted === undefined
      ? {}
      : { addP50Ms: rounded(sorted[count >> 1]), addP99Ms: rounded(sorted[Math.floor(count * 0.99)]) }),
    stallMs: rounded(delay.max / 1e6),
  });
}

function rounded(ms = 0): number {
  return Math.round(ms * 100) / 100;
}

function report(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}

await main();
