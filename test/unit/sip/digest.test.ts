import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../src/cpim/address.ts';
import { credentialOf, digestResponse, ha1Of, type DigestInput } from '../../../src/sip/digest.ts';
import { loadVectors } from '../../support/vectors.ts';

type Row = Omit<DigestInput, 'ha1' | 'body'> & {
  readonly username: string;
  readonly realm: string;
  readonly password: string;
  readonly body?: string;
};

for (const vector of loadVectors<Row, string>('rfc7616/digest')) {
  test(`digest: ${vector.id} (${vector.source})`, () => {
    const { username, realm, password, body, ...rest } = vector.in;
    const ha1 = ha1Of(rest.algorithm, username, realm, password);
    const input = body === undefined ? { ...rest, ha1 } : { ...rest, ha1, body: Buffer.from(body) };
    assert.equal(digestResponse(input), vector.out);
  });
}

test('what is kept of a password is its two digests, under the key of the user', () => {
  const credential = credentialOf(parseAddress("O'Malley@Sip.Example")!, 'pw');
  assert.deepEqual(credential, {
    user: 'o%27malley@sip.example',
    md5: ha1Of('MD5', "O'Malley", 'sip.example', 'pw'),
    sha256: ha1Of('SHA-256', "O'Malley", 'sip.example', 'pw'),
  });
});

test('a domain has no password', () => {
  assert.throws(() => credentialOf(parseAddress('sip.example')!, 'pw'), { code: 'address-malformed' });
});
