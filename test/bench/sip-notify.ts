/**
 * NOTIFY sent and answered per second by the SIP notifier and engine, without the core: every watcher is told the same
 * document, again and again, over UDP on loopback, with a watcher that answers 200 to everything in another process.
 * One JSON line. Takes: [watchers, default 10000] [rounds, default 10] [outstanding, default 400].
 */
import { fork } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { parseAddress } from '../../src/cpim/address.ts';
import type { PresenceDocument } from '../../src/cpim/presence/document.ts';
import type { Log } from '../../src/core/log.ts';
import type { Notification, NotifyBody } from '../../src/core/presence/subscription.ts';
import { SipNotifier } from '../../src/sip/events/notifier.ts';
import type { SipLease } from '../../src/sip/events/subscription-lease.ts';
import { createEmbeddedStack } from '../../src/sip/stack-embedded.ts';
import { systemClock } from '../../src/system-clock.ts';
import { eachAtOnce } from '../support/each-at-once.ts';

const quiet = () => undefined;
const log: Log = { error: console.error, warn: quiet, info: quiet, debug: quiet, trace: quiet, child: () => log };

/** Answers each datagram with its Via, From, To, Call-ID and CSeq. */
function answerAll(): void {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20, sendBufferSize: 8 << 20 });
  socket.on('message', (bytes, { address, port }) => {
    const echoed = bytes
      .toString('latin1')
      .split('\r\n')
      .filter((line) => /^(Via|From|To|Call-ID|CSeq):/.test(line));
    socket.send(`SIP/2.0 200 OK\r\n${echoed.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`, port, address);
  });
  socket.bind(0, '127.0.0.1', () => process.send?.(socket.address().port));
}

function leaseOf(at: number, port: number): SipLease {
  return {
    via: 'sip',
    dialog: {
      callId: `${at.toString(16).padStart(8, '0')}-5b1f-4e6d-a2c3-0f3e4c5f8a9b@127.0.0.1`,
      localTag: `s${at.toString(36).padStart(20, '0')}`,
      remoteTag: `f${at.toString(16).padStart(8, '0')}`,
      localUri: 'sip:juliet@sip.example',
      remoteUri: `sip:watcher${at}@sip.example`,
      remoteTarget: `sip:watcher${at}@127.0.0.1:${port}`,
      routeSet: [],
      flow: undefined,
      localCseq: 0,
      localCseqReserved: 1_000_000,
      remoteCseq: 1,
    },
    format: 'application/pidf+xml',
    contact: 'sip:127.0.0.1:5060',
    run: 1,
    unanswered: 0,
    failed: 0,
  };
}

function documentOf(round: number): PresenceDocument {
  const common = { rich: {}, extensions: [], statusExtensions: [], deviceIds: [] };
  const notes = [{ text: `round ${round}` }];
  const tuple = { id: 't1', basic: 'open', contact: { uri: 'sip:juliet@192.0.2.1' }, notes, ...common } as const;
  return { entity: 'pres:juliet@sip.example', tuples: [tuple], persons: [], devices: [], notes: [], extensions: [] };
}

async function bench(watchers: number, rounds: number, outstanding: number): Promise<void> {
  const peer = fork(fileURLToPath(import.meta.url), ['answer'], { execArgv: process.execArgv });
  const [port] = (await once(peer, 'message')) as [number];
  const stack = createEmbeddedStack({
    listeners: [{ transport: 'udp', address: '127.0.0.1', port: 0 }],
    clock: systemClock,
    log,
    serverName: 'Interpres/bench',
  });
  await stack.start(async () => ({ status: 200 }));
  const notifier = new SipNotifier({
    request: (outgoing) => stack.request(outgoing),
    saveLease: async () => undefined,
    flowOf: () => undefined,
    nextHopOf: () => undefined,
    clock: systemClock,
    log,
    run: 1,
  });
  const presentity = parseAddress('juliet@sip.example')!;
  const subscriptions = Array.from({ length: watchers }, (_, at) => ({
    id: `s${at}`,
    package: 'presence' as const,
    watcher: parseAddress(`watcher${at}@sip.example`)!,
    presentity,
    state: { at: 'active' as const, expiresAtMs: Date.now() + 3_600_000 },
    subscribedAtMs: Date.now(),
    lease: leaseOf(at, port),
  }));
  const outcomes = new Map<string, number>();
  async function tellAll(round: number): Promise<void> {
    const body: NotifyBody = { kind: 'presence', document: documentOf(round) };
    await eachAtOnce(subscriptions, outstanding, async (subscription) => {
      const notification: Notification = { subscription, state: subscription.state, body };
      const { kind } = await notifier.notify(notification);
      outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
    });
  }
  await tellAll(-1);
  const cpuBefore = process.cpuUsage();
  const threadBefore = performance.eventLoopUtilization();
  const startMs = performance.now();
  for (let round = 0; round < rounds; round++) await tellAll(round);
  const seconds = (performance.now() - startMs) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const count = watchers * rounds;
  console.log(
    JSON.stringify({
      bench: 'sip-notify',
      watchers,
      rounds,
      outstanding,
      outcomes: Object.fromEntries(outcomes),
      perSecond: Math.round(count / seconds),
      microsecondsEach: Number(((seconds * 1e6) / count).toFixed(1)),
      loopUtilization: Number(performance.eventLoopUtilization(threadBefore).utilization.toFixed(2)),
      cpuMicrosecondsEach: Number(((user + system) / count).toFixed(1)),
    }),
  );
  await stack.stop(0);
  peer.kill();
}

if (process.argv[2] !== 'answer') {
  const [watchers = 10_000, rounds = 10, outstanding = 400] = process.argv.slice(2).map(Number);
  await bench(watchers, rounds, outstanding);
} else answerAll();
