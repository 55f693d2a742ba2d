import { createDrachtioStack } from '../../src/sip/stack-drachtio.ts';
import { DRACHTIO_ABILITIES, sipStackKeepsItsPromises } from '../contract/sip-stack.ts';
import { DrachtioServer } from '../support/drachtio-server.ts';
import { FakeClock, settled } from '../support/fake-clock.ts';
import { LogRecorder } from '../support/log-recorder.ts';

const SECRET = 'a secret of the tests';

sipStackKeepsItsPromises({
  name: 'drachtio stack',
  abilities: DRACHTIO_ABILITIES,
  async make() {
    const clock = new FakeClock();
    const server = await DrachtioServer.start({ secret: SECRET, clock });
    const stack = createDrachtioStack({
      servers: [{ host: '127.0.0.1', port: server.controlPort, secret: SECRET, tags: [] }],
      clock,
      random: Math.random,
      log: new LogRecorder(),
      serverName: 'engine-under-test',
    });
    return {
      stack,
      async passTime(ms) {
        await clock.advanceAsync(ms);
        // What was sent on loopback, to the server and on, has to have its turns of the event loop.
        for (let turn = 0; turn < 20; turn++) await settled();
      },
      close: () => server.stop(),
    };
  },
});
