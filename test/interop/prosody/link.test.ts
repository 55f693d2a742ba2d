import { linkSuite } from '../../support/link-suite.ts';
import { startProsody } from '../../support/prosody.ts';

linkSuite('prosody', startProsody);
