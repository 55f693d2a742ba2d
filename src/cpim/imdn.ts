import { bytesOf, type Content, mediaTypeOf } from './content.ts';
import { ContentError } from './content-error.ts';
import { CPIM_NAMESPACE, missingFeature, type CpimMessage, writeMessageCpim } from './message-cpim.ts';
import { decodedBody } from './mime-part.ts';
import type { DispositionStatus, Wants } from './operation.ts';
import { formatRfc3339 } from './rfc3339.ts';
import { decodeUtf8, encodeUtf8 } from './utf8.ts';
import { childOf, readXml, textOf, writeXml, type XmlElement } from './xml.ts';
import { XmlError } from './xml-error.ts';

/** The namespace of the CPIM headers of RFC 5438, section 6. */
export const IMDN_HEADERS = 'urn:ietf:params:imdn';
/** Of the document (RFC 5438, section 10). */
const IMDN_NAMESPACE = 'urn:ietf:params:xml:ns:imdn';
export const IMDN_TYPE = 'message/imdn+xml';

/** The document has a handful of elements; a signature or an extension may add some. */
const LIMITS = { bytesMax: 16_384, depthMax: 16, childrenMax: 64 };
/** A Message-ID that is longer is not asked about: it is written back into every notification. */
const ID_LENGTH_MAX = 256;
const ID = /^[!-;=?-~]+$/;
const DATE_TIME = /^[0-9T:.+Zz-]{20,40}$/;

/** What a notification says, whoever sent it. */
export type Notice = {
  /** Of the message that it is about, as its sender named it. */
  readonly messageId: string;
  /** Absent: something else happened to the message (failed, forbidden, processed, stored). */
  readonly status?: DispositionStatus;
};

/**
 * What a content tells about another message: message/imdn+xml by itself, as some phones send it, or in message/cpim
 * (RFC 5438, section 7.2.1). A multipart of several is not read.
 *
 * @param cpim the content as `cpimFromContent` gives it
 * @returns undefined for every other content
 * @throws ContentError 'malformed' for a notification that cannot be read
 */
export function noticeFrom(content: Content, cpim: CpimMessage | undefined): Notice | undefined {
  if (cpim === undefined) return isNotification(content.type) ? noticeIn(bytesOf(content)) : undefined;
  if (!isNotification(cpim.type) || missingFeature(cpim) !== undefined) return undefined;
  return noticeIn(decodedBody(cpim.part));
}

function isNotification(type: string): boolean {
  return mediaTypeOf(type)?.type === IMDN_TYPE;
}

function noticeIn(bytes: Uint8Array): Notice {
  const text = bytes.byteLength > LIMITS.bytesMax ? undefined : decodeUtf8(bytes);
  if (text === undefined) throw new ContentError('malformed', 'notification is not UTF-8, or too large');
  let root: XmlElement;
  try {
    root = readXml(text, LIMITS);
  } catch (thrown) {
    if (thrown instanceof XmlError) throw new ContentError('malformed', `notification: ${thrown.message}`);
    throw thrown;
  }
  // Some phones write their elements with a prefix; it is the one of the root, or what follows is not understood.
  const prefix = root.name.includes(':') ? root.name.slice(0, root.name.indexOf(':') + 1) : '';
  const namespace = root.attrs[prefix === '' ? 'xmlns' : `xmlns:${prefix.slice(0, -1)}`];
  const isImdn = root.name === `${prefix}imdn` && namespace === IMDN_NAMESPACE;
  const named = isImdn ? childOf(root, `${prefix}message-id`) : undefined;
  const messageId = named === undefined ? '' : textOf(named).trim();
  if (messageId === '') throw new ContentError('malformed', 'notification without a message-id');
  const says = (kind: string, status: string): boolean => {
    const path = [kind, 'status', status].map((name) => prefix + name);
    return path.reduce<XmlElement | undefined>((at, name) => at && childOf(at, name), root) !== undefined;
  };
  if (says('delivery-notification', 'delivered')) return { messageId, status: 'delivered' };
  if (says('display-notification', 'displayed')) return { messageId, status: 'displayed' };
  return { messageId };
}

/**
 * What the author of a message/cpim asks to be told (RFC 5438, section 7.1.1): values that are not understood are passed
 * over, and so is who is an intermediary on the way (IMDN-Record-Route).
 *
 * @returns undefined where he asks for nothing that we can tell, or does not name his message
 */
export function wantsFrom(message: CpimMessage): Wants | undefined {
  // Section 7.2.1: no notification about a notification.
  if (isNotification(message.type)) return undefined;
  const id = headerOf(message, IMDN_HEADERS, 'Message-ID');
  const asked = (headerOf(message, IMDN_HEADERS, 'Disposition-Notification') ?? '').split(',').map((one) => one.trim());
  const [delivered, displayed] = [asked.includes('positive-delivery'), asked.includes('display')];
  if (id === undefined || id.length > ID_LENGTH_MAX || !ID.test(id) || !(delivered || displayed)) return undefined;
  const dateTime = headerOf(message, CPIM_NAMESPACE, 'DateTime');
  return {
    as: 'imdn',
    id,
    ...(delivered ? { delivered } : {}),
    ...(displayed ? { displayed } : {}),
    ...(dateTime === undefined || !DATE_TIME.test(dateTime) ? {} : { dateTime }),
  };
}

function headerOf({ headers }: CpimMessage, namespace: string, name: string): string | undefined {
  return headers.find((header) => header.namespace === namespace && header.name === name)?.value.trim();
}

/** What a notification is made of. URIs absolute. */
export type NotificationParts = {
  /** Its own Message-ID. */
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly about: Pick<Wants, 'id' | 'dateTime'>;
  readonly status: DispositionStatus;
  /** When it happened, ms since the epoch. */
  readonly atMs: number;
};

/** Writes a message/cpim with a notification (RFC 5438, section 7.2.1). It asks for none itself. */
export function writeNotification({ id, from, to, about, status, atMs }: NotificationParts): Uint8Array {
  const element = (name: string, ...children: Array<XmlElement | string>): XmlElement => ({
    name,
    attrs: {},
    children,
  });
  const kind = status === 'delivered' ? 'delivery-notification' : 'display-notification';
  const document: XmlElement = {
    name: 'imdn',
    attrs: { xmlns: IMDN_NAMESPACE },
    children: [
      element('message-id', about.id),
      // The schema wants one (section 11.1.2); a sender that gave none is told when we tell him.
      element('datetime', about.dateTime ?? formatRfc3339(atMs)),
      element('recipient-uri', from),
      element('original-recipient-uri', from),
      element(kind, element('status', element(status))),
    ],
  };
  return writeMessageCpim({
    from: { uri: from },
    to: [{ uri: to }],
    sentAtMs: atMs,
    namespaces: [{ prefix: 'imdn', uri: IMDN_HEADERS }],
    extensions: [['imdn.Message-ID', id]],
    type: IMDN_TYPE,
    disposition: 'notification',
    body: encodeUtf8(`<?xml version="1.0" encoding="UTF-8"?>\r\n${writeXml(document)}`),
  });
}
