import { bytesOf, type Content, mediaTypeOf } from './content.ts';
import { ContentError } from './content-error.ts';
import {
  type CpimAddress,
  type CpimHeaderLine,
  escapeHeader,
  formatCpimAddress,
  isAbsoluteUri,
  isCpimName,
  parseCpimAddress,
  parseCpimHeaderLine,
  safeUri,
  unescapeHeader,
} from './cpim-header.ts';
import { HEADER_LINES_MAX } from './limits.ts';
import { type MimePart, parseMimePart } from './mime-part.ts';
import type { LocalizedText } from './operation.ts';
import { formatRfc3339, parseRfc3339 } from './rfc3339.ts';
import { asBuffer, decodeUtf8, encodeUtf8 } from './utf8.ts';

/** The namespace of the headers of RFC 3862, section 4, and the default one. */
export const CPIM_NAMESPACE = 'urn:ietf:params:cpim-headers:';

/** A header with its namespace as it was in force where the header stands; undefined when its prefix is unbound. */
export type CpimHeader = CpimHeaderLine & { readonly namespace: string | undefined };

/** What a Require header names. */
export type CpimFeature = {
  /** Namespace and name in one (RFC 3862, section 3.4: the universal name); undefined when the prefix is unbound. */
  readonly id: string | undefined;
  /** As the sender wrote it. */
  readonly written: string;
};

/** A message/cpim object taken apart. To pass one on, keep its bytes: it must not be written anew (section 2.2). */
export type CpimMessage = {
  readonly from?: CpimAddress;
  readonly to: readonly CpimAddress[];
  readonly cc: readonly CpimAddress[];
  /** DateTime, ms since the epoch; absent when it is none of RFC 3339. */
  readonly sentAtMs?: number;
  readonly subjects: readonly LocalizedText[];
  readonly required: readonly CpimFeature[];
  /** Every header line in order, those above and those of other namespaces included. */
  readonly headers: readonly CpimHeader[];
  /** Content-Type of what is inside. */
  readonly type: string;
  readonly part: MimePart;
};

/** The features that a reader of the base specification has: its own headers. */
export const BASE_FEATURES: ReadonlySet<string> = new Set(
  ['From', 'To', 'cc', 'DateTime', 'Subject', 'NS', 'Require'].map((name) => CPIM_NAMESPACE + name),
);

const MIME_FIELD = /^content-(type|id|disposition|length|language|location|description|encoding|transfer-encoding):/i;
const LANGUAGE_TAG = /^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,15}$/;

/**
 * Reads a message/cpim object (RFC 3862): headers, blank line, MIME header fields, blank line, content.
 *
 * Tolerated: LF line ends when all header lines have them; MIME fields in any case; no blank line before the first MIME
 * field (so in the examples of RFC 5438 and RFC 7702); the object's own `Content-type: Message/CPIM` before it all.
 * Unknown headers and those with an unbound prefix are kept in `headers` and mean nothing. What Require names is for the
 * caller to judge: see `missingFeature`.
 *
 * @throws ContentError 'malformed', naming line and fault
 */
export function parseMessageCpim(bytes: Uint8Array): CpimMessage {
  const { lines, rest } = headerLines(asBuffer(bytes));
  const reading = new HeaderReading();
  lines.forEach(({ text, position }) => reading.add(parseCpimHeaderLine(text, position), position));
  const part = parseMimePart(rest);
  const type = part.headers.get('content-type');
  if (type === undefined || type === '') {
    throw new ContentError('malformed', 'content of message/cpim without Content-Type');
  }
  return { ...reading.result(), type, part };
}

/** A content that is message/cpim, as `parseMessageCpim` reads it; undefined for every other. @throws as that */
export function cpimFromContent(content: Content): CpimMessage | undefined {
  return mediaTypeOf(content.type)?.type === 'message/cpim' ? parseMessageCpim(bytesOf(content)) : undefined;
}

/** The first required feature that is not in `understood`; undefined when all are (RFC 3862, section 3.5). */
export function missingFeature(
  message: CpimMessage,
  understood: ReadonlySet<string> = BASE_FEATURES,
): CpimFeature | undefined {
  return message.required.find(({ id }) => id === undefined || !understood.has(id));
}

/** The header lines of an object, and its bytes from the first MIME field on. */
function headerLines(buffer: Buffer): {
  lines: ReadonlyArray<{ readonly text: string; readonly position: number }>;
  rest: Uint8Array;
} {
  const lines: Array<{ text: string; position: number }> = [];
  let isCrlf: boolean | undefined;
  let start = 0;
  for (let position = 1; ; position += 1) {
    const fault = (what: string): ContentError =>
      new ContentError('malformed', `message/cpim header line ${position}: ${what}`);
    const end = buffer.indexOf(0x0a, start);
    if (end < 0) throw fault('no blank line behind the headers');
    if (lines.length > HEADER_LINES_MAX) throw fault('too many headers');
    const hasCr = end > start && buffer[end - 1] === 0x0d;
    // One kind of line end only: of two readers that disagree on a bare LF, one sees headers that the other does not.
    isCrlf ??= hasCr;
    if (hasCr !== isCrlf) throw fault('line ends are mixed');
    const text = decodeUtf8(buffer.subarray(start, hasCr ? end - 1 : end));
    if (text === undefined) throw fault('not UTF-8');
    if (/[\u0000-\u001F\u007F]/.test(text)) throw fault('has a control character');
    if (text === '' && !(lines.length === 1 && isOwnType(lines[0]?.text ?? ''))) {
      return { lines, rest: buffer.subarray(end + 1) };
    }
    if (text === '') lines.length = 0;
    else if (MIME_FIELD.test(text) && !(lines.length === 0 && isOwnType(text))) {
      return { lines, rest: buffer.subarray(start) };
    } else {
      lines.push({ text, position });
    }
    start = end + 1;
  }
}

/** Whether the line is the MIME field of the object itself (section 2.1), which a SIP body does not have. */
function isOwnType(line: string): boolean {
  return /^content-type: ?message\/cpim *(;|$)/i.test(line);
}

/** Goes through the header lines in order, since a namespace counts for what stands behind it only. */
class HeaderReading {
  readonly #headers: CpimHeader[] = [];
  readonly #namespaces = new Map<string, string>([['', CPIM_NAMESPACE]]);
  readonly #to: CpimAddress[] = [];
  readonly #cc: CpimAddress[] = [];
  readonly #subjects: LocalizedText[] = [];
  readonly #required: CpimFeature[] = [];
  #from: CpimAddress | undefined;
  #dateTime: string | undefined;

  add(line: CpimHeaderLine, position: number): void {
    const namespace = this.#namespaces.get(line.prefix);
    this.#headers.push({ ...line, namespace });
    // NS and Require without prefix are always those of the framework, lest a default namespace hide a demand.
    const isFramework = line.prefix === '' && (line.name === 'NS' || line.name === 'Require');
    if (namespace !== CPIM_NAMESPACE && !isFramework) return;
    const fault = (what: string): ContentError =>
      new ContentError('malformed', `message/cpim header line ${position}: ${what}`);
    const address = (): CpimAddress => {
      const read = parseCpimAddress(line.value);
      if (read === undefined) throw fault(`${line.name} without <absolute URI>`);
      return read;
    };
    switch (line.name) {
      case 'From':
        if (this.#from !== undefined) throw fault('a second From');
        this.#from = address();
        break;
      case 'To':
        this.#to.push(address());
        break;
      case 'cc':
        this.#cc.push(address());
        break;
      case 'DateTime':
        if (this.#dateTime !== undefined) throw fault('a second DateTime');
        this.#dateTime = line.value.trim();
        break;
      case 'Subject':
        this.#subjects.push(subjectOf(line));
        break;
      case 'NS':
        if (!this.#declare(line.value.trim())) throw fault('NS without an absolute URI or with an illegal prefix');
        break;
      case 'Require':
        for (const written of line.value.split(',')) this.#require(written.trim());
        if (this.#required.length > HEADER_LINES_MAX) throw fault('too many required features');
        break;
      default:
        break;
    }
  }

  result(): Omit<CpimMessage, 'type' | 'part'> {
    const sentAtMs = this.#dateTime === undefined ? undefined : parseRfc3339(this.#dateTime);
    return {
      ...(this.#from === undefined ? {} : { from: this.#from }),
      to: this.#to,
      cc: this.#cc,
      ...(sentAtMs === undefined ? {} : { sentAtMs }),
      subjects: this.#subjects,
      required: this.#required,
      headers: this.#headers,
    };
  }

  /** `[prefix] <URI>`, the URI absolute and without fragment (section 3.4). */
  #declare(value: string): boolean {
    const open = value.indexOf('<');
    if (open < 0 || !value.endsWith('>')) return false;
    const prefix = value.slice(0, open).trimEnd();
    const uri = value.slice(open + 1, -1);
    if ((prefix !== '' && !isCpimName(prefix)) || !isAbsoluteUri(uri) || uri.includes('#')) return false;
    this.#namespaces.set(prefix, uri);
    return true;
  }

  #require(written: string): void {
    if (written === '') return;
    const dot = written.indexOf('.');
    const namespace = this.#namespaces.get(dot < 0 ? '' : written.slice(0, dot));
    const name = written.slice(dot + 1);
    this.#required.push({
      id: namespace === undefined || !isCpimName(name) ? undefined : namespace + name,
      written,
    });
  }
}

function subjectOf(line: CpimHeaderLine): LocalizedText {
  const text = unescapeHeader(line.value);
  const language = line.params.find(([name]) => name === 'lang')?.[1];
  return language !== undefined && LANGUAGE_TAG.test(language) ? { text, language } : { text };
}

/** What a new message/cpim object is made of. */
export type CpimParts = {
  readonly from?: CpimAddress;
  readonly to: readonly CpimAddress[];
  readonly cc?: readonly CpimAddress[];
  readonly sentAtMs?: number;
  readonly subjects?: readonly LocalizedText[];
  readonly namespaces?: ReadonlyArray<{ readonly prefix: string; readonly uri: string }>;
  /** Header names, with prefix where they have one. */
  readonly require?: readonly string[];
  /** Headers of those namespaces: name with prefix, and text, not escaped yet. */
  readonly extensions?: ReadonlyArray<readonly [name: string, text: string]>;
  /** Content-Type of the content, and its bytes as they shall stand. */
  readonly type: string;
  readonly body: Uint8Array;
  /** Content-ID, without angle brackets. */
  readonly contentId?: string;
  /** Content-Disposition. */
  readonly disposition?: string;
};

/**
 * Writes a new message/cpim object, as strictly as RFC 3862 asks: `parseMessageCpim` of it gives the same parts back,
 * and no value can add a line. Blanks at the end of a subject are dropped (section 2.2: no line may end with one).
 *
 * @throws ContentError 'malformed' for an extension, prefix or required name that is no name
 */
export function writeMessageCpim(parts: CpimParts): Uint8Array {
  const lines: string[] = [];
  if (parts.from !== undefined) lines.push(`From: ${formatCpimAddress(parts.from)}`);
  for (const to of parts.to) lines.push(`To: ${formatCpimAddress(to)}`);
  for (const cc of parts.cc ?? []) lines.push(`cc: ${formatCpimAddress(cc)}`);
  if (parts.sentAtMs !== undefined) lines.push(`DateTime: ${formatRfc3339(parts.sentAtMs)}`);
  for (const { text, language } of parts.subjects ?? []) {
    const lang = language !== undefined && LANGUAGE_TAG.test(language) ? `;lang=${language}` : '';
    lines.push(`Subject:${lang} ${escapeHeader(withoutEndBlanks(text))}`);
  }
  for (const { prefix, uri } of parts.namespaces ?? []) {
    lines.push(`NS: ${prefix === '' ? '' : `${named(prefix)} `}<${safeUri(uri)}>`);
  }
  if (parts.require !== undefined && parts.require.length > 0) {
    lines.push(`Require: ${parts.require.map(named).join(',')}`);
  }
  for (const [name, text] of parts.extensions ?? [])
    lines.push(`${named(name)}: ${escapeHeader(withoutEndBlanks(text))}`);
  lines.push('', `Content-Type: ${oneLine(parts.type)}`);
  if (parts.contentId !== undefined) lines.push(`Content-ID: <${oneLine(parts.contentId)}>`);
  if (parts.disposition !== undefined) lines.push(`Content-Disposition: ${oneLine(parts.disposition)}`);
  lines.push('', '');
  return Buffer.concat([encodeUtf8(lines.join('\r\n')), parts.body]);
}

function named(name: string): string {
  const dot = name.indexOf('.');
  if (!isCpimName(name.slice(dot + 1)) || (dot >= 0 && !isCpimName(name.slice(0, dot)))) {
    throw new ContentError('malformed', 'illegal header name for message/cpim');
  }
  return name;
}

function withoutEndBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === ' ') end -= 1;
  return text.slice(0, end);
}

function oneLine(value: string): string {
  return value.replace(/[\u0000-\u001F\u007F]+/g, ' ').trim();
}
