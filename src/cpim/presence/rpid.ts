import { PRESENCE_VALUES_MAX } from '../limits.ts';
import type { LocalizedText } from '../operation.ts';
import { isNcName, type XmlElement } from '../xml.ts';
import type { RichPresence, RpidValue, RpidValues, Validity } from './document.ts';
import { LOCATION_TYPE, RPID } from './namespaces.ts';
import { localizedText, mustBeUnderstood, type Reading, timeOf, tokenOf, type Writable } from './reading.ts';
import type { Child } from './scope.ts';
import { timeText, type Writing } from './writing.ts';

type ValuesKey = 'activities' | 'mood' | 'placeType' | 'privacy' | 'relationship' | 'serviceClass' | 'sphere';

/** How an element that lists values differs from the others (RFC 4480, table 1 and section 5.1). */
type ValuesKind = {
  readonly key: ValuesKey;
  readonly hasNotes: boolean;
  /** Has `id`, `from` and `until`. */
  readonly hasAttributes: boolean;
  /** What is written when there is no value, where the schema wants one. */
  readonly ifEmpty?: 'unknown' | 'other';
  /** The order that the schema prescribes. */
  readonly order?: readonly string[];
};

const VALUES: ReadonlyMap<string, ValuesKind> = new Map([
  ['activities', { key: 'activities', hasNotes: true, hasAttributes: true }],
  ['mood', { key: 'mood', hasNotes: true, hasAttributes: true, ifEmpty: 'unknown' }],
  ['place-type', { key: 'placeType', hasNotes: true, hasAttributes: true, ifEmpty: 'other' }],
  ['privacy', { key: 'privacy', hasNotes: true, hasAttributes: true, order: ['audio', 'text', 'video'] }],
  ['relationship', { key: 'relationship', hasNotes: true, hasAttributes: false }],
  ['service-class', { key: 'serviceClass', hasNotes: true, hasAttributes: false, ifEmpty: 'unknown' }],
  ['sphere', { key: 'sphere', hasNotes: false, hasAttributes: true }],
] as const satisfies ReadonlyArray<readonly [string, ValuesKind]>);

/**
 * Takes one element of RPID (RFC 4480) into `rich`.
 *
 * @returns false, with `rich` as it was, for what is to be kept as it stands: an unknown name, a second element of the
 * same name (of two with different times the first counts), one whose content says nothing that can be held, one with
 * something inside that must be understood and is not
 */
export function readRich(rich: Writable<RichPresence>, child: Child, reading: Reading, where: string): boolean {
  if (child.namespace !== RPID) return false;
  const kind = VALUES.get(child.local);
  if (kind !== undefined) return setOnce(rich, kind.key, () => readValues(kind, child, reading, where));
  switch (child.local) {
    case 'class':
      return setOnce(rich, 'class', () => tokenOf(child).replace(/\s+/g, ' ') || undefined);
    case 'place-is':
      return setOnce(rich, 'placeIs', () => readPlaceIs(child, reading, where));
    case 'status-icon':
      return setOnce(rich, 'statusIcon', () => {
        const uri = tokenOf(child);
        return uri === '' ? undefined : { ...readAttributes(child), uri };
      });
    case 'time-offset':
      return setOnce(rich, 'timeOffset', () => readTimeOffset(child));
    case 'user-input':
      return setOnce(rich, 'userInput', () => readUserInput(child));
    default:
      return false;
  }
}

function setOnce<K extends keyof RichPresence>(
  rich: Writable<RichPresence>,
  key: K,
  read: () => RichPresence[K] | undefined,
): boolean {
  if (rich[key] !== undefined) return false;
  const value = read();
  if (value === undefined) return false;
  rich[key] = value;
  return true;
}

function readAttributes({ element: { attrs } }: Child): Validity {
  const validity: Writable<Validity> = {};
  const { id } = attrs;
  if (id !== undefined && isNcName(id)) validity.id = id;
  const fromMs = timeOf(attrs['from']);
  if (fromMs !== undefined) validity.fromMs = fromMs;
  const untilMs = timeOf(attrs['until']);
  if (untilMs !== undefined) validity.untilMs = untilMs;
  return validity;
}

function readValues(kind: ValuesKind, child: Child, reading: Reading, where: string): RpidValues | undefined {
  const values: RpidValue[] = [];
  const unknown: XmlElement[] = [];
  const notes: LocalizedText[] = [];
  const add = (value: RpidValue): void => {
    if (value.name !== 'other' && values.some(({ name }) => name === value.name)) return;
    reading.bound(values.length, PRESENCE_VALUES_MAX, where, 'values of one element');
    values.push(value);
  };
  const children = child.scope.childrenOf(child.element);
  for (const inner of children) {
    // A sphere has no notes; one that has keeps it as it stands.
    if (inner.namespace === RPID && (inner.local !== 'note' || kind.hasNotes)) {
      if (inner.local === 'note') reading.addNote(notes, inner, where);
      else if (inner.local === 'other') add({ name: 'other', ...localizedText(inner) });
      // The text of RFC 4480 has a lunch, its schema has none: to be a meal is what both know.
      else add({ name: inner.local === 'lunch' ? 'meal' : inner.local });
    } else if (inner.namespace === LOCATION_TYPE && kind.key === 'placeType' && isBareName(inner)) {
      add({ name: inner.local });
    } else {
      if (mustBeUnderstood(inner)) return undefined;
      unknown.push(reading.keep(inner, where));
    }
  }
  if (kind.key === 'sphere' && children.length === 0) {
    // So it stands in the example of RFC 4480, section 4.
    const text = tokenOf(child);
    if (text === 'home' || text === 'work' || text === 'unknown') add({ name: text });
    else if (text !== '') add({ name: 'other', text });
  }
  return {
    ...(kind.hasAttributes ? readAttributes(child) : {}),
    ...(notes.length === 0 ? {} : { notes }),
    values: normalValues(kind, values, unknown.length > 0),
    ...(unknown.length === 0 ? {} : { unknown }),
  };
}

/** The values as the schema wants them: `unknown` beside nothing else, one where there must be one, its order. */
function normalValues(kind: ValuesKind, values: readonly RpidValue[], hasMore: boolean): readonly RpidValue[] {
  if (values.length === 0 && !hasMore && kind.ifEmpty !== undefined) {
    return [kind.ifEmpty === 'other' ? { name: 'other', text: '' } : { name: kind.ifEmpty }];
  }
  const isAlone = values.length === 1 && !hasMore;
  const left = isAlone ? values : values.filter(({ name }) => name !== 'unknown');
  return kind.order === undefined ? left : inOrder(left, kind.order);
}

/** Whether an element is nothing but its name, and one that cannot be taken for one of ours. */
function isBareName({ element, local }: Child): boolean {
  return element.children.length === 0 && local !== 'other';
}

function readPlaceIs(child: Child, reading: Reading, where: string): RichPresence['placeIs'] | undefined {
  const placeIs: Writable<NonNullable<RichPresence['placeIs']>> = readAttributes(child);
  const unknown: XmlElement[] = [];
  const notes: LocalizedText[] = [];
  for (const inner of child.scope.childrenOf(child.element)) {
    const { local, namespace } = inner;
    if (namespace === RPID && local === 'note') {
      reading.addNote(notes, inner, where);
      continue;
    }
    if (namespace === RPID && (local === 'audio' || local === 'video' || local === 'text')) {
      const [value, ...more] = inner.scope.childrenOf(inner.element);
      if (value?.namespace === RPID && more.length === 0 && placeIs[local] === undefined) {
        placeIs[local] = value.local;
        continue;
      }
    }
    if (mustBeUnderstood(inner)) return undefined;
    unknown.push(reading.keep(inner, where));
  }
  if (notes.length > 0) placeIs.notes = notes;
  if (unknown.length > 0) placeIs.unknown = unknown;
  return placeIs;
}

function readTimeOffset(child: Child): RichPresence['timeOffset'] | undefined {
  const text = tokenOf(child);
  if (!/^[+-]?\d{1,5}$/.test(text)) return undefined;
  const description = child.element.attrs['description'];
  const minutes = Number(text);
  return {
    ...readAttributes(child),
    // Not the zero that has a sign: it would not come back from JSON.
    minutes: minutes === 0 ? 0 : minutes,
    ...(description === undefined ? {} : { description }),
  };
}

function readUserInput(child: Child): RichPresence['userInput'] | undefined {
  const state = tokenOf(child);
  if (state !== 'active' && state !== 'idle') return undefined;
  const { attrs } = child.element;
  const userInput: Writable<NonNullable<RichPresence['userInput']>> = { state };
  const { id } = attrs;
  if (id !== undefined && isNcName(id)) userInput.id = id;
  const threshold = Number(/^\+?(\d{1,9})$/.exec(attrs['idle-threshold']?.trim() ?? '')?.[1] ?? '0');
  if (threshold > 0) userInput.idleThresholdSeconds = threshold;
  const lastInputMs = timeOf(attrs['last-input']);
  if (lastInputMs !== undefined) userInput.lastInputMs = lastInputMs;
  return userInput;
}

/** The elements of RPID, in the order of RFC 4480, table 1. */
export function writeRich(rich: RichPresence, writing: Writing): XmlElement[] {
  const out: XmlElement[] = [];
  const values = (local: string): void => {
    const kind = VALUES.get(local);
    const value = kind === undefined ? undefined : rich[kind.key];
    if (kind !== undefined && value !== undefined) out.push(writeValues(local, kind, value, writing));
  };
  values('activities');
  if (rich.class !== undefined) out.push(writing.text('rpid', 'class', rich.class));
  values('mood');
  if (rich.placeIs !== undefined) out.push(writePlaceIs(rich.placeIs, writing));
  values('place-type');
  values('privacy');
  values('relationship');
  values('service-class');
  values('sphere');
  const { statusIcon, timeOffset, userInput } = rich;
  if (statusIcon !== undefined) {
    out.push(writing.element('rpid', 'status-icon', [statusIcon.uri], attributes(statusIcon, writing)));
  }
  if (timeOffset !== undefined) {
    const { description } = timeOffset;
    const attrs = { ...attributes(timeOffset, writing), ...(description === undefined ? {} : { description }) };
    out.push(writing.element('rpid', 'time-offset', [String(Math.trunc(timeOffset.minutes))], attrs));
  }
  if (userInput !== undefined) out.push(writeUserInput(userInput, writing));
  return out;
}

function attributes(validity: Validity, writing: Writing): Record<string, string> {
  const attrs: Record<string, string> = {};
  const id = writing.freeId(validity.id);
  if (id !== undefined) attrs['id'] = id;
  const from = timeText(validity.fromMs);
  if (from !== undefined) attrs['from'] = from;
  const until = timeText(validity.untilMs);
  if (until !== undefined) attrs['until'] = until;
  return attrs;
}

function writeValues(local: string, kind: ValuesKind, list: RpidValues, writing: Writing): XmlElement {
  const attrs = kind.hasAttributes ? attributes(list, writing) : {};
  const { unknown = [] } = list;
  if (kind.key === 'sphere' && unknown.length === 0 && list.values.length === 1) {
    const [only] = list.values;
    if (only?.name === 'other') return writing.element('rpid', local, [only.text ?? ''], attrs);
  }
  const children: XmlElement[] = [];
  if (kind.hasNotes) for (const note of list.notes ?? []) children.push(writing.localized('rpid', 'note', note));
  for (const value of normalValues(kind, list.values, unknown.length > 0)) {
    children.push(writeValue(kind, value, writing));
  }
  for (const element of unknown) children.push(writing.kept(element));
  return writing.element('rpid', local, children, attrs);
}

function writeValue(kind: ValuesKind, { name, text, language }: RpidValue, writing: Writing): XmlElement {
  if (name === 'other') {
    const other = { text: text ?? '', ...(language === undefined ? {} : { language }) };
    return other.text === '' ? writing.element('rpid', 'other') : writing.localized('rpid', 'other', other);
  }
  if (kind.key === 'placeType') return writing.element('lt', name);
  return writing.element('rpid', name === 'lunch' ? 'meal' : name);
}

/** Those that `order` names first and as it has them; the sort keeps the others in theirs. */
function inOrder(values: readonly RpidValue[], order: readonly string[]): RpidValue[] {
  const rank = ({ name }: RpidValue): number => (order.includes(name) ? order.indexOf(name) : order.length);
  return [...values].sort((a, b) => rank(a) - rank(b));
}

function writePlaceIs(placeIs: NonNullable<RichPresence['placeIs']>, writing: Writing): XmlElement {
  const children: XmlElement[] = (placeIs.notes ?? []).map((note) => writing.localized('rpid', 'note', note));
  for (const medium of ['audio', 'video', 'text'] as const) {
    const value = placeIs[medium];
    if (value !== undefined) children.push(writing.element('rpid', medium, [writing.element('rpid', value)]));
  }
  for (const element of placeIs.unknown ?? []) children.push(writing.kept(element));
  return writing.element('rpid', 'place-is', children, attributes(placeIs, writing));
}

function writeUserInput(userInput: NonNullable<RichPresence['userInput']>, writing: Writing): XmlElement {
  const attrs: Record<string, string> = {};
  if (userInput.idleThresholdSeconds !== undefined) attrs['idle-threshold'] = String(userInput.idleThresholdSeconds);
  const lastInput = timeText(userInput.lastInputMs);
  if (lastInput !== undefined) attrs['last-input'] = lastInput;
  const id = writing.freeId(userInput.id);
  if (id !== undefined) attrs['id'] = id;
  return writing.element('rpid', 'user-input', [userInput.state], attrs);
}
