import type { Clock } from '../core/ports.ts';
import type { AddressRecord, DnsQueries, NaptrRecord, SrvRecord } from './dns-queries.ts';

/** Node gives no lifetime with SRV and NAPTR records. */
const RECORD_TTL_MS = 60_000;
const ADDRESS_TTL_MS_MIN = 1_000;
const ADDRESS_TTL_MS_MAX = 3_600_000;
/** RFC 2308 would take it from the SOA record, which Node does not give either. */
const NEGATIVE_TTL_MS = 30_000;
/** After a failure of the name server the next message asks again, but not each of thousands. */
const FAILURE_TTL_MS = 2_000;

type Entry = { readonly answer: Promise<readonly unknown[]>; expiresAtMs: number };

/**
 * Remembers answers of DNS: positive ones as long as they live (bounded), negative ones for 30 s, failures for 2 s.
 *
 * Questions asked while the same one is under way share its answer. At most `entriesMax` answers are kept, the oldest
 * question goes first: names come from the network.
 */
export class DnsCache implements DnsQueries {
  readonly #queries: DnsQueries;
  readonly #clock: Clock;
  readonly #entriesMax: number;
  readonly #entries = new Map<string, Entry>();

  constructor(queries: DnsQueries, clock: Clock, entriesMax = 10_000) {
    this.#queries = queries;
    this.#clock = clock;
    this.#entriesMax = entriesMax;
  }

  naptr(name: string): Promise<readonly NaptrRecord[]> {
    return this.#ask(`naptr ${name}`, () => this.#queries.naptr(name), recordTtlMs);
  }

  srv(name: string): Promise<readonly SrvRecord[]> {
    return this.#ask(`srv ${name}`, () => this.#queries.srv(name), recordTtlMs);
  }

  a(name: string): Promise<readonly AddressRecord[]> {
    return this.#ask(`a ${name}`, () => this.#queries.a(name), addressTtlMs);
  }

  aaaa(name: string): Promise<readonly AddressRecord[]> {
    return this.#ask(`aaaa ${name}`, () => this.#queries.aaaa(name), addressTtlMs);
  }

  #ask<T>(
    key: string,
    question: () => Promise<readonly T[]>,
    ttlMs: (records: readonly T[]) => number,
  ): Promise<readonly T[]> {
    const known = this.#entries.get(key);
    // The key names the question, and the question the type of its records.
    if (known !== undefined && known.expiresAtMs > this.#clock.nowMs()) return known.answer as Promise<readonly T[]>;
    const answer = question();
    const entry: Entry = { answer, expiresAtMs: Number.POSITIVE_INFINITY };
    this.#entries.delete(key);
    if (this.#entries.size >= this.#entriesMax) {
      const oldest = this.#entries.keys().next();
      if (oldest.done !== true) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, entry);
    answer.then(
      (records) => {
        entry.expiresAtMs = this.#clock.nowMs() + (records.length === 0 ? NEGATIVE_TTL_MS : ttlMs(records));
      },
      () => {
        entry.expiresAtMs = this.#clock.nowMs() + FAILURE_TTL_MS;
      },
    );
    return answer;
  }
}

function recordTtlMs(): number {
  return RECORD_TTL_MS;
}

function addressTtlMs(records: readonly AddressRecord[]): number {
  const seconds = records.reduce((least, { ttlSeconds }) => Math.min(least, ttlSeconds), Number.POSITIVE_INFINITY);
  return Math.min(Math.max(seconds * 1_000, ADDRESS_TTL_MS_MIN), ADDRESS_TTL_MS_MAX);
}
