import { deliveryQueueContract } from '../contract/delivery-queue.ts';
import { sqliteWorld } from '../support/sqlite-world.ts';

// As it runs in the server: commits in a thread of their own.
deliveryQueueContract('The SQLite queue with a thread', sqliteWorld({ commits: 'thread' }));
