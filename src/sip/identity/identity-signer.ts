import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { domainOf, type Address } from '../../cpim/address.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Clock } from '../../core/ports.ts';
import { formatSipDate, parseSipDate } from '../header-values.ts';
import type { HeaderField, SipOutgoing } from '../message.ts';
import { domainsOf, isValidAt } from './certificate.ts';
import { isP256, signatureOver, signingInput } from './passport.ts';
import { partyFrom } from './party.ts';

export type IdentityKey = {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  /** Where others get the certificate from, a URL. */
  readonly info: string;
};

/** RFC 8224, section 6.1, step 3. */
const DATE_SECONDS_MAX = 60;

/** Signs who sends a request, for those of our domains for which there is a certificate (RFC 8224, section 6.1). */
export class IdentitySigner {
  readonly #key: KeyObject;
  readonly #info: string;
  readonly #domains: ReadonlySet<string>;
  readonly #certificate: X509Certificate;
  readonly #clock: Pick<Clock, 'nowMs'>;

  /** @throws GatewayError 'internal' for a key that ES256 cannot use */
  constructor({ certificate, key, info }: IdentityKey, clock: Pick<Clock, 'nowMs'>) {
    this.#certificate = new X509Certificate(certificate);
    this.#key = createPrivateKey(key);
    if (!isP256(this.#key)) {
      throw new GatewayError('internal', 'sip.identity.key is not of the kind that SIP Identity uses: EC on P-256');
    }
    this.#info = info;
    this.#domains = new Set(domainsOf(this.#certificate));
    this.#clock = clock;
  }

  /**
   * The same request with Date and Identity; as it is where From is not the author's own, which is so for one who wishes
   * not to be named, or is in no domain of the certificate.
   *
   * @param form `full`: with everything that was signed, after a 438 (section 6.1.1)
   */
  signed(outgoing: SipOutgoing, author: Address, form: 'compact' | 'full'): SipOutgoing {
    const nowMs = this.#clock.nowMs();
    const orig = partyFrom(fieldOf(outgoing, 'From'));
    const dest = partyFrom(fieldOf(outgoing, 'To'));
    const isOurs = orig !== undefined && 'uri' in orig && orig.uri.endsWith(`@${domainOf(author)}`);
    if (!isOurs || dest === undefined || !this.#domains.has(domainOf(author))) return outgoing;
    if (!isValidAt(this.#certificate, nowMs)) return outgoing;
    const { date, headers } = withDate(outgoing.headers, nowMs);
    const input = signingInput({ orig, dest, iat: Math.floor(date / 1_000) }, this.#info);
    const signature = signatureOver(input, this.#key);
    const value = `${form === 'full' ? input : '.'}.${signature};info=<${this.#info}>;alg=ES256`;
    return { ...outgoing, headers: [...headers, ['Identity', value]] };
  }
}

/** A Date says when a request was sent; one that says when its message was written, long ago, would make it stale. */
function withDate(
  fields: readonly HeaderField[],
  nowMs: number,
): { readonly date: number; readonly headers: readonly HeaderField[] } {
  const written = parseSipDate(fields.find(([name]) => name === 'Date')?.[1] ?? '');
  if (written !== undefined && Math.abs(nowMs - written) < (DATE_SECONDS_MAX / 2) * 1_000) {
    return { date: written, headers: fields };
  }
  const others = fields.filter(([name]) => name !== 'Date');
  return { date: nowMs, headers: [...others, ['Date', formatSipDate(nowMs)]] };
}

function fieldOf({ headers }: SipOutgoing, wanted: string): string | undefined {
  return headers.find(([name]) => name === wanted)?.[1];
}
