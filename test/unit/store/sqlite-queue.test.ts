import { deliveryQueueContract } from '../../contract/delivery-queue.ts';
import { sqliteWorld } from '../../support/sqlite-world.ts';

deliveryQueueContract('The SQLite queue', sqliteWorld({ commits: 'here' }));
deliveryQueueContract('The SQLite queue without memory', sqliteWorld({ commits: 'here', operationSizeMax: 0 }));
