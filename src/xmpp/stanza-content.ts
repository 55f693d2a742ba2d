import type { LocalizedText } from '../cpim/operation.ts';
import { formatRfc3339, parseRfc3339 } from '../cpim/rfc3339.ts';
import { textOf, type XmlElement } from '../cpim/xml.ts';
import { formatJid, type Jid, parseJid } from './jid.ts';

export const CLIENT_NAMESPACE = 'jabber:client';
export const COMPONENT_NAMESPACE = 'jabber:component:accept';
/** XEP-0184. */
export const RECEIPTS_NAMESPACE = 'urn:xmpp:receipts';
/** XEP-0333. */
export const MARKERS_NAMESPACE = 'urn:xmpp:chat-markers:0';
export const DELAY_NAMESPACE = 'urn:xmpp:delay';

/** RFC 5646, section 2.1 has no longer tag in use; longer ones and odd ones are left out. */
const LANGUAGE = /^[A-Za-z0-9-]{1,35}$/;

/** XEP-0203: who says so, and when it was sent, ms since the epoch. */
export type Delay = { readonly from?: Jid; readonly stampMs: number };

/** The tag, where it can be one on the wire. */
export function legalLanguage(language: string | undefined): string | undefined {
  return language !== undefined && LANGUAGE.test(language) ? language : undefined;
}

/** RFC 6120, section 8: of all that may come over a stream, what is for somebody. */
export function isStanzaName(name: string): boolean {
  return name === 'message' || name === 'iq' || name === 'presence';
}

/** `xml:lang` of the element itself. */
export function readLanguage(element: XmlElement): string | undefined {
  return legalLanguage(element.attrs['xml:lang']);
}

/** At most `max` characters, never half of a surrogate pair. */
export function cutText(text: string, max: number): string {
  const last = text.charCodeAt(max - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? max - 1 : max);
}

export function localizedFrom(element: XmlElement): LocalizedText {
  const language = readLanguage(element);
  return language === undefined ? { text: textOf(element) } : { text: textOf(element), language };
}

export function localizedElement(name: string, { text, language }: LocalizedText): XmlElement {
  return { name, attrs: language === undefined ? {} : { 'xml:lang': language }, children: [text] };
}

/** @returns undefined where the stamp is none */
export function readDelay(element: XmlElement): Delay | undefined {
  const stampMs = parseRfc3339(element.attrs['stamp'] ?? '');
  if (stampMs === undefined) return undefined;
  const from = element.attrs['from'] === undefined ? undefined : parseJid(element.attrs['from']);
  return from === undefined ? { stampMs } : { from, stampMs };
}

export function delayElement(delay: Delay): XmlElement {
  const from = delay.from === undefined ? {} : { from: formatJid(delay.from) };
  return {
    name: 'delay',
    attrs: { xmlns: DELAY_NAMESPACE, ...from, stamp: formatRfc3339(delay.stampMs) },
    children: [],
  };
}
