import { addressKey, domainOf, parseAddress } from '../../cpim/address.ts';
import { near, type ValueFault } from './faults.ts';
import { aliasAddresses } from './numbers.ts';
import { domainAt, listAt, textAt } from './places.ts';

/** Names in `enum` and `aliases` that are none of ours, and aliases that lead in circles. */
export function numberFaults(values: unknown, own: ReadonlySet<string>): ValueFault[] {
  const paths = [...listAt(values, ['enum', 'domains']).map(({ path }) => path), ['enum', 'defaultDomain']];
  const faults = paths.flatMap((path): ValueFault[] => {
    const name = domainAt(values, path);
    return name === undefined || own.has(name) ? [] : [{ path, text: `found ${name}, ${oneOf(name, own)}` }];
  });
  return [...faults, ...aliasFaults(values, own)];
}

function aliasFaults(values: unknown, own: ReadonlySet<string>): ValueFault[] {
  const entries = listAt(values, ['aliases']).map(({ value, path }) => {
    const user = textAt(value, ['user']);
    return { alias: textAt(value, ['address']) ?? '', user: user === undefined ? undefined : parseAddress(user), path };
  });
  const addresses = new Set<string>();
  const faults: ValueFault[] = [];
  for (const { alias, path } of entries) {
    for (const address of aliasAddresses(alias, [...own])) {
      const isTaken = addresses.has(addressKey(address));
      addresses.add(addressKey(address));
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
  return `expected one of our domains (${[...own].join(', ')})${near(name, [...own])}`;
}
