import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinNodes, shownAddresses } from '../../../src/app/nodes.ts';
import { readConfig } from '../../../src/core/config.ts';
import { systemClock } from '../../../src/system-clock.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const CONFIG = `
domains: [sip.example]
sip: { listen: ['udp://127.0.0.1:5060'] }
`;

function optionsOf(text: string): Parameters<typeof joinNodes>[0] {
  const config = readConfig(text, {
    baseFolder: '/',
    env: {},
    readFile: () => '',
    resolvePath: (folder, path) => `${folder}${path}`,
  });
  return {
    config,
    version: '1',
    controlSocket: '/nowhere',
    clock: systemClock,
    random: Math.random,
    log: new RecordingLog(),
  };
}

test('nodes: a server with a folder of its own is none, and asks nobody', async () => {
  assert.equal(await joinNodes(optionsOf(CONFIG)), undefined);
});

test('nodes: listeners are shown as the configuration writes them', () => {
  assert.deepEqual(
    shownAddresses([
      { transport: 'udp', address: '192.0.2.1', port: 5060 },
      { transport: 'tls', address: '2001:db8::1', port: 5061 },
    ]),
    ['udp://192.0.2.1:5060', 'tls://[2001:db8::1]:5061'],
  );
});
