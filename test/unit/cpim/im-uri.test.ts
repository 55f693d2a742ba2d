import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../src/cpim/address.ts';
import { formatImUri, parseImUri } from '../../../src/cpim/im-uri.ts';
import { loadVectors } from '../../support/vectors.ts';

for (const vector of loadVectors<string, { scheme: 'im' | 'pres'; address: string } | null>('addresses-im-uri')) {
  test(`im URI: ${vector.id} (${vector.source})`, () => {
    const read = parseImUri(vector.in);
    assert.deepEqual(read ?? null, vector.out);
    if (read !== undefined) assert.deepEqual(parseImUri(formatImUri(read.address, read.scheme)), read);
  });
}

const WRITTEN: ReadonlyArray<readonly [address: string, uri: string]> = [
  ['alice@example.com', 'im:alice@example.com'],
  ['a.b@example.com', 'im:a.b@example.com'],
  ['.a..b.@example.com', 'im:%2Ea%2E.b%2E@example.com'],
  ['f\u00fc%@example.com'.replace('%', '%25'), 'im:f%C3%BC%25@example.com'],
  ['example.com', 'im:example.com'],
];
for (const [address, uri] of WRITTEN) {
  test(`im URI: ${address} is written ${uri}`, () => {
    const parsed = parseAddress(address);
    assert.ok(parsed);
    assert.equal(formatImUri(parsed, 'im'), uri);
    assert.deepEqual(parseImUri(uri), { scheme: 'im', address: parsed });
  });
}
