import { linkSuite } from '../../support/link-suite.ts';
import { startEjabberd } from '../../support/ejabberd.ts';

linkSuite('ejabberd', startEjabberd);
