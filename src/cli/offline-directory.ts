import { createDirectory } from '../app/contacts.ts';
import { openStores } from '../app/stores.ts';
import type { Config } from '../core/config.ts';
import type { Directory } from '../core/directory/directory.ts';
import { PeerTable } from '../core/peers.ts';
import { UserTable } from '../core/user-table.ts';
import { createPinoLog, errorDestination } from '../pino-log.ts';
import { systemClock } from '../system-clock.ts';

/**
 * The directory of a server that is not running, for one command; see `openStoppedQueue`.
 *
 * @throws GatewayError 'store-unavailable' naming the remedy, also when a server has the folder after all.
 */
export async function openStoppedDirectory(
  config: Config,
): Promise<{ readonly directory: Directory; close(): Promise<void> }> {
  const log = createPinoLog('error', errorDestination());
  const stores = await openStores({ config, clock: systemClock, log }, 'here');
  const { store } = stores;
  const peers = new PeerTable(config);
  const users = new UserTable({ peers, credentials: store.credentials, contactsOf: () => [] });
  const parts = {
    store,
    isUser: users.isUser.bind(users),
    // Nobody watches: the next process tells those who do.
    beforeChange: () => undefined,
    changed: () => undefined,
  };
  const directory = createDirectory(parts, { config, log });
  return { directory, close: () => stores.close() };
}
