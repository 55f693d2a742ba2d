import { addressKey, domainOf, localpartOf, type Address } from '../../cpim/address.ts';
import type { CommandsConfig } from '../config.ts';
import type { Log } from '../log.ts';
import { serviceAddress } from './service-address.ts';

export type ServiceAddressesDeps = {
  /** `off`: there are none. */
  readonly config: 'off' | CommandsConfig;
  /** Domains of ours. */
  readonly domains: readonly string[];
  /** Whether a user of ours has this address. */
  readonly isTaken: (userKey: string) => boolean;
  readonly log: Log;
};

/**
 * The addresses that are the server itself, to which commands are written: each domain of ours, and one name in it. A
 * user who has that name keeps it: the operator is told that there commands are written to the domain alone.
 */
export class ServiceAddresses {
  readonly #domains: ReadonlySet<string>;
  /** By domain. */
  readonly #named = new Map<string, Address>();

  constructor({ config, domains, isTaken, log }: ServiceAddressesDeps) {
    this.#domains = new Set(config === 'off' ? [] : domains);
    if (config === 'off') return;
    for (const domain of domains) {
      const address = serviceAddress(domain, config);
      if (address === undefined) continue;
      if (isTaken(addressKey(address))) {
        log.error(
          { address },
          'a user has the address to which commands are written: set commands.user to another name, or remove the user',
        );
      } else {
        this.#named.set(domain, address);
      }
    }
  }

  /** Whether what is sent to this address is for the server itself. */
  isService(address: Address): boolean {
    const domain = domainOf(address);
    if (!this.#domains.has(domain)) return false;
    if (localpartOf(address) === undefined) return true;
    const named = this.#named.get(domain);
    return named !== undefined && addressKey(named) === addressKey(address);
  }

  /** Where users of a domain of ours write to, beside the domain itself. */
  namedIn(domain: string): Address | undefined {
    return this.#named.get(domain);
  }
}
