import { addressKey, domainOf, localpartOf, type Address } from '../cpim/address.ts';
import { GatewayError } from './errors.ts';
import type { Peer, PeerTable } from './peers.ts';
import type { HopId, Route } from './ports.ts';

/** The hop of a local user's contacts. */
export function userHop(userKey: string): HopId {
  return `user:${userKey}`;
}

/** Finds the way for an operation by the domains of its ends; the peer table is all it knows. */
export class Router {
  readonly #peers: PeerTable;

  constructor(peers: PeerTable) {
    this.#peers = peers;
  }

  /**
   * The way from a source to a destination.
   *
   * At least one end is a user of ours: a message from one peer domain to another is refused, or this server would
   * relay for strangers. Where several links lead to a domain, the one is taken that stands for the source's domain.
   *
   * @throws GatewayError 'peer-unknown' for a destination domain in no peer entry, 'sender-forbidden' for a source
   *   that is in none or wants relaying, 'recipient-unknown' for a domain of ours without a user.
   */
  routeOf(source: Address, destination: Address): Route {
    const from = domainOf(source);
    const to = domainOf(destination);
    const isFromOwn = this.#peers.own(from) !== undefined;
    if (this.#peers.own(to) !== undefined) {
      if (!isFromOwn && this.#peers.peer(from) === undefined) {
        throw new GatewayError('sender-forbidden', `${from} is neither a domain of ours nor a peer`);
      }
      if (localpartOf(destination) === undefined) {
        throw new GatewayError('recipient-unknown', `${to} is a domain without a user part`);
      }
      const userKey = addressKey(destination);
      return { kind: 'local', hop: userHop(userKey), userKey };
    }
    const ways = this.#peers.peersOf(to);
    if (ways.length === 0) throw new GatewayError('peer-unknown', `${to} is in no peer entry`);
    if (!isFromOwn) throw new GatewayError('sender-forbidden', `${from} may not reach ${to} through this server`);
    const way = ways.find((peer) => peer.standsFor === from) ?? ways.find((peer) => peer.link === 'sip');
    if (way === undefined) throw new GatewayError('peer-unknown', `no link to ${to} stands for ${from}`);
    return routeOver(way);
  }
}

function routeOver(way: Peer): Route {
  if (way.link !== 'sip') return { kind: 'link', hop: `link:${way.link}`, link: way.link, domain: way.domain };
  return {
    kind: 'sip',
    hop: `sip:${way.domain}`,
    domain: way.domain,
    ...(way.nextHop === undefined ? {} : { nextHop: way.nextHop }),
  };
}
