/**
 * Composition: one document of everything that is known about a presentity (RFC 3903, section 3; the model of RFC 4479).
 *
 * Pure. What comes out does not depend on the order in which its parts are given, only on their numbers and times.
 */
import { PRESENCE_COMPONENTS_MAX } from '../../cpim/limits.ts';
import type { Address } from '../../cpim/address.ts';
import type { ContactCard, Device, Person, PresenceDocument, Tuple } from '../../cpim/presence/document.ts';
import type { Binding } from '../ports.ts';
import { Horizon, inForce } from './horizon.ts';
import { mergedDevice, mergedDocumentParts, mergedPerson, newestFirst, type Dated } from './merge.ts';
import { closedDocument } from './polite-document.ts';
import type { Publication } from './publication.ts';
import { tuplesFromBindings } from './registered-tuples.ts';
import { UniqueIds } from './unique-ids.ts';

export type CompositionPolicy = {
  /** Whether a registered phone is a service: where no service is published, beside those that are, or never. */
  readonly registrations: 'fallback' | 'always' | 'never';
  /** Services and devices that have said nothing new for so long are marked as idle since then; 0: never. */
  readonly staleAfterSeconds: number;
};

/** What composition looks at of a Publication. */
export type Contribution = Pick<Publication, 'number' | 'document' | 'changedAtMs'>;

export type CompositionInput = {
  readonly presentity: Address;
  readonly publications: readonly Contribution[];
  readonly bindings: readonly Binding[];
  /** What the directory says of him; it counts before what he says himself, and for one who is there alone. */
  readonly card?: ContactCard;
  readonly policy: CompositionPolicy;
  readonly nowMs: number;
};

export type Composed = {
  readonly document: PresenceDocument;
  /** When the same input would give another document, ms since the epoch; absent: never. */
  readonly validUntilMs?: number;
};

/**
 * Composes the document of a presentity.
 *
 * Services stay apart, whoever published them. Persons become one, devices one for each device id: the newest that has
 * an element has its say about it. Newest by the time at which we took the publication, not by its own timestamps,
 * because the clocks of phones differ; those decide between parts of one publication.
 */
export function compose({ presentity, publications, bindings, card, policy, nowMs }: CompositionInput): Composed {
  const horizon = new Horizon(nowMs);
  const oldestFirst = [...publications].sort((a, b) => a.number - b.number);
  const ids = new UniqueIds();
  const staleMs = policy.staleAfterSeconds * 1_000;

  const tuples = oldestFirst.flatMap(({ document, number, changedAtMs }) =>
    document.tuples.map((tuple) => {
      const valid = inForce(tuple, horizon);
      // Whoever has gone does not sit idle.
      const marked = tuple.basic === 'closed' ? valid : markedIfStale(valid, changedAtMs, staleMs, horizon);
      const id = ids.take(tuple.id, number);
      return id === tuple.id ? marked : { ...marked, id };
    }),
  );
  if (policy.registrations === 'always' || (policy.registrations === 'fallback' && tuples.length === 0)) {
    const live = bindings.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
    for (const { expiresAtMs } of live) horizon.add(expiresAtMs);
    for (const tuple of tuplesFromBindings(presentity, live)) tuples.push({ ...tuple, id: ids.take(tuple.id) });
  }
  const merged = mergedDocumentParts(
    newestFirst(oldestFirst.map((contribution) => dated(contribution, contribution.document))),
  );
  let person = personOf(oldestFirst, ids, horizon);
  const devices = devicesOf(oldestFirst, ids, horizon, staleMs);
  const closed = closedDocument(presentity);
  const isBare = person === undefined && devices.length === 0 && isEmpty(merged.notes) && isEmpty(merged.extensions);
  if (tuples.length === 0 && isBare) return { document: closed, ...horizon.validity() };
  if (card !== undefined) person = withCard(person ?? { ...NOBODY, id: ids.take('person') }, card);
  // A presentity without any service is away, whatever else is known of him.
  if (tuples.length === 0) for (const tuple of closed.tuples) tuples.push({ ...tuple, id: ids.take(tuple.id) });
  const document: PresenceDocument = {
    entity: `pres:${presentity}`,
    // The youngest, where there are more than a reader takes.
    tuples: tuples.slice(-PRESENCE_COMPONENTS_MAX).map((tuple) => ids.withRichIds(tuple)),
    persons: person === undefined ? [] : [ids.withRichIds(person)],
    devices: devices.slice(-PRESENCE_COMPONENTS_MAX).map((device) => ids.withRichIds(device)),
    ...merged,
  };
  return { document, ...horizon.validity() };
}

const NOBODY: Omit<Person, 'id'> = { rich: {}, notes: [], extensions: [] };

function withCard(person: Person, card: ContactCard): Person {
  const { displayNameLanguage, ...own } = person.card ?? {};
  // The language of one name is not that of another.
  const isNamed = card.displayName !== undefined || displayNameLanguage === undefined;
  return { ...person, card: { ...own, ...(isNamed ? {} : { displayNameLanguage }), ...card } };
}

function personOf(oldestFirst: readonly Contribution[], ids: UniqueIds, horizon: Horizon): Person | undefined {
  const all = oldestFirst.flatMap((contribution) =>
    contribution.document.persons.map((person) => dated(contribution, inForce(person, horizon), person.timestampMs)),
  );
  const [first] = all;
  // The id of the oldest, which stays as long as he does.
  return first === undefined ? undefined : mergedPerson(ids.take(first.part.id, first.number), newestFirst(all));
}

function devicesOf(oldestFirst: readonly Contribution[], ids: UniqueIds, horizon: Horizon, staleMs: number): Device[] {
  const byDeviceId = new Map<string, Array<Dated<Device>>>();
  for (const contribution of oldestFirst) {
    for (const device of contribution.document.devices) {
      const one = dated(contribution, inForce(device, horizon), device.timestampMs);
      const same = byDeviceId.get(device.deviceId);
      if (same === undefined) byDeviceId.set(device.deviceId, [one]);
      else same.push(one);
    }
  }
  return [...byDeviceId.values()].flatMap((all) => {
    const sorted = newestFirst(all);
    const [oldest] = all;
    const [newest] = sorted;
    if (oldest === undefined || newest === undefined) return [];
    const merged = mergedDevice(ids.take(oldest.part.id, oldest.number), sorted);
    return markedIfStale(merged, newest.changedAtMs, staleMs, horizon);
  });
}

/**
 * Marks a service or device as idle since it last said something (RFC 4480, section 3.14), where it says nothing of the
 * kind itself and that was long ago.
 */
function markedIfStale<T extends Tuple | Device>(
  component: T,
  changedAtMs: number,
  staleMs: number,
  horizon: Horizon,
): T {
  const { rich } = component;
  if (staleMs === 0 || rich.userInput !== undefined) return component;
  // By our clock: a phone whose battery was out says 2001.
  if (!horizon.isPast(changedAtMs + staleMs)) return component;
  return { ...component, rich: { ...rich, userInput: { state: 'idle', lastInputMs: changedAtMs } } };
}

function dated<T>({ number, changedAtMs }: Contribution, part: T, ownMs?: number): Dated<T> {
  return { part, number, changedAtMs, ownMs: ownMs ?? changedAtMs };
}

function isEmpty(list: readonly unknown[]): boolean {
  return list.length === 0;
}
