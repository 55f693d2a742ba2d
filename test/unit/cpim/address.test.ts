import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressFrom, addressKey, domainOf, localpartOf, parseAddress } from '../../../src/cpim/address.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { loadVectors } from '../../support/vectors.ts';

for (const vector of loadVectors<string, string | null>('addresses')) {
  test(`address: ${vector.id} (${vector.source})`, () => {
    const address = parseAddress(vector.in);
    assert.equal(address ?? null, vector.out);
    // Canonical means that it is its own text form.
    if (address !== undefined) assert.equal(parseAddress(address), address);
  });
}

for (const vector of loadVectors<string, string | null>('addresses-localparts')) {
  test(`localpart: ${vector.id} (${vector.source})`, () => {
    const address = addressFrom(vector.in, 'example.com');
    assert.equal(address ?? null, vector.out);
    if (address === undefined) return;
    assert.equal(localpartOf(address), vector.in);
    assert.equal(domainOf(address), 'example.com');
    assert.equal(parseAddress(address), address);
  });
}

const KEYS: ReadonlyArray<readonly [name: string, text: string, key: string]> = [
  ['nothing to do', 'alice@example.com', 'alice@example.com'],
  ['upper case', 'ALICE@example.com', 'alice@example.com'],
  ['upper case beyond ASCII', 'F%C3%9C@example.com', 'f%C3%BC@example.com'],
  ['decomposed', 'fu%CC%88@example.com', 'f%C3%BC@example.com'],
  ['full width', '%EF%BC%A1lice@example.com', 'alice@example.com'],
  ['escape that stays one', 'a%20B@example.com', 'a%20b@example.com'],
  ['domain alone', 'example.com', 'example.com'],
];
for (const [name, text, key] of KEYS) {
  test(`address key: ${name}`, () => {
    const address = parseAddress(text);
    assert.ok(address);
    assert.equal(addressKey(address), key);
    assert.equal(addressKey(parseAddress(key)!), key);
  });
}

test('address: a domain alone has no localpart', () => {
  const address = addressFrom(undefined, 'Example.COM');
  assert.ok(address);
  assert.equal(localpartOf(address), undefined);
  assert.equal(domainOf(address), 'example.com');
});

test('address: 4,000 localparts drawn from all of Unicode come back as they were (seed 3860)', () => {
  const random = seededRandom(3860);
  for (let round = 0; round < 4000; round += 1) {
    const localpart = aLocalpart(random);
    const address = addressFrom(localpart, 'example.com');
    assert.ok(address, JSON.stringify(localpart));
    assert.equal(localpartOf(address), localpart);
    assert.match(address, /^[A-Za-z0-9\-._~!$*+=%]+@example\.com$/);
    assert.equal(parseAddress(address), address);
    const key = addressKey(address);
    assert.equal(parseAddress(key), key, 'a key is a canonical text form');
    assert.equal(addressKey(parseAddress(key)!), key);
  }
});

/** One to twelve characters that a localpart may hold, ASCII half of the time. */
function aLocalpart(random: () => number): string {
  let text = '';
  const length = 1 + Math.floor(random() * 12);
  while (text.length < length) {
    const code = Math.floor(random() * (random() < 0.5 ? 0x80 : random() < 0.5 ? 0x3000 : 0x110000));
    const isControl = code < 0x20 || (code >= 0x7f && code <= 0x9f);
    const isNoCharacter = (code >= 0xd800 && code <= 0xdfff) || code === 0xfffe || code === 0xffff;
    if (!isControl && !isNoCharacter) text += String.fromCodePoint(code);
  }
  return text;
}
