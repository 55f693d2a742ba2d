import { ContentError } from '../content-error.ts';
import {
  PRESENCE_COMPONENTS_MAX,
  PRESENCE_DEPTH_MAX,
  PRESENCE_DOCUMENT_BYTES_MAX,
  PRESENCE_ID_UNITS_MAX,
  PRESENCE_KEPT_MAX,
  PRESENCE_NOTES_MAX,
  XML_ATTRIBUTES_MAX,
} from '../limits.ts';
import type { LocalizedText } from '../operation.ts';
import { parseRfc3339 } from '../rfc3339.ts';
import { isNcName, readXml, textOf, type XmlElement, XmlError } from '../xml.ts';
import type { Show } from './document.ts';
import { tupleIdFromInstance } from './instance-ids.ts';
import { PIDF } from './namespaces.ts';
import { type Child, languageTag, outerPrefixes } from './scope.ts';

/** A value of `<show/>` (RFC 6121, section 4.7.2.1). */
export function readShow(text: string): Show | undefined {
  return text === 'away' || text === 'chat' || text === 'dnd' || text === 'xa' ? text : undefined;
}

export type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Reads the XML of a presence document.
 *
 * @throws ContentError 'malformed' for what the XML reader refuses
 */
export function readPresenceXml(text: string, format: string, bytesMax = PRESENCE_DOCUMENT_BYTES_MAX): XmlElement {
  try {
    return readXml(text, { bytesMax, depthMax: PRESENCE_DEPTH_MAX });
  } catch (thrown) {
    if (thrown instanceof XmlError) throw new ContentError('malformed', `${format}: ${thrown.message}`);
    throw thrown;
  }
}

/** What is counted and remembered while one presence document is read. */
export class Reading {
  readonly format: string;
  /** Whether ids that are none are mended and old spellings read. */
  readonly isLenient: boolean;
  readonly #ids = new Set<string>();
  #kept = 0;
  #added = 0;

  constructor(format: string, isLenient: boolean) {
    this.format = format;
    this.isLenient = isLenient;
  }

  fault(where: string, what: string): ContentError {
    return new ContentError('malformed', `${this.format}, ${where}: ${what}`);
  }

  /** Counts one more of what is bounded. */
  bound(count: number, max: number, where: string, what: string): void {
    if (count >= max) throw this.fault(where, `more than ${max} ${what}`);
  }

  /** The id of a tuple, person or device: mandatory, an XML ID, unique in the document (RFC 4479, section 3.5). */
  id(written: string | undefined, where: string): string {
    let id = written;
    if (id !== undefined && id.length > PRESENCE_ID_UNITS_MAX) throw this.fault(where, 'id is too long');
    if (this.isLenient) id = mendedId(id, this.#ids.size);
    if (id === undefined || id === '') throw this.fault(where, 'has no id');
    if (!isNcName(id)) throw this.fault(where, 'id is no XML ID');
    if (this.#ids.has(id)) throw this.fault(where, 'has an id that stands in the document already');
    this.#ids.add(id);
    return id;
  }

  /** The element as it can stand in another document: with all that it uses and what stood around it declares. */
  keep({ element, scope }: Child, where: string): XmlElement {
    this.bound(this.#kept, PRESENCE_KEPT_MAX, where, 'elements that are not known');
    this.#kept += 1;
    const declarations: Record<string, string> = {};
    for (const prefix of outerPrefixes(element)) {
      const namespace = scope.namespaceOf(prefix);
      if (namespace === undefined) continue;
      declarations[prefix === '' ? 'xmlns' : `xmlns:${prefix}`] = namespace;
      this.#added += prefix.length + namespace.length;
    }
    if (this.#added > PRESENCE_DOCUMENT_BYTES_MAX) throw this.fault(where, 'namespaces grow over the size limit');
    const attrs: Record<string, string> = { ...declarations, ...element.attrs };
    if (attrs['xml:lang'] === undefined && scope.language !== undefined) attrs['xml:lang'] = scope.language;
    if (Object.keys(attrs).length > XML_ATTRIBUTES_MAX) throw this.fault(where, 'element with too many attributes');
    return { name: element.name, attrs, children: element.children };
  }

  addNote(notes: LocalizedText[], child: Child, where: string): void {
    const note = localizedText(child, this.isLenient ? child.element.attrs['lang'] : undefined);
    if (note.text.trim() === '') return;
    this.bound(notes.length, PRESENCE_NOTES_MAX, where, 'notes');
    notes.push(note);
  }

  addTo<T>(list: T[], item: T, where: string, what: string): void {
    this.bound(list.length, PRESENCE_COMPONENTS_MAX, where, what);
    list.push(item);
  }
}

/** An old writer's id as an XML ID: what he wrote where that is one, else encoded as an instance is. */
function mendedId(written: string | undefined, before: number): string {
  if (written === undefined || written === '') return `t${before + 1}`;
  return isNcName(written) ? written : tupleIdFromInstance(written);
}

/** The text of an element and the language in force there. */
export function localizedText({ element, scope }: Child, oldLanguage?: string): LocalizedText {
  const language = scope.language ?? languageTag(oldLanguage);
  const text = textOf(element);
  return language === undefined ? { text } : { text, language };
}

/** The text of an element without the blanks around it: a URI, a token, a number. */
export function tokenOf({ element }: Child): string {
  return textOf(element).trim();
}

/** Years 1 to 9999, which is what an `xs:dateTime` can be written as. */
const TIME_MIN_MS = -62_135_596_800_000;
const TIME_MAX_MS = 253_402_300_799_999;

/** Whether a time can be written into a document. */
export function isWritableTime(atMs: number): boolean {
  return atMs >= TIME_MIN_MS && atMs <= TIME_MAX_MS;
}

/** ms since the epoch; undefined for what is no date and time of RFC 3339. */
export function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const atMs = parseRfc3339(text.trim());
  return atMs !== undefined && isWritableTime(atMs) ? atMs : undefined;
}

/**
 * Whether an element that is not understood says that what it stands in must then be ignored (RFC 3863, section 4.2.3).
 * Elements further inside of it are ignored with it and demand nothing.
 */
export function mustBeUnderstood({ element, scope }: Child): boolean {
  for (const key in element.attrs) {
    if (!key.endsWith(':mustUnderstand')) continue;
    const value = element.attrs[key]?.trim();
    if ((value === 'true' || value === '1') && scope.namespaceOf(key.slice(0, -15)) === PIDF) return true;
  }
  return false;
}
