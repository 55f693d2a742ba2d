import { createHash } from 'node:crypto';
import { addressKey, domainOf, localpartOf, type Address } from '../cpim/address.ts';
import { GatewayError } from '../core/errors.ts';
import type { Credential } from '../core/ports.ts';

/** Hash functions of digest authentication that are served, strongest first (RFC 8760, section 2.3). */
export type DigestAlgorithm = 'SHA-256' | 'MD5';

/** What a digest response is made of (RFC 7616, section 3.4.1). */
export type DigestInput = {
  readonly algorithm: DigestAlgorithm;
  /** The `-sess` form: H(A1) is hashed once more with nonce and cnonce. */
  readonly isSession?: boolean;
  /** H(username:realm:password), hex in lower case. */
  readonly ha1: string;
  readonly method: string;
  /** As in the `uri` parameter. */
  readonly uri: string;
  readonly nonce: string;
  /** Absent: the form of RFC 2069, which has no `nc` and no `cnonce`. */
  readonly qop?: 'auth' | 'auth-int';
  /** As sent, eight hex digits. */
  readonly nc?: string;
  readonly cnonce?: string;
  /** Hashed with `auth-int`. */
  readonly body?: Uint8Array;
};

/** H(username:realm:password), hex in lower case; all that is ever kept of a password (RFC 7616, section 3.4.2). */
export function ha1Of(algorithm: DigestAlgorithm, username: string, realm: string, password: string): string {
  return hashOf(algorithm, `${username}:${realm}:${password}`);
}

/** The value of `response`: hex in lower case, 64 digits with SHA-256 and 32 with MD5. Pure. */
export function digestResponse(input: DigestInput): string {
  const { algorithm, method, uri, nonce, qop, nc = '', cnonce = '' } = input;
  const ha1 = input.isSession === true ? hashOf(algorithm, `${input.ha1}:${nonce}:${cnonce}`) : input.ha1;
  const entity = qop === 'auth-int' ? `:${hashOf(algorithm, input.body ?? '')}` : '';
  const ha2 = hashOf(algorithm, `${method}:${uri}${entity}`);
  if (qop === undefined) return hashOf(algorithm, `${ha1}:${nonce}:${ha2}`);
  return hashOf(algorithm, `${ha1}:${nonce}:${nc}:${cnonce}:${qop}:${ha2}`);
}

/**
 * What is kept of a user's password. The username of the digest is the user part of his address without escapes, in
 * the capitals in which the account was made; the realm is his domain.
 *
 * @throws GatewayError 'address-malformed' for the address of a domain
 */
export function credentialOf(user: Address, password: string): Credential {
  const username = localpartOf(user);
  if (username === undefined) throw new GatewayError('address-malformed', 'a domain has no password');
  const realm = domainOf(user);
  return {
    user: addressKey(user),
    md5: ha1Of('MD5', username, realm, password),
    sha256: ha1Of('SHA-256', username, realm, password),
  };
}

function hashOf(algorithm: DigestAlgorithm, data: string | Uint8Array): string {
  return createHash(algorithm === 'MD5' ? 'md5' : 'sha256')
    .update(data)
    .digest('hex');
}
