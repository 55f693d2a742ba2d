/** The keys about telephone numbers, and about the other addresses that users have. */
import * as z from 'zod';
import { addressKey, parseAddress, type Address } from '../../cpim/address.ts';
import { dnsServers, domain } from './kinds.ts';
import { meta, text } from './meta.ts';
import { parseDomain } from './values.ts';
import { addressOfNumber, parsePhoneNumber } from '../phone-number.ts';

const isAlias = (value: string): boolean => parsePhoneNumber(value) !== undefined || isUserAddress(value);
const isUserAddress = (value: string): boolean => value.includes('@') && parseAddress(value) !== undefined;

export const numbers = z.strictObject({
  zone: domain
    .default('e164.arpa')
    .meta(meta({ about: 'The apex below which numbers are looked up.', sample: 'e164.arpa' })),
  servers: dnsServers
    .default([])
    .meta(meta({ about: 'DNS servers to ask for numbers; empty: those of `dns.servers`.', sample: ['192.0.2.53'] })),
  domains: z
    .array(domain)
    .default([])
    .meta(
      meta({
        about:
          'Domains of ours at which a user part that is a number (`+15551234567`) is looked up; empty: all of them.',
      }),
    ),
  defaultDomain: domain.optional().meta(
    meta({
      about: 'The domain of ours that a `tel:` URI belongs to, which names none; absent: the first.',
      sample: 'sip.example',
    }),
  ),
});

export const aliases = z
  .array(
    z.strictObject({
      address: text('a number, +15551234567, or an address, user@domain', isAlias).meta(
        meta({ about: 'A number (reached by `tel:` too), or an address in a domain of ours.', sample: '+15551234567' }),
      ),
      user: text('the address of a user of ours, user@domain', isUserAddress).meta(
        meta({ about: 'The user of ours whose it is.', sample: 'alice@sip.example' }),
      ),
    }),
  )
  .default([])
  .meta(
    meta({
      about:
        'Other addresses of users of ours. What is for them goes to the user, who may send under them (`P-Preferred-Identity`).',
    }),
  );

export type NumbersConfig = {
  readonly zone: string;
  readonly servers: readonly string[];
  /** Of ours; where a number may be looked up. */
  readonly domains: readonly string[];
};

/** The section `enum` with every domain named; `servers` are those of DNS in general where it has none of its own. */
export function builtNumbers(
  { zone, servers, domains }: z.output<typeof numbers>,
  own: readonly string[],
  general: readonly string[],
): NumbersConfig {
  const named = domains.map(parseDomain).filter((domain) => domain !== undefined);
  return {
    zone: parseDomain(zone) ?? zone,
    servers: servers.length === 0 ? general : servers,
    domains: named.length === 0 ? own : named,
  };
}

/** The aliases by the key of their address; a number is one at each domain of ours. */
export function builtAliases(written: z.output<typeof aliases>, own: readonly string[]): ReadonlyMap<string, Address> {
  const built = new Map<string, Address>();
  for (const { address: alias, user } of written) {
    const owner = parseAddress(user);
    if (owner === undefined) continue;
    for (const address of aliasAddresses(alias, own)) built.set(addressKey(address), owner);
  }
  return built;
}

/** The addresses that an alias is: itself, or for a number one at each of these domains. */
export function aliasAddresses(alias: string, own: readonly string[]): readonly Address[] {
  const number = parsePhoneNumber(alias);
  if (number === undefined) {
    const address = isUserAddress(alias) ? parseAddress(alias) : undefined;
    return address === undefined ? [] : [address];
  }
  return own.map((domain) => addressOfNumber(number, domain)).filter((address) => address !== undefined);
}
