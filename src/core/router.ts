import { addressKey, domainOf, localpartOf, type Address } from '../cpim/address.ts';
import type { AccountWays } from './accounts.ts';
import { GatewayError } from './errors.ts';
import { pairLink, type Peer, type PeerTable } from './peers.ts';
import type { HopId, Route } from './ports.ts';
import { ANONYMOUS, type UpstreamRoute } from './presence/subscription.ts';
import type { PresenceRoute } from './presence/subscription-table.ts';

/** The hop of a SIP domain. */
export function sipHop(domain: string): `sip:${string}` {
  return `sip:${domain}`;
}

/** The hop of an XMPP link. */
export function linkHop(link: string): `link:${string}` {
  return `link:${link}`;
}

/** The hop of a local user's contacts. */
export function userHop(userKey: string): HopId {
  return `user:${userKey}`;
}

/** Whether somebody in a domain of ours is known here: has a password, or a contact. */
export type IsKnownHere = (userKey: string) => boolean;

/**
 * Finds the way for an operation by the domains of its ends. The peer table is all it knows, and for domains of ours
 * with a next hop who is known here; it is asked for no others.
 */
export class Router {
  readonly #peers: PeerTable;
  readonly #isKnownHere: IsKnownHere;
  readonly #accounts: AccountWays | undefined;

  constructor(peers: PeerTable, isKnownHere: IsKnownHere, accounts?: AccountWays) {
    this.#peers = peers;
    this.#isKnownHere = isKnownHere;
    this.#accounts = accounts;
  }

  /**
   * The way from a source to a destination.
   *
   * At least one end is a user of ours: a message from one peer domain to another is refused, or this server would
   * relay for strangers. Where several links lead to a domain, the one is taken that stands for the source's domain.
   * Where none does, an account that the source has linked may lead there.
   *
   * @throws GatewayError 'peer-unknown' for a destination domain in no peer entry, 'sender-forbidden' for a source
   *   that is in none or wants relaying, 'recipient-unknown' for a domain of ours without a user.
   */
  routeOf(source: Address, destination: Address): Route {
    const from = domainOf(source);
    const own = this.#peers.own(domainOf(destination));
    if (own === undefined) {
      const account = this.#accountFor(source, destination);
      if (account !== undefined) {
        return { kind: 'link', hop: linkHop(account), link: account, domain: domainOf(destination) };
      }
      return routeOver(this.#wayTo(domainOf(destination), from), from);
    }
    this.#checkMayReachUs(from);
    const userKey = userKeyOf(destination);
    if (own.nextHop === undefined || this.#isKnownHere(userKey)) {
      return { kind: 'local', hop: userHop(userKey), userKey };
    }
    return { kind: 'sip', hop: sipHop(own.name), domain: own.name, nextHop: own.nextHop };
  }

  /**
   * Where a watcher's subscription to somebody goes. One who does not say who he is may watch users of ours only.
   *
   * @throws GatewayError as `routeOf`.
   */
  presenceRouteOf(watcher: Address, presentity: Address): PresenceRoute {
    const from = domainOf(watcher);
    const own = this.#peers.own(domainOf(presentity));
    if (own === undefined) {
      const account = this.#accountFor(watcher, presentity, true);
      if (account !== undefined) return { kind: 'link', link: account };
      const way = this.#wayTo(domainOf(presentity), from);
      return way.link === 'sip' ? upstreamOf(way.domain, way.nextHop) : { kind: 'link', link: linkOf(way, from) };
    }
    if (watcher !== ANONYMOUS) this.#checkMayReachUs(from);
    const userKey = userKeyOf(presentity);
    if (own.nextHop === undefined || this.#isKnownHere(userKey)) return { kind: 'local' };
    return upstreamOf(own.name, own.nextHop);
  }

  /** A peer entry goes before an account. Everybody may be asked to be seen: so one becomes a contact. */
  #accountFor(source: Address, destination: Address, isToSee = false): string | undefined {
    if (this.#accounts === undefined || this.#peers.own(domainOf(source)) === undefined) return undefined;
    if (this.#peers.peer(domainOf(destination)) !== undefined) return undefined;
    return this.#accounts.wayFor(source, destination, isToSee);
  }

  #checkMayReachUs(from: string): void {
    if (this.#peers.own(from) !== undefined || this.#peers.peer(from) !== undefined) return;
    // Over accounts strangers come too; whose account it was is looked at where they come in.
    if (this.#peers.hasAccounts) return;
    throw new GatewayError('sender-forbidden', `${from} is neither a domain of ours nor a peer`);
  }

  #wayTo(to: string, from: string): Peer {
    const ways = this.#peers.peersOf(to);
    if (ways.length === 0) throw new GatewayError('peer-unknown', `${to} is in no peer entry`);
    if (this.#peers.own(from) === undefined) {
      throw new GatewayError('sender-forbidden', `${from} may not reach ${to} through this server`);
    }
    const way =
      ways.find((peer) => peer.standsFor === from) ?? ways.find((peer) => peer.link === 'sip' || peer.isPaired);
    if (way === undefined) throw new GatewayError('peer-unknown', `no link to ${to} stands for ${from}`);
    return way;
  }
}

function userKeyOf(address: Address): string {
  if (localpartOf(address) === undefined) {
    throw new GatewayError('recipient-unknown', `${domainOf(address)} is a domain without a user part`);
  }
  return addressKey(address);
}

function upstreamOf(domain: string, nextHop: string | undefined): UpstreamRoute {
  return { kind: 'sip', domain, ...(nextHop === undefined ? {} : { nextHop }) };
}

/** The name of the link that leads there for a domain of ours. */
function linkOf(way: Peer, own: string): string {
  return way.isPaired === true ? pairLink(way.link, own, way.domain) : way.link;
}

function routeOver(way: Peer, from: string): Route {
  if (way.link !== 'sip') {
    const link = linkOf(way, from);
    return { kind: 'link', hop: linkHop(link), link, domain: way.domain };
  }
  return {
    kind: 'sip',
    hop: sipHop(way.domain),
    domain: way.domain,
    ...(way.nextHop === undefined ? {} : { nextHop: way.nextHop }),
  };
}
