import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressFrom, addressKey, parseAddress } from '../../../src/cpim/address.ts';
import { formatJid, parseJid } from '../../../src/xmpp/jid.ts';
import {
  addressFromJid,
  entityFromJid,
  escapedLocalpart,
  jidFromAddress,
  jidFromEntity,
  unescapedLocalpart,
} from '../../../src/xmpp/map-address.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { loadVectors } from '../../support/vectors.ts';

const DOMAINS = { domain: 'sip.example', name: 'sip.xmpp.example' };

for (const vector of loadVectors<string, string | null>('xep0106/escapes')) {
  test(`escape: ${vector.id} (${vector.source})`, () => {
    assert.equal(escapedLocalpart(vector.in) ?? null, vector.out);
    if (vector.out !== null) assert.equal(unescapedLocalpart(vector.out), vector.in);
  });
}

for (const vector of loadVectors<string, string | null>('xep0106/unescapes')) {
  test(`unescape: ${vector.id} (${vector.source})`, () => {
    assert.equal(unescapedLocalpart(vector.in) ?? null, vector.out);
  });
}

for (const vector of loadVectors<string, string>('rfc7247/localpart-jid')) {
  test(`address and JID: ${vector.id} (${vector.source})`, () => {
    const address = addressFrom(vector.in, 'xmpp.example');
    assert.ok(address !== undefined);
    const jid = jidFromAddress(address, DOMAINS);
    assert.deepEqual(jid, { local: vector.out, domain: 'xmpp.example' });
    assert.equal(addressFromJid(jid, DOMAINS), address);
  });
}

test('address: our domain has its XMPP name on a link, and only ours', () => {
  const own = parseAddress('romeo@sip.example');
  const other = parseAddress('romeo@core.example');
  assert.ok(own !== undefined && other !== undefined);
  assert.deepEqual(jidFromAddress(own, DOMAINS), { local: 'romeo', domain: 'sip.xmpp.example' });
  assert.deepEqual(jidFromAddress(other, DOMAINS), { local: 'romeo', domain: 'core.example' });
  assert.equal(addressFromJid({ local: 'romeo', domain: 'sip.xmpp.example' }, DOMAINS), own);
});

test('address: the domain alone, both ways', () => {
  const own = parseAddress('sip.example');
  assert.ok(own !== undefined);
  assert.deepEqual(jidFromAddress(own, DOMAINS), { domain: 'sip.xmpp.example' });
  assert.equal(addressFromJid({ domain: 'sip.xmpp.example' }, DOMAINS), own);
});

test('address: an instance is a resource, both ways (RFC 7247, section 6.4: foo;gr=bar)', () => {
  const jid = parseJid('foo@xmpp.example/bar');
  assert.ok(jid !== undefined);
  const entity = entityFromJid(jid, DOMAINS);
  assert.deepEqual(entity, { address: 'foo@xmpp.example', instance: 'bar' });
  assert.deepEqual(jidFromEntity(entity, DOMAINS), jid);
});

test('address: an instance that cannot be a resource is left out', () => {
  const address = parseAddress('foo@xmpp.example');
  assert.ok(address !== undefined);
  assert.deepEqual(jidFromEntity({ address, instance: 'a\u0000b' }, DOMAINS), { local: 'foo', domain: 'xmpp.example' });
});

for (const local of ['\u265A', ' x', 'x ', '\u2163', `${'é'.repeat(480)}${'&'.repeat(50)}`]) {
  test(`address: no JID can have the localpart ${JSON.stringify(local).slice(0, 20)}`, () => {
    const address = addressFrom(local, 'xmpp.example');
    assert.ok(address !== undefined);
    assert.equal(jidFromAddress(address, DOMAINS), undefined);
  });
}

test('address: 20,000 addresses of all legal characters come back from their JIDs (seed 7247)', () => {
  const random = seededRandom(7247);
  const ascii = Array.from({ length: 0x5f }, (_, n) => String.fromCharCode(0x20 + n)).filter((c) => !/[A-Z]/.test(c));
  const alphabet = [...ascii, 'é', 'ž', 'ł', '日', '語', 'ש', 'ع', '2', '0', '5', 'c', '\\'];
  const domains = ['xmpp.example', 'sip.example', 'xn--bcher-kva.example'];
  for (let n = 0; n < 20_000; n += 1) {
    const length = 1 + Math.floor(random() * 12);
    let local = '';
    for (let at = 0; at < length; at += 1) local += alphabet[Math.floor(random() * alphabet.length)] ?? '';
    const address = addressFrom(local, domains[n % 3] ?? '');
    assert.ok(address !== undefined, local);
    const jid = jidFromAddress(address, DOMAINS);
    if (jid === undefined) {
      assert.match(local, /^ | $/, `${JSON.stringify(local)} has no JID`);
      continue;
    }
    // Through the wire form: what a server reads is what was meant.
    const read = parseJid(formatJid(jid));
    assert.deepEqual(read, jid);
    const back = addressFromJid(jid, DOMAINS);
    assert.ok(back !== undefined, formatJid(jid));
    assert.equal(addressKey(back), addressKey(address));
  }
});
