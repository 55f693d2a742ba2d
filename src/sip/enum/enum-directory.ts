import { addressFrom, type Address } from '../../cpim/address.ts';
import { parseImUri } from '../../cpim/im-uri.ts';
import { GatewayError } from '../../core/errors.ts';
import type { NumberDirectory, NumberService } from '../../core/number-plan.ts';
import type { PhoneNumber } from '../../core/phone-number.ts';
import type { DnsQueries, NaptrRecord } from '../../dns/dns-queries.ts';
import { decodedUser, parseSipUri, schemeOf } from '../uri.ts';
import { applyNaptrRule } from './naptr-rule.ts';

export type EnumDirectoryDeps = {
  readonly dns: Pick<DnsQueries, 'naptr'>;
  /** `e164.arpa`, or an apex of one's own. */
  readonly zone: string;
};

/** RFC 6116, section 3.4.3: so many non-terminal records one after the other, and no more. */
const HOPS_MAX = 5;
/** A zone can list any number; nobody waits for more. */
const RECORDS_MAX = 32;

/** Enumservices that lead to somebody to whom one can write, or whom one can watch, with the schemes of their URIs. */
const SERVICES: Readonly<Record<NumberService, Readonly<Record<string, readonly string[]>>>> = {
  im: { sip: ['sip', 'sips'], im: ['im'] },
  pres: { sip: ['sip', 'sips'], pres: ['pres'] },
};

/**
 * Looks up telephone numbers in DNS (ENUM, RFC 6116): the digits in reverse order below the zone, NAPTR records by order
 * and preference, those of E2U+sip (RFC 3764), E2U+im (RFC 4979) and E2U+pres (RFC 3953).
 *
 * Everything that comes from a zone is bounded: records, non-terminal ones in a row, expressions, what they give. Records
 * that cannot be used are passed over; only where nobody answered at all is it a failure.
 */
export class EnumDirectory implements NumberDirectory {
  readonly #dns: Pick<DnsQueries, 'naptr'>;
  readonly #zone: string;

  constructor({ dns, zone }: EnumDirectoryDeps) {
    this.#dns = dns;
    this.#zone = zone;
  }

  async lookUp(number: PhoneNumber, service: NumberService): Promise<readonly Address[]> {
    const seen = new Set<string>();
    let name = domainOfNumber(number, this.#zone);
    for (let hop = 0; hop <= HOPS_MAX && !seen.has(name); hop++) {
      seen.add(name);
      const records = await this.#records(name, number);
      const addresses = records.flatMap((record) => addressesFrom(record, number, service));
      if (addresses.length > 0) return addresses;
      const further = records.find(isNonTerminal);
      if (further === undefined) return [];
      name = further.replacement.toLowerCase().replace(/\.$/, '');
    }
    return [];
  }

  async #records(name: string, number: PhoneNumber): Promise<readonly NaptrRecord[]> {
    let records: readonly NaptrRecord[];
    try {
      records = await this.#dns.naptr(name);
    } catch (cause) {
      throw new GatewayError('recipient-unavailable', `nobody could be asked for ${number}`, { cause });
    }
    return [...records]
      .sort((one, other) => one.order - other.order || one.preference - other.preference)
      .slice(0, RECORDS_MAX);
  }
}

/** `+4412345` below `e164.arpa` is `5.4.3.2.1.4.4.e164.arpa` (RFC 6116, section 3.2). */
export function domainOfNumber(number: PhoneNumber, zone: string): string {
  return `${Array.from(number.slice(1)).reverse().join('.')}.${zone}`;
}

function isNonTerminal({ flags, replacement, regexp }: NaptrRecord): boolean {
  return flags === '' && replacement !== '' && replacement !== '.' && (regexp ?? '') === '';
}

function addressesFrom(record: NaptrRecord, number: PhoneNumber, service: NumberService): Address[] {
  if (record.flags.toLowerCase() !== 'u') return [];
  const schemes = enumservicesOf(record.service).flatMap((name) => SERVICES[service][name] ?? []);
  if (schemes.length === 0) return [];
  const uri = applyNaptrRule(record.regexp ?? '', number);
  const scheme = uri === undefined ? undefined : schemeOf(uri);
  if (uri === undefined || scheme === undefined || !schemes.includes(scheme)) return [];
  const address = addressOf(uri);
  return address === undefined ? [] : [address];
}

/** The types in `E2U+sip+pres:x`, and in the older `sip+E2U` (RFC 6116, section 3.4.3, and RFC 2916), lower case. */
function enumservicesOf(service: string): readonly string[] {
  const parts = service.toLowerCase().split('+');
  const types = parts[0] === 'e2u' ? parts.slice(1) : parts.at(-1) === 'e2u' ? parts.slice(0, -1) : [];
  return types.map((type) => type.split(':', 1)[0] ?? '');
}

function addressOf(uri: string): Address | undefined {
  const sip = parseSipUri(uri);
  if (sip === undefined) return parseImUri(uri)?.address;
  const user = decodedUser(sip);
  return user === undefined ? undefined : addressFrom(user, sip.host);
}
