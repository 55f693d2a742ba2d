import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { GatewayError } from '../../core/errors.ts';

const derived = promisify(pbkdf2);

/** RFC 7677 and RFC 5802: the best first. */
export const SCRAM_HASHES = { 'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-1': 'sha1' } as const;
export type ScramName = keyof typeof SCRAM_HASHES;

/** RFC 5802, section 5.1 asks for 4,096 at least; above the other bound a service would only make us work. */
const ITERATIONS_MIN = 4_096;
const ITERATIONS_MAX = 500_000;
const MESSAGE_MAX = 4_096;

/**
 * The client's side of one SCRAM exchange (RFC 5802), without channel binding. The key is derived by Node itself, off
 * the event loop; the work a service may ask for is bounded; and the service must prove in the end that it knows the
 * password, too.
 */
export class ScramExchange {
  readonly #hash: 'sha256' | 'sha1';
  readonly #password: string;
  readonly #firstBare: string;
  readonly #nonce: string;
  #serverSignature: Buffer | undefined;

  constructor(name: ScramName, username: string, password: string, nonce = randomBytes(18).toString('base64')) {
    this.#hash = SCRAM_HASHES[name];
    this.#password = prepared(password);
    this.#nonce = nonce;
    this.#firstBare = `n=${prepared(username).replace(/=/g, '=3D').replace(/,/g, '=2C')},r=${nonce}`;
  }

  /** client-first-message. */
  first(): string {
    return `n,,${this.#firstBare}`;
  }

  /** client-final-message for a server-first-message. @throws GatewayError 'request-malformed' for what is none. */
  async final(challenge: string): Promise<string> {
    if (challenge.length > MESSAGE_MAX) throw fault('the challenge is too long');
    // RFC 5802, section 7: nonce, salt and iterations stand first; an unknown mandatory extension would begin with m=.
    const parts = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+=*),i=([1-9][0-9]{0,9})(?:,.*)?$/.exec(challenge);
    const [, nonce = '', salt = '', iterations = ''] = parts ?? [];
    if (!nonce.startsWith(this.#nonce) || nonce === this.#nonce) throw fault('the challenge has not our nonce');
    const rounds = Number(iterations);
    if (rounds < ITERATIONS_MIN || rounds > ITERATIONS_MAX)
      throw fault('the challenge asks for too few or too many rounds');
    const size = this.#hash === 'sha256' ? 32 : 20;
    const salted = await derived(this.#password, Buffer.from(salt, 'base64'), rounds, size, this.#hash);
    const clientKey = this.#hmac(salted, 'Client Key');
    const withoutProof = `c=biws,r=${nonce}`;
    const message = `${this.#firstBare},${challenge},${withoutProof}`;
    const signature = this.#hmac(createHash(this.#hash).update(clientKey).digest(), message);
    this.#serverSignature = this.#hmac(this.#hmac(salted, 'Server Key'), message);
    const proof = clientKey.map((byte, at) => byte ^ (signature[at] ?? 0));
    return `${withoutProof},p=${Buffer.from(proof).toString('base64')}`;
  }

  /** Whether a server-final-message proves that the service knows the password. */
  isProof(final: string): boolean {
    const expected = this.#serverSignature;
    const sent = /^v=([A-Za-z0-9+/]+=*)(?:,|$)/.exec(final)?.[1];
    if (expected === undefined || sent === undefined) return false;
    const given = Buffer.from(sent, 'base64');
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  #hmac(key: Buffer, text: string): Buffer {
    return createHmac(this.#hash, key).update(text, 'utf8').digest();
  }
}

/** SASLprep (RFC 4013) as far as it changes what people type: forms that look alike, and blanks of every kind. */
function prepared(text: string): string {
  return text
    .replace(/[\u00A0\u1680\u2000-\u200B\u202F\u205F\u3000]/g, ' ')
    .replace(/\u00AD/g, '')
    .normalize('NFKC');
}

function fault(reason: string): GatewayError {
  return new GatewayError('request-malformed', reason);
}
