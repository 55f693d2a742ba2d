import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPath } from './peers.ts';
import { startProcess, untilBound, untilListening, type TestProcess } from './process.ts';
import { filled } from './xmpp-server.ts';

const TEMPLATE = readFileSync(new URL('./peers/kamailio.cfg', import.meta.url), 'utf8');

export type KamailioOptions = {
  readonly folder: string;
  /** Its SIP domain; whoever registers there needs no password. */
  readonly domain: string;
  /** Its loopback port, UDP and TCP. */
  readonly port: number;
  /** Loopback TCP port of the one it sends everything to that is not for its own domain. */
  readonly neighbourPort: number;
};

/** Starts Kamailio as somebody else's SIP domain: registrar and proxy. */
export async function startKamailio(options: KamailioOptions): Promise<TestProcess> {
  const folder = join(options.folder, 'kamailio');
  mkdirSync(folder, { recursive: true });
  const config = join(folder, 'kamailio.cfg');
  writeFileSync(
    config,
    filled(TEMPLATE, { DOMAIN: options.domain, PORT: options.port, NEIGHBOUR: options.neighbourPort }),
  );
  const process = await startProcess({
    name: 'kamailio',
    command: commandPath('kamailio')!,
    args: [
      '-f',
      config,
      '-L',
      modulesFolder(),
      '-DD',
      '-E',
      '-m',
      '64',
      '-M',
      '8',
      '-Y',
      folder,
      '-P',
      join(folder, 'pid'),
    ],
    folder,
  });
  await untilBound(options.port, process);
  await untilListening(options.port, process);
  return process;
}

function modulesFolder(): string {
  for (const name of ['kamailio', ...readdirSync('/usr/lib').map((folder) => `${folder}/kamailio`)]) {
    try {
      readdirSync(`/usr/lib/${name}/modules`);
      return `/usr/lib/${name}/modules/`;
    } catch {
      continue; // not this architecture
    }
  }
  throw new Error('no folder kamailio/modules under /usr/lib');
}
