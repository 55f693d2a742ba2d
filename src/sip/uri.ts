import {
  isDigit,
  isIn,
  parseDigits,
  skipClass,
  skipEscaped,
  HOST,
  TOKEN,
  URI_HEADER,
  URI_PARAM,
  URI_PASSWORD,
  URI_USER,
} from './characters.ts';
import { parseHost, sameHost } from './host.ts';

/** A `sip:` or `sips:` URI in its parts (RFC 3261, section 19.1.1). */
export type SipUri = {
  readonly scheme: 'sip' | 'sips';
  /** As sent, escapes kept. */
  readonly user?: string;
  readonly password?: string;
  /** Lower case; IPv6 in brackets. */
  readonly host: string;
  readonly port?: number;
  /** In the order and with the escapes of the text; a parameter without a value has undefined. */
  readonly params: ReadonlyArray<readonly [name: string, value: string | undefined]>;
  /** What follows the `?`, as sent. */
  readonly headers?: string;
};

const NO_PARAMS: SipUri['params'] = [];
const PARAM_COUNT_MAX = 64;

/**
 * Reads a SIP or SIPS URI by the grammar of RFC 3261, section 25.1.
 *
 * Strict: no blanks, no bytes beyond ASCII, every `%` an escape, each parameter at most once (section 19.1.1), the
 * host a host (`parseHost`). Linear in the length of `text`.
 *
 * @returns undefined when `text` is none; never throws.
 */
export function parseSipUri(text: string): SipUri | undefined {
  const scheme = sipScheme(text);
  if (scheme === undefined) return undefined;
  let at = scheme.length + 1;

  let user: string | undefined;
  let password: string | undefined;
  const hostStart = text.indexOf('@', at) + 1;
  if (hostStart !== 0) {
    let end = skipEscaped(text, at, URI_USER);
    if (end <= at) return undefined;
    user = text.slice(at, end);
    if (text.charCodeAt(end) === 0x3a) {
      const passwordStart = end + 1;
      end = skipEscaped(text, passwordStart, URI_PASSWORD);
      if (end === -1) return undefined;
      password = text.slice(passwordStart, end);
    }
    if (end !== hostStart - 1) return undefined;
    at = hostStart;
  }

  let end = text.charCodeAt(at) === 0x5b ? text.indexOf(']', at) + 1 : skipClass(text, at, HOST);
  if (end <= at) return undefined;
  const host = parseHost(text.slice(at, end));
  if (host === undefined) return undefined;
  at = end;

  let port: number | undefined;
  if (text.charCodeAt(at) === 0x3a) {
    end = at + 1;
    while (isDigit(text.charCodeAt(end))) end++;
    port = parseDigits(text.slice(at + 1, end), 65_535);
    if (port === undefined || port === 0) return undefined;
    at = end;
  }

  let params = NO_PARAMS;
  if (text.charCodeAt(at) === 0x3b) {
    const read = readParams(text, at);
    if (read === undefined) return undefined;
    params = read.params;
    at = read.end;
  }

  let headers: string | undefined;
  if (text.charCodeAt(at) === 0x3f) {
    if (skipEscaped(text, at + 1, URI_HEADER) !== text.length || !isHeaders(text, at + 1)) return undefined;
    headers = text.slice(at + 1);
    at = text.length;
  }
  if (at !== text.length) return undefined;
  const uri: { -readonly [Part in keyof SipUri]: SipUri[Part] } = { scheme, host, params };
  if (user !== undefined) uri.user = user;
  if (password !== undefined) uri.password = password;
  if (port !== undefined) uri.port = port;
  if (headers !== undefined) uri.headers = headers;
  return uri;
}

function sipScheme(text: string): 'sip' | 'sips' | undefined {
  // `| 0x20` makes an ASCII letter small.
  if ((text.charCodeAt(0) | 0x20) !== 0x73 || (text.charCodeAt(1) | 0x20) !== 0x69) return undefined;
  if ((text.charCodeAt(2) | 0x20) !== 0x70) return undefined;
  if (text.charCodeAt(3) === 0x3a) return 'sip';
  return (text.charCodeAt(3) | 0x20) === 0x73 && text.charCodeAt(4) === 0x3a ? 'sips' : undefined;
}

type ReadParams = { params: Array<readonly [string, string | undefined]>; end: number };

function readParams(text: string, start: number): ReadParams | undefined {
  const params: Array<readonly [string, string | undefined]> = [];
  let seen: Set<string> | undefined;
  let at = start;
  while (text.charCodeAt(at) === 0x3b) {
    const nameEnd = skipEscaped(text, at + 1, URI_PARAM);
    if (nameEnd <= at + 1) return undefined;
    const name = text.slice(at + 1, nameEnd);
    let value: string | undefined;
    at = nameEnd;
    if (text.charCodeAt(at) === 0x3d) {
      const end = skipEscaped(text, at + 1, URI_PARAM);
      if (end <= at + 1) return undefined;
      value = text.slice(at + 1, end);
      at = end;
    }
    if (params.length > 0) {
      seen ??= new Set([paramKey(params[0]?.[0] ?? '')]);
      if (params.length === PARAM_COUNT_MAX || seen.has(paramKey(name))) return undefined;
      seen.add(paramKey(name));
    }
    params.push([name, value]);
  }
  return { params, end: at };
}

/** `name=value` pairs joined by `&`; a value may be empty, a name may not (RFC 3261, `headers`). */
function isHeaders(text: string, start: number): boolean {
  for (let at = start; ;) {
    const equals = text.indexOf('=', at);
    const next = text.indexOf('&', at);
    const end = next === -1 ? text.length : next;
    if (equals <= at || equals > end) return false;
    if (next === -1) return true;
    at = next + 1;
  }
}

function paramKey(name: string): string {
  return (name.includes('%') ? decodeUnreserved(name) : name).toLowerCase();
}

function paramAt(params: SipUri['params'], key: string): number {
  for (let i = 0; i < params.length; i++) if (paramKey(params[i]?.[0] ?? '') === key) return i;
  return -1;
}

/** Writes a URI as it was read, scheme and host in lower case. */
export function formatSipUri(uri: SipUri): string {
  let text = `${uri.scheme}:`;
  if (uri.user !== undefined) {
    text += uri.user;
    if (uri.password !== undefined) text += `:${uri.password}`;
    text += '@';
  }
  text += uri.host;
  if (uri.port !== undefined) text += `:${uri.port}`;
  for (const [name, value] of uri.params) text += value === undefined ? `;${name}` : `;${name}=${value}`;
  if (uri.headers !== undefined) text += `?${uri.headers}`;
  return text;
}

/** A contact as Request-URI: no headers and no method (RFC 3261, section 19.1.1, table 1). */
export function requestUriFrom(uri: SipUri): string {
  const { scheme, user, password, host, port, params } = uri;
  return formatSipUri({
    scheme,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    host,
    ...(port === undefined ? {} : { port }),
    params: params.filter(([name]) => name.toLowerCase() !== 'method'),
  });
}

/** A parameter of the URI by its name in any capitals: its value as sent, true when it has none, undefined if absent. */
export function uriParam(uri: SipUri, name: string): string | true | undefined {
  if (uri.params.length === 0) return undefined;
  const param = uri.params[paramAt(uri.params, name.toLowerCase())];
  return param === undefined ? undefined : (param[1] ?? true);
}

/**
 * The user part without its escapes, as text.
 *
 * @returns undefined when there is none, when the octets are no UTF-8, or when one is a control character: `%00` may
 *   stand in a URI (RFC 4475, section 3.1.1.4) but names nobody here.
 */
export function decodedUser(uri: SipUri): string | undefined {
  if (uri.user === undefined) return undefined;
  let decoded = uri.user;
  if (decoded.includes('%')) {
    try {
      decoded = decodeURIComponent(decoded);
    } catch {
      return undefined;
    }
  }
  for (let i = 0; i < decoded.length; i++) {
    const code = decoded.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return undefined;
  }
  return decoded;
}

/** The scheme of any URI in lower case (`sip`, `tel`, `im`); undefined when `text` begins with none. */
export function schemeOf(text: string): string | undefined {
  if (text.startsWith('sip:')) return 'sip';
  const colon = text.indexOf(':');
  if (colon <= 0) return undefined;
  const first = text.charCodeAt(0) | 0x20;
  if (first < 0x61 || first > 0x7a) return undefined;
  for (let i = 1; i < colon; i++) {
    const code = text.charCodeAt(i);
    // ALPHA / DIGIT / "+" / "-" / ".": those of `token` without its other marks.
    if (!isIn(code, TOKEN) || "!%*_`'~".includes(text.charAt(i))) return undefined;
  }
  return text.slice(0, colon).toLowerCase();
}

/** Parameters that make two URIs differ when only one has them (RFC 3261, section 19.1.4). */
const NEVER_IGNORED = ['transport', 'user', 'ttl', 'method', 'maddr'];

/**
 * Whether two URIs are equivalent by RFC 3261, section 19.1.4; not a transitive relation, as that section notes.
 *
 * `transport` in one URI alone makes a difference: a default written out does not match a default left out.
 */
export function sameSipUri(a: SipUri, b: SipUri): boolean {
  if (a.scheme !== b.scheme || a.port !== b.port || !sameHost(a.host, b.host)) return false;
  if (!sameEscaped(a.user, b.user) || !sameEscaped(a.password, b.password)) return false;
  for (const name of NEVER_IGNORED) {
    if ((uriParam(a, name) === undefined) !== (uriParam(b, name) === undefined)) return false;
  }
  for (const [name, value] of a.params) {
    const other = b.params[paramAt(b.params, paramKey(name))];
    if (other !== undefined && !sameIgnoringCase(value, other[1])) return false;
  }
  return sameHeaders(a.headers, b.headers);
}

function sameEscaped(a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && decodeUnreserved(a) === decodeUnreserved(b);
}

function sameIgnoringCase(a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return decodeUnreserved(a).toLowerCase() === decodeUnreserved(b).toLowerCase();
}

function sameHeaders(a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return sortedHeaders(a) === sortedHeaders(b);
}

/** Header names in small letters; values as they are but for their escapes: most of them are case-sensitive. */
function sortedHeaders(headers: string): string {
  const pairs = headers.split('&').map((pair) => {
    const equals = pair.indexOf('=');
    return `${decodeUnreserved(pair.slice(0, equals)).toLowerCase()}=${decodeUnreserved(pair.slice(equals + 1))}`;
  });
  return pairs.sort().join('&');
}

const RESERVED = ';/?:@&=+$,';

/**
 * Undoes the escapes of characters outside the reserved set of RFC 2396; the others stay, in capitals, since `%40`
 * and `@` are two things. Once, never again on the result: `%2541` is not `A` (RFC 4475, section 3.1.1.3).
 */
function decodeUnreserved(text: string): string {
  let percent = text.indexOf('%');
  if (percent === -1) return text;
  let out = '';
  let from = 0;
  for (; percent !== -1; percent = text.indexOf('%', from)) {
    const code = Number.parseInt(text.slice(percent + 1, percent + 3), 16);
    const character = String.fromCharCode(code);
    const keep = Number.isNaN(code) || code < 0x21 || code > 0x7e || character === '%' || RESERVED.includes(character);
    out += text.slice(from, percent) + (keep ? text.slice(percent, percent + 3).toUpperCase() : character);
    from = percent + 3;
  }
  return out + text.slice(from);
}
