import { queueCrashTest } from '../support/store-crash-suite.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

queueCrashTest('queue', () => temporaryFolder('crash'));
