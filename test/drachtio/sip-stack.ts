/**
 * The SIP contract against a real drachtio server: `npm run test:drachtio`, which sets where it is. Time passes for
 * real.
 */
import { setTimeout as pause } from 'node:timers/promises';

import { createDrachtioStack } from '../../src/sip/stack-drachtio.ts';
import { systemClock } from '../../src/system-clock.ts';
import { DRACHTIO_ABILITIES, sipStackKeepsItsPromises } from '../contract/sip-stack.ts';
import { LogRecorder } from '../support/log-recorder.ts';

const { DRACHTIO_HOST: host = '', DRACHTIO_PORT: port = '', DRACHTIO_SECRET: secret = '' } = process.env;
if (host === '' || port === '' || secret === '') throw new Error('run it by `npm run test:drachtio -- --help`');

sipStackKeepsItsPromises({
  name: 'drachtio server',
  abilities: DRACHTIO_ABILITIES,
  make: () =>
    Promise.resolve({
      stack: createDrachtioStack({
        servers: [{ host, port: Number(port), secret, tags: [] }],
        clock: systemClock,
        random: Math.random,
        log: new LogRecorder(),
      }),
      passTime: (ms) => pause(ms),
    }),
});
