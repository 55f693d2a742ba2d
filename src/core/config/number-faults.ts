import { addressKey, domainOf, parseAddress } from '../../cpim/address.ts';
import { nearest, type ConfigPath, type ValueFault } from './faults.ts';
import { aliasAddresses } from './numbers.ts';
import { parseDomain } from './values.ts';

/** Names in `enum` and `aliases` that are none of ours, and aliases that lead in circles. */
export function numberFaults(values: unknown, own: ReadonlySet<string>): ValueFault[] {
  const root = recordOf(values);
  const faults: ValueFault[] = [];
  const section = recordOf(root['enum']);
  const named: ReadonlyArray<readonly [unknown, ConfigPath]> = [
    ...(Array.isArray(section['domains'])
      ? section['domains'].map((value: unknown, at) => [value, ['enum', 'domains', at]] as const)
      : []),
    [section['defaultDomain'], ['enum', 'defaultDomain']],
  ];
  for (const [value, path] of named) {
    const name = typeof value === 'string' ? parseDomain(value) : undefined;
    if (name !== undefined && !own.has(name)) faults.push({ path, text: `found ${name}, ${oneOf(name, own)}` });
  }
  faults.push(...aliasFaults(root['aliases'], own));
  return faults;
}

function aliasFaults(written: unknown, own: ReadonlySet<string>): ValueFault[] {
  const entries = (Array.isArray(written) ? written : []).map((entry: unknown, at) => {
    const { address, user } = recordOf(entry);
    const alias = typeof address === 'string' ? address : '';
    return { alias, user: typeof user === 'string' ? parseAddress(user) : undefined, path: ['aliases', at] };
  });
  const addresses = new Map<string, number>();
  const faults: ValueFault[] = [];
  for (const [at, { alias, path }] of entries.entries()) {
    for (const address of aliasAddresses(alias, [...own])) {
      const isTaken = addresses.has(addressKey(address));
      addresses.set(addressKey(address), at);
      const domain = domainOf(address);
      if (isTaken) faults.push({ path: [...path, 'address'], text: `${alias} is named a second time, expected once` });
      else if (!own.has(domain)) {
        faults.push({ path: [...path, 'address'], text: `found ${domain}, ${oneOf(domain, own)}` });
      }
      if (isTaken) break;
    }
  }
  for (const { user, path } of entries) {
    if (user === undefined) continue;
    const domain = domainOf(user);
    if (!own.has(domain)) faults.push({ path: [...path, 'user'], text: `found ${domain}, ${oneOf(domain, own)}` });
    else if (addresses.has(addressKey(user))) {
      faults.push({ path: [...path, 'user'], text: `found ${user}, which is an alias itself; expected the user` });
    }
  }
  return faults;
}

function oneOf(name: string, own: ReadonlySet<string>): string {
  const near = nearest(name, [...own]);
  return `expected one of our domains (${[...own].join(', ')})${near === undefined ? '' : `; did you mean ${near}?`}`;
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
