import { addressFrom, addressKey, domainOf, type Address } from '../../cpim/address.ts';
import type { CommandsConfig } from '../config.ts';

/** The address in a domain of ours to which commands are written. */
export function serviceAddress(domain: string, { user }: CommandsConfig): Address | undefined {
  return addressFrom(user, domain);
}

/** Whether an address of ours, in whatever spelling, is the one to which commands are written. */
export function isServiceAddress(address: Address, config: CommandsConfig): boolean {
  const service = serviceAddress(domainOf(address), config);
  return service !== undefined && addressKey(service) === addressKey(address);
}
