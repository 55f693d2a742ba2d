import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../../../src/core/config.ts';
import { configOf } from '../../../support/whole-app.ts';

/** What the configuration says of browsers, proxies and edges. */
const D = 'domains: [sip.example]\n';
const UDP = "'udp://127.0.0.1:5060'";

function faultsOf(yaml: string): readonly string[] {
  try {
    configOf(yaml, '/etc/interpres');
    return [];
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError);
    return thrown.faults;
  }
}

const FAULTS: ReadonlyArray<readonly [name: string, yaml: string, fault: string]> = [
  [
    'a ws listener without origins',
    `${D}sip: { listen: [${UDP}, 'ws://127.0.0.1:8080'] }`,
    "2:41 sip.listen[1]: found a ws listener, expected sip.websocket.origins: the pages that may connect, ['https://chat.example'], or [] for programs alone",
  ],
  [
    'a wss listener without a certificate',
    `${D}sip: { listen: ['wss://127.0.0.1:443'], websocket: { origins: [] } }`,
    '2:17 sip.listen[0]: found a wss listener, expected a section sip.tls with certificate and key',
  ],
  [
    'an origin with a path',
    `${D}sip: { listen: ['ws://127.0.0.1:80'], websocket: { origins: ['https://chat.example/chat'] } }`,
    "sip.websocket.origins[0]: found 'https://chat.example/chat', expected an origin, https://chat.example, or *",
  ],
  [
    'a service route that is no loose route',
    `${D}sip: { listen: [${UDP}] }\nregistration: { serviceRoute: ['sip:edge.example'] }`,
    "registration.serviceRoute[0]: found 'sip:edge.example', expected a SIP URI without user part and with lr",
  ],
  [
    'an edge without a core',
    `domains: [{ name: sip.example, edge: true }]\nsip: { listen: [${UDP}] }`,
    '1:38 domains[0].edge: needs `nextHop`: the core whose phones come by way of this server',
  ],
];
for (const [name, yaml, fault] of FAULTS) {
  test(`config fault: ${name}`, () => {
    const faults = faultsOf(yaml);
    assert.ok(
      faults.some((found) => found.includes(fault)),
      faults.join('\n'),
    );
  });
}

test('config: browsers, proxies and an edge', () => {
  const config = configOf(
    `domains: [{ name: sip.example, nextHop: 'sip:192.0.2.7', trust: ['192.0.2.7'], edge: true }]
sip: { listen: ['ws://127.0.0.1:80'], websocket: { origins: ['https://chat.example:8443', '*'] } }
registration: { flowTimerSeconds: 120, serviceRoute: ['sip:edge.example;lr'], edges: ['192.0.2.0/24'] }`,
    '/etc/interpres',
  );
  assert.equal(config.domains[0]?.edge, true);
  assert.deepEqual(config.sip.listen, [{ transport: 'ws', address: '127.0.0.1', port: 80 }]);
  assert.deepEqual(config.sip.websocket, { origins: ['https://chat.example:8443', '*'] });
  const { flowTimerSeconds, serviceRoute, edges } = config.registration;
  assert.deepEqual([flowTimerSeconds, serviceRoute, edges], [120, ['sip:edge.example;lr'], ['192.0.2.0/24']]);
});
