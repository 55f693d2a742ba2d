/** Makes one of several: the newest that has an element has its say about it. */
import type { ContactCard, Device, Person, PresenceDocument, RichPresence } from '../../cpim/presence/document.ts';
import type { XmlElement } from '../../cpim/xml.ts';
import { expandedName, rpidName, cardName } from './element-names.ts';

/** Part of a publication. */
export type Dated<T> = {
  readonly part: T;
  /** Of the publication. */
  readonly number: number;
  readonly changedAtMs: number;
  /** The time that the part itself gives, else that of the publication. */
  readonly ownMs: number;
};

/** Sorted by age; parts of one publication by their own times, then as they stand in it. */
export function newestFirst<T>(parts: ReadonlyArray<Dated<T>>): ReadonlyArray<Dated<T>> {
  if (parts.length < 2) return parts;
  return [...parts].sort((a, b) => b.changedAtMs - a.changedAtMs || b.number - a.number || b.ownMs - a.ownMs);
}

type Component = Pick<Person, 'rich' | 'notes' | 'timestampMs' | 'extensions' | 'card'>;

/** @param parts newest first */
export function mergedPerson(id: string, parts: ReadonlyArray<Dated<Person>>): Person {
  const only = onlyOne(parts);
  if (only !== undefined) return only.id === id ? only : { ...only, id };
  const card = mergedCard(parts);
  return { id, ...mergedComponent(parts), ...(card === undefined ? {} : { card }) };
}

/** @param parts of one device id, newest first */
export function mergedDevice(id: string, parts: ReadonlyArray<Dated<Device>>): Device {
  const only = onlyOne(parts);
  if (only !== undefined) return only.id === id ? only : { ...only, id };
  const deviceId = parts[0]?.part.deviceId ?? '';
  const capabilities = parts.find(({ part }) => part.capabilities !== undefined)?.part.capabilities;
  return { id, deviceId, ...mergedComponent(parts), ...(capabilities === undefined ? {} : { capabilities }) };
}

/** What documents say about the presentity as a whole. @param documents newest first */
export function mergedDocumentParts(
  documents: ReadonlyArray<Dated<PresenceDocument>>,
): Pick<PresenceDocument, 'notes' | 'extensions'> {
  return { notes: newestNotes(documents), extensions: mergedExtensions(documents) };
}

function mergedComponent(parts: ReadonlyArray<Dated<Component>>): Omit<Component, 'card'> {
  const timestampMs = parts[0]?.part.timestampMs;
  return {
    rich: layered<RichPresence>(parts.map(({ part }) => part.rich)),
    notes: newestNotes(parts),
    ...(timestampMs === undefined ? {} : { timestampMs }),
    extensions: mergedExtensions(parts),
  };
}

function mergedCard(parts: ReadonlyArray<Dated<Component>>): ContactCard | undefined {
  const cards = parts.flatMap(({ part }) => part.card ?? []);
  const only = cards.length === 1 ? cards[0] : undefined;
  if (only !== undefined || cards.length === 0) return only;
  const { displayNameLanguage, ...rest } = layered<ContactCard>(cards);
  // The language of one name is not that of another.
  const named = cards.find(({ displayName }) => displayName !== undefined);
  return displayNameLanguage !== undefined && named?.displayNameLanguage !== undefined
    ? { ...rest, displayNameLanguage: named.displayNameLanguage }
    : rest;
}

/** The first layer that has a key has its say. */
function layered<T extends object>(newestFirst: readonly T[]): T {
  return Object.assign({}, ...newestFirst.toReversed()) as T;
}

/** Notes belong together: they say the same in several languages. */
function newestNotes<T extends Pick<Component, 'notes'>>(parts: ReadonlyArray<Dated<T>>): Component['notes'] {
  return parts.find(({ part }) => part.notes.length > 0)?.part.notes ?? [];
}

/**
 * What is not understood is told apart by its name; all of one name come from the newest that has it. A second element
 * of a name that is understood is kept so too: it counts as one with the first.
 */
function mergedExtensions(
  parts: ReadonlyArray<Dated<Pick<Component, 'extensions'> & Partial<Component>>>,
): readonly XmlElement[] {
  const merged: XmlElement[] = [];
  const seen = new Set<string>();
  for (const { part } of parts) {
    const names = part.extensions.map(expandedName);
    part.extensions.forEach((element, at) => {
      if (!seen.has(names[at] ?? '')) merged.push(element);
    });
    for (const name of names) seen.add(name);
    for (const key in part.rich) seen.add(rpidName(key));
    for (const key in part.card) seen.add(cardName(key));
  }
  return merged;
}

function onlyOne<T>(parts: ReadonlyArray<Dated<T>>): T | undefined {
  return parts.length === 1 ? parts[0]?.part : undefined;
}
