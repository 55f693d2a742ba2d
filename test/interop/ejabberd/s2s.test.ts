import { startEjabberdS2s } from '../../support/s2s-ejabberd.ts';
import { s2sSuite } from '../../support/s2s-suite.ts';

s2sSuite('ejabberd', startEjabberdS2s, { hasBidi: false });
