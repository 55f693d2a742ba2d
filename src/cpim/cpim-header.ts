import { ContentError } from './content-error.ts';
import { hexPair } from './hex.ts';
import { toWellFormed } from './well-formed.ts';

/** One header line of a message/cpim object as it stands (RFC 3862, section 3). */
export type CpimHeaderLine = {
  /** Empty when the name has none. */
  readonly prefix: string;
  readonly name: string;
  readonly params: ReadonlyArray<readonly [name: string, value: string]>;
  /** As on the wire, escapes in place; see `unescapeHeader`. */
  readonly value: string;
};

/** Who is named in From, To or cc (RFC 3862, sections 4.1 to 4.3). */
export type CpimAddress = {
  /** The formal name, escapes undone. */
  readonly name?: string;
  /** An absolute URI as written. */
  readonly uri: string;
};

/** NAMECHAR of RFC 3862, section 3.6. */
const NAME = /^[!#$%&'*+\-0-9A-Z^_`a-z|~]+$/;
/** 1*( Token SP ) of section 3.6: words of everything but controls and separators. */
const TOKENS = /^[!#$%&'*+\-.0-9A-Z^_`a-z|~\u0080-\uFFFF]+( [!#$%&'*+\-.0-9A-Z^_`a-z|~\u0080-\uFFFF]+)*$/;
const ABSOLUTE_URI = /^[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"]+$/;

/** Whether the text is a header name or a namespace prefix. */
export function isCpimName(text: string): boolean {
  return NAME.test(text);
}

/** Whether the text is an absolute URI without blanks, angle brackets and quotes. */
export function isAbsoluteUri(text: string): boolean {
  return ABSOLUTE_URI.test(text);
}

/**
 * Reads one header line, without its line end: `[prefix.]name:*(;param=value) value`.
 *
 * @param position line number, for the error
 * @throws ContentError 'malformed': folded line, no colon, illegal name, no space behind colon and parameters
 */
export function parseCpimHeaderLine(line: string, position: number): CpimHeaderLine {
  const fault = (what: string): ContentError =>
    new ContentError('malformed', `message/cpim header line ${position}: ${what}`);
  if (line.startsWith(' ') || line.startsWith('\t')) throw fault('begins with white space');
  const colon = line.indexOf(':');
  if (colon < 0) throw fault('has no colon');
  const full = line.slice(0, colon);
  const dot = full.indexOf('.');
  const prefix = dot < 0 ? '' : full.slice(0, dot);
  const name = full.slice(dot + 1);
  if (!NAME.test(name) || (dot >= 0 && !NAME.test(prefix))) throw fault('has an illegal name');
  const params: Array<readonly [string, string]> = [];
  let at = colon + 1;
  while (line[at] === ';') {
    const equals = line.indexOf('=', at);
    if (equals < 0 || !NAME.test(line.slice(at + 1, equals))) throw fault('has a malformed parameter');
    const end = line[equals + 1] === '"' ? quotedEnd(line, equals + 1) : bareEnd(line, equals + 1);
    if (end < 0) throw fault('has a quoted string that does not end');
    const raw = line.slice(equals + 1, end);
    params.push([line.slice(at + 1, equals), raw.startsWith('"') ? unescapeHeader(raw.slice(1, -1)) : raw]);
    at = end;
  }
  if (line[at] !== ' ') throw fault('has no space before its value');
  return { prefix, name, params, value: line.slice(at + 1) };
}

function bareEnd(line: string, from: number): number {
  let at = from;
  while (at < line.length && line[at] !== ' ' && line[at] !== ';') at += 1;
  return at;
}

/** Where a quoted string that begins at `from` has ended; -1 when it has no end. */
function quotedEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at + 1;
  }
  return -1;
}

/**
 * Reads `[formal name] <URI>`. Between name and bracket zero, one or more blanks are read: the grammar and the examples
 * of RFC 3862 disagree on it.
 *
 * @returns undefined when the brackets are not there or hold no absolute URI
 */
export function parseCpimAddress(value: string): CpimAddress | undefined {
  const text = withoutOuterBlanks(value);
  let nameEnd: number;
  let name: string;
  if (text.startsWith('"')) {
    nameEnd = quotedEnd(text, 0);
    if (nameEnd < 0) return undefined;
    name = unescapeHeader(text.slice(1, nameEnd - 1));
    while (text[nameEnd] === ' ') nameEnd += 1;
    if (text[nameEnd] !== '<') return undefined;
  } else {
    nameEnd = text.indexOf('<');
    if (nameEnd < 0) return undefined;
    name = unescapeHeader(withoutOuterBlanks(text.slice(0, nameEnd)));
  }
  if (!text.endsWith('>')) return undefined;
  const uri = text.slice(nameEnd + 1, -1);
  if (!ABSOLUTE_URI.test(uri)) return undefined;
  return name === '' ? { uri } : { name, uri };
}

/** Without the spaces at both ends; other white space is part of a name. */
function withoutOuterBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && text[start] === ' ') start += 1;
  while (end > start && text[end - 1] === ' ') end -= 1;
  return text.slice(start, end);
}

/** Writes `formal-name <URI>`: words as they are, everything else as a quoted string (RFC 3862, section 3.6). */
export function formatCpimAddress(address: CpimAddress): string {
  const uri = `<${safeUri(address.uri)}>`;
  if (address.name === undefined || address.name === '') return uri;
  const name = toWellFormed(address.name);
  return TOKENS.test(name) ? `${name} ${uri}` : `"${escapeHeader(name).replaceAll('"', '\\"')}" ${uri}`;
}

/** Escapes what no URI holds and what would end it early. */
export function safeUri(uri: string): string {
  return toWellFormed(uri).replace(/[\u0000-\u0020"<>\\^`{|}\u007F-\u009F]/g, encodeURIComponent);
}

/**
 * Undoes the escapes of RFC 3862, section 2.3, each once: `\\ \" \' \b \t \n \r \uxxxx`. Any other character behind a
 * backslash stands for itself, a backslash at the end for nothing. Two `\u` that make up a surrogate pair are one
 * character; half a pair is U+FFFD.
 */
export function unescapeHeader(value: string): string {
  let slash = value.indexOf('\\');
  if (slash < 0) return value;
  let out = '';
  let start = 0;
  while (slash >= 0) {
    out += value.slice(start, slash);
    const char = value.charAt(slash + 1);
    start = slash + 2;
    if (char === 'u') {
      const unit = ucs2(value, start);
      out += unit < 0 ? 'u' : String.fromCharCode(unit);
      if (unit >= 0) start += 4;
    } else {
      out += SPECIAL.get(char) ?? char;
    }
    slash = value.indexOf('\\', start);
  }
  return toWellFormed(out + value.slice(start));
}

function ucs2(value: string, at: number): number {
  const high = hexPair(value.charCodeAt(at), value.charCodeAt(at + 1));
  const low = hexPair(value.charCodeAt(at + 2), value.charCodeAt(at + 3));
  return high < 0 || low < 0 ? -1 : high * 256 + low;
}

const SPECIAL: ReadonlyMap<string, string> = new Map([
  ['b', '\b'],
  ['t', '\t'],
  ['n', '\n'],
  ['r', '\r'],
]);
const WRITTEN: ReadonlyMap<string, string> = new Map([
  ['\\', '\\\\'],
  ['\b', '\\b'],
  ['\t', '\\t'],
  ['\n', '\\n'],
  ['\r', '\\r'],
]);

/** Escapes what must be escaped in every header value, and nothing else (RFC 3862, section 2.3.1). */
export function escapeHeader(text: string): string {
  return toWellFormed(text).replace(
    /[\u0000-\u001F\u007F\\]/g,
    (char) => WRITTEN.get(char) ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
