import { App } from '../app.ts';
import { createPinoLog, logDestination } from '../pino-log.ts';
import { systemClock } from '../system-clock.ts';
import { CommandError } from './command-error.ts';
import { controlSocketPath } from './control-socket.ts';
import { guideText } from './guide.ts';
import { loadConfig } from './load-config.ts';
import { startFault } from './start-fault.ts';

/** What is left running after this is cut off, so that a stop never takes longer than its promise of 10 s. */
const STOP_MS_MAX = 9_500;

/** Runs the server until SIGTERM or SIGINT; then it ends what is under way and the process ends with 0. */
export async function serve(configPath: string, version: string, guide: boolean): Promise<void> {
  const config = loadConfig(configPath);
  const destination = logDestination();
  const log = createPinoLog(config.log.level, destination);
  const end = (code: 0 | 1): never => {
    destination.flushSync();
    process.exit(code);
  };
  // A mistake of ours must be seen, and must not leave a half-dead server behind: what was accepted is on disk, and
  // whoever watches the process starts it again.
  const die = (error: unknown): void => {
    log.error({ error }, 'unexpected failure, the server ends');
    end(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  // From here on, since whoever has started a server may want it to end before it is up.
  const asked = askedToStop(() => {
    log.info({}, 'server stops');
    setTimeout(() => {
      log.error({}, 'stopping took too long, the rest is cut off');
      end(0);
    }, STOP_MS_MAX);
  });

  const orExplain = (thrown: unknown): never => {
    const fault = startFault(thrown, config, configPath);
    throw fault === undefined ? thrown : new CommandError(`cannot start: ${fault}`);
  };
  const app = await App.create({
    config,
    version,
    controlSocket: controlSocketPath(config.data),
    clock: systemClock,
    random: Math.random,
    log,
  }).catch(orExplain);
  const up = app.start().then(() => 'up' as const, orExplain);
  if ((await Promise.race([up, asked])) === 'up') {
    const listening = app.listeners.map(
      ({ transport, address, port }) => `${transport}://${shownHost(address)}:${port}`,
    );
    log.info({ version, listening, links: Object.keys(config.links), pid: process.pid }, 'server ready');
    if (guide) process.stderr.write(guideText(configPath, config, listening));
    await asked;
  }
  // A start that the stop has overtaken has nothing to tell any more.
  up.catch(() => undefined);
  await app.stop().catch(die);
  log.info({}, 'server stopped');
  end(0);
}

/**
 * Resolves at the first SIGTERM or SIGINT. Further ones are passed over: npm sends a Ctrl-C on to us although the
 * terminal has sent it already.
 */
function askedToStop(onFirst: () => void): Promise<'asked'> {
  return new Promise((resolve) => {
    let isFirst = true;
    const asked = (): void => {
      if (isFirst) onFirst();
      isFirst = false;
      resolve('asked');
    };
    process.on('SIGTERM', asked);
    process.on('SIGINT', asked);
  });
}

function shownHost(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
