import { setTimeout as pause } from 'node:timers/promises';
import { Ledger, type LedgerFigures } from './counting-ledger.ts';
import { CountingSipPhone } from './counting-sip-phone.ts';
import { CountingSipSender } from './counting-sip-sender.ts';
import { CountingXmppClient } from './counting-xmpp-client.ts';
import { COMPONENT, SIP_DOMAIN, startFederation, XMPP_DOMAIN, type Federation } from './federation.ts';
import { startProsody } from './prosody.ts';
import { until } from './until.ts';
import type { TestStore } from './interpres-process.ts';
import { passwordOf } from './xmpp-server.ts';

/** One run of one fault, as it is printed: one line of JSON. */
export type FaultReport = LedgerFigures & {
  readonly fault: string;
  /** Messages per second sent. */
  readonly rate: number;
  readonly faults: number;
  readonly seconds: number;
  readonly [more: string]: unknown;
};

export const XMPP_USERS = ['u0', 'u1', 'u2', 'u3'] as const;
const PAIRS = 16;
/** A server that has a processor answers a question within this. */
const PROMPT_MS = 20;

/** SIP users s0.. write to XMPP users u0..: enough pairs that each may have one request outstanding. */
export const SIP_TO_XMPP = Array.from({ length: PAIRS }, (_, n) => ({
  from: `s${n}@${SIP_DOMAIN}`,
  to: `${XMPP_USERS[n % XMPP_USERS.length]}@${XMPP_DOMAIN}`,
}));

/** A federation whose SIP users need no password, as behind a core that has authenticated them, and no rate limits. */
function startWorld(name: string, store: TestStore | undefined, sipUsers: readonly string[] = []): Promise<Federation> {
  return startFederation({
    name,
    ...(store === undefined ? {} : { store }),
    startXmppServer: startProsody,
    xmppUsers: XMPP_USERS,
    sipUsers,
    config: { domains: [{ name: SIP_DOMAIN, trust: ['127.0.0.1'] }], rateLimits: 'off' },
  });
}

async function xmppReceivers(world: Federation, ledger: Ledger): Promise<readonly CountingXmppClient[]> {
  const receivers = XMPP_USERS.map((user) => new CountingXmppClient({ server: world.xmpp, user, received: ledger }));
  await Promise.all(receivers.map((receiver) => receiver.open()));
  return receivers;
}

/** Waits for what is still on its way, until nothing has come for `idleMs`; what has not come by then is lost. */
export async function settleLedger(ledger: Ledger, idleMs: number): Promise<void> {
  let seen = ledger.arrivedCount;
  let changedMs = performance.now();
  while (!ledger.isComplete() && performance.now() - changedMs < idleMs) {
    await pause(50);
    if (ledger.arrivedCount === seen) continue;
    seen = ledger.arrivedCount;
    changedMs = performance.now();
  }
  await pause(500); // for copies that come after the first
}

type SipLoad = {
  readonly rate: number;
  readonly transport: 'udp' | 'tcp';
  readonly store?: TestStore;
};

/** A federation under load from SIP; the body does to it what the fault is, and may add to the report. */
async function underSipLoad(
  options: SipLoad & {
    readonly name: string;
    readonly fault: string;
    readonly faults: number;
    /** How long nothing has to come until the rest is lost. */
    readonly idleMs: number;
  },
  body: (world: Federation) => Promise<Readonly<Record<string, unknown>> | undefined>,
): Promise<FaultReport> {
  const { fault, faults, rate, transport } = options;
  const world = await startWorld(options.name, options.store);
  const ledger = new Ledger({ stamped: true });
  const receivers = await xmppReceivers(world, ledger);
  const port = world.interpres.sipPort;
  const sender = new CountingSipSender({ ledger, transport, port, pairs: SIP_TO_XMPP, rate });
  const startedMs = performance.now();
  try {
    await sender.start();
    const more = await body(world);
    await sender.drain(40_000);
    await settleLedger(ledger, options.idleMs);
    return {
      fault,
      store: options.store ?? 'folder',
      transport,
      rate,
      faults,
      seconds: seconds(startedMs),
      ...ledger.figures(),
      ...sender.report(),
      ...more,
      latencyMs: ledger.latencyMs(50, 99, 100),
    };
  } finally {
    sender.close();
    for (const receiver of receivers) receiver.close();
    await world.stop();
  }
}

/** (a) The XMPP server is stopped in good order for a while, under load from SIP. */
export function xmppServerAway(
  options: SipLoad & { readonly beforeMs: number; readonly awayMs: number; readonly afterMs: number },
): Promise<FaultReport> {
  const run = { ...options, name: 'away', fault: 'prosody stopped', faults: 1, idleMs: 35_000 };
  return underSipLoad(run, async ({ xmpp }) => {
    await pause(options.beforeMs);
    await xmpp.stop();
    await pause(options.awayMs);
    await xmpp.start();
    await pause(options.afterMs);
  });
}

/** (b) We are killed, and started again at once, so many times, under load from SIP. */
export function killedUnderSipLoad(
  options: SipLoad & { readonly kills: number; readonly betweenMs: number },
): Promise<FaultReport> {
  const { kills, betweenMs } = options;
  const run = { ...options, name: 'killed', fault: 'killed, SIP to XMPP', faults: kills, idleMs: 30_000 };
  return underSipLoad(run, async ({ interpres }) => {
    for (let kill = 0; kill < kills; kill++) {
      await pause(betweenMs);
      await interpres.kill();
      await interpres.start();
    }
    await pause(betweenMs);
  });
}

/**
 * (d) The Redis that is our store is killed under load from SIP, and is back after a while. What it had confirmed is
 * there (it writes each command to the disk before it answers); meanwhile senders are refused, and links stay up.
 */
export function redisKilled(
  options: Omit<SipLoad, 'store'> & { readonly kills: number; readonly awayMs: number; readonly betweenMs: number },
): Promise<FaultReport> {
  const { kills, awayMs, betweenMs } = options;
  const name = 'redis-killed';
  const fault = 'redis killed, SIP to XMPP';
  const run = { ...options, name, fault, faults: kills, store: 'redis', idleMs: 30_000 } as const;
  return underSipLoad(run, async ({ interpres }) => {
    const linksAt: string[] = [];
    for (let kill = 0; kill < kills; kill++) {
      await pause(betweenMs);
      await interpres.redis?.kill();
      await pause(awayMs);
      linksAt.push((await interpres.health()).links['office']?.at ?? '');
      await interpres.redis?.start();
    }
    await pause(betweenMs);
    return { linksAt };
  });
}

/** (c) The phone goes, messages come from XMPP, the phone returns. */
export async function phoneAway(options: {
  readonly messages: number;
  readonly rate: number;
  readonly transport: 'udp' | 'tcp';
  readonly store?: TestStore;
}): Promise<FaultReport> {
  const world = await startWorld('phone', options.store, ['s0']);
  const ledger = new Ledger({ stamped: false });
  const phone = thePhone(world, ledger, options.transport);
  const sender = new CountingXmppClient({ server: world.xmpp, user: 'u0', sent: ledger });
  const startedMs = performance.now();
  try {
    await phone.open();
    await sender.open();
    await phone.register();
    await phone.unregister();
    await sender.sendAtRate({
      pairs: [{ pair: 0, to: `s0@${COMPONENT}` }],
      total: options.messages,
      rate: options.rate,
    });
    await until(async () => (await world.interpres.health()).queue.live >= options.messages, {
      what: 'all wait in the queue',
    });
    await phone.register();
    await settleLedger(ledger, 30_000);
    return {
      fault: 'phone away, XMPP to SIP',
      store: options.store ?? 'folder',
      transport: options.transport,
      rate: options.rate,
      faults: 1,
      seconds: seconds(startedMs),
      ...ledger.figures(),
      errors: Object.fromEntries(sender.errors),
    };
  } finally {
    sender.close();
    phone.close();
    await world.stop();
  }
}

/**
 * (c) We are killed under load from XMPP. What was read from the stream and not yet stored may be lost, because XEP-0114
 * has no acknowledgement; what the server could not give us while we were away it refuses, and that is counted apart.
 */
export async function killedUnderXmppLoad(options: {
  readonly rate: number;
  readonly kills: number;
  readonly betweenMs: number;
  readonly transport: 'udp' | 'tcp';
  readonly store?: TestStore;
  /** Each kill comes in a moment in which other programs of the machine do not starve us; default: whenever it comes. */
  readonly whenPrompt?: boolean;
}): Promise<FaultReport> {
  const world = await startWorld('killed-xmpp', options.store, ['s0']);
  const ledger = new Ledger({ stamped: false });
  const phone = thePhone(world, ledger, options.transport);
  const sender = new CountingXmppClient({ server: world.xmpp, user: 'u0', sent: ledger });
  const startedMs = performance.now();
  const total = Math.round((options.rate * options.betweenMs * (options.kills + 1)) / 1_000);
  try {
    await phone.open();
    await sender.open();
    await phone.register();
    const sending = sender.sendAtRate({ pairs: [{ pair: 0, to: `s0@${COMPONENT}` }], total, rate: options.rate });
    for (let kill = 0; kill < options.kills; kill++) {
      await pause(options.betweenMs);
      if (options.whenPrompt === true) await untilPrompt(world);
      await world.interpres.kill();
      await world.interpres.start();
    }
    await sending;
    await settleLedger(ledger, 4_000);
    const figures = ledger.figures();
    return {
      fault: 'killed, XMPP to SIP',
      store: options.store ?? 'folder',
      transport: options.transport,
      rate: options.rate,
      faults: options.kills,
      seconds: seconds(startedMs),
      ...figures,
      lostMsPerFault: Math.round((figures.lost * 10_000) / options.rate / options.kills) / 10,
      errors: Object.fromEntries(sender.errors),
    };
  } finally {
    sender.close();
    phone.close();
    await world.stop();
  }
}

/** Resolves in the moment in which the server has answered without waiting for a processor, nor has the asker waited. */
async function untilPrompt({ interpres }: Federation): Promise<void> {
  const answersAtOnce = async (): Promise<boolean> => {
    const askedMs = performance.now();
    await interpres.health();
    return performance.now() - askedMs < PROMPT_MS;
  };
  await until(answersAtOnce, { what: `the server answers within ${PROMPT_MS} ms`, everyMs: 10 });
}

function thePhone(world: Federation, ledger: Ledger, transport: 'udp' | 'tcp'): CountingSipPhone {
  return new CountingSipPhone({
    ledger,
    transport,
    port: world.interpres.sipPort,
    users: [{ user: 's0', domain: SIP_DOMAIN, password: passwordOf('s0') }],
  });
}

function seconds(sinceMs: number): number {
  return Math.round((performance.now() - sinceMs) / 100) / 10;
}
