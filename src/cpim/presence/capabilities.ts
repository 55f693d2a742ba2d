import { PRESENCE_VALUES_MAX } from '../limits.ts';
import type { LocalizedText } from '../operation.ts';
import type { XmlElement } from '../xml.ts';
import { CAPS } from './namespaces.ts';
import { mustBeUnderstood, type Reading, tokenOf, type Writable } from './reading.ts';
import type { Child } from './scope.ts';
import type { Writing } from './writing.ts';

/** Names under `<supported/>` and `<notsupported/>`; what stands under both is supported (RFC 5196, section 4.1). */
export type Listed = {
  readonly supported?: readonly string[];
  readonly notSupported?: readonly string[];
  /** Elements of other namespaces among them. */
  readonly unknownSupported?: readonly XmlElement[];
  readonly unknownNotSupported?: readonly XmlElement[];
};

/** Priorities from `min` to `max`, both included; one that is absent is no bound (RFC 5196, section 3.2.15). */
export type PriorityRange = { readonly min?: number; readonly max?: number };

/** What a service or a device can do (RFC 5196): the content of `<servcaps/>` or of `<devcaps/>`. */
export type Capabilities = {
  readonly application?: boolean;
  readonly audio?: boolean;
  readonly control?: boolean;
  readonly data?: boolean;
  readonly message?: boolean;
  readonly text?: boolean;
  readonly video?: boolean;
  readonly automata?: boolean;
  readonly isFocus?: boolean;
  readonly descriptions?: readonly LocalizedText[];
  /** MIME types. */
  readonly types?: readonly string[];
  readonly actor?: Listed;
  readonly class?: Listed;
  readonly duplex?: Listed;
  readonly eventPackages?: Listed;
  /** SIP option tags as RFC 5196 spells them: `rel100`. */
  readonly extensions?: Listed;
  readonly languages?: Listed;
  readonly methods?: Listed;
  /** Of a device. */
  readonly mobility?: Listed;
  readonly schemes?: Listed;
  readonly priority?: {
    readonly supported?: readonly PriorityRange[];
    readonly notSupported?: readonly PriorityRange[];
  };
  readonly unknown?: readonly XmlElement[];
};

const BOOLEANS = {
  application: 'application',
  audio: 'audio',
  automata: 'automata',
  control: 'control',
  data: 'data',
  isfocus: 'isFocus',
  message: 'message',
  text: 'text',
  video: 'video',
} as const;

/** How a list writes its names: as elements, in the order of the schema, or as the text of an element with this name. */
type ListKind = {
  readonly key:
    'actor' | 'class' | 'duplex' | 'eventPackages' | 'extensions' | 'languages' | 'methods' | 'mobility' | 'schemes';
  readonly order?: readonly string[];
  readonly item?: string;
};
const words = (text: string): readonly string[] => text.split(' ');

const LISTS: Readonly<Record<string, ListKind>> = {
  actor: { key: 'actor', order: words('attendant information msg-taker principal') },
  class: { key: 'class', order: words('business personal') },
  duplex: { key: 'duplex', order: words('full half receive-only send-only') },
  'event-packages': {
    key: 'eventPackages',
    order: words(
      'conference dialog kpml message-summary poc-settings presence reg refer Siemens-RTP-Stats spirits-INDPs ' +
        'spirits-user-prof winfo',
    ),
  },
  extensions: {
    key: 'extensions',
    order: words(
      'rel100 early-session eventlist from-change gruu hist-info join norefersub path precondition pref privacy ' +
        'recipient-list-invite recipient-list-subscribe replaces resource-priority sdp-anat sec-agree tdialog timer',
    ),
  },
  languages: { key: 'languages', item: 'l' },
  methods: {
    key: 'methods',
    order: words('ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE UPDATE'),
  },
  mobility: { key: 'mobility', order: words('fixed mobile') },
  schemes: { key: 'schemes', item: 's' },
};

/** Elements in the order of the schema (RFC 5196, section 6). */
const ORDER = {
  servcaps: words(
    'actor application audio automata class control data description duplex event-packages extensions isfocus message ' +
      'methods languages priority schemes text type video',
  ),
  devcaps: words('description mobility'),
};
type Container = keyof typeof ORDER;

/**
 * Reads `<servcaps/>` or `<devcaps/>`. What is not known, stands there twice or says nothing is kept.
 *
 * @returns undefined when something in it must be understood and is not
 */
export function readCapabilities(
  name: Container,
  child: Child,
  reading: Reading,
  where: string,
): Capabilities | undefined {
  const caps: Writable<Capabilities> = {};
  const descriptions: LocalizedText[] = [];
  const types: string[] = [];
  const unknown: XmlElement[] = [];
  for (const inner of child.scope.childrenOf(child.element)) {
    if (inner.namespace === CAPS && ORDER[name].includes(inner.local)) {
      if (inner.local === 'description') {
        reading.addNote(descriptions, inner, where);
        continue;
      }
      if (inner.local === 'type') {
        reading.bound(types.length, PRESENCE_VALUES_MAX, where, 'types');
        types.push(tokenOf(inner));
        continue;
      }
      if (readOne(caps, inner, reading, where)) continue;
    }
    if (mustBeUnderstood(inner)) return undefined;
    unknown.push(reading.keep(inner, where));
  }
  if (descriptions.length > 0) caps.descriptions = descriptions;
  if (types.length > 0) caps.types = types;
  if (unknown.length > 0) caps.unknown = unknown;
  return caps;
}

function readOne(caps: Writable<Capabilities>, child: Child, reading: Reading, where: string): boolean {
  const { local } = child;
  if (isBoolean(local)) {
    const key = BOOLEANS[local];
    const value = booleanOf(tokenOf(child));
    if (value === undefined || caps[key] !== undefined) return false;
    caps[key] = value;
    return true;
  }
  if (local === 'priority') {
    const priority = caps.priority === undefined ? readPriority(child, reading, where) : undefined;
    if (priority === undefined) return false;
    caps.priority = priority;
    return true;
  }
  const kind = Object.hasOwn(LISTS, local) ? LISTS[local] : undefined;
  if (kind === undefined || caps[kind.key] !== undefined) return false;
  const listed = readListed(kind, child, reading, where);
  if (listed === undefined) return false;
  caps[kind.key] = listed;
  return true;
}

function isBoolean(local: string): local is keyof typeof BOOLEANS {
  return Object.hasOwn(BOOLEANS, local);
}

function booleanOf(text: string): boolean | undefined {
  if (text === 'true' || text === '1') return true;
  return text === 'false' || text === '0' ? false : undefined;
}

/** The children under `<supported/>` and `<notsupported/>`; undefined when there is anything else or one of them twice. */
function sides(child: Child): { supported?: readonly Child[]; notsupported?: readonly Child[] } | undefined {
  const found: { supported?: readonly Child[]; notsupported?: readonly Child[] } = {};
  for (const side of child.scope.childrenOf(child.element)) {
    const { local } = side;
    if (side.namespace !== CAPS || (local !== 'supported' && local !== 'notsupported')) return undefined;
    if (found[local] !== undefined) return undefined;
    found[local] = side.scope.childrenOf(side.element);
  }
  return found;
}

function readListed(kind: ListKind, child: Child, reading: Reading, where: string): Listed | undefined {
  const found = sides(child);
  if (found === undefined) return undefined;
  const listed: Writable<Listed> = {};
  for (const [side, names, others] of [
    ['supported', 'supported', 'unknownSupported'],
    ['notsupported', 'notSupported', 'unknownNotSupported'],
  ] as const) {
    const known: string[] = [];
    const unknown: XmlElement[] = [];
    for (const item of found[side] ?? []) {
      const name = nameOf(kind, item);
      if (name === undefined) unknown.push(reading.keep(item, where));
      else if (!known.includes(name)) {
        reading.bound(known.length, PRESENCE_VALUES_MAX, where, 'names in one list');
        known.push(name);
      }
    }
    if (known.length > 0) listed[names] = inOrder(known, kind.order);
    if (unknown.length > 0) listed[others] = unknown;
  }
  return listed;
}

function nameOf(kind: ListKind, item: Child): string | undefined {
  if (item.namespace !== CAPS) return undefined;
  if (kind.item === undefined) return item.local;
  return item.local === kind.item && tokenOf(item) !== '' ? tokenOf(item) : undefined;
}

function readPriority(child: Child, reading: Reading, where: string): Capabilities['priority'] | undefined {
  const found = sides(child);
  if (found === undefined) return undefined;
  const priority: Writable<NonNullable<Capabilities['priority']>> = {};
  for (const [side, key] of [
    ['supported', 'supported'],
    ['notsupported', 'notSupported'],
  ] as const) {
    const ranges: PriorityRange[] = [];
    for (const item of found[side] ?? []) {
      const range = rangeOf(item);
      if (range === undefined) return undefined;
      reading.bound(ranges.length, PRESENCE_VALUES_MAX, where, 'priority ranges');
      ranges.push(range);
    }
    if (ranges.length > 0) priority[key] = rangesInOrder(ranges);
  }
  return priority;
}

/** The schema of RFC 5196 has `higherhan`, its text `higherthan`. */
function rangeOf({ local, namespace, element: { attrs } }: Child): PriorityRange | undefined {
  if (namespace !== CAPS) return undefined;
  const min = integerOf(attrs['minvalue']);
  const max = integerOf(attrs['maxvalue']);
  const value = integerOf(attrs['value']);
  if (local === 'lowerthan' && max !== undefined) return { max };
  if ((local === 'higherthan' || local === 'higherhan') && min !== undefined) return { min };
  if (local === 'equals' && value !== undefined) return { min: value, max: value };
  if (local === 'range' && min !== undefined && max !== undefined) return { min, max };
  return undefined;
}

function integerOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*[+-]?\d{1,9}\s*$/.test(text) ? Number(text) + 0 : undefined;
}

/** `<servcaps/>` of a tuple or `<devcaps/>` of a device. */
export function writeCapabilities(name: Container, caps: Capabilities, writing: Writing): XmlElement {
  const children: XmlElement[] = [];
  for (const local of ORDER[name]) writeOne(children, local, caps, writing);
  for (const element of caps.unknown ?? []) children.push(writing.kept(element));
  return writing.element('caps', name, children);
}

function writeOne(out: XmlElement[], local: string, caps: Capabilities, writing: Writing): void {
  if (local === 'description') {
    for (const text of caps.descriptions ?? []) out.push(writing.localized('caps', local, text));
  } else if (local === 'type') {
    for (const type of caps.types ?? []) out.push(writing.text('caps', local, type));
  } else if (local === 'priority') {
    if (caps.priority !== undefined) out.push(writePriority(caps.priority, writing));
  } else if (isBoolean(local)) {
    const value = caps[BOOLEANS[local]];
    if (value !== undefined) out.push(writing.text('caps', local, String(value)));
  } else {
    const kind = LISTS[local];
    const listed = kind === undefined ? undefined : caps[kind.key];
    if (kind !== undefined && listed !== undefined) out.push(writeListed(local, kind, listed, writing));
  }
}

function writeListed(local: string, kind: ListKind, listed: Listed, writing: Writing): XmlElement {
  const children: XmlElement[] = [];
  for (const [side, names = [], others = []] of [
    ['supported', listed.supported, listed.unknownSupported],
    ['notsupported', listed.notSupported, listed.unknownNotSupported],
  ] as const) {
    const items = inOrder(names, kind.order).map((name) =>
      kind.item === undefined ? writing.element('caps', name) : writing.text('caps', kind.item, name),
    );
    for (const element of others) items.push(writing.kept(element));
    if (items.length > 0) children.push(writing.element('caps', side, items));
  }
  return writing.element('caps', local, children);
}

function inOrder(names: readonly string[], order: readonly string[] | undefined): readonly string[] {
  if (order === undefined || names.length < 2) return names;
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length);
  return [...names].sort((a, b) => rank(a) - rank(b));
}

const RANGES = words('equals higherthan lowerthan range');

function writePriority(priority: NonNullable<Capabilities['priority']>, writing: Writing): XmlElement {
  const children: XmlElement[] = [];
  for (const [side, ranges = []] of [
    ['supported', priority.supported],
    ['notsupported', priority.notSupported],
  ] as const) {
    const items = rangesInOrder(ranges).map((range) => {
      const { local, attrs } = rangeElement(range);
      return writing.element('caps', local, [], attrs);
    });
    if (items.length > 0) children.push(writing.element('caps', side, items));
  }
  return writing.element('caps', 'priority', children);
}

function rangesInOrder(ranges: readonly PriorityRange[]): PriorityRange[] {
  const rank = (range: PriorityRange): number => RANGES.indexOf(rangeElement(range).local);
  return [...ranges].sort((a, b) => rank(a) - rank(b));
}

function rangeElement({ min, max }: PriorityRange): { local: string; attrs: Record<string, string> } {
  if (min === undefined) return { local: 'lowerthan', attrs: { maxvalue: String(max ?? 0) } };
  if (max === undefined) return { local: 'higherthan', attrs: { minvalue: String(min) } };
  if (min === max) return { local: 'equals', attrs: { value: String(min) } };
  return { local: 'range', attrs: { minvalue: String(min), maxvalue: String(max) } };
}
