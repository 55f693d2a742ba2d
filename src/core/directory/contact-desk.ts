import { addressKey, type Address } from '../../cpim/address.ts';
import type { ContactCard, PresenceDocument, RichPresence } from '../../cpim/presence/document.ts';
import type { Binding } from '../ports.ts';
import type { Lease } from '../presence/subscription.ts';
import type { PresenceService, Sight } from '../presence/presence-service.ts';
import { type Avatar, type Profile } from './profile.ts';

export type ContactDeskDeps = {
  readonly presence: Pick<PresenceService, 'seenBy'>;
  readonly profileOf: (userKey: string) => Profile | undefined;
  readonly bindingsOf: (userKey: string) => readonly Binding[];
  /** When somebody was there last, ms since the epoch. */
  readonly lastSeenOf: (userKey: string) => number | undefined;
  readonly policy: ContactPolicy;
};

export type ContactPolicy = {
  /** Whether anybody who may reach a user learns what he is called, or his watchers alone. */
  readonly names: 'watchers' | 'public';
  /** Whether watchers learn which software a user's phone has. */
  readonly software: boolean;
};

/** What somebody may know of a user of ours, who may or may not exist. */
export type ContactFacts = {
  /** See `Sight`: all but the name is there for those alone who may see presence. */
  readonly sight: Sight['kind'];
  readonly document?: PresenceDocument;
  readonly displayName?: string;
  readonly card?: ContactCard;
  readonly email?: string;
  readonly phone?: string;
  readonly avatar?: Avatar;
};

/** Since when a user has been idle, or not there; ms since the epoch. */
export type LastActivity = { readonly atMs: number; readonly isThere: boolean };

/** Answers those who ask about a user of ours without watching him. The rules for watchers decide what they learn. */
export class ContactDesk {
  readonly #deps: ContactDeskDeps;

  constructor(deps: ContactDeskDeps) {
    this.#deps = deps;
  }

  factsFor(asker: Address, user: Address, via: Lease['via']): ContactFacts {
    const { presence, profileOf, policy } = this.#deps;
    const sight = presence.seenBy({ watcher: asker, presentity: user }, via);
    const profile = profileOf(addressKey(user));
    const isPublic = policy.names === 'public';
    if (sight.kind === 'nothing' || sight.kind === 'nobody') {
      const displayName = isPublic ? profile?.displayName : undefined;
      return { sight: sight.kind, ...(displayName === undefined ? {} : { displayName }) };
    }
    const card = cardIn(sight.document);
    const displayName = profile?.displayName ?? card?.displayName;
    return {
      sight: sight.kind,
      document: sight.document,
      ...(card === undefined ? {} : { card }),
      ...(displayName === undefined ? {} : { displayName }),
      ...(profile?.homepage === undefined ? {} : { card: { ...card, homepage: profile.homepage } }),
      ...(profile?.email === undefined ? {} : { email: profile.email }),
      ...(profile?.phone === undefined ? {} : { phone: profile.phone }),
      ...(profile?.avatar === undefined ? {} : { avatar: profile.avatar }),
    };
  }

  /**
   * Since when a user, or one of his instances, has been idle, or has not been there.
   *
   * @param facts of `factsFor` for whoever asks
   * @param tupleId of the instance; absent: all of him
   * @returns undefined where it is not known, and for those who must not know
   */
  lastActivity(user: Address, facts: ContactFacts, nowMs: number, tupleId?: string): LastActivity | undefined {
    const { sight, document } = facts;
    if (sight !== 'presence' || document === undefined) return undefined;
    const tuples = document.tuples.filter(({ id, basic }) => basic === 'open' && (tupleId ?? id) === id);
    if (tuples.length > 0) {
      const ofPerson = latest(document.persons.map(({ rich }) => idleSince(rich)));
      const idle = tuples.map(({ rich }) => idleSince(rich) ?? ofPerson);
      // Whoever has one device in his hand is not idle.
      const known = idle.every((since) => since !== undefined) ? latest(idle) : undefined;
      return { atMs: Math.min(known ?? nowMs, nowMs), isThere: true };
    }
    const closed = document.tuples.flatMap(({ timestampMs, id }) =>
      (tupleId ?? id) === id ? (timestampMs ?? []) : [],
    );
    const atMs = latest([this.#deps.lastSeenOf(addressKey(user)), ...closed]);
    return atMs === undefined ? undefined : { atMs: Math.min(atMs, nowMs), isThere: false };
  }

  /** What the phones of a user call themselves; nothing for those who must not know. */
  softwareOf(user: Address, facts: ContactFacts): readonly string[] {
    if (!this.#deps.policy.software || facts.sight !== 'presence') return [];
    const names = this.#deps.bindingsOf(addressKey(user)).flatMap(({ userAgent }) => userAgent ?? []);
    return [...new Set(names)];
  }
}

/** The card of the person, what it leaves out from those of his services. */
function cardIn(document: PresenceDocument): ContactCard | undefined {
  const cards = [...document.persons, ...document.tuples].flatMap(({ card }) => card ?? []);
  return cards.length === 0 ? undefined : (Object.assign({}, ...cards.toReversed()) as ContactCard);
}

function idleSince({ userInput }: RichPresence): number | undefined {
  return userInput?.state === 'idle' ? userInput.lastInputMs : undefined;
}

function latest(times: ReadonlyArray<number | undefined>): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
