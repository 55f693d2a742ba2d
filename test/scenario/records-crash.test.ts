import { recordsCrashTest } from '../support/records-crash-suite.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

recordsCrashTest('records', () => temporaryFolder('records-crash'));
