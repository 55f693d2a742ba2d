import { type SaxesTagPlain, SaxesParser } from 'saxes';
import { XML_ATTRIBUTES_MAX, XML_CHILDREN_MAX, XML_DEPTH_MAX } from './limits.ts';
import { XmlError } from './xml-error.ts';
import { checkDefaultNamespace, checkPrefixes } from './xml-names.ts';
import type { XmlElement, XmlLimits } from './xml.ts';

type OpenElement = {
  readonly name: string;
  readonly attrs: Record<string, string>;
  readonly children: Array<XmlElement | string>;
};

/** What a reading yields. In a document the root is the one element, in a stream each child of the root is one. */
export type TreeSink = {
  open(name: string, attrs: Readonly<Record<string, string>>): void;
  /** @param units UTF-16 units it took as written, what stood before it since the last one included */
  element(element: XmlElement, units: number): void;
  close(): void;
};

const OPTIONS = { xmlns: false, position: false, defaultXMLVersion: '1.0', forceXMLVersion: true } as const;

/**
 * Builds elements out of what saxes reports. Namespaces are checked here and not by saxes, which takes a third longer
 * for it; documents and streams share this so that neither is laxer than the other.
 *
 * `write` and `end` throw XmlError, a plain Error of saxes (ill-formed input), and whatever the sink throws. After that
 * the reader must not be used again.
 */
export class TreeReader {
  readonly #parser = new SaxesParser<typeof OPTIONS>(OPTIONS);
  readonly #sink: TreeSink;
  /** How many open elements stand above an element that is reported: 0 in a document, 1 in a stream. */
  readonly #base: 0 | 1;
  readonly #open: OpenElement[] = [];
  readonly #depthMax: number;
  readonly #attributesMax: number;
  readonly #childrenMax: number;
  /** An element that has ended, until it is known that its end tag had the right name. */
  #ended: XmlElement | 'root' | undefined;
  #endedUnits = 0;
  /** Where the last reported thing ended. */
  #mark = 0;
  /** How much has been read; the position that saxes gives is good inside of its handlers only. */
  #fed = 0;

  constructor(limits: XmlLimits, isStream: boolean, sink: TreeSink) {
    this.#sink = sink;
    this.#base = isStream ? 1 : 0;
    this.#depthMax = limits.depthMax ?? XML_DEPTH_MAX;
    this.#attributesMax = limits.attributesMax ?? XML_ATTRIBUTES_MAX;
    this.#childrenMax = limits.childrenMax ?? XML_CHILDREN_MAX;
    const parser = this.#parser;
    // At most seven handlers: with an eighth, V8 keeps the parser as a hash table and it reads six times slower. So there
    // is none for errors, which saxes then throws, and none for the declaration.
    parser.on('doctype', () => {
      throw new XmlError('restricted', 'document type declaration');
    });
    parser.on('opentag', (tag) => this.#opened(tag));
    parser.on('closetag', () => this.#closed());
    parser.on('text', (text) => this.#text(text));
    parser.on('cdata', (text) => this.#text(text));
    if (isStream) this.#restrict();
  }

  /** UTF-16 units read since the last reported thing ended. */
  get unitsPending(): number {
    return this.#fed - this.#mark;
  }

  /** How many elements are open, the root included. */
  get depth(): number {
    return this.#open.length;
  }

  /** Reads on. `text` must not hold lone surrogates: saxes takes one and the character after it for one character. */
  write(text: string): void {
    this.#fed += text.length;
    this.#parser.write(text);
    this.#report();
  }

  end(): void {
    this.#parser.close();
    this.#report();
  }

  /** RFC 6120, section 11.1: no comments, no processing instructions. */
  #restrict(): void {
    this.#parser.on('comment', () => {
      throw new XmlError('restricted', 'comment in a stream');
    });
    this.#parser.on('processinginstruction', () => {
      throw new XmlError('restricted', 'processing instruction in a stream');
    });
  }

  #opened(tag: SaxesTagPlain): void {
    this.#report();
    const open = this.#open;
    if (open.length >= this.#depthMax) throw new XmlError('too-deep', 'elements nested too deep');
    const { name, attributes } = tag;
    // An attribute `__proto__` does not get into a plain object; nobody asks for it.
    const attrs: Record<string, string> = {};
    let count = 0;
    let prefixed = name.includes(':');
    for (const key in attributes) {
      const value = attributes[key] ?? '';
      attrs[key] = value;
      count += 1;
      if (key === 'xmlns') checkDefaultNamespace(value);
      else if (key !== 'xml:lang' && key.includes(':')) prefixed = true;
    }
    if (count > this.#attributesMax) throw new XmlError('too-many', 'element with too many attributes');
    const element: OpenElement = { name, attrs, children: [] };
    if (open.length > this.#base) this.#adopt(element);
    open.push(element);
    if (prefixed) checkPrefixes(name, attrs, open);
    if (this.#base === 1 && open.length === 1) {
      this.#mark = this.#parser.position;
      const { encoding } = this.#parser.xmlDecl;
      if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') {
        // RFC 6120, section 11.6.
        throw new XmlError('encoding', 'stream in an encoding other than UTF-8');
      }
      this.#sink.open(name, attrs);
    }
  }

  #closed(): void {
    this.#report();
    const element = this.#open.pop();
    if (this.#open.length > this.#base) return;
    this.#ended = this.#open.length < this.#base ? 'root' : element;
    const { position } = this.#parser;
    this.#endedUnits = position - this.#mark;
    this.#mark = position;
  }

  /**
   * Hands on what has ended. saxes reports an end before it compares the names, so this waits for the next sign of life:
   * an end tag with the wrong name throws in between.
   */
  #report(): void {
    const ended = this.#ended;
    if (ended === undefined) return;
    this.#ended = undefined;
    if (ended === 'root') this.#sink.close();
    else this.#sink.element(ended, this.#endedUnits);
  }

  #text(text: string): void {
    this.#report();
    if (this.#open.length > this.#base) {
      this.#adopt(text);
      return;
    }
    if (!isBlank(text)) throw new XmlError('not-well-formed', 'text outside of elements that may hold it');
    if (this.#base === 1) this.#mark = this.#parser.position - 1;
  }

  #adopt(child: XmlElement | string): void {
    const children = this.#open[this.#open.length - 1]?.children ?? [];
    const last = children[children.length - 1];
    if (typeof child === 'string' && typeof last === 'string') {
      // Text around a CDATA section or a comment is one text.
      children[children.length - 1] = last + child;
      return;
    }
    if (children.length >= this.#childrenMax) throw new XmlError('too-many', 'element with too many children');
    children.push(child);
  }
}

/** Whether a text is nothing but the white space of XML. */
export function isBlank(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return false;
  }
  return true;
}
