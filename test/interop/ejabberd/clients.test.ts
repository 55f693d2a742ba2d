import { clientSuite } from '../../support/client-suite.ts';
import { startEjabberd } from '../../support/ejabberd.ts';

clientSuite('ejabberd', startEjabberd, { isPrivileged: true });
