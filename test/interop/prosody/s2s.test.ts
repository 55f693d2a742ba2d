import { startProsodyS2s } from '../../support/s2s-prosody.ts';
import { s2sSuite } from '../../support/s2s-suite.ts';

s2sSuite('prosody', startProsodyS2s, { hasBidi: true });
