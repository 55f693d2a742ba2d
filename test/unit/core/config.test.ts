import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { ConfigError, readConfig, type Config, type ConfigWorld } from '../../../src/core/config.ts';
import { editDistance, nearest } from '../../../src/core/config/faults.ts';
import { configReference, exampleConfig } from '../../../src/core/config/reference.ts';

const ISSUE_FILE = `domains:
  - sip.example
  - { name: core.example, trust: ['127.0.0.1'] }
data: ./data
sip:
  listen: ['udp://127.0.0.1:5060', 'tcp://127.0.0.1:5060', 'tls://127.0.0.1:5061']
  tls: { certificate: ./cert.pem, key: ./key.pem, ca: ./ca.pem }
links:
  office:
    type: xmpp-component
    host: 127.0.0.1
    port: 5347
    name: sip.xmpp.example
    domain: sip.example
    secret: a-secret-of-our-own
peers:
  - domain: xmpp.example
    link: office
  - domain: partner.example
    link: sip
    nextHop: 'sip:127.0.0.1:5070;transport=tcp'
    trust: ['127.0.0.1']
http: { listen: '127.0.0.1:8080' }
rateLimits: off
`;

const KEY = `${'A'.repeat(43)}=`;

const FILES: Readonly<Record<string, string>> = {
  '/etc/interpres/./cert.pem': '-----BEGIN CERTIFICATE-----\nc\n',
  '/etc/interpres/./key.pem': '-----BEGIN PRIVATE KEY-----\nk\n',
  '/etc/interpres/./ca.pem': '-----BEGIN CERTIFICATE-----\na\n',
  '/etc/interpres/good.secret': 'from-a-file-5c1\nsecond line\n',
  '/etc/interpres/bad.secret': 'Change-Me\n',
  '/etc/interpres/empty.secret': '',
  '/etc/interpres/http.token': 'from-a-file-01234567\nsecond line\n',
  '/etc/interpres/short.token': 'short\n',
  '/etc/interpres/known.token': 'a-long-random-text\n',
  '/etc/interpres/text.txt': 'no PEM',
  '/etc/interpres/./locked.pem': '-----BEGIN ENCRYPTED PRIVATE KEY-----\nk\n',
  '/etc/interpres/./account.key': `${KEY}\n`,
  '/etc/interpres/accounts.key': `${KEY}\n${KEY}\n`,
};

const WORLD: ConfigWorld = {
  baseFolder: '/etc/interpres',
  env: { COMPONENT_SECRET: 'from-the-env-77', PORT: '8081', LAZY: 'password', TOKEN: 'from-the-env-0123456' },
  readFile: (path) => {
    const text = FILES[path];
    if (text === undefined) throw Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT' });
    return text;
  },
  resolvePath: (folder, path) => (path.startsWith('/') ? path : `${folder}/${path}`),
};

const read = (text: string): Config => readConfig(text, WORLD);

function faultsOf(text: string): readonly string[] {
  try {
    read(text);
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    return thrown.faults;
  }
  return [];
}

test('config: the file of the manual is understood whole', () => {
  const config = read(ISSUE_FILE);
  assert.deepEqual(config.domains, [
    { name: 'sip.example', trust: [] },
    { name: 'core.example', trust: ['127.0.0.1'] },
  ]);
  assert.equal(config.data, '/etc/interpres/./data');
  assert.deepEqual(config.sip.listen[2], { transport: 'tls', address: '127.0.0.1', port: 5061 });
  assert.equal(config.sip.tls?.key, '-----BEGIN PRIVATE KEY-----\nk\n');
  assert.deepEqual(config.links['office'], {
    type: 'xmpp-component',
    host: '127.0.0.1',
    port: 5347,
    name: 'sip.xmpp.example',
    domain: 'sip.example',
    registration: false,
    secret: 'a-secret-of-our-own',
  });
  assert.deepEqual(config.peers, [
    { domain: 'xmpp.example', link: 'office', trust: [] },
    { domain: 'partner.example', link: 'sip', nextHop: 'sip:127.0.0.1:5070;transport=tcp', trust: ['127.0.0.1'] },
  ]);
  assert.deepEqual(config.http, { listen: { host: '127.0.0.1', port: 8080 } });
  assert.equal(config.rateLimits, 'off');
});

const MINIMAL = `domains: [sip.example]\nsip: { listen: ['udp://[::1]:5060'] }\n`;

test('config: certificate and key that do not fit each other are a fault of sip.tls', () => {
  const world = { ...WORLD, tlsFault: () => 'key values mismatch' };
  assert.throws(
    () => readConfig(ISSUE_FILE, world),
    (thrown) => thrown instanceof ConfigError && /sip\.tls: found files .*key values mismatch/.test(thrown.message),
  );
});

test('config: what is not said has its default', () => {
  const config = read(MINIMAL);
  assert.deepEqual(config.sip.listen, [{ transport: 'udp', address: '::1', port: 5060 }]);
  assert.equal(config.http, undefined);
  assert.equal(config.queue.lifetimeSeconds, 7 * 86_400);
  assert.deepEqual(config.queue.retry, { firstSeconds: 2, maxSeconds: 600 });
  assert.deepEqual(config.registration, {
    expires: { min: 60, default: 3_600, max: 86_400 },
    contactsMax: 10,
    serviceRoute: [],
    edges: [],
  });
  assert.notEqual(config.rateLimits, 'off');
  assert.equal(config.log.level, 'info');
  assert.deepEqual(config.links, {});
  assert.deepEqual(config.presence, {
    default: 'confirm',
    notifyIntervalSeconds: 5,
    expires: { min: 60, default: 3_600, max: 86_400 },
    composition: { registrations: 'fallback', staleAfterSeconds: 86_400 },
    limits: {
      publicationsPerUser: 10,
      documentBytes: 65_536,
      subscriptionsPerWatcher: 1_000,
      watchersPerUser: 50_000,
      pendingPerUser: 1_000,
      subscriptions: 1_000_000,
    },
    waitingDays: 30,
  });
});

test('config: presence as it is said', () => {
  const { presence } = read(
    `${MINIMAL}presence: { default: polite-block, notifyIntervalSeconds: 0, expires: { min: 1, default: 2, max: 3 }, composition: { registrations: never, staleAfterSeconds: 0 }, waitingDays: 1 }`,
  );
  assert.equal(presence.default, 'polite-block');
  assert.equal(presence.notifyIntervalSeconds, 0);
  assert.deepEqual(presence.expires, { min: 1, default: 2, max: 3 });
  assert.deepEqual(presence.composition, { registrations: 'never', staleAfterSeconds: 0 });
  assert.equal(presence.waitingDays, 1);
});

const CORES: ReadonlyArray<readonly [name: string, own: string, expected: object]> = [
  [
    'by its address',
    "{ name: Core.Example, trust: ['192.0.2.50'], nextHop: 'sip:192.0.2.50:5060;transport=tcp' }",
    { name: 'core.example', trust: ['192.0.2.50'], nextHop: 'sip:192.0.2.50:5060;transport=tcp' },
  ],
  [
    'by its certificate',
    "{ name: core.example, nextHop: 'sip:core.internal.example;transport=TLS' }",
    { name: 'core.example', trust: [], nextHop: 'sip:core.internal.example;transport=TLS' },
  ],
  [
    'by its certificate, as sips',
    "{ name: core.example, nextHop: 'sips:core.internal.example' }",
    { name: 'core.example', trust: [], nextHop: 'sips:core.internal.example' },
  ],
];
for (const [name, own, expected] of CORES) {
  test(`config: a domain behind a core that is known ${name}`, () => {
    assert.deepEqual(read(`domains: [${own}]\nsip: { listen: ['udp://[::1]:5060'] }`).domains, [expected]);
  });
}

const http = (rest: string): string => `${MINIMAL}http: { listen: '127.0.0.1:8080'${rest} }\n`;
const TOKENS: ReadonlyArray<readonly [name: string, text: string, token: string | undefined]> = [
  ['none', http(''), undefined],
  ['as it is', http(", token: 'abcXYZ0189-._~+/=='"), 'abcXYZ0189-._~+/=='],
  ['from the environment', http(", token: '${TOKEN}'"), 'from-the-env-0123456'],
  ['from the first line of a file', http(', tokenFile: http.token'), 'from-a-file-01234567'],
];
for (const [name, text, token] of TOKENS) {
  test(`config: a token for HTTP: ${name}`, () => {
    const expected = { listen: { host: '127.0.0.1', port: 8080 }, ...(token === undefined ? {} : { token }) };
    assert.deepEqual(read(text).http, expected);
  });
}

const link = (rest: string): string =>
  `${MINIMAL}links:\n  office: { type: xmpp-component, host: h, name: sip.example, ${rest} }\n`;
const SECRETS: ReadonlyArray<readonly [name: string, text: string, secret: string]> = [
  ['from the environment', link("secret: '${COMPONENT_SECRET}'"), 'from-the-env-77'],
  ['with the variable inside a text', link("secret: 'x-${COMPONENT_SECRET}-y'"), 'x-from-the-env-77-y'],
  ['with $${ for ${', link("secret: 'x$${COMPONENT_SECRET}'"), 'x${COMPONENT_SECRET}'],
  ['from the first line of a file', link('secretFile: good.secret'), 'from-a-file-5c1'],
];
for (const [name, text, secret] of SECRETS) {
  test(`config: a secret ${name}`, () => {
    const office = read(text).links['office'];
    assert.equal(office?.type === 'xmpp-component' && office.secret, secret);
  });
}

test('config: a link without domain stands for the domain of its name', () => {
  const office = read(link('secret: rig-5f1c')).links['office'];
  assert.equal(office?.type === 'xmpp-component' && office.domain, 'sip.example');
});

test('config: domains are known by their canonical form', () => {
  const config = read(`domains: [SIP.Example, bücher.example]\nsip: { listen: ['udp://127.0.0.1:0'] }`);
  assert.deepEqual(
    config.domains.map(({ name }) => name),
    ['sip.example', 'xn--bcher-kva.example'],
  );
});

const D = 'domains: [sip.example]\n';
const S = "sip: { listen: ['udp://127.0.0.1:5060'] }\n";
const L =
  'links:\n  office: { type: xmpp-component, host: h, name: x.example, domain: sip.example, secret: rig-5f1c }\n';

/** A file and the faults it must give; each is a part of one fault, in the order of the lines. */
const FAULTS: ReadonlyArray<readonly [name: string, text: string, faults: readonly string[]]> = [
  ['an empty file', '', ['1:1 domains: is missing', '1:1 sip: is missing']],
  [
    'accounts of a service that is a peer',
    `${D}${S}links: { public: { type: xmpp-account, domains: [chat.example, sip.example] } }\npeers: [{ domain: chat.example, link: sip }]\n`,
    ['links.public.domains[0]: chat.example is a peer', 'links.public.domains[1]: sip.example is one of our domains'],
  ],
  [
    'a peer over a link for accounts, a port without a host, a key of another kind of link',
    `${D}${S}links: { public: { type: xmpp-account, domains: [chat.example], port: 5222, secret: x } }\npeers: [{ domain: b.example, link: public }]\n`,
    ['links.public.port: needs `host`', 'links.public.secret: unknown key', 'public is for accounts that users link'],
  ],
  [
    'a key of the accounts that is none',
    `${D}${S}accounts: { key: 'too short for a key' }\n`,
    ['accounts.key: is no key; expected 32 bytes in base64'],
  ],
  [
    'accounts in Redis without a key that all nodes have',
    `${D}${S}store: { type: redis, url: 'redis://127.0.0.1' }\nlinks: { public: { type: xmpp-account, domains: [chat.example] } }\n`,
    ['links.public.type: needs accounts.key or accounts.keyFile beside `store`'],
  ],
  ['a text', 'hello', ["1:1 (file): found 'hello', expected a section with domains, data, store, node, sip"]],
  ['a list', '- a', ['1:1 (file): found a list']],
  ['no YAML', 'domains: [', ['1:11 (file): ']],
  ['a key given twice', `${D}${S}data: a\ndata: b`, ['4:1 (file): found the key data a second time']],
  ['a second document', `${D}${S}---\nx: 1\n`, ['3:1 (file): found a second document']],
  ['a tag', `domains: !!x [a.example]\n${S}`, ['1:10 (file): Unresolved tag']],
  [
    'aliases that blow up',
    'a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]',
    ['1:1 (file): Excessive alias count'],
  ],
  [
    'an unknown key',
    `${D}${S}datta: x`,
    [
      '3:1 datta: unknown key, expected one of domains, data, store, node, sip, links, peers, accounts, http, dns, enum, aliases, registration, presence, directory, commands, queue, limits, rateLimits, log; did you mean data?',
    ],
  ],
  [
    'an unknown key inside',
    `${D}sip:\n  lissen: []\n  listen: ['udp://127.0.0.1:1']`,
    [
      '3:3 sip.lissen: unknown key, expected one of engine, advertise, listen, identity, tls, websocket, drachtio; did you mean listen?',
    ],
  ],
  [
    'an unknown key in a list',
    `${D}${S}peers:\n  - domain: a.example\n    link: sip\n    nexthop: x`,
    [
      '6:5 peers[0].nexthop: unknown key, expected one of domain, link, nextHop, trust, security, identity; did you mean nextHop?',
    ],
  ],
  ['an unknown key like none', `${D}${S}log: { colour: red }`, ['3:8 log.colour: unknown key, expected one of level']],
  [
    'a node without a Redis',
    `${D}${S}node: a`,
    ['3:7 node: names a node, expected a section `store`: nodes share a Redis'],
  ],
  [
    'a node whose name no others could use',
    `${D}${S}store: { type: redis, url: 'redis://127.0.0.1:6379' }\nnode: 'a!b'`,
    ["4:7 node: found 'a!b', expected letters, digits, dots and hyphens, 63 at most"],
  ],
  ['a merge key', `${D}${S}log:\n  <<: {}`, ['4:3 log.<<: unknown key']],
  [
    'a wrong type',
    `${D}${S}${L.replace('host: h', "host: h, port: '5347'")}`,
    ["links.office.port: found '5347', expected a whole number from 1 to 65535"],
  ],
  [
    'a number out of range',
    `${D}${S}queue: { lifetimeSeconds: 5 }`,
    ['3:27 queue.lifetimeSeconds: found 5, expected a whole number from 60 to'],
  ],
  [
    'one of many',
    `${D}${S}log: { level: loud }`,
    ["3:15 log.level: found 'loud', expected one of error, warn, info, debug, trace"],
  ],
  ['nothing', `${D}${S}queue:\n`, ['queue: found nothing, expected a section with lifetimeSeconds']],
  [
    'neither off nor a section',
    `${D}${S}rateLimits: on`,
    ["rateLimits: found 'on', expected off or a section with perSenderPerSecond"],
  ],
  [
    'a wrong rate',
    `${D}${S}rateLimits: { burst: 0 }`,
    ['3:22 rateLimits.burst: found 0, expected a whole number from 1 to'],
  ],
  ['no domain', `domains: ['a b']\n${S}`, ["1:11 domains[0]: found 'a b', expected a domain name"]],
  [
    'a domain of another kind',
    `domains: [5]\n${S}`,
    ['1:11 domains[0]: found 5, expected a domain name or a section with name, trust'],
  ],
  [
    'a domain without a name',
    `domains: [{ trust: [] }]\n${S}`,
    ['1:11 domains[0].name: is missing; expected a domain name'],
  ],
  ['a domain twice', `domains: [a.example, A.example]\n${S}`, ['1:22 domains[1]: a.example is named a second time']],
  [
    'no listener',
    `${D}sip: { listen: [] }`,
    ['2:16 sip.listen: found an empty list, expected a list with at least 1 of: udp|tcp|tls|ws|wss://address:port'],
  ],
  [
    'a listener without transport',
    `${D}sip: { listen: ['127.0.0.1:5060'] }`,
    ["2:17 sip.listen[0]: found '127.0.0.1:5060', expected udp|tcp|tls|ws|wss://address:port"],
  ],
  ['a listener with a path', `${D}sip: { listen: ['udp://127.0.0.1:5060/x'] }`, ['sip.listen[0]: found']],
  ['a listener with a port too high', `${D}sip: { listen: ['udp://127.0.0.1:65536'] }`, ['sip.listen[0]: found']],
  [
    'a listener twice',
    `${D}sip: { listen: ['udp://127.0.0.1:1', 'udp://127.0.0.1:1'] }`,
    ['2:38 sip.listen[1]: is listened for already'],
  ],
  [
    'tls without a certificate',
    `${D}sip: { listen: ['tls://127.0.0.1:1'] }`,
    ['2:17 sip.listen[0]: found a tls listener, expected a section sip.tls'],
  ],
  [
    'a certificate that is not there',
    `${D}sip: { listen: ['tls://127.0.0.1:1'], tls: { certificate: ./no.pem, key: text.txt } }`,
    ['sip.tls.certificate: found a file that cannot be read (ENOENT', 'sip.tls.key: found a file without -----BEGIN'],
  ],
  [
    'a link that stands for nobody',
    `${D}${S}${L.replace('domain: sip.example', 'domain: sip.exampel')}`,
    [
      'links.office.domain: found sip.exampel, expected the link to stand for one of our domains (sip.example); did you mean sip.example?',
    ],
  ],
  [
    'a link whose name stands for nobody',
    `${D}${S}${L.replace('domain: sip.example, ', '')}`,
    [
      'links.office.name: found x.example, expected the link to stand for one of our domains (sip.example): say which with `domain`',
    ],
  ],
  ['a link called sip', `${D}${S}${L.replace('office', 'sip')}`, ["4:3 links.sip: found the name 'sip'"]],
  [
    'a link of an unknown type',
    `${D}${S}${L.replace('xmpp-component', 'xmpp')}`,
    ["links.office.type: found 'xmpp', expected one of xmpp-component, xmpp-account"],
  ],
  [
    'two links that are one',
    `${D}${S}${L}${L.replace('links:\n', '').replace('office', 'other')}`,
    ['5:49 links.other.name: x.example at the same server'],
  ],
  [
    'no secret',
    `${D}${S}${L.replace(', secret: rig-5f1c', '')}`,
    ['4:3 links.office.secret: is missing; expected `secret` or `secretFile`'],
  ],
  [
    'two secrets',
    `${D}${S}${L.replace('secret:', 'secretFile: good.secret, secret:')}`,
    ['links.office.secret: found `secret` and `secretFile`'],
  ],
  [
    'a secret file that is not there',
    `${D}${S}${L.replace('secret: rig-5f1c', 'secretFile: no.secret')}`,
    ['links.office.secretFile: found a file that cannot be read'],
  ],
  [
    'a secret file with a known secret',
    `${D}${S}${L.replace('secret: rig-5f1c', 'secretFile: bad.secret')}`,
    ['links.office.secretFile: is a secret that manuals'],
  ],
  [
    'an empty secret file',
    `${D}${S}${L.replace('secret: rig-5f1c', 'secretFile: empty.secret')}`,
    ['links.office.secretFile: is empty'],
  ],
  [
    'a variable that is not set',
    `${D}${S}http: { listen: '127.0.0.1:\${NO}' }`,
    ['3:17 http.listen: found ${NO}, expected the environment variable NO to be set'],
  ],
  [
    'a known secret from the environment',
    `${D}${S}${L.replace('rig-5f1c', "'${LAZY}'")}`,
    ['links.office.secret: is a secret that manuals'],
  ],
  [
    'a peer without a link of that name',
    `${D}${S}${L}peers: [{ domain: b.example, link: offise }]`,
    ["5:36 peers[0].link: found 'offise', expected one of sip, office; did you mean office?"],
  ],
  [
    'a peer that is ourselves',
    `${D}${S}peers: [{ domain: sip.example, link: sip }]`,
    ['peers[0].domain: sip.example is one of our domains'],
  ],
  [
    'a peer twice over one link',
    `${D}${S}${L}peers:\n  - { domain: b.example, link: office }\n  - { domain: b.example, link: office }`,
    ['7:5 peers[1]: b.example is named a second time for a link that stands for sip.example'],
  ],
  [
    'a SIP peer twice',
    `${D}${S}peers:\n  - { domain: b.example, link: sip }\n  - { domain: b.example, link: sip }`,
    ['5:5 peers[1]: b.example is named a second time for link: sip'],
  ],
  [
    'federation: a peer that needs a certificate, and a link that has none',
    `${D}${S}links: { fed: { type: xmpp-s2s, listen: ['tcp://127.0.0.1:5269'] } }\npeers: [{ domain: b.example, link: fed }]`,
    ['peers[0].link: asks for TLS (`security: certificate`), expected `certificate` and `key` at its link'],
  ],
  [
    'federation: what a SIP peer is asked for',
    `${D}${S}links: { fed: { type: xmpp-s2s, listen: ['tcp://127.0.0.1:5269'] } }\npeers: [{ domain: b.example, link: fed, security: mutual-tls, nextHop: 'sip:h' }]`,
    [
      'peers[0].security: found mutual-tls, expected one of certificate, dialback-over-tls, dialback for a peer over XMPP',
      "peers[0].nextHop: found 'sip:h', expected tcp://host:port or tls://host:port",
    ],
  ],
  [
    'federation: a SIP peer with what is asked between XMPP servers',
    `${D}${S}peers: [{ domain: b.example, link: sip, security: dialback, nextHop: 'tcp://h:5269' }]`,
    [
      'peers[0].security: found dialback, expected one of none, tls, mutual-tls for a SIP peer',
      "peers[0].nextHop: found 'tcp://h:5269', expected a SIP URI",
    ],
  ],
  [
    'federation: a listener for TLS without a certificate, and a key alone',
    `${D}${S}links: { fed: { type: xmpp-s2s, listen: ['tls://127.0.0.1:5270'], key: k } }`,
    ['links.fed.certificate: is missing; expected both', 'links.fed.listen[0]: found a tls listener, expected'],
  ],
  [
    'federation: a listener over UDP',
    `${D}${S}links: { fed: { type: xmpp-s2s, listen: ['udp://127.0.0.1:5269'] } }`,
    ["links.fed.listen[0]: found 'udp://127.0.0.1:5269', expected tcp|tls://address:port"],
  ],
  [
    'federation: two ways that stand for all our domains',
    `${D}${S}links: { fed: { type: xmpp-s2s, listen: ['tcp://127.0.0.1:5269'] } }\npeers:\n  - { domain: b.example, link: fed, security: dialback }\n  - { domain: b.example, link: sip }`,
    ['b.example is named a second time for link: sip'],
  ],
  [
    'federation: certificate and key that were mixed up, and roots that are none',
    `${D}${S}links: { fed: { type: xmpp-s2s, listen: ['tcp://127.0.0.1:5269'], certificate: ./key.pem, key: ./cert.pem, ca: ./key.pem } }`,
    [
      'links.fed.certificate: found a file with private key in it, expected a certificate',
      'links.fed.key: found a file with certificate in it, expected a private key',
      'links.fed.ca: found a file with private key in it, expected a certificate',
    ],
  ],
  [
    'federation: a key that nobody can open',
    `${D}${S}links: { fed: { type: xmpp-s2s, listen: ['tcp://127.0.0.1:5269'], certificate: ./cert.pem, key: ./locked.pem } }`,
    ['links.fed.key: found a key that is locked with a passphrase, expected one without (openssl pkey'],
  ],
  [
    'ports that several parts would listen for',
    `domains: [sip.example]\nsip: { listen: ['udp://0.0.0.0:5269', 'tcp://0.0.0.0:5060', 'ws://127.0.0.1:5060'], websocket: { origins: [] } }\nlinks: { fed: { type: xmpp-s2s, listen: ['tcp://0.0.0.0:5269', 'tcp://[::1]:8080'] } }\nhttp: { listen: '[::]:8080' }`,
    [
      '2:61 sip.listen[2]: found port 5060, which sip.listen[1] listens for already, expected another',
      '4:17 http.listen: found port 8080, which links.fed.listen[1] listens for already, expected another',
    ],
  ],
  [
    'a link of a type that is none: nothing else is asked of it',
    `${D}${S}links: { fed: { type: xmpp-server, listen: ['tcp://127.0.0.1:5269'] } }`,
    ["links.fed.type: found 'xmpp-server', expected one of xmpp-component, xmpp-account, xmpp-s2s"],
  ],
  [
    'a next hop over a link',
    `${D}${S}${L}peers: [{ domain: b.example, link: office, nextHop: 'sip:h' }]`,
    ['peers[0].nextHop: belongs to a peer with link: sip'],
  ],
  [
    'a next hop that is no SIP URI',
    `${D}${S}peers: [{ domain: b.example, link: sip, nextHop: 'http://h' }]`,
    ["peers[0].nextHop: found 'http://h', expected a SIP URI"],
  ],
  [
    'a next hop with a user',
    `${D}${S}peers: [{ domain: b.example, link: sip, nextHop: 'sip:a@h' }]`,
    ['peers[0].nextHop: found'],
  ],
  [
    'a next hop with an unknown transport',
    `${D}${S}peers: [{ domain: b.example, link: sip, nextHop: 'sip:h;transport=ws' }]`,
    ['peers[0].nextHop: found'],
  ],
  [
    'trust in no address',
    `${D}${S}peers: [{ domain: b.example, link: sip, trust: [gw.example] }]`,
    ["peers[0].trust[0]: found 'gw.example', expected an IP address or a block"],
  ],
  [
    'trust in everybody',
    `domains: [{ name: a.example, trust: ['0.0.0.0/0', '::/0'] }]\n${S}`,
    ['domains[0].trust[0]: ', 'domains[0].trust[1]: '],
  ],
  ['a DNS server that is a name', `${D}${S}dns: { servers: ['dns.example'] }`, ['dns.servers[0]: found']],
  [
    'limits that cross',
    `${D}${S}registration: { expires: { min: 7200 } }`,
    ['registration.expires.min: found min 7200 and default 3600'],
  ],
  [
    'retries that cross',
    `${D}${S}queue: { retry: { maxSeconds: 1 } }`,
    ['queue.retry.maxSeconds: found firstSeconds 2 and maxSeconds 1'],
  ],
  [
    'messages larger than any stanza',
    `${D}${S}limits: { messageBytes: 300000 }`,
    ['limits.messageBytes: found messageBytes 300000 and stanzaBytes 262144'],
  ],
  [
    'a core that nobody knows',
    `domains: [{ name: a.example, nextHop: 'sip:192.0.2.50' }]\n${S}`,
    ['1:39 domains[0].nextHop: needs `trust` with the addresses of that core, or TLS'],
  ],
  [
    'a core that is no next hop',
    `domains: [{ name: a.example, trust: [192.0.2.50], nextHop: 'sip:a@192.0.2.50' }]\n${S}`,
    ["domains[0].nextHop: found 'sip:a@192.0.2.50', expected a SIP URI"],
  ],
  [
    'a short token',
    `${D}${S}http: { listen: '127.0.0.1:1', token: fifteen-letters }`,
    ['3:39 http.token: found a text, expected a token of at least 16 characters'],
  ],
  [
    'a token that no header can carry',
    `${D}${S}http: { listen: '127.0.0.1:1', token: 'sixteen letters and spaces' }`,
    ['http.token: found a text, expected a token'],
  ],
  [
    'a token of a manual',
    `${D}${S}http: { listen: '127.0.0.1:1', token: a-long-random-text }`,
    ['http.token: is a secret that manuals'],
  ],
  [
    'two tokens',
    `${D}${S}http: { listen: '127.0.0.1:1', token: rig-5f1c-0123456789, tokenFile: http.token }`,
    ['http.token: found `token` and `tokenFile`, expected one of them'],
  ],
  [
    'a short token in a file',
    `${D}${S}http: { listen: '127.0.0.1:1', tokenFile: short.token }`,
    ['http.tokenFile: found a file without a token in its first line, expected a token of at least 16 characters'],
  ],
  [
    'a token in a file that manuals use',
    `${D}${S}http: { listen: '127.0.0.1:1', tokenFile: known.token }`,
    ['http.tokenFile: is a secret that manuals'],
  ],
  [
    'a token file that is not there',
    `${D}${S}http: { listen: '127.0.0.1:1', tokenFile: no.token }`,
    ['http.tokenFile: found a file that cannot be read'],
  ],
  [
    'a policy that is none',
    `${D}${S}presence: { default: ask }`,
    ["3:22 presence.default: found 'ask', expected one of confirm, allow, block, polite-block"],
  ],
  [
    'a pause that is too long',
    `${D}${S}presence: { notifyIntervalSeconds: 3601 }`,
    ['presence.notifyIntervalSeconds: found 3601, expected a whole number from 0 to 3600'],
  ],
  [
    'subscriptions whose lengths cross',
    `${D}${S}presence: { expires: { default: 100000 } }`,
    ['presence.expires.default: found default 100000 and max 86400'],
  ],
  [
    'subscriptions shorter than the shortest',
    `${D}${S}presence: { expires: { min: 4000 } }`,
    ['presence.expires.min: found min 4000 and default 3600'],
  ],
  [
    'a document of no size',
    `${D}${S}presence: { limits: { documentBytes: 100 } }`,
    ['presence.limits.documentBytes: found 100, expected a whole number from 4096'],
  ],
  [
    'a Redis that is none',
    `${D}${S}store: { type: redis, url: 'localhost' }`,
    ['store.url: found a text, expected a URL of Redis'],
  ],
  [
    'a queue in Redis, as in earlier versions',
    `${D}${S}queue: { redis: 'redis://127.0.0.1:6379/0' }`,
    ['queue.redis: moved to `store`: write store: { type: redis, url: ... }'],
  ],
  ['a store that is nowhere', `${D}${S}store: { type: redis }`, ['store.url: is missing; expected `url`, `sentinels`']],
  [
    'a store in two places',
    `${D}${S}store: { type: redis, url: 'redis://127.0.0.1', cluster: ['redis://127.0.0.1:7000'] }`,
    ['store.cluster: found `url` and `cluster`, expected one of them'],
  ],
  [
    'Sentinels that are not told for which master',
    `${D}${S}store: { type: redis, sentinels: ['redis://127.0.0.1:26379'] }`,
    ['store.sentinelName: is missing'],
  ],
  [
    'keys of a store that mean nothing where they are',
    `${D}${S}store: { type: redis, url: 'redis://u:p@127.0.0.1/1', sentinelName: m, database: 2, password: x, ca: ./ca.pem }`,
    [
      'store.sentinelName: belongs to `sentinels`',
      'store.database: belongs to `sentinels`',
      'store.password: is given, and the URL has a password too',
      'store.ca: needs TLS',
    ],
  ],
  [
    'a database of a Cluster',
    `${D}${S}store: { type: redis, cluster: ['redis://127.0.0.1:7000'], database: 3 }`,
    ['store.database: belongs to `sentinels`: a Cluster has no database but 0'],
  ],
  [
    'a database beside a URL',
    `${D}${S}store: { type: redis, url: 'redis://127.0.0.1', database: 3 }`,
    ['store.database: belongs to `sentinels`: with `url` it is at its end, redis://host:port/database'],
  ],
  [
    'no node of a Cluster',
    `${D}${S}store: { type: redis, cluster: [] }`,
    ['store.cluster: found an empty list, expected a list with at least 1 of: redis://host:port'],
  ],
  [
    'keys of the accounts that are none',
    `${D}${S}accounts: { keyFile: text.txt }`,
    ['accounts.keyFile: found a file without keys, expected 32 bytes in base64 on each line (openssl rand -base64 32)'],
  ],
  [
    'keys of the accounts that are not there, of nodes that do not make them',
    `${D}${S}store: { type: redis, url: 'redis://127.0.0.1' }\naccounts: { keyFile: no.key }`,
    [
      'accounts.keyFile: found a file that cannot be read (ENOENT: no such file), expected a readable one: make one (openssl rand -base64 32), the same for every node',
    ],
  ],
  [
    'an address for commands that is one',
    `${D}${S}commands: { user: 'a@b' }`,
    ["commands.user: found 'a@b', expected the part of an address before the @"],
  ],
  [
    'a password among the servers, which would be logged',
    `${D}${S}store: { type: redis, cluster: ['redis://:hidden@127.0.0.1:7000'] }`,
    ["store.cluster[0]: found 'redis://...@127.0.0.1:7000', expected redis://host:port"],
  ],
];
for (const [name, text, expected] of FAULTS) {
  test(`config fault: ${name}`, () => {
    const faults = faultsOf(text);
    assert.equal(faults.length, expected.length, faults.join('\n'));
    for (const part of expected)
      assert.ok(
        faults.some((fault) => fault.includes(part)),
        `${part}\nis not in\n${faults.join('\n')}`,
      );
  });
}

for (const secret of ['change-me', 'Change Me', 'changeme', 'secret', 'password', 'a long random text', '12345678']) {
  test(`config: the known secret "${secret}" does not work and is not repeated`, () => {
    const faults = faultsOf(`${D}${S}${L.replace('rig-5f1c', JSON.stringify(secret))}`);
    assert.equal(faults.length, 1);
    assert.match(faults[0] ?? '', /links\.office\.secret: is a secret that manuals and examples use/);
  });
}

test('config: all faults of a file come at once, in the order of its lines', () => {
  const faults = faultsOf(
    `domains: [sip.example, 5]\nsipp: {}\nsip:\n  listen: ['udp:/1']\n${L}peers:\n  - { domain: b.example, link: offise }\nlog: { level: x }\n`,
  );
  assert.deepEqual(
    faults.map((fault) => fault.split(' ', 2).join(' ')),
    ['1:24 domains[1]:', '2:1 sipp:', '4:12 sip.listen[0]:', '8:32 peers[0].link:', '9:15 log.level:'],
  );
});

test('config: no fault shows a secret', () => {
  const faults = faultsOf(
    `${D}${S}links:\n  office: { type: xmpp-component, host: 7, name: sip.example, secret: 'topsecret-91' }`,
  );
  assert.equal(faults.length, 1);
  assert.doesNotMatch(faults.join(), /topsecret/);
  assert.doesNotMatch(faultsOf(`${D}${S}http: { listen: '\${COMPONENT_SECRET}' }`).join(), /from-the-env/);
  assert.doesNotMatch(faultsOf(`${D}${S}http: { listen: ':1', token: topsecret-91 }`).join(), /topsecret/);
  assert.doesNotMatch(faultsOf(`${D}${S}http: { listen: '[::1]:1', tokenFile: short.token }`).join(), /: short/);
});

test('config: keys of the accounts may be there, or be made at first use', () => {
  for (const keyFile of ['accounts.key', 'no.key']) {
    assert.equal(read(`${MINIMAL}accounts: { keyFile: ${keyFile} }`).accounts.keyFile, `/etc/interpres/${keyFile}`);
  }
});

test('config: the example starts as it is', () => {
  const config = read(exampleConfig());
  assert.deepEqual(config.links, {});
  assert.ok(config.sip.listen.every(({ address }) => address === '127.0.0.1'));
});

test('config: the example is still in order when every comment is taken', () => {
  const all = exampleConfig()
    .split('\n')
    .map((line) => (/^# \S/.test(line) ? line : line.replace(/^#/, '')))
    .join('\n')
    .replace('${INTERPRES_SECRET}', 'rig-5f1c');
  const config = read(all);
  assert.equal(config.peers[0]?.link, 'office');
  assert.equal(config.queue.limits.total, 500_000);
});

const GENERATED: ReadonlyArray<readonly [file: string, text: () => string]> = [
  ['config/example.yaml', exampleConfig],
  ['docs/config.md', configReference],
];
for (const [file, text] of GENERATED) {
  test(`config: ${file} is what the schema says (node --import tsx scripts/write-config-docs.ts)`, () => {
    assert.equal(readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8'), text());
  });
}

const DISTANCES: ReadonlyArray<readonly [string, string, number]> = [
  ['', '', 0],
  ['kitten', 'sitting', 3],
  ['listen', 'listen', 0],
  ['', 'abc', 3],
  ['nextHop', 'nexthop', 1],
  ['tsl', 'tls', 1],
  ['ca', 'abc', 3],
];
for (const [a, b, distance] of DISTANCES) {
  test(`config: from "${a}" to "${b}" it is ${distance} letters`, () => assert.equal(editDistance(a, b), distance));
}

test('config: a key is proposed only when it is near', () => {
  assert.equal(nearest('lisen', ['listen', 'tls']), 'listen');
  assert.equal(nearest('colour', ['level']), undefined);
  assert.equal(nearest('x', []), undefined);
});
