import { messagesSuite } from '../../support/messages-suite.ts';
import { startEjabberd } from '../../support/ejabberd.ts';

messagesSuite('ejabberd', startEjabberd);
