/**
 * Presence through a real process of ours over UDP: one line of JSON per figure.
 *
 *   node --import tsx test/bench/presence.ts [fan-out] [subscribe] [publish] [others] [restart]
 *
 * Watchers and publisher share this process, the machine is shared by both: `driverCpuPer1000` says how much of it the
 * measuring took. Build first (`npm run build`): what is measured is `dist`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { CountingPublisher } from '../support/counting-publisher.ts';
import { CountingWatchers } from '../support/counting-watchers.ts';
import { eachAtOnce } from '../support/each-at-once.ts';
import { PatientSipEnd } from '../support/patient-sip-end.ts';
import { startInterpres, type InterpresProcess } from '../support/interpres-process.ts';
import { cpuSeconds, memoryMegabytes } from '../support/process-figures.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const DOMAIN = 'sip.example';
const CONFIG = {
  domains: [{ name: DOMAIN, trust: ['127.0.0.1'] }],
  rateLimits: 'off',
  presence: { default: 'allow', notifyIntervalSeconds: 0 },
  log: { level: 'warn' },
};

function print(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify({ bench: 'presence', ...figures })}\n`);
}

function percentiles(values: readonly number[]): {
  readonly p50: number;
  readonly p99: number;
  readonly highest: number;
} {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 10) / 10;
  return { p50: at(0.5), p99: at(0.99), highest: at(1) };
}

/** CPU of the server and of this process since the call, for so many of something. */
function cpuSince(server: InterpresProcess): (count: number) => Readonly<Record<string, number>> {
  const { pid } = server.process();
  const before = cpuSeconds(pid);
  const driver = process.cpuUsage();
  return (count) => {
    const own = process.cpuUsage(driver);
    const per1000 = (seconds: number): number => Math.round((seconds * 1_000_000) / count) / 1_000;
    return {
      cpuSecondsPer1000: per1000(cpuSeconds(pid) - before),
      driverCpuPer1000: per1000((own.user + own.system) / 1_000_000),
    };
  };
}

async function withServer(work: (server: InterpresProcess) => Promise<void>): Promise<void> {
  const server = await startInterpres({ folder: temporaryFolder('bench-presence'), config: CONFIG });
  try {
    await work(server);
  } finally {
    await server.stop();
  }
}

const many = (count: number, name: (index: number) => string): readonly string[] =>
  Array.from({ length: count }, (_, n) => name(n));

function watchersOf(server: InterpresProcess, watched: readonly string[]): Promise<CountingWatchers> {
  return CountingWatchers.open({ transport: 'udp', port: server.sipPort, domain: DOMAIN, watched });
}

function publisherOf(server: InterpresProcess, user: string): Promise<CountingPublisher> {
  return CountingPublisher.open({ transport: 'udp', port: server.sipPort, domain: DOMAIN, user });
}

/** First publications of as many users, 64 at once. */
async function publishAll(server: InterpresProcess, end: PatientSipEnd, users: readonly string[]): Promise<void> {
  await eachAtOnce(users, 64, (user) => {
    const options = { transport: 'udp', port: server.sipPort, domain: DOMAIN, user } as const;
    return CountingPublisher.over(end, options).publish(0);
  });
}

/** From a PUBLISH to the last NOTIFY of it. */
async function fanOut(count: number, publications: number): Promise<void> {
  await withServer(async (server) => {
    const watchers = await watchersOf(
      server,
      many(count, () => 'alice'),
    );
    const publisher = await publisherOf(server, 'alice');
    await watchers.subscribe();
    await publisher.publish(0);
    await until(() => watchers.holding(0) === count, {
      what: 'all are told',
      withinMs: 60_000,
      everyMs: 1,
    });
    const lastMs: number[] = [];
    const cpu = cpuSince(server);
    const startedMs = performance.now();
    for (let n = 0; n < publications; n += 1) {
      const publishedMs = performance.now();
      let told = 0;
      await new Promise<void>((resolve) => {
        watchers.onNotified = () => {
          told += 1;
          if (told === count) resolve();
        };
        void publisher.publish(n + 1);
      });
      lastMs.push(performance.now() - publishedMs);
    }
    const seconds = (performance.now() - startedMs) / 1_000;
    print({
      figure: 'PUBLISH to last NOTIFY',
      watchers: count,
      publications,
      lastWatcherMs: percentiles(lastMs),
      notifyPerSecond: Math.round((count * publications) / seconds),
      ...cpu(count * publications),
      faults: watchers.faults,
    });
    await watchers.close();
    await publisher.close();
  });
}

/** Durable subscriptions, each to somebody else; their first NOTIFY included. */
async function subscribe(count: number): Promise<void> {
  await withServer(async (server) => {
    const { pid } = server.process();
    const warm = await watchersOf(
      server,
      many(2_000, (n) => `x${n}`),
    );
    await warm.subscribe();
    await until(() => warm.notified >= 2_000, { what: 'all are told', withinMs: 60_000 });
    const before = memoryMegabytes(pid).resident;
    const watchers = await watchersOf(
      server,
      many(count, (n) => `p${n}`),
    );
    const cpu = cpuSince(server);
    const startedMs = performance.now();
    await watchers.subscribe();
    const seconds = (performance.now() - startedMs) / 1_000;
    await until(() => watchers.notified >= count, { what: 'all are told', withinMs: 60_000 });
    const used = cpu(count);
    // Answers over UDP are kept for 32 s; what is left then is what a subscription costs.
    await pause(40_000);
    print({
      figure: 'SUBSCRIBE',
      subscriptions: count,
      perSecond: Math.round(count / seconds),
      ...used,
      residentBytesEach: Math.round(((memoryMegabytes(pid).resident - before) * 1_048_576) / count),
      faults: watchers.faults,
    });
    await watchers.close();
    await warm.close();
  });
}

/** Durable first publications by as many users. */
async function publish(count: number): Promise<void> {
  await withServer(async (server) => {
    const end = await PatientSipEnd.open({ transport: 'udp', port: server.sipPort, onRequest: () => undefined });
    await publishAll(
      server,
      end,
      many(1_000, (n) => `x${n}`),
    );
    const cpu = cpuSince(server);
    const startedMs = performance.now();
    await publishAll(
      server,
      end,
      many(count, (n) => `p${n}`),
    );
    const seconds = (performance.now() - startedMs) / 1_000;
    print({ figure: 'PUBLISH', publications: count, perSecond: Math.round(count / seconds), ...cpu(count) });
    await end.close();
  });
}

/** What a change costs that one watcher is told of, while others have more and more. */
async function others(steps: readonly number[], publications: number): Promise<void> {
  await withServer(async (server) => {
    const watchers = await watchersOf(server, ['alice']);
    const publisher = await publisherOf(server, 'alice');
    await watchers.subscribe();
    const crowds: CountingWatchers[] = [];
    let there = 0;
    let round = 0;
    for (const step of [0, ...steps]) {
      const crowd = await watchersOf(
        server,
        many(step - there, (n) => `p${(there + n) % 1_000}`),
      );
      crowds.push(crowd);
      await crowd.subscribe();
      await until(() => crowd.notified >= step - there, { what: 'all are told', withinMs: 120_000 });
      there = step;
      for (let n = 0; n < publications / 5; n += 1) await publisher.publish((round += 1));
      const cpu = cpuSince(server);
      for (let n = 0; n < publications; n += 1) await publisher.publish((round += 1));
      await until(() => watchers.holding(round) === 1, { what: 'the watcher is told', withinMs: 10_000 });
      print({ figure: 'one change, others watched by', others: step, publications, ...cpu(publications) });
    }
    for (const one of [...crowds, watchers, publisher]) await one.close();
  });
}

/** Start with so many stored subscriptions. */
async function restart(count: number): Promise<void> {
  await withServer(async (server) => {
    const watchers = await watchersOf(
      server,
      many(count, (n) => `p${n % 20_000}`),
    );
    await watchers.subscribe();
    await until(() => watchers.notified >= count, { what: 'all are told', withinMs: 300_000 });
    await server.stop();
    const startedMs = performance.now();
    await server.start();
    const startMs = Math.round(performance.now() - startedMs);
    const memory = memoryMegabytes(server.process().pid);
    const [one] = watchers.dialogs;
    const status = one === undefined ? 0 : await watchers.ask(one);
    print({
      figure: 'restart',
      subscriptions: count,
      startMs,
      memoryMegabytes: memory,
      refreshAnswered: status,
      faults: watchers.faults,
    });
    await watchers.close();
  });
}

const wanted = process.argv.slice(2);
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
if (isWanted('fan-out'))
  for (const [count, publications] of [
    [1, 300],
    [100, 100],
    [1_000, 30],
    [10_000, 5],
  ] as const)
    await fanOut(count, publications);
if (isWanted('subscribe')) await subscribe(Number(process.env['BENCH_SUBSCRIPTIONS'] ?? 10_000));
if (isWanted('publish')) await publish(5_000);
if (isWanted('others')) await others([1_000, 10_000, 30_000], 500);
if (isWanted('restart')) await restart(Number(process.env['BENCH_STORED'] ?? 100_000));
process.exit(0);
