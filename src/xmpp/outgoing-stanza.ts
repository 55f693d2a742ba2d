import { writeXml, type XmlElement } from '../cpim/xml.ts';
import { GatewayError } from '../core/errors.ts';
import { parseJid } from './jid.ts';

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
  if (!isStanza(stanza, namespace)) throw new GatewayError('internal', 'not a stanza of this stream');
  if (from === undefined || parseJid(from)?.domain !== own) {
    throw new GatewayError('internal', 'stanza from an address that is not ours');
  }
  const destination = to === undefined ? undefined : parseJid(to);
  if (destination === undefined) throw new GatewayError('internal', 'stanza to no address');
  if (peer !== undefined && destination.domain !== peer) {
    throw new GatewayError('internal', 'stanza to a domain that is not at the far end');
  }
  const text = serialized(stanza);
  // Three bytes at most for a UTF-16 unit.
  if (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax) {
    throw new GatewayError('content-too-large', 'stanza over the size limit', { details: { sizeMax: bytesMax } });
  }
  return text;
}

function isStanza({ name, attrs }: XmlElement, own: string): boolean {
  const namespace = attrs['xmlns'];
  return (name === 'message' || name === 'iq' || name === 'presence') && (namespace === undefined || namespace === own);
}

/** @throws GatewayError('internal') for a name that XML does not allow, which no mapper of ours writes */
function serialized(stanza: XmlElement): string {
  try {
    return writeXml(stanza);
  } catch (thrown) {
    throw new GatewayError('internal', 'stanza cannot be written', { cause: thrown });
  }
}
