import { presenceSuite } from '../../support/presence-suite.ts';
import { startEjabberd } from '../../support/ejabberd.ts';

presenceSuite('ejabberd', startEjabberd);
