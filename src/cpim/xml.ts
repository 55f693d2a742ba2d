import { XML_DOCUMENT_BYTES_MAX, XML_STANZA_UNITS_MAX } from './limits.ts';
import { isWellFormed, toWellFormed } from './well-formed.ts';
import { XmlError } from './xml-error.ts';
import { isBlank, TreeReader } from './xml-tree.ts';

export { XmlError } from './xml-error.ts';

/**
 * An XML element as plain data: what the XML reader gives and the XML writer takes.
 *
 * Names and attribute names are as written, prefix included; a default namespace is the attribute `xmlns`.
 */
export type XmlElement = {
  readonly name: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly children: ReadonlyArray<XmlElement | string>;
};

/** Bounds of one reading; what is left out is taken from `limits.ts`. */
export type XmlLimits = {
  /** Open elements at any moment, the root (in a stream: the stream element) included. */
  readonly depthMax?: number;
  readonly attributesMax?: number;
  /** Children of one element, texts included. */
  readonly childrenMax?: number;
};

/**
 * Reads a whole XML document (XML 1.0 with Namespaces). Comments and processing instructions are left out; texts are
 * kept as they stand, blanks between elements included.
 *
 * Refused: a DTD of any kind, every entity but the five of XML and character references, unbound prefixes, attributes
 * that are there twice, characters that XML does not have, lone surrogates, whatever passes a bound.
 *
 * @param limits `bytesMax` counts UTF-8 bytes and is checked first
 * @throws XmlError
 */
export function readXml(text: string, limits: XmlLimits & { readonly bytesMax?: number } = {}): XmlElement {
  const bytesMax = limits.bytesMax ?? XML_DOCUMENT_BYTES_MAX;
  if (text.length > bytesMax || (text.length * 3 > bytesMax && Buffer.byteLength(text, 'utf8') > bytesMax)) {
    throw new XmlError('too-large', 'document over the size limit');
  }
  checkSurrogates(text);
  let root: XmlElement | undefined;
  const reader = new TreeReader(limits, false, {
    open: () => undefined,
    element: (element) => {
      root = element;
    },
    close: () => undefined,
  });
  try {
    reader.write(text);
    reader.end();
  } catch (thrown) {
    throw asXmlError(thrown);
  }
  if (root === undefined) throw new XmlError('not-well-formed', 'no root element');
  return root;
}

/** What the parser throws by itself says that the input is ill-formed, where and why. */
function asXmlError(thrown: unknown): XmlError {
  if (thrown instanceof XmlError) return thrown;
  return new XmlError('not-well-formed', thrown instanceof Error ? thrown.message : 'ill-formed input');
}

function checkSurrogates(text: string): void {
  if (!isWellFormed(text)) throw new XmlError('not-well-formed', 'lone surrogate');
}

/** What an XmlStreamReader reports, in the order of the stream. */
export type XmlStreamEvents = {
  /** The stream element has been opened: name as written, attributes. */
  onOpen(name: string, attrs: Readonly<Record<string, string>>): void;
  /** A child of the stream element is complete. */
  onElement(element: XmlElement): void;
  /** The stream element has been closed; nothing more is reported. */
  onClose(): void;
  /** The input is refused; nothing more is reported. */
  onError(error: XmlError): void;
};

/** Largest piece given to the parser at once, so that bounds are looked at before much has been read. */
const PIECE_UNITS = 16_384;

/**
 * Reads an XMPP stream as it comes in: strings of any size in, complete children of the stream element out.
 *
 * Beyond what `readXml` refuses: comments and processing instructions (RFC 6120, section 11.1), text between stanzas,
 * an encoding other than UTF-8 (section 11.6), and a stanza of more than `unitsMax` UTF-16 units as written, counted
 * while it is read, so that never more than that and one piece are held. Blanks between stanzas cost nothing.
 *
 * `write` and `end` never throw for what they are given; what a callback throws comes out of them unchanged.
 * Strings must come from a decoder that keeps UTF-8 sequences together (`TextDecoder` with `stream: true`).
 */
export class XmlStreamReader {
  readonly #reader: TreeReader;
  readonly #events: XmlStreamEvents;
  #unitsMax: number;
  #over = false;
  #inCallback = false;
  /** Whether nothing but blanks has come since the last stanza. */
  #idle = false;
  /** What ended the last string and means something only together with what follows: half a surrogate pair, a CR. */
  #carried = '';

  constructor(events: XmlStreamEvents, limits: XmlLimits & { readonly unitsMax?: number } = {}) {
    this.#events = events;
    this.#unitsMax = limits.unitsMax ?? XML_STANZA_UNITS_MAX;
    this.#reader = new TreeReader(limits, true, {
      open: (name, attrs) => this.#report(() => events.onOpen(name, attrs)),
      element: (element, units) => {
        if (units > this.#unitsMax) throw new XmlError('too-large', 'stanza over the size limit');
        this.#report(() => events.onElement(element));
      },
      close: () => {
        this.#report(() => events.onClose());
        this.#over = true;
      },
    });
  }

  /** Whether the stream has ended, by its end tag, by an error or by `stop`. */
  get over(): boolean {
    return this.#over;
  }

  /** Reads on. After the end of the stream or an error it does nothing. */
  write(text: string): void {
    if (this.#over || text === '' || (this.#idle && isBlank(text))) return;
    let chunk = this.#carried === '' ? text : this.#carried + text;
    this.#carried = '';
    const last = chunk.charCodeAt(chunk.length - 1);
    if (last === 0x0d || (last >= 0xd800 && last <= 0xdbff)) {
      this.#carried = chunk.slice(-1);
      chunk = chunk.slice(0, -1);
    }
    this.#guard(() => this.#read(chunk));
  }

  #read(chunk: string): void {
    checkSurrogates(chunk);
    const reader = this.#reader;
    for (let at = 0; at < chunk.length && !this.#over; at += PIECE_UNITS) {
      reader.write(chunk.length <= PIECE_UNITS ? chunk : chunk.slice(at, at + PIECE_UNITS));
      if (reader.unitsPending > this.#unitsMax) throw new XmlError('too-large', 'stanza over the size limit');
    }
    const pending = reader.unitsPending;
    this.#idle =
      reader.depth === 1 && pending <= chunk.length && (pending === 0 || isBlank(chunk.slice(chunk.length - pending)));
  }

  /** The input has ended: an error when the stream element was still open. */
  end(): void {
    if (this.#over) return;
    this.#guard(() => {
      throw new XmlError('not-well-formed', 'input ended inside the stream');
    });
  }

  /** From now on a stanza may have so many units: who has proved who he is may say more. May be called from a callback. */
  allow(unitsMax: number): void {
    this.#unitsMax = unitsMax;
  }

  /** Reports nothing more. May be called from a callback. */
  stop(): void {
    this.#over = true;
  }

  #report(callback: () => void): void {
    if (this.#over) return;
    this.#inCallback = true;
    callback();
    this.#inCallback = false;
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (thrown) {
      const wasOver = this.#over;
      this.#over = true;
      if (this.#inCallback) throw thrown;
      if (wasOver) return;
      this.#events.onError(asXmlError(thrown));
    }
  }
}

/**
 * Writes an element, its namespaces as its attributes say, without XML declaration and without added blanks.
 *
 * No text and no attribute value can make the result ill-formed: markup is escaped and what XML 1.0 cannot hold
 * becomes U+FFFD. `readXml` of the result gives an equal element, neighbouring texts joined.
 *
 * @throws XmlError when a name is none, or over 1,000 levels; both mean a fault of the caller
 */
export function writeXml(element: XmlElement): string {
  return written(element, 0);
}

/** The opening tag of an element alone, as an XMPP stream needs it. Its children are not looked at. */
export function writeOpeningTag(element: Pick<XmlElement, 'name' | 'attrs'>): string {
  return `${tagStart(element.name, element.attrs)}>`;
}

function written(element: XmlElement, depth: number): string {
  if (depth > 1000) throw new XmlError('too-deep', 'tree too deep to be written');
  const { children, name } = element;
  let out = tagStart(name, element.attrs);
  if (children.length === 0) return `${out}/>`;
  out += '>';
  for (const child of children) out += typeof child === 'string' ? escapedText(child) : written(child, depth + 1);
  return `${out}</${name}>`;
}

function tagStart(name: string, attrs: Readonly<Record<string, string>>): string {
  checkName(name);
  let out = `<${name}`;
  for (const key in attrs) {
    checkName(key);
    out += ` ${key}="${escapedValue(attrs[key] ?? '')}"`;
  }
  return out;
}

/** Every character that XML 1.0 does not have, or that a reader would not give back as it was written. */
const IN_TEXT = /[&<>\r\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/;
const IN_VALUE = /[&<>"\u0000-\u001F\uFFFE\uFFFF]/;
const ILLEGAL = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/g;

/**
 * The text with each character that XML 1.0 cannot hold (section 2.2: most C0 controls, U+FFFE, U+FFFF, lone
 * surrogates) replaced by U+FFFD. `writeXml` does so by itself.
 */
export function legalXmlText(text: string): string {
  return toWellFormed(text).replace(ILLEGAL, '\uFFFD');
}

function escapedText(text: string): string {
  const whole = isWellFormed(text) ? text : toWellFormed(text);
  return IN_TEXT.test(whole) ? escaped(whole, false) : whole;
}

function escapedValue(text: string): string {
  const whole = isWellFormed(text) ? text : toWellFormed(text);
  return IN_VALUE.test(whole) ? escaped(whole, true) : whole;
}

function escaped(text: string, isValue: boolean): string {
  let out = '';
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    const replacement = escapeOf(text.charCodeAt(at), isValue);
    if (replacement === undefined) continue;
    out += text.slice(start, at) + replacement;
    start = at + 1;
  }
  return out + text.slice(start);
}

function escapeOf(code: number, isValue: boolean): string | undefined {
  switch (code) {
    case 0x26:
      return '&amp;';
    case 0x3c:
      return '&lt;';
    case 0x3e:
      return '&gt;';
    case 0x22:
      return isValue ? '&quot;' : undefined;
    case 0x0d:
      // A bare CR would be read as LF (XML 1.0, section 2.11).
      return '&#xD;';
    case 0x09:
    case 0x0a:
      // In a value both would be read as a space (XML 1.0, section 3.3.3).
      return isValue ? `&#x${code.toString(16).toUpperCase()};` : undefined;
    default:
      return code < 0x20 || code === 0xfffe || code === 0xffff ? '\uFFFD' : undefined;
  }
}

/** Names that have been found good; ours are few and always the same. */
const GOOD_NAMES = new Set<string>();
/** XML 1.0, fifth edition, section 2.3, without the colon. */
const START =
  'A-Z_a-z\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u02FF\\u0370-\\u037D\\u037F-\\u1FFF\\u200C-\\u200D\\u2070-\\u218F' +
  '\\u2C00-\\u2FEF\\u3001-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFFD\\u{10000}-\\u{EFFFF}';
const PART = `\\u0300-\\u036F${START}\\-.0-9\\u00B7\\u203F-\\u2040`;
const NCNAME = new RegExp(`^[${START}][${PART}]*$`, 'u');
const NAME = new RegExp(`^[${START}][${PART}]*(:[${START}][${PART}]*)?$`, 'u');

/** Whether the text is a name without a colon (Namespaces in XML 1.0, section 3): what an XML ID must be. */
export function isNcName(text: string): boolean {
  return NCNAME.test(text);
}

function checkName(name: string): void {
  if (GOOD_NAMES.has(name)) return;
  if (!NAME.test(name)) throw new XmlError('not-well-formed', 'a name that XML does not allow');
  if (GOOD_NAMES.size < 1000) GOOD_NAMES.add(name);
}

/**
 * The first child element with this local name.
 *
 * @param namespace its namespace, looked up from what the child and `element` themselves declare; left out: the child
 * has no prefix and is in the same namespace as `element`, as `<body/>` is in `<message/>`
 */
export function childOf(element: XmlElement, name: string, namespace?: string): XmlElement | undefined {
  for (const child of element.children) {
    if (typeof child !== 'string' && matches(element, child, name, namespace)) return child;
  }
  return undefined;
}

/** As `childOf`, all of them, in order. */
export function childrenOf(element: XmlElement, name: string, namespace?: string): XmlElement[] {
  return element.children.filter(
    (child): child is XmlElement => typeof child !== 'string' && matches(element, child, name, namespace),
  );
}

/** The text directly in an element, that of child elements left out; empty when there is none. */
export function textOf(element: XmlElement): string {
  const [only] = element.children;
  if (element.children.length <= 1) return typeof only === 'string' ? only : '';
  return element.children.filter((child) => typeof child === 'string').join('');
}

function matches(parent: XmlElement, child: XmlElement, name: string, namespace: string | undefined): boolean {
  if (child.name === name) {
    const own = child.attrs['xmlns'];
    if (namespace === undefined) return own === undefined || own === parent.attrs['xmlns'];
    return (own ?? parent.attrs['xmlns']) === namespace;
  }
  if (namespace === undefined || !child.name.endsWith(`:${name}`)) return false;
  const declaration = `xmlns:${child.name.slice(0, -name.length - 1)}`;
  return (child.attrs[declaration] ?? parent.attrs[declaration]) === namespace;
}
