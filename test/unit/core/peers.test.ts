import assert from 'node:assert/strict';
import test from 'node:test';
import { GatewayError } from '../../../src/core/errors.ts';
import { PeerTable, type PeerEvidence } from '../../../src/core/peers.ts';
import { Router } from '../../../src/core/router.ts';
import { aConfig, anAddress } from '../../support/builders.ts';

const peers = new PeerTable(aConfig());
const router = new Router(peers);

const MAY: ReadonlyArray<readonly [name: string, domain: string, evidence: PeerEvidence, may: boolean]> = [
  ['a SIP peer from its block', 'partner.example', { address: '198.51.100.7' }, true],
  ['a SIP peer from elsewhere', 'partner.example', { address: '192.0.2.7' }, false],
  [
    'a SIP peer by the name of its domain',
    'partner.example',
    { address: '192.0.2.7', peerNames: ['Partner.Example'] },
    true,
  ],
  [
    'a SIP peer by the name of its next hop',
    'partner.example',
    { address: '192.0.2.7', peerNames: ['gw.partner.example'] },
    true,
  ],
  ['a SIP peer by a wildcard', 'partner.example', { address: '192.0.2.7', peerNames: ['*.partner.example'] }, false],
  [
    'a SIP peer by the name of another',
    'partner.example',
    { address: '192.0.2.7', peerNames: ['evil.example'] },
    false,
  ],
  ['a trusted core', 'core.example', { address: '192.0.2.50' }, true],
  ['a trusted core, IPv4 in IPv6', 'core.example', { address: '::ffff:192.0.2.50' }, true],
  ['a trusted core over IPv6', 'core.example', { address: '2001:db8::1' }, true],
  [
    'somebody with a certificate for a domain of ours',
    'core.example',
    { address: '192.0.2.1', peerNames: ['core.example'] },
    false,
  ],
  ['anybody for a domain without a core', 'sip.example', { address: '192.0.2.50' }, false],
  [
    'anybody for a domain behind a link',
    'xmpp.example',
    { address: '198.51.100.7', peerNames: ['xmpp.example'] },
    false,
  ],
  ['anybody for a stranger', 'evil.example', { address: '198.51.100.7', peerNames: ['evil.example'] }, false],
  ['an address that is none', 'partner.example', { address: '/tmp/socket' }, false],
];
for (const [name, domain, evidence, may] of MAY) {
  test(`peers: ${name} ${may ? 'may' : 'may not'} act for ${domain}`, () => {
    assert.equal(peers.mayActFor(domain, evidence), may);
  });
}

const OVER: ReadonlyArray<readonly [string, string, boolean]> = [
  ['xmpp.example', 'office', true],
  ['xmpp.example', 'second', true],
  ['xmpp.example', 'sip', false],
  ['partner.example', 'sip', true],
  ['partner.example', 'office', false],
  ['evil.example', 'office', false],
  ['sip.example', 'office', false],
];
for (const [domain, link, is] of OVER) {
  test(`peers: ${domain} is ${is ? '' : 'not '}reached over ${link}`, () =>
    assert.equal(peers.isReachedOver(domain, link), is));
}

test('peers: own domains, links and peers are told apart', () => {
  assert.deepEqual(peers.own('core.example'), { name: 'core.example', hasTrustedCore: true });
  assert.equal(peers.own('xmpp.example'), undefined);
  assert.equal(peers.peer('sip.example'), undefined);
  assert.equal(peers.peer('partner.example')?.nextHop, 'sip:gw.partner.example;transport=tls');
  assert.equal(peers.links.get('office')?.name, 'sip.xmpp.example');
  assert.deepEqual(peers.ownDomains, ['sip.example', 'core.example']);
});

const LINK = (name: string): object => ({ kind: 'link', hop: `link:${name}`, link: name, domain: 'xmpp.example' });
const LOCAL = (userKey: string): object => ({ kind: 'local', hop: `user:${userKey}`, userKey });
const ROUTES: ReadonlyArray<readonly [from: string, to: string, route: object | string]> = [
  ['alice@sip.example', 'bob@sip.example', LOCAL('bob@sip.example')],
  ['alice@sip.example', 'Bob@core.example', LOCAL('bob@core.example')],
  ['alice@sip.example', 'juliet@xmpp.example', LINK('office')],
  ['carol@core.example', 'juliet@xmpp.example', LINK('second')],
  [
    'alice@sip.example',
    'dave@partner.example',
    {
      kind: 'sip',
      hop: 'sip:partner.example',
      domain: 'partner.example',
      nextHop: 'sip:gw.partner.example;transport=tls',
    },
  ],
  ['juliet@xmpp.example', 'alice@sip.example', LOCAL('alice@sip.example')],
  ['dave@partner.example', 'alice@sip.example', LOCAL('alice@sip.example')],
  ['xmpp.example', 'alice@sip.example', LOCAL('alice@sip.example')],
  ['alice@sip.example', 'xmpp.example', LINK('office')],
  ['alice@sip.example', 'sip.example', 'recipient-unknown'],
  ['alice@sip.example', 'x@evil.example', 'peer-unknown'],
  ['x@evil.example', 'alice@sip.example', 'sender-forbidden'],
  ['dave@partner.example', 'juliet@xmpp.example', 'sender-forbidden'],
  ['juliet@xmpp.example', 'dave@partner.example', 'sender-forbidden'],
  ['juliet@xmpp.example', 'romeo@xmpp.example', 'sender-forbidden'],
  ['juliet@xmpp.example', 'x@evil.example', 'peer-unknown'],
];
for (const [from, to, route] of ROUTES) {
  test(`router: ${from} -> ${to}: ${typeof route === 'string' ? route : 'found'}`, () => {
    const find = (): object => router.routeOf(anAddress(from), anAddress(to));
    if (typeof route !== 'string') assert.deepEqual(find(), route);
    else assert.throws(find, (thrown) => thrown instanceof GatewayError && thrown.code === route);
  });
}

test('router: a domain whose links stand for others only is no way for this source', () => {
  const table = new PeerTable({
    domains: [{ name: 'a.example', trust: [] }],
    links: {},
    peers: [{ domain: 'p.example', link: 'gone', trust: [] }],
  });
  assert.throws(
    () => new Router(table).routeOf(anAddress('x@a.example'), anAddress('y@p.example')),
    (thrown) => thrown instanceof GatewayError && thrown.code === 'peer-unknown',
  );
});

test('router: a domain over a link and over SIP goes over the link that stands for the source, else over SIP', () => {
  const table = new PeerTable(aConfig());
  const both = new PeerTable({
    domains: [
      { name: 'sip.example', trust: [] },
      { name: 'core.example', trust: [] },
    ],
    links: Object.fromEntries([...table.links].slice(0, 1)),
    peers: [
      { domain: 'p.example', link: 'sip', trust: [] },
      { domain: 'p.example', link: 'office', trust: [] },
    ],
  });
  const hopOf = (from: string): string => new Router(both).routeOf(anAddress(from), anAddress('y@p.example')).hop;
  assert.equal(hopOf('x@sip.example'), 'link:office');
  assert.equal(hopOf('x@core.example'), 'sip:p.example');
});
