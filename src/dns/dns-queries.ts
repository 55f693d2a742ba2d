import { promises as dns } from 'node:dns';

export type NaptrRecord = {
  readonly order: number;
  readonly preference: number;
  readonly flags: string;
  readonly service: string;
  /** The substitution expression; absent or empty: there is none, and `replacement` counts. */
  readonly regexp?: string;
  readonly replacement: string;
};
export type SrvRecord = {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly name: string;
};
export type AddressRecord = { readonly address: string; readonly ttlSeconds: number };

/**
 * The four questions RFC 3263 asks. An empty answer means the name or the record does not exist; a rejection means
 * nobody knows: no server answered, or one failed.
 */
export interface DnsQueries {
  naptr(name: string): Promise<readonly NaptrRecord[]>;
  srv(name: string): Promise<readonly SrvRecord[]>;
  a(name: string): Promise<readonly AddressRecord[]>;
  aaaa(name: string): Promise<readonly AddressRecord[]>;
}

/** How long one server is given for one question, and how often it is asked. */
const QUERY_TIMEOUT_MS = 1_000;
const QUERY_TRIES = 2;
/** The local file of hosts says nothing of how long an entry lives. */
const HOSTS_FILE_TTL_SECONDS = 10;

/**
 * Asks the servers given (`192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:53`), or the system's when there are none.
 * Without servers of its own, a name that DNS does not know is looked for where the system looks (the hosts file).
 */
export function systemDnsQueries(servers: readonly string[] | undefined): DnsQueries {
  const resolver = new dns.Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
  const own = servers !== undefined && servers.length > 0;
  if (own) resolver.setServers(servers);

  async function addresses(name: string, family: 4 | 6): Promise<readonly AddressRecord[]> {
    const records = await emptyWhenUnknown(
      family === 4 ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }),
    );
    if (records.length > 0 || own) return records.map(({ address, ttl }) => ({ address, ttlSeconds: ttl }));
    const known = await emptyWhenUnknown(dns.lookup(name, { family, all: true }));
    return known.map(({ address }) => ({ address, ttlSeconds: HOSTS_FILE_TTL_SECONDS }));
  }

  return {
    naptr: (name) => emptyWhenUnknown(resolver.resolveNaptr(name)),
    srv: (name) => emptyWhenUnknown(resolver.resolveSrv(name)),
    a: (name) => addresses(name, 4),
    aaaa: (name) => addresses(name, 6),
  };
}

const NO_SUCH_RECORD = new Set(['ENOTFOUND', 'ENODATA', 'ENONAME', 'EBADNAME', 'EAI_NONAME', 'EAI_NODATA']);

async function emptyWhenUnknown<T>(answer: Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await answer;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (typeof code === 'string' && NO_SUCH_RECORD.has(code)) return [];
    throw error;
  }
}
