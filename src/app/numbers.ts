import { NumberPlan } from '../core/number-plan.ts';
import type { PeerTable } from '../core/peers.ts';
import type { UserTable } from '../core/user-table.ts';
import { DnsCache } from '../dns/dns-cache.ts';
import { systemDnsQueries } from '../dns/dns-queries.ts';
import { EnumDirectory } from '../sip/enum/enum-directory.ts';
import type { AppOptions } from './options.ts';

/** Who is meant by aliases and telephone numbers; numbers are looked up where the configuration says how. */
export function numberPlan(peers: PeerTable, users: UserTable, { config, clock }: AppOptions): NumberPlan {
  const { aliases } = config;
  const isKnownHere = users.isKnownHere.bind(users);
  const { enum: enumConfig } = config;
  if (enumConfig === undefined) return new NumberPlan({ peers, isKnownHere, aliases, domains: new Set() });
  const { zone, servers, domains } = enumConfig;
  const directory = new EnumDirectory({ dns: new DnsCache(systemDnsQueries(servers), clock), zone });
  return new NumberPlan({ peers, isKnownHere, aliases, directory, domains: new Set(domains) });
}
