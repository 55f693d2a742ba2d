/**
 * Server to server against the component link, from a SIP sender to XMPP clients, through us and Prosody, in one run. One
 * line of JSON for each way.
 *
 *   node --import tsx test/bench/s2s.ts [component] [dialback] [external] [external-bidi]
 *
 * Build first (`npm run build`): what is measured is `dist`. `BENCH_MESSAGES` says how many.
 */
import { Ledger } from '../support/counting-ledger.ts';
import { CountingSipSender } from '../support/counting-sip-sender.ts';
import { CountingXmppClient } from '../support/counting-xmpp-client.ts';
import { SIP_DOMAIN, startFederation, XMPP_DOMAIN } from '../support/federation.ts';
import { startInterpres, type InterpresProcess } from '../support/interpres-process.ts';
import { freePort } from '../support/ports.ts';
import { cpuSeconds, memoryMegabytes } from '../support/process-figures.ts';
import { startProsodyS2s } from '../support/s2s-prosody.ts';
import { testAuthority, testCertificate } from '../support/self-signed.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';
import type { XmppServer } from '../support/xmpp-server.ts';

const XMPP_USERS = 4;
const PAIRS = 32;
const WARM_UP = 3_000;
const CONFIG = { domains: [{ name: SIP_DOMAIN, trust: ['127.0.0.1'] }], rateLimits: 'off' };

const xmppUsers = Array.from({ length: XMPP_USERS }, (_, n) => `u${n}`);
const pairs = Array.from({ length: PAIRS }, (_, n) => ({
  from: `s${n}@${SIP_DOMAIN}`,
  to: `u${n % XMPP_USERS}@${XMPP_DOMAIN}`,
}));

type World = { readonly interpres: InterpresProcess; readonly xmpp: XmppServer; stop(): Promise<void> };

async function component(): Promise<World> {
  return startFederation({ name: 'bench', xmppUsers, config: CONFIG });
}

/** Prosody as a server of its own, and us without any. */
async function federated(way: 'dialback' | 'external' | 'external-bidi'): Promise<World> {
  const folder = temporaryFolder('bench');
  const isSecure = way !== 'dialback';
  const port = await freePort();
  const [ours, theirs] = [testCertificate([`DNS:${SIP_DOMAIN}`]), testCertificate([`DNS:${XMPP_DOMAIN}`])];
  const ca = testAuthority().certificateFile;
  const xmpp = await startProsodyS2s({
    folder,
    domain: XMPP_DOMAIN,
    users: xmppUsers,
    routes: { [SIP_DOMAIN]: { port } },
    ...(isSecure ? { tls: { certificate: theirs.certificateFile, key: theirs.keyFile, ca } } : {}),
    wantsCertificate: isSecure,
    bidi: way === 'external-bidi',
  });
  const tls = { certificate: ours.certificateFile, key: ours.keyFile, ca };
  const interpres = await startInterpres({
    folder,
    config: {
      ...CONFIG,
      links: {
        federation: { type: 'xmpp-s2s', listen: [`tcp://127.0.0.1:${port}`], ...(isSecure ? tls : {}) },
      },
      peers: [
        {
          domain: XMPP_DOMAIN,
          link: 'federation',
          security: isSecure ? 'certificate' : 'dialback',
          nextHop: `tcp://127.0.0.1:${xmpp.s2sPort}`,
        },
      ],
    },
  });
  return {
    interpres,
    xmpp,
    async stop() {
      await interpres.stop();
      await xmpp.kill();
    },
  };
}

async function measure(way: string, world: World, messages: number): Promise<void> {
  let ledger = new Ledger({ stamped: true });
  const receivers = await Promise.all(
    xmppUsers.map(async (user) => {
      const receiver = new CountingXmppClient({ server: world.xmpp, user, received: () => ledger });
      await receiver.open();
      return receiver;
    }),
  );
  const send = async (total: number): Promise<number> => {
    ledger = new Ledger({ stamped: true });
    const startedMs = performance.now();
    const sender = new CountingSipSender({
      ledger,
      transport: 'tcp',
      port: world.interpres.sipPort,
      pairs,
      rate: Infinity,
      total,
    });
    await sender.start();
    await sender.finished(120_000);
    await until(() => ledger.isComplete(), { what: 'all has arrived', withinMs: 120_000, everyMs: 2 });
    sender.close();
    return (total * 1_000) / (ledger.lastArrivalMs - startedMs);
  };
  try {
    await send(WARM_UP);
    const { pid } = world.interpres.process();
    const usedBefore = cpuSeconds(pid);
    const xmppBefore = cpuSeconds(world.xmpp.process().pid);
    const driverBefore = process.cpuUsage();
    const perSecond = Math.round(await send(messages));
    const driver = process.cpuUsage(driverBefore);
    const round = (seconds: number): number => Math.round((seconds * 1_000_000) / messages) / 1_000;
    const line = {
      bench: 's2s',
      way,
      messages,
      perSecond,
      cpuSecondsPer1000: round(cpuSeconds(pid) - usedBefore),
      xmppServerCpuPer1000: round(cpuSeconds(world.xmpp.process().pid) - xmppBefore),
      driverCpuPer1000: round((driver.user + driver.system) / 1_000_000),
      memoryMegabytes: memoryMegabytes(pid).resident,
      ...ledger.figures(),
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  } finally {
    for (const receiver of receivers) receiver.close();
    await world.stop();
  }
}

const WAYS = ['component', 'dialback', 'external', 'external-bidi'] as const;
const wanted = process.argv.slice(2);
const messages = Number(process.env['BENCH_MESSAGES'] ?? 10_000);
for (const way of WAYS) {
  if (wanted.length > 0 && !wanted.includes(way)) continue;
  await measure(way, way === 'component' ? await component() : await federated(way), messages);
}
process.exit(0);
