import type { DnsQueries, NaptrRecord, SrvRecord } from '../../src/dns/dns-queries.ts';

export type Zone = {
  readonly naptr?: Readonly<Record<string, readonly NaptrRecord[]>>;
  readonly srv?: Readonly<Record<string, readonly SrvRecord[]>>;
  readonly a?: Readonly<Record<string, readonly string[]>>;
  readonly aaaa?: Readonly<Record<string, readonly string[]>>;
  /** Questions no server answers: `srv _sip._udp.a.example`. */
  readonly failing?: readonly string[];
};

/** Answers from a zone in memory; names that are not in it do not exist. */
export class ZoneDns implements DnsQueries {
  readonly asked: string[] = [];
  readonly #zone: Zone;

  constructor(zone: Zone) {
    this.#zone = zone;
  }

  naptr = (name: string) => this.#answer('naptr', name, this.#zone.naptr?.[name]);
  srv = (name: string) => this.#answer('srv', name, this.#zone.srv?.[name]);
  a = (name: string) => this.#addresses('a', name, this.#zone.a?.[name]);
  aaaa = (name: string) => this.#addresses('aaaa', name, this.#zone.aaaa?.[name]);

  async #addresses(type: string, name: string, list: readonly string[] = []) {
    return this.#answer(
      type,
      name,
      list.map((address) => ({ address, ttlSeconds: 300 })),
    );
  }

  async #answer<T>(type: string, name: string, records: readonly T[] = []): Promise<readonly T[]> {
    this.asked.push(`${type} ${name}`);
    if (this.#zone.failing?.includes(`${type} ${name}`) === true) throw new Error('SERVFAIL');
    return records;
  }
}

export function naptr(
  order: number,
  preference: number,
  service: string,
  replacement: string,
  flags = 's',
): NaptrRecord {
  return { order, preference, flags, service, replacement };
}

export function srv(priority: number, weight: number, port: number, name: string): SrvRecord {
  return { priority, weight, port, name };
}

/** A record of ENUM that ends the search (RFC 6116): order, preference, service and substitution expression. */
export function enumRecord(order: number, preference: number, service: string, regexp: string): NaptrRecord {
  return { order, preference, flags: 'u', service, regexp, replacement: '' };
}
