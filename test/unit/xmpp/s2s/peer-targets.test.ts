import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import { type NextHop, peerTargets, targetKey } from '../../../../src/xmpp/s2s/peer-targets.ts';
import { srv, ZoneDns, type Zone } from '../../../support/zone-dns.ts';

const A = { 'a.example': ['192.0.2.1'], 'b.example': ['192.0.2.2'], 'x.example': ['192.0.2.9'] };

const NOBODY = 'DNS has no XMPP server for x.example: is the domain right? Else its peer entry needs a `nextHop`';

const ROWS: ReadonlyArray<{
  readonly what: string;
  readonly zone: Zone;
  readonly nextHop?: NextHop;
  readonly want: readonly string[] | string;
}> = [
  {
    what: 'SRV by priority',
    zone: {
      srv: { '_xmpp-server._tcp.x.example': [srv(20, 0, 5270, 'b.example'), srv(10, 0, 5269, 'a.example')] },
      a: A,
    },
    want: ['tcp 192.0.2.1 5269', 'tcp 192.0.2.2 5270'],
  },
  {
    what: 'direct TLS and STARTTLS mixed by priority',
    zone: {
      srv: {
        '_xmpps-server._tcp.x.example': [srv(5, 0, 443, 'a.example'), srv(30, 0, 5270, 'a.example')],
        '_xmpp-server._tcp.x.example': [srv(10, 0, 5269, 'b.example')],
      },
      a: A,
    },
    want: ['tls 192.0.2.1 443', 'tcp 192.0.2.2 5269', 'tls 192.0.2.1 5270'],
  },
  { what: 'no SRV: the domain itself at 5269', zone: { a: A }, want: ['tcp 192.0.2.9 5269'] },
  {
    what: 'a dot for STARTTLS, a place for direct TLS',
    zone: {
      srv: {
        '_xmpps-server._tcp.x.example': [srv(1, 0, 5270, 'a.example')],
        '_xmpp-server._tcp.x.example': [srv(0, 0, 0, '.')],
      },
      a: A,
    },
    want: ['tls 192.0.2.1 5270'],
  },
  {
    what: 'a dot for direct TLS alone: the other way is as if nothing had been said',
    zone: { srv: { '_xmpps-server._tcp.x.example': [srv(0, 0, 0, '')] }, a: A },
    want: ['tcp 192.0.2.9 5269'],
  },
  {
    what: 'a dot for both',
    zone: {
      srv: {
        '_xmpps-server._tcp.x.example': [srv(0, 0, 0, '.')],
        '_xmpp-server._tcp.x.example': [srv(0, 0, 0, '.')],
      },
      a: A,
    },
    want: NOBODY,
  },
  { what: 'nothing at all', zone: {}, want: NOBODY },
  {
    what: 'a name server that fails: no guess',
    zone: { failing: ['srv _xmpp-server._tcp.x.example'], a: A },
    want: 'name servers failed to answer for x.example',
  },
  {
    what: 'a name server that fails for one of two services',
    zone: {
      failing: ['srv _xmpps-server._tcp.x.example'],
      srv: { '_xmpp-server._tcp.x.example': [srv(1, 0, 5269, 'a.example')] },
      a: A,
    },
    want: ['tcp 192.0.2.1 5269'],
  },
  {
    what: 'both families',
    zone: { a: A, aaaa: { 'x.example': ['2001:db8::1'] } },
    want: ['tcp 192.0.2.9 5269', 'tcp 2001:db8::1 5269'],
  },
  {
    what: 'the next hop of the configuration, by address',
    zone: {},
    nextHop: { host: '127.0.0.1', port: 15269, isTls: false },
    want: ['tcp 127.0.0.1 15269'],
  },
  {
    what: 'the next hop of the configuration, by name, without SRV',
    zone: { a: A, srv: { '_xmpp-server._tcp.a.example': [srv(1, 0, 1, 'b.example')] } },
    nextHop: { host: 'a.example', port: 5270, isTls: true },
    want: ['tls 192.0.2.1 5270'],
  },
  {
    what: 'the next hop of the configuration, by a name that is not there',
    zone: { a: A },
    nextHop: { host: 'none.example', port: 5269, isTls: false },
    want: 'DNS has no address for none.example, the `nextHop` of x.example',
  },
];

for (const { what, zone, nextHop, want } of ROWS) {
  test(`peer targets: ${what}`, async () => {
    const found = peerTargets('x.example', {
      dns: new ZoneDns(zone),
      random: () => 0.5,
      ...(nextHop === undefined ? {} : { nextHop }),
    });
    if (typeof want !== 'string') assert.deepEqual((await found).map(targetKey), want);
    else {
      await assert.rejects(
        found,
        (error) => error instanceof GatewayError && error.code === 'peer-unreachable' && error.message === want,
      );
    }
  });
}

test('peer targets: a zone of any size gives twelve', async () => {
  const records = Array.from({ length: 500 }, (_, n) => srv(n, 0, 5000 + n, 'a.example'));
  const dns = new ZoneDns({ srv: { '_xmpp-server._tcp.x.example': records }, a: A });
  assert.equal((await peerTargets('x.example', { dns, random: () => 0.5 })).length, 12);
});
