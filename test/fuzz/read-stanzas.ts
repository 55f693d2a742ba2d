import { type XmlElement, XmlStreamReader } from '../../src/cpim/xml.ts';

/** The stanzas up to the first fault, as a component would read them from the wire. */
export function readStanzas(text: string): XmlElement[] {
  const stanzas: XmlElement[] = [];
  const reader = new XmlStreamReader({
    onOpen: () => undefined,
    onElement: (element) => void stanzas.push(element),
    onClose: () => undefined,
    onError: () => undefined,
  });
  reader.write(`<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>`);
  // As UTF-8, which has no lone surrogates.
  reader.write(Buffer.from(text).toString());
  return stanzas;
}
