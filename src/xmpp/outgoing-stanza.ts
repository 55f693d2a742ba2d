import { writeXml, type XmlElement } from '../cpim/xml.ts';
import { GatewayError } from '../core/errors.ts';
import { type Jid, parseJid } from './jid.ts';
import { isStanzaName } from './stanza-content.ts';

export type StanzaBounds = {
  /** The domain of ours that every stanza comes from, canonical. */
  readonly own: string;
  /** The domain that every stanza goes to; absent: any. */
  readonly peer?: string;
  /** The namespace of the stream's stanzas. */
  readonly namespace: string;
  /** Bytes of UTF-8 as written. */
  readonly bytesMax: number;
};

/**
 * A stanza's text for a stream; promise 4 of XmppLink: nothing that a server ends the stream for.
 *
 * @throws GatewayError 'internal' for what no mapper of ours writes, 'content-too-large' over the bound
 */
export function stanzaText(stanza: XmlElement, { own, peer, namespace, bytesMax }: StanzaBounds): string {
  const { from, to } = stanza.attrs;
  checkStanza(stanza, namespace);
  if (from === undefined || parseJid(from)?.domain !== own) {
    throw new GatewayError('internal', 'stanza from an address that is not ours');
  }
  const destination = to === undefined ? undefined : parseJid(to);
  if (destination === undefined) throw new GatewayError('internal', 'stanza to no address');
  if (peer !== undefined && destination.domain !== peer) {
    throw new GatewayError('internal', 'stanza to a domain that is not at the far end');
  }
  return boundedText(stanza, bytesMax);
}

/**
 * A stanza's text for the stream of an account, as `stanzaText`: from the account or one of its resources, which the
 * service writes itself (RFC 6120, section 8.1.2.1), and without `to` where the service is spoken to.
 */
export function accountStanzaText(stanza: XmlElement, account: Jid, namespace: string, bytesMax: number): string {
  const { from, to, ...rest } = stanza.attrs;
  checkStanza(stanza, namespace);
  const sender = from === undefined ? undefined : parseJid(from);
  if (sender?.domain !== account.domain || sender.local !== account.local) {
    throw new GatewayError('internal', 'stanza from an address that is not ours');
  }
  if (to !== undefined && parseJid(to) === undefined) throw new GatewayError('internal', 'stanza to no address');
  return boundedText({ ...stanza, attrs: to === undefined ? rest : { to, ...rest } }, bytesMax);
}

function checkStanza({ name, attrs }: XmlElement, own: string): void {
  const namespace = attrs['xmlns'];
  if (!isStanzaName(name) || (namespace !== undefined && namespace !== own)) {
    throw new GatewayError('internal', 'not a stanza of this stream');
  }
}

function boundedText(stanza: XmlElement, bytesMax: number): string {
  const text = serialized(stanza);
  // Three bytes at most for a UTF-16 unit.
  if (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax) {
    throw new GatewayError('content-too-large', 'stanza over the size limit', { details: { sizeMax: bytesMax } });
  }
  return text;
}

/** @throws GatewayError('internal') for a name that XML does not allow, which no mapper of ours writes */
function serialized(stanza: XmlElement): string {
  try {
    return writeXml(stanza);
  } catch (thrown) {
    throw new GatewayError('internal', 'stanza cannot be written', { cause: thrown });
  }
}
