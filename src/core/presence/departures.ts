import { addressKey, domainOf, parseAddress, type Address } from '../../cpim/address.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { PresenceRules } from './presence-rules.ts';
import type { PublicationService } from './publication-service.ts';
import type { SubscriptionChanges } from './subscription-changes.ts';

export type DeparturesDeps = {
  readonly isUser: (address: Address) => boolean;
  /** Whether a domain is one of ours: users of others come and go there. */
  readonly isOwn: (domain: string) => boolean;
  readonly rules: Pick<PresenceRules, 'owners' | 'forget'>;
  readonly publications: Pick<PublicationService, 'owners' | 'forget'>;
  readonly subscriptions: Pick<SubscriptionChanges, 'users' | 'userGone'>;
  /** What users may see elsewhere, whether they look at it now or not. */
  readonly permissions: {
    /** Address keys of those who may see somebody. */
    readonly owners: () => Iterable<string>;
    readonly forget: (watcherKey: string) => void;
    /** What must be let go first, where there is something. */
    readonly leave?: (watcherKey: string) => Promise<void> | undefined;
  };
  readonly log: Log;
};

/**
 * Forgets users who are none any more: their watchers are told that there is nobody, and whoever is given the same address
 * later inherits neither watchers nor rules nor what others have let the one before him see.
 */
export class Departures {
  readonly #deps: DeparturesDeps;

  constructor(deps: DeparturesDeps) {
    this.#deps = deps;
  }

  /** Resolves when nothing is left. @throws GatewayError 'policy-violated' for a user, 'store-unavailable'. */
  async forget(address: Address): Promise<void> {
    if (this.#deps.isUser(address)) throw new GatewayError('policy-violated', `${address} is a user`);
    await this.#forget(addressKey(address));
  }

  /** Those who were taken away while no process was there to see it. */
  sweep(): void {
    const { rules, publications, subscriptions, permissions, log } = this.#deps;
    const keys = new Set([
      ...rules.owners(),
      ...publications.owners(),
      ...subscriptions.users(),
      ...permissions.owners(),
    ]);
    for (const key of keys) {
      if (!this.#isFormer(key)) continue;
      this.#forget(key).catch((thrown: unknown) => {
        log.error({ presentity: key, error: thrown }, 'presence of a former user could not be forgotten');
      });
    }
  }

  async #forget(key: string): Promise<void> {
    const { rules, publications, subscriptions, permissions, log } = this.#deps;
    const leaving = permissions.leave?.(key);
    if (leaving !== undefined) await leaving;
    subscriptions.userGone(key);
    permissions.forget(key);
    await Promise.all([publications.forget(key), rules.forget(key)]);
    log.info({ presentity: key }, 'presence of a former user forgotten');
  }

  #isFormer(key: string): boolean {
    const address = parseAddress(key);
    return address !== undefined && this.#deps.isOwn(domainOf(address)) && !this.#deps.isUser(address);
  }
}
