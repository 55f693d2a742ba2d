import type { Config } from '../core/config.ts';
import { isServiceAddress } from '../core/commands/service-address.ts';
import type { Address } from '../cpim/address.ts';

/** Why nobody may have this address, in words that follow it; undefined: he may. */
export function reservedFault(user: Address, { commands }: Config): string | undefined {
  if (commands === 'off' || !isServiceAddress(user, commands)) return undefined;
  return 'is where users write commands; choose another name, or set commands.user in the configuration';
}
