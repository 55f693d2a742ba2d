import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SrvRecord } from '../../../../src/dns/dns-queries.ts';
import { hostAddresses, serviceTargets } from '../../../../src/xmpp/account/service-address.ts';

function dns(records: Readonly<Record<string, readonly SrvRecord[]>>): {
  srv(name: string): Promise<readonly SrvRecord[]>;
} {
  return { srv: (name) => Promise.resolve(records[name] ?? []) };
}

test('service address: direct TLS and STARTTLS are one set, by priority', async () => {
  const targets = await serviceTargets(
    'chat.example',
    dns({
      '_xmpps-client._tcp.chat.example': [{ priority: 20, weight: 0, port: 443, name: 'b.chat.example' }],
      '_xmpp-client._tcp.chat.example': [
        { priority: 30, weight: 0, port: 5222, name: 'c.chat.example' },
        { priority: 10, weight: 0, port: 5222, name: 'a.chat.example' },
      ],
    }),
    () => 0.5,
  );
  assert.deepEqual(targets, [
    { host: 'a.chat.example', port: 5222, isDirect: false },
    { host: 'b.chat.example', port: 443, isDirect: true },
    { host: 'c.chat.example', port: 5222, isDirect: false },
  ]);
});

test('service address: without records it is the domain itself, and a dot is a no', async () => {
  assert.deepEqual(await serviceTargets('chat.example', dns({}), () => 0), [
    { host: 'chat.example', port: 5222, isDirect: false },
  ]);
  const none = dns({ '_xmpp-client._tcp.chat.example': [{ priority: 0, weight: 0, port: 0, name: '' }] });
  assert.deepEqual(await serviceTargets('chat.example', none, () => 0), []);
});

test('service address: both families of a host, one of which may be unknown', async () => {
  const addresses = {
    a: () => Promise.resolve([{ address: '192.0.2.1', ttlSeconds: 1 }]),
    aaaa: () => Promise.reject(new Error('no answer')),
  };
  assert.deepEqual(await hostAddresses('a.chat.example', addresses, () => false), ['192.0.2.1']);
  assert.deepEqual(await hostAddresses('192.0.2.7', addresses, () => true), ['192.0.2.7']);
  const nothing = { a: () => Promise.resolve([]), aaaa: () => Promise.resolve([]) };
  await assert.rejects(
    hostAddresses('a.chat.example', nothing, () => false),
    /no address/,
  );
});
