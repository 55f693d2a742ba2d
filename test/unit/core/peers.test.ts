import assert from 'node:assert/strict';
import test from 'node:test';
import type { SipSecurity } from '../../../src/core/config/trust.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import { PeerTable, type PeerEvidence } from '../../../src/core/peers.ts';
import { Router } from '../../../src/core/router.ts';
import { aConfig, anAddress } from '../../support/builders.ts';

const peers = new PeerTable(aConfig());
const nobodyHere = (): boolean => false;
const router = new Router(peers, nobodyHere);

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
  const office = peers.links.get('office');
  assert.equal(office?.type === 'xmpp-component' && office.name, 'sip.xmpp.example');
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

test('whoever may speak for a domain is found with it, and nobody else', () => {
  const table = new PeerTable(aConfig());
  assert.equal(table.domainActedFor({ address: '192.0.2.50' }), 'core.example');
  assert.equal(table.domainActedFor({ address: '198.51.100.7' }), 'partner.example');
  assert.equal(table.domainActedFor({ address: '203.0.113.1', peerNames: ['gw.partner.example'] }), 'partner.example');
  assert.equal(table.domainActedFor({ address: '203.0.113.1' }), undefined);
  assert.equal(table.domainActedFor({ address: 'nowhere', peerNames: ['xmpp.example'] }), undefined);
});

test('router: a domain whose links stand for others only is no way for this source', () => {
  const table = new PeerTable({
    domains: [{ name: 'a.example', trust: [] }],
    links: {},
    peers: [{ domain: 'p.example', link: 'gone', trust: [] }],
  });
  assert.throws(
    () => new Router(table, nobodyHere).routeOf(anAddress('x@a.example'), anAddress('y@p.example')),
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
  const hopOf = (from: string): string =>
    new Router(both, nobodyHere).routeOf(anAddress(from), anAddress('y@p.example')).hop;
  assert.equal(hopOf('x@sip.example'), 'link:office');
  assert.equal(hopOf('x@core.example'), 'sip:p.example');
});

/** A domain of ours behind a core; alice is known here. */
const withCore = new PeerTable({
  domains: [
    { name: 'sip.example', trust: [] },
    { name: 'core.example', trust: ['192.0.2.50'], nextHop: 'sip:core.internal.example:5060;transport=tcp' },
    { name: 'tls.example', trust: [], nextHop: 'sips:edge.example' },
  ],
  links: Object.fromEntries([...peers.links].slice(0, 1)),
  peers: [
    { domain: 'xmpp.example', link: 'office', trust: [] },
    { domain: 'partner.example', link: 'sip', nextHop: 'sip:gw.partner.example', trust: [] },
    { domain: 'far.example', link: 'sip', trust: [] },
  ],
});
const asked: string[] = [];
const coreRouter = new Router(withCore, (userKey) => {
  asked.push(userKey);
  return userKey.startsWith('alice@');
});
const CORE_HOP = 'sip:core.internal.example:5060;transport=tcp';

test('peers: a domain behind a core has its next hop, and its users may be known to the core alone', () => {
  assert.deepEqual(withCore.own('core.example'), { name: 'core.example', hasTrustedCore: true, nextHop: CORE_HOP });
  assert.equal(withCore.own('tls.example')?.hasTrustedCore, true);
});

const CORE_MAY: ReadonlyArray<readonly [name: string, domain: string, evidence: PeerEvidence, may: boolean]> = [
  ['a core by its address', 'core.example', { address: '192.0.2.50' }, true],
  ['a core by the name of its domain', 'core.example', { address: '192.0.2.1', peerNames: ['core.example'] }, true],
  ['a core by its own name', 'core.example', { address: '192.0.2.1', peerNames: ['Core.Internal.example'] }, true],
  ['a core by its own name alone', 'tls.example', { address: '192.0.2.1', peerNames: ['edge.example'] }, true],
  ['the core of another domain', 'tls.example', { address: '192.0.2.50' }, false],
  ['a core by the name of another', 'core.example', { address: '192.0.2.1', peerNames: ['edge.example'] }, false],
  ['a core for a domain without one', 'sip.example', { address: '192.0.2.50', peerNames: ['sip.example'] }, false],
];
for (const [name, domain, evidence, may] of CORE_MAY) {
  test(`peers: ${name} ${may ? 'may' : 'may not'} act for ${domain}, which has a next hop or none`, () => {
    assert.equal(withCore.mayActFor(domain, evidence), may);
  });
}

const TO_CORE = { kind: 'sip', hop: 'sip:core.example', domain: 'core.example', nextHop: CORE_HOP };
const CORE_ROUTES: ReadonlyArray<readonly [from: string, to: string, route: object | string]> = [
  ['bob@sip.example', 'carol@core.example', TO_CORE],
  ['juliet@xmpp.example', 'carol@core.example', TO_CORE],
  ['dave@partner.example', 'carol@core.example', TO_CORE],
  ['bob@sip.example', 'Alice@core.example', LOCAL('alice@core.example')],
  ['bob@sip.example', 'carol@sip.example', LOCAL('carol@sip.example')],
  ['carol@core.example', 'juliet@xmpp.example', 'peer-unknown'],
  ['x@evil.example', 'carol@core.example', 'sender-forbidden'],
  ['bob@sip.example', 'core.example', 'recipient-unknown'],
];
for (const [from, to, route] of CORE_ROUTES) {
  test(`router, a domain behind a core: ${from} -> ${to}: ${typeof route === 'string' ? route : 'found'}`, () => {
    const find = (): object => coreRouter.routeOf(anAddress(from), anAddress(to));
    if (typeof route !== 'string') assert.deepEqual(find(), route);
    else assert.throws(find, (thrown) => thrown instanceof GatewayError && thrown.code === route);
  });
}

const PRESENCE: ReadonlyArray<readonly [watcher: string, presentity: string, route: object | string]> = [
  ['bob@sip.example', 'carol@sip.example', { kind: 'local' }],
  ['juliet@xmpp.example', 'carol@sip.example', { kind: 'local' }],
  ['dave@partner.example', 'carol@sip.example', { kind: 'local' }],
  ['bob@sip.example', 'alice@core.example', { kind: 'local' }],
  ['bob@sip.example', 'carol@core.example', { kind: 'sip', domain: 'core.example', nextHop: CORE_HOP }],
  ['juliet@xmpp.example', 'carol@core.example', { kind: 'sip', domain: 'core.example', nextHop: CORE_HOP }],
  ['bob@sip.example', 'juliet@xmpp.example', { kind: 'link', link: 'office' }],
  [
    'bob@sip.example',
    'd@partner.example',
    { kind: 'sip', domain: 'partner.example', nextHop: 'sip:gw.partner.example' },
  ],
  ['bob@sip.example', 'd@far.example', { kind: 'sip', domain: 'far.example' }],
  ['anonymous@anonymous.invalid', 'carol@sip.example', { kind: 'local' }],
  ['anonymous@anonymous.invalid', 'juliet@xmpp.example', 'sender-forbidden'],
  ['juliet@xmpp.example', 'd@partner.example', 'sender-forbidden'],
  ['d@partner.example', 'juliet@xmpp.example', 'sender-forbidden'],
  ['x@evil.example', 'carol@sip.example', 'sender-forbidden'],
  ['bob@sip.example', 'x@evil.example', 'peer-unknown'],
  ['bob@sip.example', 'sip.example', 'recipient-unknown'],
  ['carol@core.example', 'juliet@xmpp.example', 'peer-unknown'],
];
for (const [watcher, presentity, route] of PRESENCE) {
  test(`router, presence: ${watcher} watches ${presentity}: ${typeof route === 'string' ? route : JSON.stringify(route)}`, () => {
    const find = (): object => coreRouter.presenceRouteOf(anAddress(watcher), anAddress(presentity));
    if (typeof route !== 'string') assert.deepEqual(find(), route);
    else assert.throws(find, (thrown) => thrown instanceof GatewayError && thrown.code === route);
  });
}

test('router: who is known here is asked for users of a domain behind a core only', () => {
  asked.length = 0;
  coreRouter.routeOf(anAddress('bob@sip.example'), anAddress('carol@sip.example'));
  coreRouter.presenceRouteOf(anAddress('bob@sip.example'), anAddress('juliet@xmpp.example'));
  assert.deepEqual(asked, []);
  coreRouter.routeOf(anAddress('bob@sip.example'), anAddress('Carol@core.example'));
  assert.deepEqual(asked, ['carol@core.example']);
});

const secured = (security: string, trust = ''): PeerTable =>
  new PeerTable({
    domains: [],
    links: {},
    peers: [
      { domain: 'partner.example', link: 'sip', trust: trust === '' ? [] : [trust], security: security as SipSecurity },
    ],
  });
const ADDRESS = '192.0.2.7';
const LEAST: ReadonlyArray<readonly [security: string, what: string, evidence: PeerEvidence, may: boolean]> = [
  ['none', 'an address', { address: ADDRESS }, true],
  ['tls', 'an address', { address: ADDRESS }, false],
  ['tls', 'an address over TLS', { address: ADDRESS, isTls: true }, true],
  ['tls', 'a certificate', { address: '192.0.2.9', isTls: true, peerNames: ['partner.example'] }, true],
  ['mutual-tls', 'an address over TLS', { address: ADDRESS, isTls: true }, false],
  ['mutual-tls', 'a certificate', { address: '192.0.2.9', isTls: true, peerNames: ['partner.example'] }, true],
  ['mutual-tls', 'a certificate of another', { address: ADDRESS, isTls: true, peerNames: ['x.example'] }, false],
];
for (const [security, what, evidence, may] of LEAST) {
  test(`peers: with security ${security}, ${what} is ${may ? 'enough' : 'not enough'}`, () => {
    assert.equal(secured(security, ADDRESS).mayActFor('partner.example', evidence), may);
  });
}

test('peers: one who must have TLS is looked for over TLS', () => {
  assert.equal(secured('none').peer('partner.example')?.nextHop, undefined);
  assert.equal(secured('tls').peer('partner.example')?.nextHop, 'sip:partner.example;transport=tls');
});
