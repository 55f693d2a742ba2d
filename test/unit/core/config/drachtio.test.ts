import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, readConfig, type Config } from '../../../../src/core/config.ts';

const PEM = '-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n';
const read = (text: string): Config =>
  readConfig(text, {
    baseFolder: '/etc/interpres',
    env: {},
    readFile: (path) => (path.endsWith('.secret') ? 'from a file 7\nnot this' : `${PEM}${path}`),
    resolvePath: (folder, path) => `${folder}/${path}`,
  });

function faultsOf(text: string): readonly string[] {
  try {
    read(text);
    return [];
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError);
    return thrown.faults;
  }
}

const sip = (keys: string, rest = ''): string => `domains: [sip.example]\nsip: { ${keys} }\n${rest}`;
const servers = (...entries: string[]): string => sip(`engine: drachtio, drachtio: [${entries.join(', ')}]`);
const ONE = '{ host: 192.0.2.10, secret: rig-5f1c }';
const peer = (rest: string): string =>
  sip(`engine: drachtio, drachtio: [${ONE}]`, `peers: [{ domain: p.example, link: sip, ${rest} }]\n`);

/** Each is a part of one fault, in the order of the lines. */
const FAULTS: ReadonlyArray<readonly [name: string, text: string, faults: readonly string[]]> = [
  ['no listener of the embedded engine', sip(''), ['sip.listen: is missing; expected a list']],
  ['drachtio servers for the embedded engine', sip(`listen: ['udp://127.0.0.1:1'], drachtio: [${ONE}]`), ['sip.drachtio: belongs to `engine: drachtio`']],
  ['an engine that is none', sip("engine: sofia, listen: ['udp://127.0.0.1:1']"), ["sip.engine: found 'sofia', expected one of embedded, drachtio"]],
  ['no drachtio servers', sip('engine: drachtio'), ['sip.drachtio: is missing']],
  ['a listener beside them', sip(`engine: drachtio, listen: ['udp://127.0.0.1:1'], drachtio: [${ONE}]`), ['sip.listen: has no effect']],
  ['a certificate beside them', sip(`engine: drachtio, tls: { certificate: c, key: k }, drachtio: [${ONE}]`), ['sip.tls: has no effect']],
  ['WebSockets beside them', sip(`engine: drachtio, websocket: { origins: [] }, drachtio: [${ONE}]`), ['sip.websocket: has no effect']],
  ['a server that is nowhere', servers('{ secret: rig-5f1c }'), ['sip.drachtio[0].host: is missing; expected `host` or `listen`']],
  ['one that is in two places', servers("{ host: h, listen: 'tcp://127.0.0.1:9', trust: [127.0.0.1], secret: rig-5f1c }"), ['found `host` and `listen`']],
  ['the same twice', servers(ONE, '{ host: 192.0.2.10, port: 9022, secret: rig-5f1c }'), ['[1].host: is named a second time']],
  ['no secret', servers('{ host: h }'), ['secret: is missing; expected `secret` or `secretFile`']],
  ['two secrets', servers('{ host: h, secret: rig-5f1c, secretFile: f.secret }'), ['found `secret` and `secretFile`']],
  ["drachtio's own secret", servers('{ host: h, secret: cymru }'), ['is a secret that manuals and examples use']],
  ['a secret that would end its field', servers("{ host: h, secret: 'a|b' }"), ['secret: found']],
  ['a port beside a listener', servers("{ listen: 'tcp://127.0.0.1:9', port: 9, trust: [127.0.0.1], secret: rig-5f1c }"), ['port: belongs to `host`']],
  ['a listener over UDP', servers("{ listen: 'udp://127.0.0.1:9', trust: [127.0.0.1], secret: rig-5f1c }"), ['listen: found']],
  ['a listener for everybody', servers("{ listen: 'tcp://127.0.0.1:9', secret: rig-5f1c }"), ['trust: is missing']],
  ['a listener for everybody who has an address', servers("{ listen: 'tcp://127.0.0.1:9', trust: ['0.0.0.0/0'], secret: rig-5f1c }"), ['which trusts everybody']],
  ['addresses beside a host', servers('{ host: h, trust: [192.0.2.1], secret: rig-5f1c }'), ['trust: belongs to `listen`']],
  ['a TLS listener without a certificate', servers("{ listen: 'tls://127.0.0.1:9', trust: [127.0.0.1], secret: rig-5f1c }"), ['found a tls listener, expected `tls`']],
  ['a certificate for a TCP listener', servers("{ listen: 'tcp://127.0.0.1:9', trust: [127.0.0.1], secret: rig-5f1c, tls: { certificate: c, key: k } }"), ['tls: belongs to `listen: tls://`']],
  ['a certificate of ours beside a host', servers('{ host: h, secret: rig-5f1c, tls: { certificate: c } }'), ['tls.certificate: belongs to `listen`']],
  ['roots beside a listener', servers("{ listen: 'tls://127.0.0.1:9', trust: [127.0.0.1], secret: rig-5f1c, tls: { certificate: c, key: k, ca: a } }"), ['tls.ca: belongs to `host`']],
  ['a time after which connections are closed', sip(`engine: drachtio, drachtio: [${ONE}]`, 'registration: { flowTimerSeconds: 120 }\n'), ['registration.flowTimerSeconds: has no effect']],
  ['a peer that a certificate proves', peer('security: mutual-tls'), ['peers[0].security: found mutual-tls']],
  ['a core that a certificate proves', `domains: [{ name: sip.example, nextHop: 'sip:core;transport=tls' }]\nsip: { engine: drachtio, drachtio: [${ONE}] }\n`, ['domains[0].nextHop: needs `trust`']],
]; // prettier-ignore
for (const [name, text, wanted] of FAULTS) {
  test(`config of drachtio: ${name} is a fault`, () => {
    const faults = faultsOf(text);
    assert.equal(faults.length, wanted.length, faults.join('\n'));
    for (const [at, part] of wanted.entries()) assert.ok(faults[at]!.includes(part), faults[at]);
  });
}

test('config of drachtio: servers to connect to, and those that connect', () => {
  const config = read(
    servers(
      ONE,
      '{ host: edge.example, port: 9023, secretFile: f.secret, tags: [a], tls: { ca: ca.pem, servername: x.example } }',
      "{ listen: 'tls://127.0.0.1:9024', trust: [192.0.2.0/24], secret: rig-5f1c, tls: { certificate: c, key: k } }",
    ),
  );
  const { engine, listen, drachtio } = config.sip;
  assert.deepEqual(
    { engine, listen, drachtio },
    {
      engine: 'drachtio',
      listen: [],
      drachtio: [
        { host: '192.0.2.10', port: 9022, secret: 'rig-5f1c', tags: [] },
        {
          host: 'edge.example',
          port: 9023,
          secret: 'from a file 7',
          tags: ['a'],
          tls: { ca: `${PEM}/etc/interpres/ca.pem`, servername: 'x.example' },
        },
        {
          listen: { transport: 'tls', address: '127.0.0.1', port: 9024 },
          trust: ['192.0.2.0/24'],
          secret: 'rig-5f1c',
          tags: [],
          tls: { certificate: `${PEM}/etc/interpres/c`, key: `${PEM}/etc/interpres/k` },
        },
      ],
    },
  );
  assert.deepEqual(faultsOf(peer("security: tls, nextHop: 'sip:gw;transport=tls', trust: [192.0.2.7]")), []);
});
