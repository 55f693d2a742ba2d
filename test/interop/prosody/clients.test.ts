import { clientSuite } from '../../support/client-suite.ts';
import { startProsody } from '../../support/prosody.ts';

clientSuite('prosody', startProsody, { isPrivileged: false });
