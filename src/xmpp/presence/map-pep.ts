import type { LocalizedText } from '../../cpim/operation.ts';
import type { ContactCard, PresenceDocument, RpidValues } from '../../cpim/presence/document.ts';
import { textOf, type XmlElement } from '../../cpim/xml.ts';
import { cutText, legalLanguage, localizedElement, localizedFrom } from '../stanza-content.ts';
import { metadataElement } from './avatar-metadata.ts';
import { geolocFromGeopriv, geoprivFromGeoloc, isGeopriv } from './map-location.ts';
import { ACTIVITY_FROM_RPID, GENERAL_ACTIVITIES, RPID_FROM_ACTIVITY, type XmppActivity } from './pep-activities.ts';
import { SHARED_MOODS, XMPP_MOODS } from './pep-moods.ts';
import {
  ACTIVITY_NODE,
  LOCATION_NODE,
  MOOD_NODE,
  NICK_NODE,
  type PepNode,
  type ToldNode,
  AVATAR_METADATA_NODE,
} from './pep-nodes.ts';
import { NICK_MAX } from './presence-content.ts';

/** What a user tells of himself beside his availability, in the terms of the abstract model. */
export type PepState = {
  readonly mood?: RpidValues;
  readonly activities?: RpidValues;
  /** A `geopriv` element (RFC 4119). */
  readonly location?: XmlElement;
  readonly nick?: string;
  /** Of his vCard; what he tells counts before it. */
  readonly card?: ContactCard;
};

/** Of a text, characters. */
const TEXT_MAX = 512;
/** Local names in XEP-0107 and XEP-0108. */
const NAME = /^[a-z_]{1,40}$/;

/**
 * The state after an event about one node. An event that says nothing that is understood takes away what was known:
 * that is how XEP-0107, XEP-0108 and XEP-0080 stop telling.
 */
export function withPepEvent(state: PepState, node: PepNode, payload: XmlElement | undefined): PepState {
  const { mood, activities, location, nick } = state;
  const known = { mood, activities, location, nick };
  switch (node) {
    case MOOD_NODE:
      known.mood = payload === undefined ? undefined : readMood(payload);
      break;
    case ACTIVITY_NODE:
      known.activities = payload === undefined ? undefined : readActivity(payload);
      break;
    case LOCATION_NODE:
      known.location = payload === undefined ? undefined : geoprivFromGeoloc(payload);
      break;
    case NICK_NODE:
      known.nick = payload === undefined ? undefined : cutText(textOf(payload).trim(), NICK_MAX) || undefined;
      break;
  }
  return {
    ...(state.card === undefined ? {} : { card: state.card }),
    ...(known.mood === undefined ? {} : { mood: known.mood }),
    ...(known.activities === undefined ? {} : { activities: known.activities }),
    ...(known.location === undefined ? {} : { location: known.location }),
    ...(known.nick === undefined ? {} : { nick: known.nick }),
  };
}

/** What a presence document has to tell of its person by events: the payload of each node that has one. */
export function pepFromDocument(document: PresenceDocument): ReadonlyMap<ToldNode, XmlElement> {
  const payloads = new Map<ToldNode, XmlElement>();
  const put = (node: ToldNode, payload: XmlElement | undefined): void => {
    if (payload !== undefined && !payloads.has(node)) payloads.set(node, payload);
  };
  for (const { rich, card } of document.persons) {
    put(MOOD_NODE, rich.mood === undefined ? undefined : moodElement(rich.mood));
    put(ACTIVITY_NODE, rich.activities === undefined ? undefined : activityElement(rich.activities));
    const name = card?.displayName;
    const picture = card?.picture;
    put(AVATAR_METADATA_NODE, picture === undefined || picture === 'none' ? undefined : metadataElement(picture));
    put(NICK_NODE, name === undefined ? undefined : emptyPayload(NICK_NODE, [cutText(name, NICK_MAX)]));
  }
  for (const { rich } of document.tuples) {
    put(ACTIVITY_NODE, rich.activities === undefined ? undefined : activityElement(rich.activities));
  }
  const extensions = [
    ...document.persons.flatMap((person) => person.extensions),
    ...document.devices.flatMap((device) => device.extensions),
    ...document.tuples.flatMap((tuple) => [...tuple.statusExtensions, ...tuple.extensions]),
  ];
  for (const extension of extensions) if (isGeopriv(extension)) put(LOCATION_NODE, geolocFromGeopriv(extension));
  return payloads;
}

/** The payload that takes back what was told. */
export function emptyPayload(node: ToldNode, children: readonly string[] = []): XmlElement {
  if (node === AVATAR_METADATA_NODE) return metadataElement(undefined);
  return { name: node.slice(node.lastIndexOf('/') + 1), attrs: { xmlns: node }, children };
}

function readMood(mood: XmlElement): RpidValues | undefined {
  const name = elementsIn(mood).find(({ name: child }) => child !== 'text')?.name;
  if (name === undefined) return undefined;
  const notes = textsIn(mood);
  if (name === 'undefined') return rpidValues({ name: 'unknown' }, notes);
  if (SHARED_MOODS.has(name)) return rpidValues({ name }, notes);
  return NAME.test(name) ? rpidValues({ name: 'other', text: words(name) }, notes) : undefined;
}

function moodElement({ values, notes }: RpidValues): XmlElement | undefined {
  for (const { name, text } of values) {
    const own = name === 'other' && text !== undefined ? unworded(text) : name;
    if (SHARED_MOODS.has(own) || XMPP_MOODS.has(own)) return payloadOf(MOOD_NODE, [own], notes);
    if (name === 'other' || name === 'unknown') {
      return payloadOf(MOOD_NODE, ['undefined'], notes ?? (text === undefined ? undefined : [{ text }]));
    }
  }
  return undefined;
}

function readActivity(activity: XmlElement): RpidValues | undefined {
  const general = elementsIn(activity).find(({ name }) => GENERAL_ACTIVITIES.has(name));
  if (general === undefined) return undefined;
  const notes = textsIn(activity);
  const specific = elementsIn(general).find(({ name }) => NAME.test(name))?.name;
  const isNamed = specific !== undefined && specific !== 'other';
  const known = RPID_FROM_ACTIVITY.get(isNamed ? `${general.name}/${specific}` : general.name);
  if (known !== undefined) return rpidValues({ name: known }, notes);
  return rpidValues({ name: 'other', text: words(isNamed ? specific : general.name) }, notes);
}

function activityElement({ values, notes }: RpidValues): XmlElement | undefined {
  for (const { name, text } of values) {
    const activity: XmppActivity | undefined = name === 'other' ? namedActivity(text) : ACTIVITY_FROM_RPID.get(name);
    if (activity !== undefined) return payloadOf(ACTIVITY_NODE, activity, notes);
    if (name === 'other' && text !== undefined) {
      return payloadOf(ACTIVITY_NODE, ['undefined', 'other'], notes ?? [{ text }]);
    }
  }
  return undefined;
}

/** A general activity that went through RPID as the text of `other`. */
function namedActivity(text: string | undefined): XmppActivity | undefined {
  const name = text === undefined ? '' : unworded(text);
  return GENERAL_ACTIVITIES.has(name) ? [name] : undefined;
}

function payloadOf(node: PepNode, path: XmppActivity, notes: readonly LocalizedText[] | undefined): XmlElement {
  const [outer, inner] = path;
  const specific = inner === undefined ? [] : [{ name: inner, attrs: {}, children: [] }];
  const texts = (notes ?? []).slice(0, 1).map(({ text, language }) => {
    const legal = legalLanguage(language);
    return localizedElement('text', {
      text: cutText(text, TEXT_MAX),
      ...(legal === undefined ? {} : { language: legal }),
    });
  });
  return { ...emptyPayload(node), children: [{ name: outer, attrs: {}, children: specific }, ...texts] };
}

function rpidValues(value: RpidValues['values'][number], notes: readonly LocalizedText[]): RpidValues {
  return { values: [value], ...(notes.length === 0 ? {} : { notes }) };
}

function elementsIn(element: XmlElement): readonly XmlElement[] {
  return element.children.filter((child) => typeof child !== 'string');
}

function textsIn(element: XmlElement): readonly LocalizedText[] {
  return elementsIn(element)
    .filter(({ name }) => name === 'text')
    .slice(0, 1)
    .map(localizedFrom)
    .map(({ text, language }) => ({
      text: cutText(text, TEXT_MAX),
      ...(language === undefined ? {} : { language }),
    }))
    .filter(({ text }) => text.trim() !== '');
}

function words(name: string): string {
  return name.replaceAll('_', ' ');
}

function unworded(text: string): string {
  return text.trim().toLowerCase().replaceAll(' ', '_');
}
