import type { Address } from '../../cpim/address.ts';
import { formatImUri } from '../../cpim/im-uri.ts';
import type { LocalizedText } from '../../cpim/operation.ts';
import type { Person, PresenceDocument, RichPresence, Show, Tuple } from '../../cpim/presence/document.ts';
import { instanceFromTupleId, tupleIdFromInstance } from '../../cpim/presence/instance-ids.ts';
import { pidfPriorityFromXmpp, xmppPriorityFromPidf } from '../../cpim/presence/priority.ts';
import { preparedResource } from '../jid.ts';
import { activityFromShow, showFromActivities } from './activities.ts';
import type { PepState } from './map-pep.ts';
import { type InstanceKind, instanceKind } from './own-caps.ts';
import { boundedStatuses, type PresenceContent } from './presence-content.ts';

/** What one tuple is in XMPP: the presence of one resource. */
export type TuplePresence = {
  /** Empty: the bare JID. */
  readonly resource: string;
  readonly isAvailable: boolean;
  readonly content: PresenceContent;
  /** When it became so, where the tuple says that. */
  readonly atMs?: number;
  /** What it runs on. */
  readonly kind: InstanceKind;
  /** Of the person: the SHA-1 of his picture, empty where this server has none; absent where nothing is known. */
  readonly picture?: string;
};

/** The presence of one resource of an XMPP user as he has told it. */
export type ResourcePresence = {
  /** Empty: the bare JID. */
  readonly resource: string;
  readonly isAvailable: boolean;
  /** ms since the epoch: when it became so. */
  readonly atMs: number;
  readonly show?: Show;
  readonly statuses: readonly LocalizedText[];
  readonly priority?: number;
  readonly idleSinceMs?: number;
};

/** Tuples of one document that become stanzas; more services than this nobody has. */
const TUPLES_MAX = 32;
/** Where a presentity has no resource: no resource gives this id, because theirs begin with `ID-`. */
const BARE_TUPLE = 'account';

/**
 * What a document says in XMPP (RFC 8048, section 6.3): one presence for each tuple, in its order, resources unique.
 *
 * The tuple's own `show` counts, else its activities, else those of the person. Its notes are the status, else those of
 * the document, else those of the person and of his activities. A tuple without a basic status is open where it has a
 * show or activities of its own, and is left out otherwise. Without any tuple the bare JID speaks for the presentity
 * (RFC 3922, section 6.3.2): available by an activity of the person, else unavailable; a document of notes alone says
 * nothing (section 5.2.11).
 */
export function presencesFromDocument(document: PresenceDocument): readonly TuplePresence[] {
  if (document.tuples.length === 0) return presenceWithoutTuple(document);
  const presences: TuplePresence[] = [];
  const picture = pictureOf(document);
  for (const { tuple, resource, isAvailable } of resourcesOf(document)) {
    const atMs = tuple.timestampMs;
    const content = contentOf(document, tuple, isAvailable);
    presences.push({
      resource,
      isAvailable,
      content,
      kind: instanceKind(tuple, document),
      ...(atMs === undefined ? {} : { atMs }),
      ...picture,
    });
  }
  return presences;
}

/** The tuple that a resource of `presencesFromDocument` stands for. */
export function tupleOfResource(document: PresenceDocument, resource: string): Tuple | undefined {
  return resourcesOf(document).find((one) => one.resource === resource)?.tuple;
}

/**
 * What must be said to one who has been told `before`: resources that are gone first, then those that are new or have
 * changed (RFC 3922, section 6.3.1).
 */
export function presenceChanges(
  before: PresenceDocument | undefined,
  after: PresenceDocument,
): readonly TuplePresence[] {
  const now = presencesFromDocument(after);
  if (before === undefined) return now;
  const then = new Map(presencesFromDocument(before).map((presence) => [presence.resource, presence]));
  const changed = now.filter((presence) => !isSame(then.get(presence.resource), presence));
  for (const { resource } of now) then.delete(resource);
  const gone = [...then.values()].filter(({ isAvailable }) => isAvailable).map(({ resource }) => unavailable(resource));
  return [...gone, ...changed];
}

/** That a resource is there no more. */
export function unavailable(resource: string): TuplePresence {
  return { resource, isAvailable: false, content: { statuses: [] }, kind: 'unknown' };
}

/**
 * The document of an XMPP user: a tuple for each resource (RFC 8048, section 6.2), his person where something is known of
 * it. Availability is said twice, as the `show` of XMPP and as the activity of the person that phones understand; RFC
 * 4480, section 3 has no activities on tuples.
 *
 * @param resources at least one
 */
export function documentFromResources(
  address: Address,
  resources: readonly ResourcePresence[],
  pep: PepState = {},
): PresenceDocument {
  return {
    entity: formatImUri(address, 'pres'),
    tuples: resources.map((resource) => tupleOf(address, resource)),
    persons: personsOf(resources, pep),
    devices: [],
    notes: [],
    extensions: [],
  };
}

function resourcesOf({ tuples }: PresenceDocument) {
  const taken = new Set<string>();
  return tuples.slice(0, TUPLES_MAX).flatMap((tuple) => {
    const isAvailable = isOpen(tuple);
    // Two ids may name one instance, with the prefix and without; the second goes by its id.
    const resource = [instanceFromTupleId(tuple.id), tuple.id]
      .map(preparedResource)
      .find((name) => name !== undefined && !taken.has(name));
    if (isAvailable === undefined || resource === undefined) return [];
    taken.add(resource);
    return [{ tuple, resource, isAvailable }];
  });
}

function presenceWithoutTuple(document: PresenceDocument): readonly TuplePresence[] {
  const show = showFromPersons(document.persons);
  const isNotesAlone = document.notes.length > 0 || document.persons.some(({ notes }) => notes.length > 0);
  if (show === undefined) return isNotesAlone ? [] : [unavailable('')];
  const content = { show, statuses: statusesOf(document, []) };
  return [{ resource: '', isAvailable: true, content, kind: 'unknown', ...pictureOf(document) }];
}

function pictureOf({ persons }: PresenceDocument): { readonly picture?: string } {
  const picture = persons.find(({ card }) => card?.picture !== undefined)?.card?.picture;
  return picture === undefined ? {} : { picture: picture === 'none' ? '' : picture.sha1 };
}

function isOpen({ basic, show, rich }: Tuple): boolean | undefined {
  if (basic !== undefined) return basic === 'open';
  return show !== undefined || (rich.activities?.values.length ?? 0) > 0 ? true : undefined;
}

function contentOf(document: PresenceDocument, tuple: Tuple, isAvailable: boolean): PresenceContent {
  const statuses = statusesOf(document, tuple.notes);
  // RFC 6121, section 4.7.2.1: show is for those who are there, and so is the rest.
  if (!isAvailable) return { statuses };
  const show =
    tuple.show ?? showFromActivities(tuple.rich.activities?.values ?? []) ?? showFromPersons(document.persons);
  const priority = tuple.contact?.priority;
  const idleSinceMs = idleSince([tuple.rich, ...document.persons.map(({ rich }) => rich)]);
  return {
    statuses,
    ...(show === undefined ? {} : { show }),
    ...(priority === undefined ? {} : { priority: xmppPriorityFromPidf(priority) }),
    ...(idleSinceMs === undefined ? {} : { idleSinceMs }),
  };
}

function showFromPersons(persons: readonly Person[]): Show | undefined {
  for (const { rich } of persons) {
    const show = showFromActivities(rich.activities?.values ?? []);
    if (show !== undefined) return show;
  }
  return undefined;
}

/** The nearest place that has notes counts. */
function statusesOf({ notes, persons }: PresenceDocument, own: readonly LocalizedText[]): readonly LocalizedText[] {
  const places = [
    own,
    notes,
    ...persons.map((person) => person.notes),
    ...persons.map(({ rich }) => rich.activities?.notes ?? []),
  ];
  for (const place of places) {
    const statuses = boundedStatuses(place);
    if (statuses.length > 0) return statuses;
  }
  return [];
}

/** What a service says of its own input counts before what the person's says. */
function idleSince(places: readonly RichPresence[]): number | undefined {
  const input = places.find(({ userInput }) => userInput !== undefined)?.userInput;
  return input?.state === 'idle' ? input.lastInputMs : undefined;
}

function isSame(one: TuplePresence | undefined, other: TuplePresence): boolean {
  if (one?.isAvailable !== other.isAvailable) return false;
  if (one.isAvailable && (one.kind !== other.kind || one.picture !== other.picture)) return false;
  return sameContent(one.content, other.content);
}

/** Whether two presences say the same, whenever they were said. */
export function sameContent(
  one: Pick<PresenceContent, 'show' | 'priority' | 'idleSinceMs' | 'statuses'>,
  other: Pick<PresenceContent, 'show' | 'priority' | 'idleSinceMs' | 'statuses'>,
): boolean {
  return (
    one.show === other.show &&
    one.priority === other.priority &&
    one.idleSinceMs === other.idleSinceMs &&
    one.statuses.length === other.statuses.length &&
    one.statuses.every(({ text, language }, at) => {
      const status = other.statuses[at];
      return status?.text === text && status.language === language;
    })
  );
}

function tupleOf(address: Address, resource: ResourcePresence): Tuple {
  const { isAvailable, show, statuses, priority, idleSinceMs, atMs } = resource;
  const thousandths = priority === undefined ? undefined : pidfPriorityFromXmpp(priority);
  return {
    id: resource.resource === '' ? BARE_TUPLE : tupleIdFromInstance(resource.resource),
    basic: isAvailable ? 'open' : 'closed',
    ...(isAvailable && show !== undefined ? { show } : {}),
    rich: isAvailable && idleSinceMs !== undefined ? { userInput: { state: 'idle', lastInputMs: idleSinceMs } } : {},
    notes: statuses,
    timestampMs: atMs,
    extensions: [],
    statusExtensions: [],
    contact: { uri: `sip:${address}`, ...(thousandths === undefined ? {} : { priority: thousandths }) },
    deviceIds: [],
  };
}

function personsOf(resources: readonly ResourcePresence[], pep: PepState): readonly Person[] {
  const activity = activityFromShow(mainResource(resources)?.show);
  const own = pep.activities?.values ?? [];
  const values =
    activity === undefined || own.some(({ name }) => name === activity) ? own : [...own, { name: activity }];
  const activities = values.length === 0 ? undefined : { ...pep.activities, values };
  const { mood, location, nick } = pep;
  const card = nick === undefined ? pep.card : { ...pep.card, displayName: nick };
  if (activities === undefined && mood === undefined && location === undefined && card === undefined) return [];
  return [
    {
      id: 'person',
      rich: { ...(activities === undefined ? {} : { activities }), ...(mood === undefined ? {} : { mood }) },
      notes: [],
      extensions: location === undefined ? [] : [location],
      ...(card === undefined ? {} : { card }),
    },
  ];
}

/** The resource that speaks for its user: highest priority, then the newest. */
function mainResource(resources: readonly ResourcePresence[]): ResourcePresence | undefined {
  let main: ResourcePresence | undefined;
  for (const resource of resources) {
    if (!resource.isAvailable) continue;
    const [one, other] = [main?.priority ?? 0, resource.priority ?? 0];
    if (main === undefined || other > one || (other === one && resource.atMs > main.atMs)) main = resource;
  }
  return main;
}
