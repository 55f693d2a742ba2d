import { parseAddress, type Address } from '../../cpim/address.ts';
import type { ContactCard, PresenceDocument } from '../../cpim/presence/document.ts';
import { Alarms } from '../alarms.ts';
import { GatewayError } from '../errors.ts';
import type { Binding, Clock } from '../ports.ts';
import { compose, type CompositionPolicy } from './compositor.ts';
import type { Publication } from './publication.ts';
import { isSameData } from './same-data.ts';

export type LocalPresenceDeps = {
  readonly publicationsOf: (presentityKey: string) => readonly Publication[];
  readonly bindingsOf: (userKey: string) => readonly Binding[];
  /** What the directory says of a user. */
  readonly cardOf: (userKey: string) => ContactCard | undefined;
  readonly policy: CompositionPolicy;
  readonly clock: Clock;
  /** Told when the document of a presentity that is watched has become another. */
  readonly onChanged: (presentityKey: string) => void;
};

/** The documents of users of ours, as those see them who may see everything. */
export class LocalPresence {
  readonly #deps: LocalPresenceDeps;
  /** The last document of those whom somebody watches. */
  readonly #watched = new Map<string, PresenceDocument>();
  /** Of these, those who are followed whether anybody watches them or not. */
  readonly #followed = new Set<string>();
  /** When the documents of those will be others by themselves. */
  readonly #alarms: Alarms;

  constructor(deps: LocalPresenceDeps) {
    this.#deps = deps;
    this.#alarms = new Alarms(deps.clock, (presentityKey) => this.changed(presentityKey));
  }

  /**
   * The document of a user: one and the same object until it says something else, as long as he is watched; composed
   * for each call where nobody does.
   */
  documentOf(presentityKey: string): PresenceDocument {
    return this.#watched.get(presentityKey) ?? this.#compose(presentityKey).document;
  }

  /** Keeps the document and reports changes from now on; once more changes nothing. */
  watch(presentityKey: string): void {
    if (!this.#watched.has(presentityKey)) this.#renew(presentityKey);
  }

  /** Keeps the document and reports changes also while nobody watches. */
  follow(presentityKey: string): void {
    this.#followed.add(presentityKey);
    this.watch(presentityKey);
  }

  unfollow(presentityKey: string): void {
    this.#followed.delete(presentityKey);
  }

  unwatch(presentityKey: string): void {
    if (this.#followed.has(presentityKey)) return;
    if (this.#watched.delete(presentityKey)) this.#alarms.set(presentityKey, undefined);
  }

  /** To be called when publications, bindings or the card of a user have changed. */
  changed(presentityKey: string): void {
    const before = this.#watched.get(presentityKey);
    if (before !== undefined && this.#renew(presentityKey, before)) this.#deps.onChanged(presentityKey);
  }

  stop(): void {
    this.#alarms.stop();
  }

  /** @returns whether it says something else than before */
  #renew(presentityKey: string, before?: PresenceDocument): boolean {
    const { document, validUntilMs } = this.#compose(presentityKey);
    this.#alarms.set(presentityKey, validUntilMs);
    // The old one stays where it says the same: what was made of it stays too.
    if (isSameData(document, before)) return false;
    this.#watched.set(presentityKey, document);
    return true;
  }

  #compose(presentityKey: string): ReturnType<typeof compose> {
    const { publicationsOf, bindingsOf, cardOf, policy, clock } = this.#deps;
    const card = cardOf(presentityKey);
    const publications = publicationsOf(presentityKey);
    return compose({
      presentity: publications[0]?.presentity ?? addressOf(presentityKey),
      publications,
      bindings: bindingsOf(presentityKey),
      ...(card === undefined ? {} : { card }),
      policy,
      nowMs: clock.nowMs(),
    });
  }
}

/** A key is an address too, in the one spelling that all others lead to. */
function addressOf(presentityKey: string): Address {
  const address = parseAddress(presentityKey);
  if (address === undefined) throw new GatewayError('internal', 'key of a presentity that is no address');
  return address;
}
