import type { LocalizedText } from '../../cpim/operation.ts';
import type { Show } from '../../cpim/presence/document.ts';
import { readShow } from '../../cpim/presence/reading.ts';
import { formatRfc3339, parseRfc3339 } from '../../cpim/rfc3339.ts';
import { textOf, type XmlElement } from '../../cpim/xml.ts';
import {
  COMPONENT_NAMESPACE,
  cutText,
  type Delay,
  DELAY_NAMESPACE,
  delayElement,
  legalLanguage,
  localizedElement,
  localizedFrom,
  readDelay,
  readLanguage,
} from '../stanza-content.ts';
import { NICK_NODE } from './pep-nodes.ts';

/** RFC 6121, section 4.7.1; `available` is the absence of the attribute. */
export type PresenceType =
  'available' | 'unavailable' | 'subscribe' | 'subscribed' | 'unsubscribe' | 'unsubscribed' | 'probe' | 'error';

/** XEP-0115: what the sender's client can do, by reference. */
export type Caps = { readonly hash: string; readonly node: string; readonly ver: string };

/** What a presence stanza says beside its type, as far as it is understood. */
export type PresenceContent = {
  /** xml:lang of the stanza. */
  readonly language?: string;
  readonly show?: Show;
  /** One per language, none of them empty. */
  readonly statuses: readonly LocalizedText[];
  /** -128 to 127. */
  readonly priority?: number;
  readonly delay?: Delay;
  /** XEP-0319: the last time the user did something, ms since the epoch. */
  readonly idleSinceMs?: number;
  readonly caps?: Caps;
  /** XEP-0172: what the sender calls himself. */
  readonly nick?: string;
};

const IDLE_NAMESPACE = 'urn:xmpp:idle:1';
export const CAPS_NAMESPACE = 'http://jabber.org/protocol/caps';

/** What is kept of one stanza: a status longer than this is cut, characters. */
const STATUS_MAX = 1024;
export const NICK_MAX = 128;
const LANGUAGES_MAX = 8;
/** Of each attribute of caps, characters. */
const CAPS_MAX = 256;
const PRIORITY = /^[+-]?[0-9]{1,3}$/;

const TYPES: ReadonlySet<string> = new Set<Exclude<PresenceType, 'available'>>([
  'unavailable',
  'subscribe',
  'subscribed',
  'unsubscribe',
  'unsubscribed',
  'probe',
  'error',
]);

export function presenceTypeOf(type: string | undefined): PresenceType | 'unknown' {
  if (type === undefined) return 'available';
  return isType(type) ? type : 'unknown';
}

/**
 * Reads what a presence stanza says; what is odd, out of range or too much is left out or cut, the rest stands.
 * Of several elements for the same thing the first counts.
 */
export function readPresenceContent(element: XmlElement): PresenceContent {
  const own = element.attrs['xmlns'] ?? COMPONENT_NAMESPACE;
  const statuses: LocalizedText[] = [];
  let show: Show | undefined;
  let priority: number | undefined;
  let delay: Delay | undefined;
  let idleSinceMs: number | undefined;
  let caps: Caps | undefined;
  let nick: string | undefined;
  for (const child of element.children) {
    if (typeof child === 'string') continue;
    switch (child.attrs['xmlns'] ?? own) {
      case own:
        if (child.name === 'show') show ??= readShow(textOf(child).trim());
        else if (child.name === 'status') addStatus(statuses, localizedFrom(child));
        else if (child.name === 'priority') priority ??= readPriority(textOf(child).trim());
        break;
      case DELAY_NAMESPACE:
        if (child.name === 'delay') delay ??= readDelay(child);
        break;
      case IDLE_NAMESPACE:
        if (child.name === 'idle') idleSinceMs ??= parseRfc3339(child.attrs['since'] ?? '');
        break;
      case CAPS_NAMESPACE:
        if (child.name === 'c') caps ??= readCaps(child);
        break;
      case NICK_NODE:
        if (child.name === 'nick') nick ??= readNick(textOf(child));
        break;
      default:
    }
  }
  const language = readLanguage(element);
  return {
    statuses,
    ...(language === undefined ? {} : { language }),
    ...(show === undefined ? {} : { show }),
    ...(priority === undefined ? {} : { priority }),
    ...(delay === undefined ? {} : { delay }),
    ...(idleSinceMs === undefined ? {} : { idleSinceMs }),
    ...(caps === undefined ? {} : { caps }),
    ...(nick === undefined ? {} : { nick }),
  };
}

/** The content as child elements of the stanza, in the order of RFC 6121, section 4.7.2 and then the extensions. */
export function presenceChildren(content: PresenceContent): XmlElement[] {
  const { show, statuses, priority, delay, idleSinceMs, caps, nick } = content;
  const children: XmlElement[] = [];
  if (show !== undefined) children.push({ name: 'show', attrs: {}, children: [show] });
  for (const status of statuses) children.push(localizedElement('status', status));
  if (priority !== undefined) children.push({ name: 'priority', attrs: {}, children: [String(priority)] });
  if (caps !== undefined) children.push(capsElement(caps));
  if (idleSinceMs !== undefined) {
    children.push({ name: 'idle', attrs: { xmlns: IDLE_NAMESPACE, since: formatRfc3339(idleSinceMs) }, children: [] });
  }
  if (nick !== undefined) children.push({ name: 'nick', attrs: { xmlns: NICK_NODE }, children: [nick] });
  if (delay !== undefined) children.push(delayElement(delay));
  return children;
}

export function capsElement({ hash, node, ver }: Caps): XmlElement {
  return { name: 'c', attrs: { xmlns: CAPS_NAMESPACE, hash, node, ver }, children: [] };
}

/** The texts that a stanza may carry: one per language (RFC 6121, section 4.7.2.2), bounded, blank ones left out. */
export function boundedStatuses(texts: readonly LocalizedText[]): readonly LocalizedText[] {
  const statuses: LocalizedText[] = [];
  for (const { text, language } of texts) {
    const legal = legalLanguage(language);
    addStatus(statuses, legal === undefined ? { text } : { text, language: legal });
  }
  return statuses;
}

function addStatus(statuses: LocalizedText[], status: LocalizedText): void {
  if (statuses.length >= LANGUAGES_MAX || status.text.trim() === '') return;
  const tag = status.language?.toLowerCase();
  if (statuses.some(({ language }) => language?.toLowerCase() === tag)) return;
  statuses.push(status.text.length <= STATUS_MAX ? status : { ...status, text: cutText(status.text, STATUS_MAX) });
}

function readPriority(text: string): number | undefined {
  if (!PRIORITY.test(text)) return undefined;
  const priority = Number(text);
  return priority >= -128 && priority <= 127 ? priority : undefined;
}

function readCaps(element: XmlElement): Caps | undefined {
  const { hash, node, ver } = element.attrs;
  // Without a hash it is the form that XEP-0115, section 13 has given up.
  if (hash === undefined || node === undefined || ver === undefined) return undefined;
  return hash.length > CAPS_MAX || node.length > CAPS_MAX || ver.length > CAPS_MAX ? undefined : { hash, node, ver };
}

function readNick(text: string): string | undefined {
  const nick = cutText(text.trim(), NICK_MAX);
  return nick === '' ? undefined : nick;
}

function isType(type: string): type is Exclude<PresenceType, 'available'> {
  return TYPES.has(type);
}
