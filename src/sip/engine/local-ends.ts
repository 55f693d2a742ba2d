import { createSocket } from 'node:dgram';

import type { Clock } from '../../core/ports.ts';
import { isLoopback } from '../host.ts';
import type { SipTransport } from '../message.ts';
import { hostPort } from './channel.ts';
import type { UdpListener } from './udp-listener.ts';

/** Where this server sends from. */
export type LocalEnd = {
  /** For Via: address and port where answers and later requests find it. */
  readonly sentBy: string;
  /** What an outgoing connection is bound to; undefined: the system chooses. */
  readonly bindAddress?: string;
  /** The socket for UDP. */
  readonly udp?: UdpListener;
};

/** A listener as far as the choice between several goes. */
export type ListeningPlace = {
  readonly transport: SipTransport;
  readonly address: string;
  readonly port: number;
  readonly udp?: UdpListener;
};

const ROUTE_TTL_MS = 60_000;
const ROUTES_MAX = 4_096;
const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/**
 * Chooses the listener a request leaves from, and the address it gives in Via.
 *
 * With one listener of the family, bound to an address, that is it. Otherwise the system is asked from which address
 * it would reach the far end, and the listener on that address or on all addresses is taken.
 */
export class LocalEnds {
  readonly #places: readonly ListeningPlace[];
  readonly #clock: Clock;
  /** Of listeners on one address: the same for every far end. */
  readonly #ends = new Map<ListeningPlace, LocalEnd>();
  readonly #routes = new Map<string, { readonly address: Promise<string | undefined>; readonly untilMs: number }>();

  constructor(places: readonly ListeningPlace[], clock: Clock) {
    this.#places = places;
    this.#clock = clock;
  }

  /** Undefined for UDP when no listener can send there. At once where nobody needs to be asked. */
  towards(transport: SipTransport, remoteAddress: string): LocalEnd | undefined | Promise<LocalEnd | undefined> {
    return this.#onlyEnd(transport, remoteAddress) ?? this.#chosen(transport, remoteAddress);
  }

  /** The same where there is a listener; undefined for a transport without one. */
  async listening(transport: SipTransport, remoteAddress: string): Promise<LocalEnd | undefined> {
    return this.#onlyEnd(transport, remoteAddress) ?? (await this.#listening(transport, remoteAddress));
  }

  /** The end of the one listener that there is, when it is bound to an address from which the far end is reached. */
  #onlyEnd(transport: SipTransport, remoteAddress: string): LocalEnd | undefined {
    const family = familyOf(remoteAddress);
    let only: ListeningPlace | undefined;
    for (const place of this.#places) {
      if (place.transport !== transport || familyOf(place.address) !== family) continue;
      if (only !== undefined) return undefined;
      only = place;
    }
    if (only === undefined || WILDCARDS.has(only.address)) return undefined;
    // A socket on loopback sends to loopback only; others are left to the system, which may route anywhere.
    if (isLoopback(only.address) && !isLoopback(remoteAddress)) return undefined;
    let end = this.#ends.get(only);
    if (end === undefined) this.#ends.set(only, (end = endAt(only, only.address)));
    return end;
  }

  async #chosen(transport: SipTransport, remoteAddress: string): Promise<LocalEnd | undefined> {
    return (await this.#listening(transport, remoteAddress)) ?? this.#unbound(transport, remoteAddress);
  }

  async #listening(transport: SipTransport, remoteAddress: string): Promise<LocalEnd | undefined> {
    const family = familyOf(remoteAddress);
    const places = this.#places.filter((place) => place.transport === transport && familyOf(place.address) === family);
    const [only] = places;
    if (only === undefined || (places.length === 1 && !WILDCARDS.has(only.address))) return undefined;
    const route = await this.#route(remoteAddress);
    const place =
      places.find(({ address }) => address === route) ??
      places.find(({ address }) => WILDCARDS.has(address)) ??
      places.find(({ address }) => isLoopback(address) === isLoopback(remoteAddress));
    if (place === undefined) return undefined;
    return endAt(place, WILDCARDS.has(place.address) ? (route ?? place.address) : place.address);
  }

  async #unbound(transport: SipTransport, remoteAddress: string): Promise<LocalEnd | undefined> {
    if (transport === 'udp') return undefined;
    const route = await this.#route(remoteAddress);
    // Answers come back on the connection; without a listener there is no port to name (RFC 3261, section 18.1.1).
    return { sentBy: hostPort(route ?? (familyOf(remoteAddress) === 6 ? '::1' : '127.0.0.1'), undefined) };
  }

  /** The address the system would send from. */
  #route(remoteAddress: string): Promise<string | undefined> {
    const nowMs = this.#clock.nowMs();
    const known = this.#routes.get(remoteAddress);
    if (known !== undefined && known.untilMs > nowMs) return known.address;
    if (this.#routes.size >= ROUTES_MAX) this.#routes.clear();
    const address = routeAddress(remoteAddress);
    this.#routes.set(remoteAddress, { address, untilMs: nowMs + ROUTE_TTL_MS });
    return address;
  }
}

function endAt(place: ListeningPlace, address: string): LocalEnd {
  const sentBy = hostPort(address, place.port);
  if (place.udp !== undefined) return { sentBy, udp: place.udp };
  return WILDCARDS.has(place.address) ? { sentBy } : { sentBy, bindAddress: place.address };
}

function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** Connects a UDP socket, which sends nothing but makes the system choose an address. */
function routeAddress(remoteAddress: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const family = familyOf(remoteAddress);
    const socket = createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      lookup: (host, _options, done) => done(null, host, family),
    });
    const done = (address: string | undefined) => {
      socket.close();
      resolve(address);
    };
    socket.once('error', () => done(undefined));
    socket.connect(5060, remoteAddress, () => done(socket.address().address));
  });
}
