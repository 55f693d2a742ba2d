import { ContentError } from '../content-error.ts';
import type { LocalizedText } from '../operation.ts';
import { formatRfc3339 } from '../rfc3339.ts';
import { isNcName, type XmlElement } from '../xml.ts';
import { PREFIXES } from './namespaces.ts';
import { isWritableTime } from './reading.ts';
import { languageTag } from './scope.ts';

type Prefix = keyof typeof PREFIXES;
type Attrs = XmlElement['attrs'];
type Content = XmlElement['children'];

const NO_ATTRS: Attrs = {};
const NO_CONTENT: Content = [];
/** So that the root stays below the bound on attributes of every reader, our own one included. */
const HOISTED_MAX = 32;

/** What a document begins with. */
export const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** What is remembered while one presence document is written: the namespaces it uses and the ids it has. */
export class Writing {
  readonly #format: string;
  readonly #ids = new Set<string>();
  readonly #used = new Set<Prefix>();
  readonly #hoisted = new Map<string, string>();

  constructor(format: string) {
    this.#format = format;
  }

  fault(what: string): ContentError {
    return new ContentError('malformed', `${this.#format} to be written: ${what}`);
  }

  /** Takes the id of a tuple, person or device; all of them before any other id. @throws ContentError */
  claimId(id: string): void {
    if (!isNcName(id)) throw this.fault('an id that is no XML ID');
    if (this.#ids.has(id)) throw this.fault('an id that occurs twice');
    this.#ids.add(id);
  }

  /** The id of an element of RPID, left out when it is taken: nobody would know which one is meant. */
  freeId(id: string | undefined): string | undefined {
    if (id === undefined || !isNcName(id) || this.#ids.has(id)) return undefined;
    this.#ids.add(id);
    return id;
  }

  /** An element of one of the namespaces that the root declares. */
  element(prefix: Prefix, local: string, content: Content = NO_CONTENT, attrs: Attrs = NO_ATTRS): XmlElement {
    this.#used.add(prefix);
    return { name: `${prefix}:${local}`, attrs, children: content };
  }

  /** As `element`, with a text. */
  text(prefix: Prefix, local: string, text: string): XmlElement {
    return this.element(prefix, local, [text]);
  }

  localized(prefix: Prefix, local: string, text: LocalizedText): XmlElement {
    return this.element(prefix, local, [text.text], languageAttrs(text));
  }

  /**
   * A kept element. The root declares the prefix of its name, which the element uses for sure; what else it declares
   * stays with it, since it may be meant for text that looks like a name.
   */
  kept(element: XmlElement): XmlElement {
    const colon = element.name.indexOf(':');
    if (colon < 0) return element;
    const prefix = element.name.slice(0, colon);
    const { [`xmlns:${prefix}`]: namespace, ...rest } = element.attrs;
    if (namespace === undefined || !this.#hoist(prefix, namespace)) return element;
    return { name: element.name, attrs: rest, children: element.children };
  }

  #hoist(prefix: string, namespace: string): boolean {
    if (isOurs(prefix)) {
      if (PREFIXES[prefix] !== namespace) return false;
      this.#used.add(prefix);
      return true;
    }
    const hoisted = this.#hoisted.get(prefix);
    if (hoisted !== undefined) return hoisted === namespace;
    if (this.#hoisted.size >= HOISTED_MAX) return false;
    this.#hoisted.set(prefix, namespace);
    return true;
  }

  /** What the root has to declare, in a fixed order. */
  declarations(): Record<string, string> {
    const attrs: Record<string, string> = {};
    for (const prefix of Object.keys(PREFIXES)) {
      if (isOurs(prefix) && this.#used.has(prefix)) attrs[`xmlns:${prefix}`] = PREFIXES[prefix];
    }
    for (const [prefix, namespace] of this.#hoisted) attrs[`xmlns:${prefix}`] = namespace;
    return attrs;
  }
}

function isOurs(prefix: string): prefix is Prefix {
  return Object.hasOwn(PREFIXES, prefix);
}

/** `xml:lang`, where the text has a language. */
export function languageAttrs({ language }: LocalizedText): Attrs {
  const tag = languageTag(language);
  return tag === undefined ? NO_ATTRS : { 'xml:lang': tag };
}

/** A time as the documents write it; undefined when there is none or it cannot be written. */
export function timeText(atMs: number | undefined): string | undefined {
  return atMs !== undefined && isWritableTime(atMs) ? formatRfc3339(atMs) : undefined;
}
