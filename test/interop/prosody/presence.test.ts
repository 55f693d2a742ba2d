import { presenceSuite } from '../../support/presence-suite.ts';
import { startProsody } from '../../support/prosody.ts';

presenceSuite('prosody', startProsody);
