import assert from 'node:assert/strict';
import { test } from 'node:test';

import { GatewayError } from '../../../../src/core/errors.ts';
import { DnsCache } from '../../../../src/dns/dns-cache.ts';
import { Resolver, type ResolverOptions } from '../../../../src/sip/engine/resolver.ts';
import { targetKey } from '../../../../src/sip/engine/targets.ts';
import { UnreachableTargets } from '../../../../src/sip/engine/unreachable-targets.ts';
import { parseSipUri } from '../../../../src/sip/uri.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { naptr, srv, ZoneDns, type Zone } from '../../../support/zone-dns.ts';

const ALL: ResolverOptions = { transports: ['udp', 'tcp', 'tls'], udpFamilies: new Set([4, 6] as const) };

function resolverOf(zone: Zone, options: Partial<ResolverOptions> = {}, random = () => 0.5) {
  return new Resolver(new ZoneDns(zone), new FakeClock(), random, { ...ALL, ...options });
}

const FULL: Zone = {
  naptr: {
    'full.example': [
      naptr(50, 50, 'SIPS+D2T', '_sips._tcp.full.example'),
      naptr(90, 50, 'SIP+D2T', '_sip._tcp.full.example'),
      naptr(100, 50, 'SIP+D2U', '_sip._udp.full.example'),
    ],
    'odd.example': [
      naptr(1, 1, 'E2U+sip', '!^.*$!sip:x@y!', 'u'),
      naptr(2, 9, 'SIP+D2S', '_sip._sctp.odd.example'),
      naptr(2, 2, 'sip+d2u', '_sip._udp.odd.example', 'S'),
    ],
  },
  srv: {
    '_sips._tcp.full.example': [srv(1, 0, 5061, 'a.full.example')],
    '_sip._tcp.full.example': [srv(1, 0, 5060, 'a.full.example'), srv(2, 0, 5070, 'b.full.example')],
    '_sip._udp.full.example': [srv(1, 0, 5060, 'b.full.example')],
    '_sip._udp.odd.example': [srv(1, 0, 5062, 'a.full.example')],
    '_sip._tcp.srv.example': [srv(1, 0, 5080, 'a.full.example')],
    '_sip._udp.srv.example': [srv(1, 0, 5081, 'a.full.example')],
    '_sip._udp.gone.example': [srv(0, 0, 0, '.')],
    '_sip._udp.numeric.example': [srv(0, 0, 5090, '192.0.2.9')],
  },
  a: {
    'a.full.example': ['192.0.2.1'],
    'b.full.example': ['192.0.2.2', '192.0.2.3'],
    'plain.example': ['192.0.2.4'],
    'gone.example': ['192.0.2.5'],
  },
  aaaa: { 'a.full.example': ['2001:DB8:0::1'], 'six.example': ['2001:db8::6'] },
  failing: ['naptr broken.example', 'srv _sip._udp.broken.example', 'a broken.example', 'naptr half.example'],
};

const rows: ReadonlyArray<readonly [string, string, readonly string[], Partial<ResolverOptions>?]> = [
  ['an address goes over UDP to 5060', 'sip:u@192.0.2.7', ['udp 192.0.2.7 5060']],
  ['an address of sips goes over TLS to 5061', 'sips:u@192.0.2.7', ['tls 192.0.2.7 5061']],
  ['an address with transport and port', 'sip:192.0.2.7:5070;transport=tcp', ['tcp 192.0.2.7 5070']],
  ['transport=tls has its own default port', 'sip:192.0.2.7;transport=TLS', ['tls 192.0.2.7 5061']],
  ['sips with transport=tcp is TLS', 'sips:192.0.2.7:5070;transport=tcp', ['tls 192.0.2.7 5070']],
  ['an IPv6 address in its canonical spelling', 'sip:[2001:DB8:0:0::7]:5070', ['udp 2001:db8::7 5070']],
  ['maddr goes before the host', 'sip:full.example;maddr=192.0.2.8', ['udp 192.0.2.8 5060']],
  ['without a UDP listener an address goes over TCP', 'sip:192.0.2.7', ['tcp 192.0.2.7 5060'], { transports: ['tcp'] }],
  ['a name with a port needs addresses only', 'sip:b.full.example:5099', ['udp 192.0.2.2 5099', 'udp 192.0.2.3 5099']],
  [
    'NAPTR in its order, SRV in its priority, IPv4 first',
    'sip:full.example',
    [
      'tls 192.0.2.1 5061',
      'tls 2001:db8::1 5061',
      'tcp 192.0.2.1 5060',
      'tcp 2001:db8::1 5060',
      'tcp 192.0.2.2 5070',
      'tcp 192.0.2.3 5070',
      'udp 192.0.2.2 5060',
      'udp 192.0.2.3 5060',
    ],
  ],
  ['sips takes the secure service alone', 'sips:full.example', ['tls 192.0.2.1 5061', 'tls 2001:db8::1 5061']],
  [
    'NAPTR services this server cannot send to are left out',
    'sip:full.example',
    ['udp 192.0.2.2 5060', 'udp 192.0.2.3 5060'],
    { transports: ['udp'] },
  ],
  [
    'NAPTR with other services and flags, names in any capitals',
    'sip:odd.example',
    ['udp 192.0.2.1 5062', 'udp 2001:db8::1 5062'],
  ],
  [
    'a transport in the URI asks its SRV without NAPTR',
    'sip:full.example;transport=udp',
    ['udp 192.0.2.2 5060', 'udp 192.0.2.3 5060'],
  ],
  [
    'no NAPTR: SRV of every transport in the order this server likes',
    'sip:srv.example',
    ['tcp 192.0.2.1 5080', 'tcp 2001:db8::1 5080', 'udp 192.0.2.1 5081', 'udp 2001:db8::1 5081'],
    { transports: ['tls', 'tcp', 'udp'] },
  ],
  ['no SRV: addresses at the default port', 'sip:plain.example', ['udp 192.0.2.4 5060']],
  ['no SRV for the transport asked for: its default port', 'sip:plain.example;transport=tls', ['tls 192.0.2.4 5061']],
  ['a closing dot does not matter', 'sip:plain.example.', ['udp 192.0.2.4 5060']],
  ['SRV may name an address', 'sip:numeric.example', ['udp 192.0.2.9 5090']],
  ['IPv6 alone', 'sip:six.example', ['udp 2001:db8::6 5060']],
  ['localhost is never asked for', 'sip:localhost:5070', ['udp 127.0.0.1 5070', 'udp ::1 5070']],
  [
    'no listener of IPv6 for UDP: only IPv4',
    'sip:a.full.example:5060',
    ['udp 192.0.2.1 5060'],
    { udpFamilies: new Set([4] as const) },
  ],
  ['a lone dot in SRV means not there, whatever addresses say', 'sip:gone.example', []],
  ['an unknown name', 'sip:nowhere.example', []],
  ['an unknown transport', 'sip:192.0.2.7;transport=sctp', []],
  ['sips never goes over UDP', 'sips:192.0.2.7;transport=udp', []],
  ['servers that fail', 'sip:broken.example', []],
];
for (const [what, uri, want, options] of rows) {
  test(`resolver: ${what}`, async () => {
    const found = resolverOf(FULL, options).targets(parseSipUri(uri)!);
    if (want.length > 0) assert.deepEqual((await found).map(targetKey), want);
    else await assert.rejects(found, (error) => error instanceof GatewayError && error.code === 'peer-unreachable');
  });
}

test('resolver: a failing NAPTR does not hide what other questions find', async () => {
  const zone = { ...FULL, a: { 'half.example': ['192.0.2.30'] } };
  assert.deepEqual((await resolverOf(zone).targets(parseSipUri('sip:half.example')!)).map(targetKey), [
    'udp 192.0.2.30 5060',
  ]);
});

test('resolver: weights draw the first of a priority in proportion (RFC 2782)', async () => {
  const zone: Zone = {
    srv: { '_sip._udp.w.example': [srv(1, 75, 1, '192.0.2.1'), srv(1, 25, 2, '192.0.2.2'), srv(0, 0, 3, '192.0.2.3')] },
  };
  let drawn = 0;
  const random = () => (drawn++ % 100) / 100;
  const resolver = resolverOf(zone, {}, random);
  const counts = new Map<number, number>();
  for (let round = 0; round < 1_000; round++) {
    drawn = round;
    const targets = await resolver.targets(parseSipUri('sip:w.example;transport=udp')!);
    assert.equal(targets[0]!.port, 3, 'the lower priority is always first');
    counts.set(targets[1]!.port, (counts.get(targets[1]!.port) ?? 0) + 1);
  }
  assert.ok(counts.get(1)! > 700 && counts.get(1)! < 800, `${counts.get(1)} of 1,000 for three quarters of the weight`);
});

test('resolver: gives up after 5 s', async () => {
  const clock = new FakeClock();
  const never = () => new Promise<never>(() => undefined);
  const resolver = new Resolver({ naptr: never, srv: never, a: never, aaaa: never }, clock, Math.random, ALL);
  const found = resolver.targets(parseSipUri('sip:slow.example')!);
  const refused = assert.rejects(
    found,
    (error) => error instanceof GatewayError && error.code === 'peer-unreachable' && error.message.includes('too long'),
  );
  clock.advance(5_001);
  await refused;
});

test('DNS cache: one question for many who ask at once, and again when its life is over', async () => {
  const clock = new FakeClock();
  const queries = new ZoneDns(FULL);
  const cache = new DnsCache(queries, clock);
  const [one, two] = await Promise.all([cache.a('plain.example'), cache.a('plain.example')]);
  assert.deepEqual(one, two);
  assert.equal(queries.asked.length, 1);
  clock.advance(299_000);
  await cache.a('plain.example');
  assert.equal(queries.asked.length, 1);
  clock.advance(2_000);
  await cache.a('plain.example');
  assert.equal(queries.asked.length, 2);
});

test('DNS cache: no such name is remembered for 30 s, a failure for 2 s', async () => {
  const clock = new FakeClock();
  const queries = new ZoneDns(FULL);
  const cache = new DnsCache(queries, clock);
  await cache.srv('_sip._udp.nowhere.example');
  await assert.rejects(cache.a('broken.example'));
  await cache.srv('_sip._udp.nowhere.example');
  await assert.rejects(cache.a('broken.example'));
  assert.equal(queries.asked.length, 2);
  clock.advance(2_001);
  await assert.rejects(cache.a('broken.example'));
  assert.equal(queries.asked.length, 3);
  clock.advance(28_000);
  await cache.srv('_sip._udp.nowhere.example');
  assert.equal(queries.asked.length, 4);
});

test('DNS cache: keeps no more than its bound', async () => {
  const queries = new ZoneDns({});
  const cache = new DnsCache(queries, new FakeClock(), 3);
  for (const name of ['a', 'b', 'c', 'd']) await cache.a(name);
  await cache.a('d');
  assert.equal(queries.asked.length, 4);
  await cache.a('a');
  assert.equal(queries.asked.length, 5);
});

test('unreachable targets: last for 30 s, order kept otherwise, forgotten when one works', () => {
  const clock = new FakeClock();
  const unreachable = new UnreachableTargets(clock);
  const targets = [1, 2, 3].map((port) => ({ transport: 'tcp' as const, address: '192.0.2.1', port }));
  const order = () => unreachable.lastOnes(targets).map(({ port }) => port);
  unreachable.failed(targets[0]!);
  assert.deepEqual(order(), [2, 3, 1]);
  unreachable.failed(targets[1]!);
  assert.deepEqual(order(), [3, 1, 2]);
  unreachable.worked(targets[0]!);
  assert.deepEqual(order(), [1, 3, 2]);
  clock.advance(30_001);
  assert.deepEqual(order(), [1, 2, 3]);
});
