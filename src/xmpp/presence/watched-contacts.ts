import { addressKey, type Address } from '../../cpim/address.ts';
import { Groups } from '../../core/groups.ts';
import { type Pair, pairKey } from '../../core/presence/subscription.ts';
import type { WatchedContact } from './watched-contact.ts';

/** The contacts whom users of ours watch, one for each pair: found by the pair, by either end of it, and by their link. */
export class WatchedContacts {
  readonly #byKey = new Map<string, WatchedContact>();
  readonly #byWatcher = new Groups<WatchedContact>();
  readonly #byPresentity = new Groups<WatchedContact>();
  readonly #byLink = new Groups<WatchedContact>();

  get size(): number {
    return this.#byKey.size;
  }

  of(pair: Pair): WatchedContact | undefined {
    return this.get(pairKey(pair));
  }

  /** @param key of the pair */
  get(key: string): WatchedContact | undefined {
    return this.#byKey.get(key);
  }

  /** Whether it is this very one that is watched. */
  has(contact: WatchedContact): boolean {
    return this.#byKey.get(contact.key) === contact;
  }

  add(contact: WatchedContact): void {
    this.#byKey.set(contact.key, contact);
    this.#byWatcher.add(addressKey(contact.watcher), contact);
    this.#byPresentity.add(addressKey(contact.presentity), contact);
    this.#byLink.add(contact.link, contact);
  }

  /** From now on it is watched over this link. */
  move(contact: WatchedContact, link: string): void {
    this.#byLink.remove(contact.link, contact);
    contact.link = link;
    this.#byLink.add(link, contact);
  }

  /** Says whether it was there. */
  remove(contact: WatchedContact): boolean {
    if (!this.has(contact)) return false;
    this.#byKey.delete(contact.key);
    this.#byWatcher.remove(addressKey(contact.watcher), contact);
    this.#byPresentity.remove(addressKey(contact.presentity), contact);
    this.#byLink.remove(contact.link, contact);
    return true;
  }

  over(link: string): readonly WatchedContact[] {
    return this.#byLink.of(link);
  }

  ofWatcher(watcherKey: string): readonly WatchedContact[] {
    return this.#byWatcher.of(watcherKey);
  }

  /** Address keys of our users who have asked to see a contact. */
  watchers(): Iterable<string> {
    return this.#byWatcher.keys();
  }

  /** Users of ours who have asked to see a contact, whatever he has answered. */
  watchersOf(contact: Address): readonly Address[] {
    return this.#byPresentity
      .of(addressKey(contact))
      .filter(({ permission }) => permission !== 'ending')
      .map(({ watcher }) => watcher);
  }

  /** XMPP users whom a user of ours has asked to see over other links than this one, whatever they have answered. */
  contactsOf(watcher: Address, link: string): readonly Address[] {
    return this.ofWatcher(addressKey(watcher))
      .filter((contact) => contact.permission !== 'ending' && contact.link !== link)
      .map(({ presentity }) => presentity);
  }
}
