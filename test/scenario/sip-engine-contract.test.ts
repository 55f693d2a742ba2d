import { createEmbeddedStack } from '../../src/sip/stack-embedded.ts';
import { EVERY_ABILITY, sipStackKeepsItsPromises } from '../contract/sip-stack.ts';
import { FakeClock, settled } from '../support/fake-clock.ts';
import { LogRecorder } from '../support/log-recorder.ts';

sipStackKeepsItsPromises({
  name: 'embedded stack',
  abilities: EVERY_ABILITY,
  async make() {
    const clock = new FakeClock();
    const stack = createEmbeddedStack({
      listeners: [
        { transport: 'udp', address: '127.0.0.1', port: 0 },
        { transport: 'tcp', address: '127.0.0.1', port: 0 },
      ],
      clock,
      log: new LogRecorder(),
      serverName: 'engine-under-test',
    });
    return {
      stack,
      async passTime(ms) {
        await clock.advanceAsync(ms);
        // What was sent on loopback has to have its turn of the event loop.
        for (let turn = 0; turn < 5; turn++) await settled();
      },
    };
  },
});
