import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStun, stunAnswer } from '../../../../src/sip/engine/stun.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

/** Transaction id and mapped addresses of RFC 5769, sections 2.2 and 2.3. */
const TRANSACTION = 'b7e7a701bc34d686fa87dfae';
const request = (attributes = '', type = '0001', cookie = '2112a442'): Buffer =>
  Buffer.from(
    `${type}${(attributes.length / 2).toString(16).padStart(4, '0')}${cookie}${TRANSACTION}${attributes}`,
    'hex',
  );

test('stun: a Binding request is answered with the IPv4 address it came from (RFC 5769, section 2.2)', () => {
  const answer = stunAnswer(request(), '192.0.2.1', 32_853);
  assert.equal(answer?.toString('hex'), `0101000c2112a442${TRANSACTION}002000080001a147e112a643`);
});

test('stun: a Binding request is answered with the IPv6 address it came from (RFC 5769, section 2.3)', () => {
  const answer = stunAnswer(request(), '2001:db8:1234:5678:11:2233:4455:6677', 32_853);
  assert.equal(
    answer?.toString('hex'),
    `010100182112a442${TRANSACTION}002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9`,
  );
  // Shortened, and with the zone of a link.
  const answered = stunAnswer(request(), 'fe80::1%eth0', 1)?.subarray(-16) ?? Buffer.alloc(0);
  const mask = Buffer.from(`2112a442${TRANSACTION}`, 'hex');
  assert.equal(
    Buffer.from(answered.map((byte, at) => byte ^ (mask[at] ?? 0))).toString('hex'),
    'fe800000000000000000000000000001',
  );
});

test('stun: attributes that need not be understood are passed over, others are named', () => {
  assert.equal(stunAnswer(request('8022000361626300'), '192.0.2.1', 1)?.readUInt16BE(0), 0x0101);
  const answer = stunAnswer(request('0024000400000001'), '192.0.2.1', 1);
  assert.equal(answer?.readUInt16BE(0), 0x0111);
  const text = answer.toString('hex');
  assert.ok(text.includes('00000414') && text.includes('000a00020024'));
});

for (const [what, bytes] of [
  ['nothing', Buffer.alloc(0)],
  ['half a header', request().subarray(0, 19)],
  ['a request of RFC 3489, without the cookie', request('', '0001', '00000000')],
  ['an answer, which would go to and fro', request('', '0101')],
  ['an indication', request('', '0011')],
  ['another method', request('', '0003')],
  ['a wrong length', Buffer.concat([request(), Buffer.alloc(4)])],
  ['an attribute beyond the end', request('8022ffff')],
  ['half an attribute', request('8022')],
  ['more than a keep-alive has', request('8022'.padEnd(2_000, '0'))],
] as const) {
  test(`stun: ${what} gets no answer`, () => {
    assert.equal(stunAnswer(bytes, '192.0.2.1', 5_060), undefined);
  });
}

test('stun: no bytes make it throw, and no answer is much longer than its request', () => {
  const random = seededRandom(7);
  for (let run = 0; run < 5_000; run++) {
    const bytes = request('80220004000000000024000000060004aaaaaaaa');
    for (let hits = 0; hits < 3; hits++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    const answer = stunAnswer(bytes, '2001:db8::1', 5_060);
    assert.ok((answer?.length ?? 0) <= bytes.length + 44);
    isStun(bytes);
  }
});
