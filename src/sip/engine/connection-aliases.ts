import type { StreamConnection } from './stream-connection.ts';
import { targetKey, type Target } from './targets.ts';

/**
 * TLS connections that others have opened and that may be used in the other direction too (RFC 5923, section 8.2): each
 * under the place that its owner says he listens at, for the domains that his certificate has proved and for no others.
 *
 * Nothing is ever learned from a connection without a verified certificate: whoever only says that he is at a place would
 * get what is meant for whoever is (section 9.2).
 */
export class ConnectionAliases {
  /** Several domains may be served at one place, each with a connection of its own (RFC 5923, section 9.3). */
  readonly #byPlace = new Map<string, StreamConnection[]>();
  /** Where a connection has been put, so that it is taken out of there. */
  readonly #places = new Map<StreamConnection, string>();

  /**
   * @param port as in the sent-by of the topmost Via; the address is the one the connection comes from. A connection
   *   has one place: where it was said to be first.
   */
  add(connection: StreamConnection, port: number): void {
    const { transport, remoteAddress, peerNames } = connection.flow;
    if (transport !== 'tls' || peerNames === undefined || peerNames.length === 0) return;
    if (this.#places.has(connection)) return;
    const place = targetKey({ transport, address: remoteAddress, port });
    this.#places.set(connection, place);
    this.#byPlace.set(place, [...(this.#byPlace.get(place) ?? []), connection]);
  }

  /** The newest connection from there whose certificate has one of these names. */
  find(target: Target, names: readonly string[]): StreamConnection | undefined {
    if (target.transport !== 'tls') return undefined;
    const wanted = names.map((name) => name.toLowerCase().replace(/\.$/, ''));
    return this.#byPlace
      .get(targetKey(target))
      ?.findLast(({ isUsable, flow }) => isUsable && flow.peerNames?.some((name) => wanted.includes(name)) === true);
  }

  remove(connection: StreamConnection): void {
    const place = this.#places.get(connection);
    if (place === undefined) return;
    this.#places.delete(connection);
    const left = this.#byPlace.get(place)?.filter((other) => other !== connection) ?? [];
    if (left.length === 0) this.#byPlace.delete(place);
    else this.#byPlace.set(place, left);
  }
}
