import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { addressFrom, addressKey } from '../cpim/address.ts';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock, Credential } from '../core/ports.ts';
import { digestResponse, type DigestAlgorithm } from './digest.ts';
import { FailedLogins } from './failed-logins.ts';
import { parseAuthParams } from './header-values.ts';
import { sameHost } from './host.ts';
import type { HeaderField, SipRequest } from './message.ts';
import { type NonceOptions, Nonces, type NonceUse } from './nonces.ts';
import { decodedUser, parseSipUri } from './uri.ts';

/** Who sent a request, or the header fields of the 401 that asks him. */
export type DigestOutcome =
  | { readonly kind: 'proved'; readonly userKey: string }
  | { readonly kind: 'challenge'; readonly headers: readonly HeaderField[] };

export type DigestCheckDeps = {
  readonly find: (userKey: string) => Credential | undefined;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  readonly nonceLifetimeMs?: number;
  /** What several nodes share of their nonces. */
  readonly nonces?: Pick<NonceOptions, 'secret' | 'onUsed'>;
};

/** Strongest first: a client takes the topmost that it knows (RFC 8760, section 2.3). */
const ALGORITHMS: readonly DigestAlgorithm[] = ['SHA-256', 'MD5'];

/**
 * COMPAT(baresip 1.0, 2026-11): it gives up registering as soon as one challenge is not MD5, wherever it stands; libre
 * passes over unknown algorithms since 2.10.
 */
const KNOWS_MD5_ONLY = /^baresip v(?:0|1|2\.\d)\./;

/** The parameters of an Authorization that was found whole. */
type Claim = {
  readonly username: string;
  readonly algorithm: DigestAlgorithm;
  readonly isSession: boolean;
  readonly nonce: string;
  readonly uri: string;
  /** Hex in lower case. */
  readonly response: string;
  readonly qop?: 'auth' | 'auth-int';
  readonly nc?: string;
  readonly cnonce?: string;
};

/**
 * Checks digest authentication of requests (RFC 7616; RFC 8760; RFC 3261, section 22).
 *
 * A response is bound to method, URI, realm and count. An unknown user and a wrong password look alike: the same work,
 * the same fresh challenge. A right response with a nonce that is too old, of an earlier process, or used before with
 * this count gets `stale=true`, upon which a client tries again by itself.
 */
export class DigestCheck {
  readonly #deps: DigestCheckDeps;
  readonly #nonces: Nonces;
  readonly #failed: FailedLogins;
  readonly #secret = randomBytes(32);

  constructor(deps: DigestCheckDeps) {
    this.#deps = deps;
    this.#nonces = new Nonces({
      clock: deps.clock,
      ...deps.nonces,
      ...(deps.nonceLifetimeMs === undefined ? {} : { lifetimeMs: deps.nonceLifetimeMs }),
    });
    this.#failed = new FailedLogins(deps.clock);
  }

  /** Another node has taken a request with this. */
  usedElsewhere({ nonce, realm, count }: NonceUse): void {
    this.#nonces.usedElsewhere(nonce, realm, count);
  }

  /**
   * @param realm one of our domains; credentials for other realms are passed over
   * @throws GatewayError 'request-malformed' for an Authorization that is none or is for another URI (RFC 7616, section
   *   3.4.6), 'rate-exceeded' after too many wrong passwords from where the request came from
   */
  check(request: SipRequest, realm: string): DigestOutcome {
    const claim = claimFor(request, realm);
    if (claim === undefined) return this.#challenge(request, realm, false);
    const userKey = userKeyOf(claim.username, realm);
    const source = request.flow.remoteAddress;
    const pauseSeconds = this.#failed.pauseSeconds(source, userKey);
    if (pauseSeconds > 0) {
      throw new GatewayError('rate-exceeded', 'too many wrong passwords', {
        details: { retryAfterSeconds: pauseSeconds },
      });
    }
    if (!this.#isRight(claim, userKey, request)) {
      this.#failed.add(source, userKey);
      this.#deps.log.info({ aor: userKey, peer: source, method: request.method }, 'credentials refused');
      return this.#challenge(request, realm, false);
    }
    const count = claim.nc === undefined ? undefined : Number.parseInt(claim.nc, 16);
    if (!this.#nonces.use(claim.nonce, realm, count)) return this.#challenge(request, realm, true);
    return { kind: 'proved', userKey };
  }

  #isRight(claim: Claim, userKey: string, request: SipRequest): boolean {
    const { algorithm } = claim;
    const credential = this.#deps.find(userKey);
    // Made for every request, so that the time taken does not tell whether the user exists.
    const nobody = createHmac('sha256', this.#secret).update(userKey).digest('hex');
    const ha1 = (algorithm === 'MD5' ? credential?.md5 : credential?.sha256) ?? nobody;
    const wanted = digestResponse({ ...claim, ha1, method: request.method, body: request.body });
    const [expected, given] = [Buffer.from(wanted), Buffer.from(claim.response)];
    // By bytes: as many characters beyond ASCII are more of them.
    const isEqual = expected.length === given.length && timingSafeEqual(expected, given);
    return isEqual && credential !== undefined;
  }

  #challenge(request: SipRequest, realm: string, isStale: boolean): DigestOutcome {
    const isOld = KNOWS_MD5_ONLY.test(request.headers.get('User-Agent') ?? '');
    const nonce = this.#nonces.issue(realm);
    const stale = isStale ? ', stale=true' : '';
    const headers = (isOld ? (['MD5'] as const) : ALGORITHMS).map((algorithm): HeaderField => [
      'WWW-Authenticate',
      `Digest realm="${realm}", nonce="${nonce}", algorithm=${algorithm}, qop="auth"${stale}`,
    ]);
    return { kind: 'challenge', headers };
  }
}

/** The first Authorization for this realm with an algorithm that is served. */
function claimFor(request: SipRequest, realm: string): Claim | undefined {
  for (const value of request.headers.all('Authorization')) {
    const auth = parseAuthParams(value);
    if (auth === undefined) throw malformed('Authorization is malformed');
    if (auth.scheme.toLowerCase() !== 'digest' || auth.params.get('realm') !== realm) continue;
    const claim = claimFrom(auth.params);
    if (claim === undefined) continue;
    if (!isForUri(claim.uri, request.uri)) throw malformed('Authorization is for another URI');
    return claim;
  }
  return undefined;
}

/** @returns undefined for an algorithm that is not served, which gets a new challenge rather than a 400. */
function claimFrom(params: ReadonlyMap<string, string>): Claim | undefined {
  const [name, suffix, ...rest] = splitAlgorithm(params.get('algorithm') ?? 'MD5');
  const algorithm = ALGORITHMS.find((known) => known === name);
  if (algorithm === undefined || rest.length > 0 || (suffix !== undefined && suffix !== 'SESS')) return undefined;
  const username = params.get('username');
  const nonce = params.get('nonce');
  const uri = params.get('uri');
  const response = params.get('response')?.toLowerCase();
  if (username === undefined || nonce === undefined || uri === undefined || response === undefined) {
    throw malformed('Authorization lacks a parameter');
  }
  const isSession = suffix === 'SESS';
  const qop = params.get('qop')?.toLowerCase();
  const claim = { username, algorithm, isSession, nonce, uri, response };
  const cnonce = params.get('cnonce');
  if (qop === undefined) return cnonce === undefined ? claim : { ...claim, cnonce };
  const nc = params.get('nc');
  if (qop !== 'auth' && qop !== 'auth-int') throw malformed('Authorization has a qop that was not offered');
  if (cnonce === undefined || nc === undefined || !/^[0-9a-fA-F]{8}$/.test(nc)) {
    throw malformed('Authorization lacks a nonce count or cnonce');
  }
  return { ...claim, qop, nc, cnonce };
}

function splitAlgorithm(text: string): string[] {
  const upper = text.toUpperCase();
  return upper.endsWith('-SESS') ? [upper.slice(0, -5), 'SESS'] : [upper];
}

/** The user that a digest username means; for one that can be nobody, a key that nobody has. */
function userKeyOf(username: string, realm: string): string {
  const address = addressFrom(username, realm);
  return address === undefined ? '' : addressKey(address);
}

/**
 * Whether credentials made for one URI hold for a request to another: the same user at the same host. Ports and
 * parameters may differ, since phones leave them out of the one and not of the other.
 */
function isForUri(claimed: string, requestUri: string): boolean {
  if (claimed === requestUri) return true;
  const a = parseSipUri(claimed);
  const b = parseSipUri(requestUri);
  if (a === undefined || b === undefined) return false;
  if (a.port !== undefined && b.port !== undefined && a.port !== b.port) return false;
  return (
    sameHost(a.host, b.host) && (a.user === undefined) === (b.user === undefined) && decodedUser(a) === decodedUser(b)
  );
}

function malformed(message: string): GatewayError {
  return new GatewayError('request-malformed', message);
}
