import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { addressKey } from '../../../../src/cpim/address.ts';
import type { Binding } from '../../../../src/core/ports.ts';
import { Gruus } from '../../../../src/sip/registrar/gruu.ts';
import { parseSipUri } from '../../../../src/sip/uri.ts';
import { aBinding, anAddress } from '../../../support/builders.ts';

const ALICE = anAddress('alice@sip.example');
/** RFC 5627, section 3.1. */
const DEVICE = 'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6';
const SINCE_MS = 1_700_000_000_000;

function gruus(bindings: readonly Binding[] = [registered()], secret: Uint8Array = Buffer.alloc(32, 1)): Gruus {
  return new Gruus({
    secret,
    isOwn: (domain) => domain === 'sip.example' || domain === 'other.example',
    contactsOf: (userKey) => (userKey === addressKey(ALICE) ? bindings : []),
  });
}

function registered(parts: Partial<Binding> = {}): Binding {
  return aBinding({ instance: `<${DEVICE}>`, gruusSinceMs: SINCE_MS, refreshedAtMs: 1, ...parts });
}

const entityOf = (of: Gruus, uri: string) => of.entityOf(parseSipUri(uri)!);

test('gruu: the public one is the address with the URN of the device (RFC 5627, section 3.1.1)', () => {
  const uri = gruus().publicOf(ALICE, DEVICE);
  assert.equal(uri, `sip:alice@sip.example;gr=${DEVICE}`);
  assert.deepEqual(entityOf(gruus(), uri), { address: ALICE, instance: DEVICE });
});

test('gruu: URIs that name no device of ours are left alone', () => {
  for (const uri of ['sip:alice@sip.example', 'sip:alice@far.example;gr=urn:uuid:1', 'sip:tgruu.x@far.example;gr']) {
    assert.equal(entityOf(gruus(), uri), undefined);
    assert.equal(gruus().withoutTemporary(uri), uri);
  }
});

test('gruu: a temporary one leads back to user and device, and to them alone (RFC 5627, section 3.1.2)', () => {
  const uri = gruus().temporaryOf(ALICE, DEVICE, SINCE_MS);
  assert.match(uri, /^sip:tgruu\.[\w-]+@sip\.example;gr$/);
  assert.deepEqual(entityOf(gruus(), uri), { address: ALICE, instance: DEVICE });
  assert.equal(gruus().withoutTemporary(uri), gruus().publicOf(ALICE, DEVICE));
});

test('gruu: nobody can tell whether two temporary ones are of one device (RFC 5627, section 5.1)', () => {
  const made = Array.from({ length: 500 }, (_, at) =>
    gruus().temporaryOf(anAddress(`${'a'.repeat(1 + (at % 30))}@sip.example`), DEVICE, SINCE_MS),
  );
  assert.equal(new Set(made).size, 500);
  assert.equal(new Set(made.map(({ length }) => length)).size, 1);
  for (const uri of made) assert.ok(!/uuid|f81d|alice/.test(uri));
});

const OVER: ReadonlyArray<readonly [string, readonly Binding[]]> = [
  ['the registration is over', []],
  ['the phone has started anew', [registered({ gruusSinceMs: SINCE_MS + 1 })]],
  ['it has started anew on another flow', [registered(), registered({ gruusSinceMs: SINCE_MS + 1, refreshedAtMs: 2 })]],
  ['another device is there', [registered({ instance: '<urn:uuid:other>' })]],
];
for (const [when, bindings] of OVER) {
  test(`gruu: a temporary one ends when ${when}`, () => {
    const uri = gruus().temporaryOf(ALICE, DEVICE, SINCE_MS);
    assert.throws(() => entityOf(gruus(bindings), uri), { code: 'recipient-unknown' });
  });
}

test('gruu: forged, foreign and cut temporary ones are nobody', () => {
  const uri = gruus().temporaryOf(ALICE, DEVICE, SINCE_MS);
  const user = uri.slice('sip:'.length, uri.indexOf('@'));
  const bytes = Buffer.from(user.slice('tgruu.'.length), 'base64url');
  const changed = Array.from(bytes, (_, at) => {
    const copy = Buffer.from(bytes);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy.toString('base64url');
  });
  const wrong = [...changed, '', 'x', 'A'.repeat(100), randomBytes(200).toString('base64url'), 'B'.repeat(5_000)];
  for (const token of wrong) {
    assert.throws(() => entityOf(gruus(), `sip:tgruu.${token}@sip.example;gr`), { code: 'recipient-unknown' });
  }
  assert.throws(() => entityOf(gruus(), uri.replace('@sip.', '@other.')), { code: 'recipient-unknown' });
  assert.throws(() => entityOf(gruus([registered()], Buffer.alloc(32, 2)), uri), { code: 'recipient-unknown' });
  assert.throws(() => gruus().withoutTemporary('sip:alice@sip.example;gr'), { code: 'recipient-unknown' });
});
