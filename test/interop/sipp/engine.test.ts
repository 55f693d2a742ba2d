import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { systemClock } from '../../../src/system-clock.ts';
import { EngineStage } from '../../support/engine-stage.ts';
import { commandPath, needs } from '../../support/peers.ts';
import { startProcess } from '../../support/process.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const SCENARIO = new URL('../../bench/sip-message.xml', import.meta.url).pathname;
const MESSAGES = 2_000;

/** SIPp's names: one socket, or one per call. */
const modes = [
  ['udp', 'u1'],
  ['tcp', 't1'],
  ['tcp', 'tn'],
] as const;

describe('sipp', needs('sipp'), () => {
  for (const [transport, mode] of modes) {
    test(`sipp: ${MESSAGES} messages over ${transport} (${mode}) are all answered, each seen once`, async (t) => {
      const stage = await EngineStage.open(t, { clock: systemClock });
      const sipp = await startProcess({
        name: `sipp-${mode}`,
        command: commandPath('sipp') ?? 'sipp',
        args: [
          ...['-sf', SCENARIO, '-i', '127.0.0.1', '-t', mode, '-max_socket', '400', '-nostdin'],
          ...['-r', '2000', '-l', '200', '-m', String(MESSAGES), '-timeout', '60s'],
          `127.0.0.1:${stage.ports[transport]}`,
        ],
        folder: temporaryFolder('sipp'),
      });
      const { code } = await sipp.exit();
      assert.equal(code, 0, sipp.output());
      assert.equal(stage.seen.length, MESSAGES);
      const calls = new Set(stage.seen.map(({ headers }) => headers.get('Call-ID')));
      assert.equal(calls.size, MESSAGES);
    });
  }
});
