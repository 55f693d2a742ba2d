import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, readConfig, type Config } from '../../../../src/core/config.ts';

const PEM = '-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n';
const read = (text: string): Config =>
  readConfig(text, {
    baseFolder: '/etc/interpres',
    env: {},
    readFile: () => PEM,
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

const SIP = `domains: [sip.example]
sip: { listen: ['udp://127.0.0.1:5060'], tls: { certificate: c, key: k } }
`;
const PLAIN = `domains: [sip.example]\nsip: { listen: ['udp://127.0.0.1:5060'] }\n`;
const LINKS = `links: { office: { type: xmpp-component, host: h, name: sip.example, secret: rig-5f1c } }\n`;
const peer = (rest: string): string => `peers: [{ domain: partner.example, ${rest} }]\n`;

const alias = (address: string, user: string): string =>
  `${PLAIN}aliases:\n  - { address: '${address}', user: ${user} }\n`;

/** Each is a part of one fault, in the order of the lines. */
const FAULTS: ReadonlyArray<readonly [name: string, text: string, faults: readonly string[]]> = [
  ['a least that is none', SIP + peer('link: sip, security: some'), ["peers[0].security: found 'some', expected one of"]],
  ['a least for a link', SIP + LINKS + peer('link: office, security: tls'), ['security: belongs to a peer with link: sip']],
  ['TLS without a certificate of ours', PLAIN + peer('link: sip, security: tls'), ['peers[0].security: found tls, expected a section sip.tls']],
  ['TLS over a next hop without it', SIP + peer("link: sip, security: tls, nextHop: 'sip:gw.example;transport=tcp'"), ["nextHop: found 'sip:gw.example;transport=tcp', expected TLS"]],
  ['addresses beside a certificate that decides', SIP + peer('link: sip, security: mutual-tls, trust: [192.0.2.7]'), ['peers[0].trust: counts for nothing']],
  ['signing without a certificate', SIP + peer('link: sip, identity: { sign: true }'), ['peers[0].identity.sign: needs sip.identity']],
  ['verifying without any certificate', SIP + peer('link: sip, identity: { verify: require }'), ['peers[0].identity.verify: needs sip.identity with `certificates` or `fetchFrom`']],
  ['a certificate without its place', PLAIN.replace("5060'] }", "5060'], identity: { certificate: c, key: k } }"), ['sip.identity: lacks info']],
  ['a place that is not https', PLAIN.replace("5060'] }", "5060'], identity: { certificate: c, key: k, info: 'http://a.example/c' } }"), ["sip.identity.info: found 'http://a.example/c', expected a URL that begins with https://"]],
  ['fetching without roots', PLAIN.replace("5060'] }", "5060'], identity: { fetchFrom: [a.example] } }"), ['sip.identity.fetchFrom: needs `ca`']],
  ['identity of a peer behind a link', PLAIN + LINKS + peer('link: office, identity: { sign: false }'), ['identity: belongs to a peer with link: sip']],
  ['numbers at a domain of others', `${PLAIN}enum: { domains: [sip.exmple], defaultDomain: other.example }\n`, ['enum.domains[0]: found sip.exmple, expected one of our domains (sip.example); did you mean sip.example?', 'enum.defaultDomain: found other.example']],
  ['a name server that is a name', `${PLAIN}enum: { servers: [dns.example] }\n`, ["enum.servers[0]: found 'dns.example'"]],
  ['an alias that is a word', alias('sales', 'alice@sip.example'), ["aliases[0].address: found 'sales', expected a number"]],
  ['an alias for a domain', alias('+15551234', 'sip.example'), ["aliases[0].user: found 'sip.example', expected the address"]],
  ['an alias in a domain of others', alias('x@other.example', 'alice@sip.example'), ['aliases[0].address: found other.example, expected one of our domains']],
  ['an alias of a stranger', alias('+15551234', 'x@other.example'), ['aliases[0].user: found other.example']],
  ['an alias of an alias', alias('a@sip.example', 'a@sip.example'), ['aliases[0].user: found a@sip.example, which is an alias itself']],
  ['an alias twice', `${alias('+15551234', 'a@sip.example')}  - { address: '+1-555-1234', user: b@sip.example }\n`, ['aliases[1].address: +1-555-1234 is named a second time']],
]; // prettier-ignore
for (const [name, text, wanted] of FAULTS) {
  test(`config of trust: ${name} is a fault`, () => {
    const faults = faultsOf(text);
    assert.equal(faults.length, wanted.length, faults.join('\n'));
    for (const [at, part] of wanted.entries()) assert.ok(faults[at]!.includes(part), faults[at]);
  });
}

const FITS: ReadonlyArray<readonly [name: string, text: string]> = [
  ['TLS by DNS', SIP + peer('link: sip, security: tls')],
  ['TLS from known addresses', SIP + peer("link: sip, security: tls, nextHop: 'sip:gw;transport=tls', trust: [192.0.2.7]")],
  ['a certificate over sips', SIP + peer("link: sip, security: mutual-tls, nextHop: 'sips:gw.partner.example'")],
  ['nothing asked for', PLAIN + peer('link: sip, security: none')],
]; // prettier-ignore
for (const [name, text] of FITS) {
  test(`config of trust: ${name} fits`, () => {
    assert.deepEqual(faultsOf(text), []);
  });
}

test('config of trust: numbers are looked up at all domains of ours, below e164.arpa, and asked of the servers of DNS', () => {
  const config = read(`domains: [a.example, b.example]
sip: { listen: ['udp://127.0.0.1:5060'] }
dns: { servers: ['192.0.2.53'] }
enum: {}
aliases:
  - { address: '+1-555-1234', user: alice@a.example }
  - { address: Sales@b.example, user: alice@a.example }
`);
  assert.deepEqual(config.enum, {
    zone: 'e164.arpa',
    servers: ['192.0.2.53'],
    domains: ['a.example', 'b.example'],
  });
  assert.equal(config.telDomain, 'a.example');
  assert.deepEqual(
    [...config.aliases],
    [
      ['+15551234@a.example', 'alice@a.example'],
      ['+15551234@b.example', 'alice@a.example'],
      ['sales@b.example', 'alice@a.example'],
    ],
  );
});
