import { openQueueOffline } from '../app/stores.ts';
import type { Config } from '../core/config.ts';
import { createPinoLog, errorDestination } from '../pino-log.ts';
import { systemClock } from '../system-clock.ts';

/**
 * The queue of a server that is not running, for one command. A module of its own, since it brings the whole server
 * with it, which a command that asks the running one does not wait for.
 *
 * @throws GatewayError 'store-unavailable' naming the remedy, also when a server has the folder after all.
 */
export function openStoppedQueue(config: Config): ReturnType<typeof openQueueOffline> {
  return openQueueOffline({ config, clock: systemClock, log: createPinoLog('error', errorDestination()) });
}
