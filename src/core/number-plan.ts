import { addressKey, domainOf, localpartOf, type Address } from '../cpim/address.ts';
import { GatewayError } from './errors.ts';
import type { PeerTable } from './peers.ts';
import { parsePhoneNumber, type PhoneNumber } from './phone-number.ts';

/** For what somebody is looked up: to write to him, or to watch him. */
export type NumberService = 'im' | 'pres';

/**
 * Finds whom a telephone number stands for, outside of this server (RFC 6116).
 *
 * 1. The addresses are in the order in which they are to be tried; empty: the number has none.
 * 2. Rejects with GatewayError('recipient-unavailable') when nobody could be asked.
 */
export interface NumberDirectory {
  lookUp(number: PhoneNumber, service: NumberService): Promise<readonly Address[]>;
}

export type NumberPlanDeps = {
  readonly peers: Pick<PeerTable, 'own' | 'peer'>;
  /** Whether a user of ours is known here under this very address; by key. */
  readonly isKnownHere: (userKey: string) => boolean;
  /** Other addresses of users of ours, by key. */
  readonly aliases: ReadonlyMap<string, Address>;
  readonly directory?: NumberDirectory;
  /** Domains of ours at which a user part that is a number may be looked up. */
  readonly domains: ReadonlySet<string>;
};

/** A number may stand for another number, and that for another; more than this is a mistake. */
const STEPS_MAX = 4;

/**
 * Says who is meant by an address at a domain of ours: the user himself, the one of whom it is an alias, or whom the
 * directory gives for a telephone number. What comes out is an address like any other, about which the peer table decides.
 */
export class NumberPlan {
  readonly #deps: NumberPlanDeps;
  /** The first number of each user who has one, by his key. */
  readonly #numbers = new Map<string, PhoneNumber>();

  constructor(deps: NumberPlanDeps) {
    this.#deps = deps;
    for (const [alias, owner] of deps.aliases) {
      const number = parsePhoneNumber(alias.slice(0, alias.indexOf('@')));
      const userKey = addressKey(owner);
      if (number !== undefined && !this.#numbers.has(userKey)) this.#numbers.set(userKey, number);
    }
  }

  /**
   * The address itself for everybody who is neither an alias nor a number.
   *
   * @throws GatewayError 'recipient-unknown' for a number that has no address, 'peer-unknown' where all of them are in
   *   domains of strangers, 'recipient-unavailable' when the directory could not be asked, 'loop-detected'
   */
  destinationOf(address: Address, service: NumberService): Address | Promise<Address> {
    const step = this.#stepOf(address);
    return step.kind === 'known' ? step.address : this.#found(address, step.number, service, 1);
  }

  /** The user whose alias an address is; undefined for one that is none. */
  userOf(alias: Address): Address | undefined {
    return this.#deps.aliases.get(addressKey(alias));
  }

  /** The first of a user's numbers; undefined for one who has none. */
  numberOf(user: Address): PhoneNumber | undefined {
    return this.#numbers.get(addressKey(user));
  }

  #stepOf(
    address: Address,
  ):
    { readonly kind: 'known'; readonly address: Address } | { readonly kind: 'look-up'; readonly number: PhoneNumber } {
    const { peers, aliases, directory, domains, isKnownHere } = this.#deps;
    const own = peers.own(domainOf(address));
    if (own === undefined) return { kind: 'known', address };
    const user = aliases.size === 0 ? undefined : aliases.get(addressKey(address));
    if (user !== undefined) return { kind: 'known', address: user };
    const number = directory === undefined || !domains.has(own.name) ? undefined : numberOf(address);
    if (number === undefined || isKnownHere(addressKey(address))) return { kind: 'known', address };
    return { kind: 'look-up', number };
  }

  async #found(address: Address, number: PhoneNumber, service: NumberService, steps: number): Promise<Address> {
    const { directory, peers } = this.#deps;
    const found = (await directory?.lookUp(number, service)) ?? [];
    if (found.length === 0) {
      // A core may know numbers that no directory has.
      if (peers.own(domainOf(address))?.nextHop !== undefined) return address;
      throw new GatewayError('recipient-unknown', `${number} is in no directory`);
    }
    const reachable = found.find((one) => {
      const domain = domainOf(one);
      return peers.own(domain) !== undefined || peers.peer(domain) !== undefined;
    });
    if (reachable === undefined) {
      throw new GatewayError('peer-unknown', `${number} leads to ${domainOf(found[0] ?? address)}, in no peer entry`);
    }
    const next = this.#stepOf(reachable);
    if (next.kind === 'known') return next.address;
    if (steps >= STEPS_MAX || next.number === number) {
      throw new GatewayError('loop-detected', `${number} leads from number to number`);
    }
    return this.#found(reachable, next.number, service, steps + 1);
  }
}

function numberOf(address: Address): PhoneNumber | undefined {
  return parsePhoneNumber(localpartOf(address) ?? '');
}
