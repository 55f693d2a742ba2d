import { App } from '../app.ts';
import { GatewayError } from '../core/errors.ts';
import { createPinoLog, logDestination } from '../pino-log.ts';
import { systemClock } from '../system-clock.ts';
import { CommandError } from './command-error.ts';
import { controlSocketPath } from './control-socket.ts';
import { guideText } from './guide.ts';
import { loadConfig } from './load-config.ts';

/** What is left running after this is cut off, so that a stop never takes longer than its promise of 10 s. */
const STOP_MS_MAX = 9_500;

/** Runs the server until SIGTERM or SIGINT; then it ends what is under way and the process ends with 0. */
export async function serve(configPath: string, version: string, guide: boolean): Promise<void> {
  const config = loadConfig(configPath);
  const destination = logDestination();
  const log = createPinoLog(config.log.level, destination);
  // A mistake of ours must be seen, and must not leave a half-dead server behind: what was accepted is on disk, and
  // whoever watches the process starts it again.
  const die = (error: unknown): void => {
    log.error({ error }, 'unexpected failure, the server ends');
    destination.flushSync();
    process.exit(1);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);

  const app = await started(async () => {
    const created = await App.create({
      config,
      version,
      controlSocket: controlSocketPath(config.data),
      clock: systemClock,
      random: Math.random,
      log,
    });
    await created.start();
    return created;
  });
  const listening = app.listeners.map(({ transport, address, port }) => `${transport}://${address}:${port}`);
  log.info({ version, listening, links: Object.keys(config.links), pid: process.pid }, 'server ready');
  if (guide) process.stderr.write(guideText(configPath, config, listening));

  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  log.info({}, 'server stops');
  const limit = setTimeout(() => {
    log.error({}, 'stopping took too long, the rest is cut off');
    destination.flushSync();
    process.exit(0);
  }, STOP_MS_MAX);
  await app.stop();
  clearTimeout(limit);
  log.info({}, 'server stopped');
  destination.flushSync();
  process.exit(0);
}

async function started(start: () => Promise<App>): Promise<App> {
  try {
    return await start();
  } catch (thrown) {
    const said = thrown instanceof GatewayError || isSystemError(thrown) ? thrown.message : undefined;
    if (said === undefined) throw thrown;
    throw new CommandError(`cannot start: ${said}`);
  }
}

function isSystemError(thrown: unknown): thrown is NodeJS.ErrnoException {
  return thrown instanceof Error && 'code' in thrown && 'syscall' in thrown;
}
