import { GatewayError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports.ts';
import { RecentMap } from '../../core/recent-map.ts';
import { Turns } from '../../core/turns.ts';
import { parseSipDate } from '../header-values.ts';
import type { SipRequest } from '../message.ts';
import { domainsOf, isValidAt } from './certificate.ts';
import type { Credentials } from './credentials.ts';
import { identitiesOf, type IdentityHeader } from './identity-header.ts';
import { isP256, isSameParty, isSignedBy, readFullForm, signingInput, type Claims } from './passport.ts';
import { partyFrom } from './party.ts';

export type IdentityVerifierDeps = {
  readonly credentials: Pick<Credentials, 'find'>;
  /** How old or how far ahead a Date may be, seconds (RFC 8224, section 6.2, step 4). */
  readonly freshnessSeconds: number;
  readonly clock: Pick<Clock, 'nowMs'>;
};

/** `check`: what is signed must be right; `require`: it must be signed. */
export type IdentityPolicy = 'check' | 'require';

type Verdict = 'good' | 'no-credential' | 'unsupported' | 'stale' | 'invalid';

const REMEMBERED_MAX = 200_000;

/**
 * Verifies who is said to have sent a request (RFC 8224, section 6.2): the signature over From, To and Date, by a
 * certificate for the sender's domain (section 8.4), fresh, and used for no other request.
 */
export class IdentityVerifier {
  readonly #deps: IdentityVerifierDeps;
  /** Signatures that were seen, with the request that had them: whoever copies one into another request is nobody. */
  readonly #seen: RecentMap<string>;
  readonly #turns = new Turns();

  constructor(deps: IdentityVerifierDeps) {
    this.#deps = deps;
    this.#seen = new RecentMap({ keepMs: 2 * deps.freshnessSeconds * 1_000, max: REMEMBERED_MAX });
  }

  /**
   * Resolves when the request is what it says it is, for requests of one author to one recipient in their order.
   *
   * @param domain that of the peer it comes from, in which the sender must be
   * @throws GatewayError 'sender-unauthenticated' with status 428, 436, 437 or 438, 'sender-forbidden' with status 403 for
   *   a stale one (section 6.2.2)
   */
  verify(request: SipRequest, domain: string, policy: IdentityPolicy): Promise<void> {
    const from = request.headers.get('From') ?? '';
    return this.#turns.run(`${from.split(';', 1)[0] ?? ''}\n${request.uri}`, () =>
      this.#verified(request, domain, policy),
    );
  }

  async #verified(request: SipRequest, domain: string, policy: IdentityPolicy): Promise<void> {
    // Extensions are passed over as if they were not there (section 6.2, step 1).
    const identities = identitiesOf(request).filter((identity) => identity?.ppt === undefined);
    if (identities.length === 0) {
      if (policy === 'check') return;
      throw refused(428, 'there is no Identity that can be used', 'Sign who sends it (RFC 8224).');
    }
    const verdicts: Verdict[] = [];
    for (const identity of identities) {
      const verdict = identity === undefined ? 'invalid' : await this.#verdictOf(identity, request, domain);
      if (verdict === 'good') return;
      verdicts.push(verdict);
    }
    if (verdicts.includes('stale')) {
      throw new GatewayError('sender-forbidden', 'Date of a signed request is not of now', {
        details: { status: 403, text: 'Stale Date' },
      });
    }
    if (verdicts.includes('invalid'))
      throw refused(438, 'Identity does not fit the request', 'Invalid Identity Header');
    if (verdicts.includes('unsupported'))
      throw refused(437, 'nobody believes that certificate', 'Unsupported Credential');
    throw refused(436, 'the certificate is not to be had', 'Bad Identity Info');
  }

  async #verdictOf(identity: IdentityHeader, request: SipRequest, domain: string): Promise<Verdict> {
    const { credentials, clock } = this.#deps;
    if (identity.alg !== 'ES256') return 'unsupported';
    const orig = partyFrom(request.headers.get('From'));
    const dest = partyFrom(request.headers.get('To'));
    if (orig === undefined || dest === undefined) return 'invalid';
    const iat = this.#timeOf(identity, request);
    if (iat === undefined) return 'invalid';
    if (iat === 'stale') return 'stale';
    const found = await credentials.find(identity.info);
    if (found === 'not-to-be-had') return 'no-credential';
    if (found === 'unsupported') return 'unsupported';
    const { certificate } = found;
    if (!isP256(certificate.publicKey) || !isValidAt(certificate, clock.nowMs())) return 'unsupported';
    if (!domainsOf(certificate).includes(domain) || !('uri' in orig) || !orig.uri.endsWith(`@${domain}`)) {
      return 'unsupported';
    }
    const input = inputOf(identity, { orig, dest, iat });
    if (input === undefined || !isSignedBy(input, identity.signature, certificate.publicKey)) return 'invalid';
    return this.#isFirstUse(identity.signature, request) ? 'good' : 'invalid';
  }

  /** The time that was signed, seconds: in the full form its own, else that of Date. */
  #timeOf({ full }: IdentityHeader, request: SipRequest): number | 'stale' | undefined {
    const date = parseSipDate(request.headers.get('Date') ?? '');
    const said = full === undefined ? undefined : readFullForm(full.header, full.payload);
    if (full !== undefined && said === undefined) return undefined;
    const seconds = said?.iat ?? (date === undefined ? undefined : Math.floor(date / 1_000));
    if (seconds === undefined) return undefined;
    const { clock, freshnessSeconds } = this.#deps;
    const nowMs = clock.nowMs();
    const times = date === undefined || said !== undefined ? [seconds * 1_000] : [seconds * 1_000, date];
    return times.every((time) => Math.abs(nowMs - time) <= freshnessSeconds * 1_000) ? seconds : 'stale';
  }

  /** A request that is repeated has the same Call-ID and number; another one needs a signature of its own. */
  #isFirstUse(signature: string, { headers }: SipRequest): boolean {
    const nowMs = this.#deps.clock.nowMs();
    const use = `${headers.get('Call-ID') ?? ''}\n${headers.get('CSeq') ?? ''}`;
    const before = this.#seen.get(signature, nowMs);
    if (before === undefined) this.#seen.set(signature, use, nowMs);
    return before === undefined || before === use;
  }
}

/** What must have been signed; undefined where the full form says something else than the request. */
function inputOf({ full, info }: IdentityHeader, claims: Claims): string | undefined {
  if (full === undefined) return signingInput(claims, info);
  const said = readFullForm(full.header, full.payload);
  if (said?.info !== info || !isSameParty(said.orig, claims.orig) || !isSameParty(said.dest, claims.dest)) {
    return undefined;
  }
  return `${full.header}.${full.payload}`;
}

function refused(status: number, message: string, text: string): GatewayError {
  return new GatewayError('sender-unauthenticated', message, { details: { status, text } });
}
