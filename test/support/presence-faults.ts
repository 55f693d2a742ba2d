import { setTimeout as pause } from 'node:timers/promises';
import { Ledger } from './counting-ledger.ts';
import { CountingSipPhone } from './counting-sip-phone.ts';
import { CountingSipSender } from './counting-sip-sender.ts';
import { CountingPublisher } from './counting-publisher.ts';
import { CountingWatchers, type WatcherDialog, type WatcherFaults } from './counting-watchers.ts';
import { eachAtOnce } from './each-at-once.ts';
import { startInterpres, type InterpresProcess, type TestStore } from './interpres-process.ts';
import { memoryMegabytes } from './process-figures.ts';
import { seededRandom } from './seeded-random.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { until } from './until.ts';

/** One run of one fault, as it is printed: one line of JSON. */
export type PresenceFaultReport = {
  readonly fault: string;
  /** What may never happen, whatever the fault; none when all is well. */
  readonly broken: readonly string[];
  readonly [more: string]: unknown;
};

export const PRESENCE_DOMAIN = 'sip.example';

export type Kills = {
  readonly transport: 'udp' | 'tcp';
  readonly watchers: number;
  readonly kills: number;
  readonly seed: number;
  readonly store?: TestStore;
};

/** How long all watchers may take to hold the newest state once the server is up again; others use the machine too. */
const CATCH_UP_MS = 20_000;

/** A server that believes 127.0.0.1 for every user of its domain, and lets everybody watch. */
export function startPresenceServer(
  name: string,
  config: Readonly<Record<string, unknown>> = {},
  data?: string,
  store?: TestStore,
): Promise<InterpresProcess> {
  return startInterpres({
    folder: temporaryFolder(name),
    ...(data === undefined ? {} : { data }),
    ...(store === undefined ? {} : { store }),
    config: {
      domains: [{ name: PRESENCE_DOMAIN, trust: ['127.0.0.1'] }],
      rateLimits: 'off',
      presence: { default: 'allow', notifyIntervalSeconds: 0 },
      ...config,
    },
  });
}

/**
 * We are killed while a change goes out to all watchers of one user, again and again, each time after another part of
 * them was told (none of them, or before the change was stored, among these). Then all dialogs are refreshed.
 */
export async function killedDuringFanOut(options: Kills): Promise<PresenceFaultReport> {
  const { transport, watchers: count, kills } = options;
  const random = seededRandom(options.seed);
  const server = await startPresenceServer('killed-fan-out', {}, undefined, options.store);
  const ends = { transport, port: server.sipPort, domain: PRESENCE_DOMAIN };
  const watchers = await CountingWatchers.open({ ...ends, watched: Array.from({ length: count }, () => 'alice') });
  const publisher = await CountingPublisher.open({ ...ends, user: 'alice' });
  const killedAfter: number[] = [];
  const caughtUpMs: number[] = [];
  try {
    await watchers.subscribe();
    await untilHolding(watchers, -1, count);
    for (let kill = 0; kill < kills; kill += 1) {
      const isEarly = kill % 4 === 3;
      const before = watchers.notified;
      const threshold = isEarly ? Infinity : before + Math.floor(random() * count);
      const killed = killedWhen(server, watchers, threshold);
      const published = publisher.publish(kill);
      // Between the request and what it makes of the disk.
      if (isEarly) await pause(random() * 8);
      else await killed.reached;
      await server.kill();
      killedAfter.push(watchers.notified - before);
      await server.start();
      const upAtMs = performance.now();
      const status = await published;
      if (status !== 200) throw new Error(`PUBLISH was answered ${status}`);
      await untilHolding(watchers, publisher.acknowledged, count);
      caughtUpMs.push(Math.round(performance.now() - upAtMs));
    }
    await watchers.subscribe();
    await publisher.publish(kills);
    await untilHolding(watchers, kills, count);
    return {
      fault: 'killed during fan-out',
      ...options,
      killedAfter,
      caughtUpMs,
      ...figuresOf(watchers),
      broken: brokenOf(
        watchers.faults,
        watchers.live === count ? [] : [`${watchers.live} of ${count} dialogs are left`],
      ),
    };
  } finally {
    await watchers.close();
    await publisher.close();
    await server.stop();
  }
}

/** We are killed while watchers subscribe: whoever has been answered 200 has his subscription, and is told. */
export async function killedDuringSubscribe(options: Kills): Promise<PresenceFaultReport> {
  const { transport, watchers: count, kills } = options;
  const random = seededRandom(options.seed);
  const server = await startPresenceServer('killed-subscribe', {}, undefined, options.store);
  const ends = { transport, port: server.sipPort, domain: PRESENCE_DOMAIN };
  const watched = Array.from({ length: count }, (_, index) => `user${index % 10}`);
  const watchers = await CountingWatchers.open({ ...ends, watched });
  const answeredAtKill: number[] = [];
  const share = Math.ceil(count / kills);
  try {
    for (let kill = 0; kill < kills; kill += 1) {
      const some = watchers.dialogs.slice(kill * share, (kill + 1) * share);
      const goal = watchers.live + Math.ceil((0.05 + 0.85 * random()) * some.length);
      const subscribed = watchers.subscribe(some);
      await until(() => watchers.live >= goal, { what: 'some have subscribed', everyMs: 1 });
      await server.kill();
      answeredAtKill.push(watchers.live - kill * share);
      await server.start();
      await subscribed;
      await until(() => some.every(({ state, notified }) => state === 'live' && notified > 0), {
        what: 'everybody who was answered is told',
        withinMs: CATCH_UP_MS,
        detail: () => JSON.stringify(figuresOf(watchers)),
      });
    }
    await watchers.subscribe();
    return {
      fault: 'killed during a storm of SUBSCRIBE',
      ...options,
      answeredAtKill,
      // Those whose 200 was lost are there twice, until a NOTIFY is answered 481.
      subscriptions: (await server.health()).presence.subscriptions,
      ...figuresOf(watchers),
      broken: brokenOf(
        watchers.faults,
        watchers.live === count ? [] : [`${watchers.live} of ${count} dialogs are left`],
      ),
    };
  } finally {
    await watchers.close();
    await server.stop();
  }
}

/**
 * Many watchers ask again in dialogs that the server has not, learn so (481) and subscribe anew, all of them at once,
 * while users write to each other.
 */
export async function watcherStorm(options: {
  readonly transport: 'udp' | 'tcp';
  readonly watchers: number;
  /** How many requests are on their way at once. */
  readonly outstanding: number;
  readonly messagesPerSecond: number;
  /** A message that takes longer is one too late. */
  readonly lateMs: number;
  readonly store?: TestStore;
}): Promise<PresenceFaultReport> {
  const { transport, watchers: count, outstanding, messagesPerSecond } = options;
  const server = await startPresenceServer('storm', {}, undefined, options.store);
  const ledger = new Ledger({ stamped: false });
  const ends = { transport, port: server.sipPort };
  const watched = Array.from({ length: count }, (_, index) => `user${index % 100}`);
  const watchers = await CountingWatchers.open({ ...ends, domain: PRESENCE_DOMAIN, watched });
  const user = { user: 's0', domain: PRESENCE_DOMAIN, password: '' };
  const phone = new CountingSipPhone({ ...ends, ledger, users: [user] });
  const pairs = Array.from({ length: 50 }, (_, at) => ({
    from: `m${at}@${PRESENCE_DOMAIN}`,
    to: `s0@${PRESENCE_DOMAIN}`,
  }));
  const sender = new CountingSipSender({ ...ends, ledger, pairs, rate: messagesPerSecond });
  try {
    await phone.open();
    await phone.register();
    await sender.start();
    await until(() => ledger.arrivedCount > messagesPerSecond, { what: 'messages flow' });
    watchers.pretend();
    const startedMs = performance.now();
    // 481 for all of them, then the new ones.
    await eachAtOnce(watchers.dialogs, outstanding, async (dialog) => {
      if ((await watchers.ask(dialog)) === 481) await watchers.ask(dialog);
    });
    const answeredMs = Math.round(performance.now() - startedMs);
    await untilHolding(watchers, -1, count);
    const backMs = Math.round(performance.now() - startedMs);
    const sentMeanwhile = sender.begun;
    await sender.drain(10_000);
    await until(() => ledger.isComplete(), { what: 'all messages have arrived' });
    const { lost, refused, arrived } = ledger.figures();
    const [, , slowestMs = Infinity] = ledger.latencyMs(50, 99, 100);
    const broken: string[] = [];
    if (watchers.faults.lost !== count) broken.push(`${watchers.faults.lost} were told that their dialog is gone`);
    if (watchers.live !== count) broken.push(`${watchers.live} of ${count} are back`);
    if (lost + refused > 0) broken.push(`${lost} messages lost, ${refused} refused`);
    if (slowestMs > options.lateMs) broken.push(`a message took ${slowestMs} ms`);
    const faults = { ...watchers.faults, lost: 0 };
    return {
      fault: 'storm of watchers',
      ...options,
      answeredMs,
      backMs,
      sentMeanwhile,
      arrived,
      latencyMs: ledger.latencyMs(50, 99, 100),
      slowestMs,
      asked: watchers.end.repeated,
      ...sender.report(),
      ...figuresOf(watchers),
      broken: brokenOf(faults, broken),
    };
  } finally {
    sender.close();
    phone.close();
    await watchers.close();
    await server.stop();
  }
}

/**
 * Many watchers of one user answer nothing any more, some others do. The living are told of each change at once, and the
 * dead are given up when two notifications in a row had no answer.
 */
export async function deadWatchers(options: {
  readonly transport: 'udp' | 'tcp';
  readonly dead: number;
  readonly living: number;
  /** A change that takes longer to reach the living is too late. */
  readonly lateMs: number;
  /** Waits for the dead to be given up, which takes about 70 s. */
  readonly isToTheEnd: boolean;
  readonly store?: TestStore;
}): Promise<PresenceFaultReport> {
  const { transport, dead: deadCount, living: livingCount, isToTheEnd } = options;
  const server = await startPresenceServer('dead-watchers', {}, undefined, options.store);
  const ends = { transport, port: server.sipPort, domain: PRESENCE_DOMAIN };
  const dead = await CountingWatchers.open({
    ...ends,
    watched: Array.from({ length: deadCount }, () => 'alice'),
    prefix: 'd',
  });
  const living = await CountingWatchers.open({ ...ends, watched: Array.from({ length: livingCount }, () => 'alice') });
  const publisher = await CountingPublisher.open({ ...ends, user: 'alice' });
  const toldMs: number[] = [];
  const change = async (round: number): Promise<void> => {
    const startedMs = performance.now();
    await publisher.publish(round);
    await untilHolding(living, round, livingCount);
    toldMs.push(Math.round(performance.now() - startedMs));
  };
  try {
    // Those who will be dead first: they stand before the living in every list.
    await dead.subscribe();
    await untilHolding(dead, -1, deadCount);
    await living.subscribe();
    await untilHolding(living, -1, livingCount);
    await change(0);
    await untilHolding(dead, 0, deadCount);
    const before = memoryMegabytes(server.process().pid);
    dead.hears = () => false;
    // Nobody knows yet; then their notifications are under way.
    for (const round of [1, 2, 3]) await change(round);
    const startedMs = performance.now();
    let round = 3;
    const isOver = async (): Promise<boolean> => (await server.health()).presence.subscriptions === livingCount;
    while (isToTheEnd && !(await isOver())) {
      if (performance.now() - startedMs > 120_000) throw new Error('the dead are not given up');
      // The second attempts to tell them begin and end within this time.
      await change((round += 1));
      await pause(2_000);
    }
    const goneMs = Math.round(performance.now() - startedMs);
    const after = memoryMegabytes(server.process().pid);
    const { presence } = await server.health();
    const broken = toldMs.filter((ms) => ms > options.lateMs).map((ms) => `told after ${ms} ms`);
    if (after.highest > before.highest + 100) broken.push(`${after.highest - before.highest} MB more`);
    return {
      fault: 'dead watchers',
      ...options,
      toldMs,
      ...(isToTheEnd ? { goneMs } : {}),
      megabytes: [before.resident, after.resident, after.highest],
      ...presence,
      ...figuresOf(living),
      broken: brokenOf(living.faults, broken),
    };
  } finally {
    await dead.close();
    await living.close();
    await publisher.close();
    await server.stop();
  }
}

/** Waits until so many watchers hold at least this state (-1: were told anything). */
export async function untilHolding(watchers: CountingWatchers, round: number, count: number): Promise<void> {
  const isTold = ({ state, notified, round: held }: WatcherDialog): boolean =>
    state === 'live' && notified > 0 && held >= round;
  await until(() => watchers.dialogs.filter(isTold).length >= count, {
    what: `${count} watchers hold round ${round}`,
    withinMs: CATCH_UP_MS,
    everyMs: 5,
    detail: () => JSON.stringify({ holding: watchers.holding(round), ...figuresOf(watchers) }),
  });
}

/** Sends SIGKILL in the very moment in which so many have been told. */
function killedWhen(
  server: InterpresProcess,
  watchers: CountingWatchers,
  threshold: number,
): { readonly reached: Promise<void> } {
  const reached = new Promise<void>((resolve) => {
    watchers.onNotified = () => {
      if (watchers.notified < threshold) return;
      watchers.onNotified = () => undefined;
      server.process().signal('SIGKILL');
      resolve();
    };
  });
  return { reached };
}

function figuresOf(watchers: CountingWatchers): Readonly<Record<string, unknown>> {
  const { notified, repeated, strays, live, faults } = watchers;
  return { notified, repeated, strays, live, ...faults };
}

function brokenOf(faults: WatcherFaults, more: readonly string[] = []): readonly string[] {
  const { cseqRepeated, wentBack, terminated, lost, refused } = faults;
  const counts = { cseqRepeated, wentBack, terminated, lost, ...refused };
  const broken = Object.entries(counts).filter(([, count]) => count > 0);
  return [...broken.map(([what, count]) => `${what}: ${count}`), ...more];
}
