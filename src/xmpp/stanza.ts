import type { DispositionStatus, LocalizedText } from '../cpim/operation.ts';
import { textOf, type XmlElement } from '../cpim/xml.ts';
import { formatJid, type Jid, parseJid } from './jid.ts';
import {
  type PresenceContent,
  type PresenceType,
  presenceTypeOf,
  readPresenceContent,
} from './presence/presence-content.ts';
import {
  COMPONENT_NAMESPACE,
  type Delay,
  DELAY_NAMESPACE,
  delayElement,
  localizedElement,
  localizedFrom,
  MARKERS_NAMESPACE,
  readDelay,
  readLanguage,
  RECEIPTS_NAMESPACE,
} from './stanza-content.ts';
import { elementFromStanzaError, readStanzaError, type StanzaError, stanzaErrorIn } from './stanza-error.ts';

/** What every stanza has. `id` as sent. */
type Addressed = { readonly from: Jid; readonly to: Jid; readonly id?: string };

/** A message (RFC 6121, section 5), with what we understand of its content and nothing else. */
export type MessageStanza = Addressed & {
  readonly kind: 'message';
  readonly type: 'normal' | 'chat' | 'headline' | 'groupchat' | 'error';
  /** xml:lang of the stanza. */
  readonly language?: string;
  /** In the order of the stanza; `language` only where the element itself has one. */
  readonly subjects: readonly LocalizedText[];
  readonly bodies: readonly LocalizedText[];
  /** Trimmed; never empty. */
  readonly thread?: string;
  /** XEP-0359. */
  readonly originId?: string;
  readonly delay?: Delay;
  /** What a pubsub service tells: an `event` element of XEP-0060, as it came. */
  readonly event?: XmlElement;
  /** Asks for word of delivery (XEP-0184), and whether it may say that it was shown (XEP-0333). */
  readonly wantsReceipt?: true;
  readonly isMarkable?: true;
  /** Says so of another message: its id. */
  readonly receipt?: { readonly status: DispositionStatus; readonly id: string };
  /** Present when `type` is `error`. */
  readonly error?: StanzaError;
};

export type IqStanza = Addressed & {
  readonly kind: 'iq';
  readonly type: 'get' | 'set' | 'result' | 'error';
  /** The only child element, the error left out; its namespace. */
  readonly payload?: { readonly name: string; readonly namespace: string };
};

/** Presence (RFC 6121, section 4), or what asks, answers or ends a subscription (section 3). */
export type PresenceStanza = Addressed &
  PresenceContent & {
    readonly kind: 'presence';
    /** `unknown`: a type that RFC 6121, section 4.7.1 does not have. */
    readonly type: PresenceType | 'unknown';
    /** Present when `type` is `error`. */
    readonly error?: StanzaError;
  };

export type Stanza = MessageStanza | IqStanza | PresenceStanza;

/** What an element of the stream is, when it is no stanza that can be handled. */
export type Misfit = {
  readonly kind: 'misfit';
  /** The fault; answered with the condition that fits it where `from` can be told anything. */
  readonly fault: 'from-malformed' | 'to-malformed' | 'request-malformed';
  /** Where it is one. */
  readonly from?: Jid;
  readonly to?: Jid;
};

export const ORIGIN_ID_NAMESPACE = 'urn:xmpp:sid:0';
export const PUBSUB_EVENT_NAMESPACE = 'http://jabber.org/protocol/pubsub#event';

/**
 * Reads a stanza as the stream gave it.
 *
 * Elements count by namespace: a `<body/>` of another namespace is no body. Elements that are not understood are left
 * out. An unknown type of a message is `normal` (RFC 6121, section 5.2.2).
 */
export function readStanza(element: XmlElement): Stanza | Misfit {
  const { attrs } = element;
  const from = attrs['from'] === undefined ? undefined : parseJid(attrs['from']);
  if (from === undefined) return { kind: 'misfit', fault: 'from-malformed' };
  const to = attrs['to'] === undefined ? undefined : parseJid(attrs['to']);
  if (to === undefined) return { kind: 'misfit', fault: 'to-malformed', from };
  const { id } = attrs;
  const addressed = id === undefined ? { from, to } : { from, to, id };
  switch (element.name) {
    case 'message':
      return { kind: 'message', ...addressed, ...messageContent(element) };
    case 'iq':
      return iq(element, addressed);
    case 'presence':
      return presence(element, addressed);
    default:
      return { kind: 'misfit', fault: 'request-malformed', from, to };
  }
}

function messageContent(element: XmlElement): Omit<MessageStanza, 'kind' | 'from' | 'to' | 'id'> {
  const own = element.attrs['xmlns'] ?? COMPONENT_NAMESPACE;
  const subjects: LocalizedText[] = [];
  const bodies: LocalizedText[] = [];
  let thread: string | undefined;
  let originId: string | undefined;
  let delay: Delay | undefined;
  let event: XmlElement | undefined;
  let wantsReceipt = false;
  let isMarkable = false;
  let receipt: MessageStanza['receipt'];
  let error: XmlElement | undefined;
  for (const child of element.children) {
    if (typeof child === 'string') continue;
    const namespace = child.attrs['xmlns'] ?? own;
    if (namespace === own) {
      if (child.name === 'body') bodies.push(localizedFrom(child));
      else if (child.name === 'subject') subjects.push(localizedFrom(child));
      else if (child.name === 'thread') thread ??= nonEmpty(textOf(child).trim());
      else if (child.name === 'error') error ??= child;
    } else if (namespace === ORIGIN_ID_NAMESPACE && child.name === 'origin-id') {
      originId ??= nonEmpty(child.attrs['id'] ?? '');
    } else if (namespace === DELAY_NAMESPACE && child.name === 'delay') {
      delay ??= readDelay(child);
    } else if (namespace === PUBSUB_EVENT_NAMESPACE && child.name === 'event') {
      event ??= child;
    } else if (namespace === RECEIPTS_NAMESPACE) {
      if (child.name === 'request') wantsReceipt = true;
      else if (child.name === 'received') receipt ??= receiptOf('delivered', child);
    } else if (namespace === MARKERS_NAMESPACE) {
      if (child.name === 'markable') isMarkable = true;
      else if (child.name === 'displayed') receipt ??= receiptOf('displayed', child);
    }
  }
  const type = messageType(element.attrs['type']);
  const language = readLanguage(element);
  return {
    type,
    subjects,
    bodies,
    ...(language === undefined ? {} : { language }),
    ...(thread === undefined ? {} : { thread }),
    ...(originId === undefined ? {} : { originId }),
    ...(delay === undefined ? {} : { delay }),
    ...(event === undefined ? {} : { event }),
    ...(wantsReceipt ? { wantsReceipt } : {}),
    ...(isMarkable ? { isMarkable } : {}),
    ...(receipt === undefined ? {} : { receipt }),
    ...(type === 'error' ? { error: readStanzaError(error) } : {}),
  };
}

function receiptOf(status: DispositionStatus, { attrs }: XmlElement): MessageStanza['receipt'] {
  return attrs['id'] === undefined || attrs['id'] === '' ? undefined : { status, id: attrs['id'] };
}

function messageType(type: string | undefined): MessageStanza['type'] {
  return type === 'chat' || type === 'headline' || type === 'groupchat' || type === 'error' ? type : 'normal';
}

function iq(element: XmlElement, addressed: Addressed): IqStanza | Misfit {
  const { type, xmlns } = element.attrs;
  if (type === 'result' || type === 'error') return { kind: 'iq', ...addressed, type };
  const children = element.children.filter((child) => typeof child !== 'string');
  const [child] = children;
  // RFC 6120, section 8.2.3: a request has an id and exactly one child.
  if ((type !== 'get' && type !== 'set') || child === undefined || children.length > 1 || addressed.id === undefined) {
    return { kind: 'misfit', fault: 'request-malformed', from: addressed.from, to: addressed.to };
  }
  const payload = { name: child.name, namespace: child.attrs['xmlns'] ?? xmlns ?? COMPONENT_NAMESPACE };
  return { kind: 'iq', ...addressed, type, payload };
}

function presence(element: XmlElement, addressed: Addressed): PresenceStanza {
  const type = presenceTypeOf(element.attrs['type']);
  const content = readPresenceContent(element);
  if (type !== 'error') return { kind: 'presence', ...addressed, type, ...content };
  return { kind: 'presence', ...addressed, type, ...content, error: stanzaErrorIn(element) };
}

/**
 * Presence as an element for the stream; errors are written by `errorAnswer`.
 *
 * @param children of `presenceChildren`; many stanzas may share them
 */
export function presenceElement(
  { from, to, id }: Addressed,
  type: Exclude<PresenceType, 'error'>,
  children: readonly XmlElement[],
): XmlElement {
  const attrs = {
    from: formatJid(from),
    to: formatJid(to),
    ...(id === undefined ? {} : { id }),
    ...(type === 'available' ? {} : { type }),
  };
  return { name: 'presence', attrs, children };
}

/** The stanza as an element for the stream. A message of type `normal` gets no type (RFC 7572, section 5). */
export function elementFromMessage(stanza: MessageStanza): XmlElement {
  const { language, thread, originId, delay, error } = stanza;
  const children: XmlElement[] = [
    ...stanza.subjects.map((subject) => localizedElement('subject', subject)),
    ...stanza.bodies.map((body) => localizedElement('body', body)),
  ];
  if (thread !== undefined) children.push({ name: 'thread', attrs: {}, children: [thread] });
  if (error !== undefined) children.push(elementFromStanzaError(error));
  if (originId !== undefined) {
    children.push({ name: 'origin-id', attrs: { xmlns: ORIGIN_ID_NAMESPACE, id: originId }, children: [] });
  }
  if (delay !== undefined) children.push(delayElement(delay));
  if (stanza.event !== undefined) children.push(stanza.event);
  const { wantsReceipt, isMarkable, receipt } = stanza;
  if (wantsReceipt === true) children.push(emptyElement('request', { xmlns: RECEIPTS_NAMESPACE }));
  if (isMarkable === true) children.push(emptyElement('markable', { xmlns: MARKERS_NAMESPACE }));
  if (receipt !== undefined) {
    const { status, id } = receipt;
    const isDelivery = status === 'delivered';
    const xmlns = isDelivery ? RECEIPTS_NAMESPACE : MARKERS_NAMESPACE;
    children.push(emptyElement(isDelivery ? 'received' : 'displayed', { xmlns, id }));
  }
  const attrs = {
    from: formatJid(stanza.from),
    to: formatJid(stanza.to),
    ...(stanza.id === undefined ? {} : { id: stanza.id }),
    ...(stanza.type === 'normal' ? {} : { type: stanza.type }),
    ...(language === undefined ? {} : { 'xml:lang': language }),
  };
  return { name: 'message', attrs, children };
}

function emptyElement(name: string, attrs: XmlElement['attrs']): XmlElement {
  return { name, attrs, children: [] };
}

/**
 * The error that answers a stanza: its addresses turned round, its id kept (RFC 6120, section 8.3.1). The content is
 * not sent back: the sender's server need not carry twice what was too much once.
 */
export function errorAnswer(element: XmlElement, error: StanzaError): XmlElement {
  return { name: element.name, attrs: answerAttrs(element, 'error'), children: [elementFromStanzaError(error)] };
}

/** The result that answers an iq request. */
export function resultAnswer(element: XmlElement, payload?: XmlElement): XmlElement {
  return { name: 'iq', attrs: answerAttrs(element, 'result'), children: payload === undefined ? [] : [payload] };
}

/** The refusal that answers a `subscribe`. */
export function unsubscribedAnswer(element: XmlElement): XmlElement {
  return { name: 'presence', attrs: answerAttrs(element, 'unsubscribed'), children: [] };
}

function answerAttrs(element: XmlElement, type: string): Record<string, string> {
  const { from, to, id } = element.attrs;
  return {
    type,
    ...(to === undefined ? {} : { from: to }),
    ...(from === undefined ? {} : { to: from }),
    ...(id === undefined ? {} : { id }),
  };
}

function nonEmpty(text: string): string | undefined {
  return text === '' ? undefined : text;
}
