import { messagesSuite } from '../../support/messages-suite.ts';
import { startProsody } from '../../support/prosody.ts';

messagesSuite('prosody', startProsody);
