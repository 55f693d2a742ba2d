import assert from 'node:assert/strict';
import test from 'node:test';
import { hostNetwork, cidrHolds, parseCidr, parseIpAddress } from '../../../src/core/cidr.ts';

const HOLDS: ReadonlyArray<readonly [block: string, address: string, holds: boolean]> = [
  ['192.0.2.1', '192.0.2.1', true],
  ['192.0.2.1', '192.0.2.2', false],
  ['192.0.2.0/24', '192.0.2.255', true],
  ['192.0.2.0/24', '192.0.3.0', false],
  ['192.0.2.128/25', '192.0.2.127', false],
  ['192.0.2.128/25', '192.0.2.200', true],
  ['10.0.0.0/8', '10.255.1.2', true],
  ['10.0.0.0/0', '203.0.113.9', true],
  ['127.0.0.1', '::ffff:127.0.0.1', true],
  ['::ffff:127.0.0.1', '127.0.0.1', true],
  ['::1', '::1', true],
  ['[::1]', '0:0:0:0:0:0:0:1', true],
  ['2001:db8::/32', '2001:DB8:ffff::1', true],
  ['2001:db8::/32', '2001:db9::1', false],
  ['2001:db8::/33', '2001:db8:8000::', false],
  ['fe80::/10', 'fe80::1%eth0', true],
  ['2001:db8::/32', '192.0.2.1', false],
];
for (const [block, address, holds] of HOLDS) {
  test(`cidr: ${block} ${holds ? 'holds' : 'does not hold'} ${address}`, () => {
    const cidr = parseCidr(block);
    const octets = parseIpAddress(address);
    assert.ok(cidr !== undefined && octets !== undefined);
    assert.equal(cidrHolds(cidr, octets), holds);
  });
}

for (const text of [
  '',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.4 ',
  '1.2.3.4/33',
  '1.2.3.4/',
  '1.2.3.4/x',
  '1.2.3.4/024',
  ':::',
  '1::2::3',
  '::1/129',
  'g::1',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '12345::',
  '::1.2.3',
  '1.2.3.4::',
  'a.example',
  '1:2:3:4:5:6:7:8::',
  '1'.repeat(100),
]) {
  test(`cidr: "${text.slice(0, 20)}" is none`, () => assert.equal(parseCidr(text), undefined));
}

for (const [one, other, isSame] of [
  ['192.0.2.1', '::ffff:192.0.2.1', true],
  ['192.0.2.1', '192.0.2.2', false],
  ['2001:db8:0:1::1', '2001:db8:0:1:ffff:ffff:ffff:ffff', true],
  ['2001:db8:0:1::1', '2001:DB8::1:0:0:0:2%eth0', true],
  ['2001:db8:0:1::1', '2001:db8:0:2::1', false],
  ['not known', 'gone', false],
] as const) {
  test(`cidr: ${one} and ${other} are ${isSame ? 'one host' : 'two hosts'}`, () =>
    assert.equal(hostNetwork(one) === hostNetwork(other), isSame));
}
