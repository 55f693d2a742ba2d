import type { XmlElement } from '../../cpim/xml.ts';
import { conditionNamed } from '../condition-name.ts';

/** Namespaces of server-to-server streams and of what is negotiated on them. */
export const NS = {
  streams: 'http://etherx.jabber.org/streams',
  server: 'jabber:server',
  dialback: 'jabber:server:dialback',
  streamErrors: 'urn:ietf:params:xml:ns:xmpp-streams',
  stanzaErrors: 'urn:ietf:params:xml:ns:xmpp-stanzas',
  tls: 'urn:ietf:params:xml:ns:xmpp-tls',
  sasl: 'urn:ietf:params:xml:ns:xmpp-sasl',
  dialbackFeature: 'urn:xmpp:features:dialback',
  bidiFeature: 'urn:xmpp:features:bidi',
  bidi: 'urn:xmpp:bidi',
  sm: 'urn:xmpp:sm:3',
} as const;

/** An element's name and namespace, its prefix looked up in itself and in the stream header. */
export type Expanded = { readonly name: string; readonly namespace: string | undefined };

/** @param header attributes of the stream element that the far side sent */
export function expandedName(element: XmlElement, header: Readonly<Record<string, string>>): Expanded {
  const colon = element.name.indexOf(':');
  if (colon < 0) return { name: element.name, namespace: element.attrs['xmlns'] ?? header['xmlns'] };
  const declaration = `xmlns:${element.name.slice(0, colon)}`;
  return { name: element.name.slice(colon + 1), namespace: element.attrs[declaration] ?? header[declaration] };
}

/** An element without prefix, in this namespace. */
export function plain(
  name: string,
  namespace: string,
  children: ReadonlyArray<XmlElement | string> = [],
  attrs: Readonly<Record<string, string>> = {},
): XmlElement {
  return { name, attrs: { xmlns: namespace, ...attrs }, children };
}

/** The attributes of a stream header of ours (RFC 6120, section 4.7). */
export function headerAttrs(ends: {
  readonly from?: string;
  readonly to?: string;
  readonly id?: string;
}): Record<string, string> {
  return {
    xmlns: NS.server,
    'xmlns:stream': NS.streams,
    'xmlns:db': NS.dialback,
    ...(ends.from === undefined ? {} : { from: ends.from }),
    ...(ends.to === undefined ? {} : { to: ends.to }),
    ...(ends.id === undefined ? {} : { id: ends.id }),
    version: '1.0',
  };
}

/** What is wrong with a stream header for everybody, as a stream error condition; undefined for a good one. */
export function headerFault(name: string, attrs: Readonly<Record<string, string>>): string | undefined {
  const colon = name.indexOf(':');
  const declared = attrs[colon < 0 ? 'xmlns' : `xmlns:${name.slice(0, colon)}`];
  if (declared !== NS.streams || name.slice(colon + 1) !== 'stream') return 'invalid-namespace';
  if (attrs['xmlns'] !== NS.server) return 'invalid-namespace';
  const version = attrs['version'];
  if (version === undefined || !/^[1-9][0-9]{0,3}\.[0-9]{1,4}$/.test(version)) return 'unsupported-version';
  return undefined;
}

/** A stream error (RFC 6120, section 4.9). */
export function streamError(condition: string, text?: string): XmlElement {
  const children = [plain(condition, NS.streamErrors)];
  if (text !== undefined) children.push(plain('text', NS.streamErrors, [text]));
  return { name: 'stream:error', attrs: {}, children };
}

/** The condition and the words of a stream error that came in. */
export function readStreamError(error: XmlElement): { readonly condition: string; readonly text: string } {
  let condition = 'undefined-condition';
  let text = '';
  for (const child of error.children) {
    if (typeof child === 'string' || child.attrs['xmlns'] !== NS.streamErrors) continue;
    if (child.name !== 'text') condition = conditionNamed(child.name);
    else
      text = child.children
        .filter((part) => typeof part === 'string')
        .join('')
        .slice(0, 200);
  }
  return { condition, text };
}
