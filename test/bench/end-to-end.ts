/**
 * The whole way through real processes: a SIP sender and receiver, us, Prosody, XMPP clients. One line of JSON per figure.
 *
 *   node --import tsx test/bench/end-to-end.ts [sip-to-xmpp] [xmpp-to-sip] [start-up] [folder] [redis]
 *
 * The sender and the receivers share this process, the machine is shared by all four: `driverCpuPer1000` says how much
 * of it the measuring took. Build first (`npm run build`): what is measured is `dist`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Ledger } from '../support/counting-ledger.ts';
import { CountingSipPhone } from '../support/counting-sip-phone.ts';
import { CountingSipSender } from '../support/counting-sip-sender.ts';
import { CountingXmppClient } from '../support/counting-xmpp-client.ts';
import { COMPONENT, SIP_DOMAIN, startFederation, XMPP_DOMAIN, type Federation } from '../support/federation.ts';
import { cpuSeconds, memoryMegabytes } from '../support/process-figures.ts';
import type { TestStore } from '../support/interpres-process.ts';
import { commandPath } from '../support/peers.ts';
import { until } from '../support/until.ts';
import { passwordOf } from '../support/xmpp-server.ts';

const XMPP_USERS = 4;
const SIP_USERS = 8;
const PAIRS = 32;
const CONFIG = { domains: [{ name: SIP_DOMAIN, trust: ['127.0.0.1'] }], rateLimits: 'off' };

type Transport = 'udp' | 'tcp';
type Place = { readonly transport: Transport; readonly store: TestStore };

const xmppUsers = Array.from({ length: XMPP_USERS }, (_, n) => `u${n}`);
const sipUsers = Array.from({ length: SIP_USERS }, (_, n) => `p${n}`);
const sipPairs = Array.from({ length: PAIRS }, (_, n) => ({
  from: `s${n}@${SIP_DOMAIN}`,
  to: `u${n % XMPP_USERS}@${XMPP_DOMAIN}`,
}));

function print(figures: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}

type Load = {
  readonly ledger: Ledger;
  /** Sends so many at this rate, and resolves when all have been answered or written. */
  send(total: number, rate: number): Promise<void>;
};

/** Warms up, finds the highest rate of a closed loop, and the latency at half of it. */
async function measure(
  bench: string,
  { transport, store }: Place,
  world: Federation,
  load: (phase: number) => Promise<Load>,
  messages: number,
): Promise<void> {
  const { pid } = world.interpres.process();
  await phase(await load(0), 3_000, Infinity);
  const idle = memoryMegabytes(pid);

  const redisPid = world.interpres.redis?.pid();
  const redisBefore = redisPid === undefined ? 0 : cpuSeconds(redisPid);
  const usedBefore = cpuSeconds(pid);
  const driverBefore = process.cpuUsage();
  const xmppBefore = cpuSeconds(world.xmpp.process().pid);
  const full = await load(1);
  const startedMs = performance.now();
  await phase(full, messages, Infinity);
  const perSecond = Math.round((messages * 1_000) / (full.ledger.lastArrivalMs - startedMs));
  const driver = process.cpuUsage(driverBefore);
  const round = (seconds: number): number => Math.round((seconds * 1_000_000) / messages) / 1_000;
  print({
    bench,
    store,
    transport,
    figure: 'highest rate, closed loop',
    window: PAIRS,
    messages,
    perSecond,
    cpuSecondsPer1000: round(cpuSeconds(pid) - usedBefore),
    xmppServerCpuPer1000: round(cpuSeconds(world.xmpp.process().pid) - xmppBefore),
    ...(redisPid === undefined ? {} : { redisCpuPer1000: round(cpuSeconds(redisPid) - redisBefore) }),
    driverCpuPer1000: round((driver.user + driver.system) / 1_000_000),
    memoryMegabytes: { afterWarmUp: idle.resident, ...memoryMegabytes(pid) },
    ...full.ledger.figures(),
  });

  for (const rate of [Math.round(perSecond / 2), 500]) {
    const paced = await load(rate === 500 ? 3 : 2);
    const used = cpuSeconds(pid);
    const total = Math.min(messages, rate * 8);
    await phase(paced, total, rate);
    const [p50, p99, highest] = paced.ledger.latencyMs(50, 99, 100);
    print({
      bench,
      store,
      transport,
      figure: rate === 500 ? 'latency at 500/s' : 'latency at half the highest rate',
      rate,
      messages: total,
      latencyMs: { p50, p99, highest },
      cpuSecondsPer1000: Math.round(((cpuSeconds(pid) - used) * 1_000_000) / total) / 1_000,
      ...paced.ledger.figures(),
    });
  }
}

async function phase(load: Load, total: number, rate: number): Promise<void> {
  await load.send(total, rate);
  await until(() => load.ledger.isComplete(), { what: 'all has arrived', withinMs: 120_000, everyMs: 2 });
}

async function sipToXmpp(place: Place, messages: number): Promise<void> {
  const { transport, store } = place;
  const world = await startFederation({ name: 'bench', xmppUsers, config: CONFIG, store });
  let ledger = new Ledger({ stamped: true });
  const receivers = await Promise.all(
    xmppUsers.map(async (user) => {
      const receiver = new CountingXmppClient({ server: world.xmpp, user, received: () => ledger });
      await receiver.open();
      return receiver;
    }),
  );
  const load = async (): Promise<Load> => {
    ledger = new Ledger({ stamped: true });
    const current = ledger;
    return {
      ledger: current,
      async send(total, rate) {
        const port = world.interpres.sipPort;
        const sender = new CountingSipSender({ ledger: current, transport, port, pairs: sipPairs, rate, total });
        await sender.start();
        await sender.finished(120_000);
        sender.close();
      },
    };
  };
  try {
    await measure('SIP to XMPP', place, world, load, messages);
  } finally {
    for (const receiver of receivers) receiver.close();
    await world.stop();
  }
}

async function xmppToSip(place: Place, messages: number): Promise<void> {
  const { transport, store } = place;
  const world = await startFederation({ name: 'bench', xmppUsers, sipUsers, config: CONFIG, store });
  let ledger = new Ledger({ stamped: false });
  const phone = new CountingSipPhone({
    ledger: () => ledger,
    transport,
    port: world.interpres.sipPort,
    users: sipUsers.map((user) => ({ user, domain: SIP_DOMAIN, password: passwordOf(user) })),
  });
  await phone.open();
  await phone.register();
  const senders = await Promise.all(
    xmppUsers.map(async (user) => {
      const sender = new CountingXmppClient({ server: world.xmpp, user, sent: () => ledger });
      await sender.open();
      return sender;
    }),
  );
  const load = async (): Promise<Load> => {
    ledger = new Ledger({ stamped: false });
    const current = ledger;
    return {
      ledger: current,
      async send(total, rate) {
        let sent = 0;
        const mayGo = (): boolean => {
          if (rate === Infinity && sent - current.arrivedCount >= 2 * PAIRS) return false;
          sent++;
          return true;
        };
        const sendings = senders.map((sender, n) =>
          sender.sendAtRate({
            pairs: sipUsers.map((user, at) => ({ pair: n * SIP_USERS + at, to: `${user}@${COMPONENT}` })),
            total: Math.floor(total / senders.length),
            rate: rate / senders.length,
            mayGo,
          }),
        );
        await Promise.all(sendings);
      },
    };
  };
  try {
    await measure('XMPP to SIP', place, world, load, messages);
  } finally {
    for (const sender of senders) sender.close();
    phone.close();
    await world.stop();
  }
}

/** Start with a full queue, with the link down and then with it up: time to /health, memory, time to deliver it all. */
async function startUp(queued: number): Promise<void> {
  const world = await startFederation({ name: 'bench', xmppUsers, config: CONFIG });
  const ledger = new Ledger({ stamped: true });
  try {
    await world.xmpp.stop();
    await world.interpres.untilLink('office', 'down');
    const sender = new CountingSipSender({
      ledger,
      transport: 'tcp',
      port: world.interpres.sipPort,
      pairs: sipPairs,
      rate: Infinity,
      total: queued,
    });
    const fillingMs = performance.now();
    await sender.start();
    await sender.finished(300_000);
    sender.close();
    const acceptedPerSecond = Math.round((queued * 1_000) / (performance.now() - fillingMs));
    await world.interpres.stop();

    const startedMs = performance.now();
    await world.interpres.start();
    const startMs = Math.round(performance.now() - startedMs);
    await pause(1_000);
    const { live } = (await world.interpres.health()).queue;
    const memory = memoryMegabytes(world.interpres.process().pid);
    print({ bench: 'start-up', queued: live, acceptedPerSecond, startMs, memoryMegabytes: memory });

    await world.xmpp.start();
    const receivers = xmppUsers.map((user) => new CountingXmppClient({ server: world.xmpp, user, received: ledger }));
    await Promise.all(receivers.map((receiver) => receiver.open()));
    const openedMs = performance.now();
    await until(() => ledger.isComplete(), { what: 'all has arrived', withinMs: 300_000, everyMs: 20 });
    print({
      bench: 'start-up',
      figure: 'delivery of the backlog',
      perSecond: Math.round((queued * 1_000) / (ledger.lastArrivalMs - openedMs)),
      memoryMegabytes: memoryMegabytes(world.interpres.process().pid),
      ...ledger.figures(),
    });
    for (const receiver of receivers) receiver.close();
  } finally {
    await world.stop();
  }
}

const STORES = ['folder', 'redis'] as const;
const words = process.argv.slice(2);
const stores = STORES.filter((store) => words.includes(store) || !STORES.some((other) => words.includes(other)));
const wanted = words.filter((word) => !STORES.some((store) => store === word));
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.includes(name);
const places = stores
  .filter((store) => store === 'folder' || commandPath('redis-server') !== undefined)
  .flatMap((store) => (['udp', 'tcp'] as const).map((transport): Place => ({ store, transport })));
const messages = Number(process.env['BENCH_MESSAGES'] ?? 20_000);
if (isWanted('sip-to-xmpp')) for (const place of places) await sipToXmpp(place, messages);
if (isWanted('xmpp-to-sip')) for (const place of places) await xmppToSip(place, messages);
if (isWanted('start-up')) await startUp(Number(process.env['BENCH_QUEUED'] ?? 100_000));
process.exit(0);
