/**
 * MESSAGE answered per second by the SIP engine alone, with a handler that does nothing, under SIPp on loopback.
 * One JSON line per transport. Takes: [messages per transport, default 200000] [transports, default udp,tcp].
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Log } from '../../src/core/log.ts';
import { createEmbeddedStack } from '../../src/sip/stack-embedded.ts';
import { systemClock } from '../../src/system-clock.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SCENARIO = fileURLToPath(new URL('./sip-message.xml', import.meta.url));
/** Calls SIPp keeps open at once: enough to hide the way there and back, too few to overrun a socket buffer. */
const OPEN_CALLS = 400;

const quiet = () => undefined;
const log: Log = { error: console.error, warn: quiet, info: quiet, debug: quiet, trace: quiet, child: () => log };

async function bench(transport: 'udp' | 'tcp', count: number): Promise<void> {
  const stack = createEmbeddedStack({
    listeners: [{ transport, address: '127.0.0.1', port: 0 }],
    clock: systemClock,
    log,
  });
  let handled = 0;
  let firstMs = 0;
  let lastMs = 0;
  const [listener] = await stack.start(async () => {
    const nowMs = performance.now();
    if (handled++ === 0) firstMs = nowMs;
    lastMs = nowMs;
    return { status: 200 };
  });
  const folder = temporaryFolder('bench-sip');
  const statistics = join(folder, 'statistics.csv');
  const cpuBefore = process.cpuUsage();
  const sipp = spawn(
    'sipp',
    [
      ...['-sf', SCENARIO, '-i', '127.0.0.1', '-t', transport === 'udp' ? 'u1' : 't1'],
      ...['-r', '60000', '-l', String(OPEN_CALLS), '-m', String(count), '-nostdin'],
      ...['-trace_stat', '-stf', statistics, '-fd', '1', '-buff_size', '8388608', '-timeout', '300s'],
      `127.0.0.1:${listener?.port ?? 0}`,
    ],
    { cwd: folder, stdio: 'ignore' },
  );
  const [code] = (await once(sipp, 'exit')) as [number | null];
  const cpu = process.cpuUsage(cpuBefore);
  const seconds = (lastMs - firstMs) / 1_000;
  const { successful, failed, retransmissions } = statisticsOf(statistics);
  console.log(
    JSON.stringify({
      bench: 'sip-engine',
      transport,
      messages: successful,
      failed,
      retransmissions,
      perSecond: Math.round(handled / seconds),
      cpuSecondsPer1000: Number(((cpu.user + cpu.system) / 1_000 / handled).toFixed(4)),
      residentMb: Math.round(process.memoryUsage.rss() / 1_048_576),
      sippExit: code,
    }),
  );
  await stack.stop(0);
}

function statisticsOf(file: string): { successful: number; failed: number; retransmissions: number } {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const names = lines[0]?.split(';') ?? [];
  const values = lines.at(-1)?.split(';') ?? [];
  const of = (name: string) => Number(values[names.indexOf(name)] ?? Number.NaN);
  return {
    successful: of('SuccessfulCall(C)'),
    failed: of('FailedCall(C)'),
    retransmissions: of('Retransmissions(C)'),
  };
}

const count = Number(process.argv[2] ?? 200_000);
for (const transport of (process.argv[3] ?? 'udp,tcp').split(',')) await bench(transport as 'udp' | 'tcp', count);
