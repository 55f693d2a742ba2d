import {
  HOST,
  PARAM_VALUE,
  TOKEN,
  URI,
  isDigit,
  isIn,
  isToken,
  parseDigits,
  skipBlanks,
  skipClass,
  trimBlanks,
} from './characters.ts';
import { parseHost } from './host.ts';
import { schemeOf } from './uri.ts';

/**
 * Header parameters (`generic-param`) by name in lower case, in the order of the text: the value with its quotes and
 * escapes removed, true when there is none.
 */
export type Params = ReadonlyMap<string, string | true>;

/** A value of From, To, Contact, Route and their kin (RFC 3261, section 20.10). */
export type NameAddr = {
  /** Without its quotes and escapes; may hold any character, so never put it into a header unquoted. */
  readonly display?: string;
  /** The URI as sent, of any scheme. */
  readonly uri: string;
  readonly params: Params;
};

/** One Via value (RFC 3261, section 20.42). */
export type SipVia = {
  /** `SIP/2.0`, as sent but for blanks. */
  readonly protocol: string;
  /** In capitals: `UDP`, `TCP`, `TLS` or one we do not know. */
  readonly transport: string;
  /** The sent-by host as `parseHost` gives it. */
  readonly host: string;
  readonly port?: number;
  readonly params: Params;
};

export type CSeq = { readonly number: number; readonly method: string };

const NO_PARAMS: Params = new Map();
const PARAM_COUNT_MAX = 64;
const CSEQ_MAX = 4_294_967_295;
const SECONDS_MAX = 4_294_967_295;
const RETRY_AFTER_SECONDS_MAX = 86_400;

/**
 * The place after the quoted string that opens at `start`; -1 when it is not closed.
 *
 * A backslash takes the next character with it, whatever it is (`quoted-pair`), NUL included.
 */
export function endOfQuoted(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return i + 1;
    if (code === 0x5c) i++;
  }
  return -1;
}

/** What stands between the quotes, the escapes undone; `text` is the quoted string with its quotes. */
export function unquote(text: string): string {
  const inner = text.slice(1, -1);
  let backslash = inner.indexOf('\\');
  if (backslash === -1) return inner;
  let out = '';
  let from = 0;
  while (backslash !== -1) {
    out += inner.slice(from, backslash) + inner.charAt(backslash + 1);
    from = backslash + 2;
    backslash = inner.indexOf('\\', from);
  }
  return out + inner.slice(from);
}

/**
 * Writes text as a quoted string (RFC 3261, section 25.1). CR, LF and all other control characters but the tab
 * become blanks: no display name needs them, and line ends cannot be quoted.
 */
export function quoteString(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22 || code === 0x5c) out += '\\';
    out += (code < 0x20 && code !== 0x09) || code === 0x7f ? ' ' : text.charAt(i);
  }
  return `${out}"`;
}

/**
 * Splits a header value at its commas, those inside quoted strings and angle brackets left alone.
 *
 * @returns the values without outer blanks; undefined when one is empty or a quote or bracket stays open (RFC 4475,
 *   section 3.1.2.1).
 */
export function splitList(value: string): string[] | undefined {
  const values: string[] = [];
  let start = 0;
  let inBrackets = false;
  for (let i = 0; i <= value.length; i++) {
    const code = i === value.length ? 0x2c : value.charCodeAt(i);
    if (code === 0x2c && (!inBrackets || i === value.length)) {
      const item = trimBlanks(value, start, i);
      if (item === '') return undefined;
      values.push(item);
      start = i + 1;
    } else if (code === 0x22 && !inBrackets) {
      const end = endOfQuoted(value, i);
      if (end === -1) return undefined;
      i = end - 1;
    } else if (code === 0x3c) inBrackets = true;
    else if (code === 0x3e) inBrackets = false;
  }
  return inBrackets ? undefined : values;
}

/**
 * Reads `;name=value` pairs, from the first `;` to the end; blanks allowed around `;` and `=`.
 *
 * @returns undefined when anything else is there, when a parameter comes twice (RFC 3261, section 7.3.1) or is empty.
 */
export function parseParams(text: string): Params | undefined {
  return paramsFrom(text, 0);
}

function paramsFrom(text: string, start: number): Params | undefined {
  let at = skipBlanks(text, start);
  if (at === text.length) return NO_PARAMS;
  const params = new Map<string, string | true>();
  while (at < text.length) {
    if (text.charCodeAt(at) !== 0x3b || params.size === PARAM_COUNT_MAX) return undefined;
    at = skipBlanks(text, at + 1);
    const nameEnd = skipClass(text, at, TOKEN);
    if (nameEnd === at) return undefined;
    const name = text.slice(at, nameEnd).toLowerCase();
    if (params.has(name)) return undefined;
    at = skipBlanks(text, nameEnd);
    if (text.charCodeAt(at) === 0x3d) {
      at = skipBlanks(text, at + 1);
      const quoted = text.charCodeAt(at) === 0x22;
      const end = quoted ? endOfQuoted(text, at) : skipClass(text, at, PARAM_VALUE);
      if (end <= at) return undefined;
      params.set(name, quoted ? unquote(text.slice(at, end)) : text.slice(at, end));
      at = skipBlanks(text, end);
    } else params.set(name, true);
  }
  return params;
}

/** Writes parameters as `parseParams` reads them; quotes what is not a plain value. */
export function formatParams(params: Params): string {
  let text = '';
  for (const [name, value] of params) {
    if (value === true) text += `;${name}`;
    else text += `;${name}=${isPlainValue(value) ? value : quoteString(value)}`;
  }
  return text;
}

function isPlainValue(value: string): boolean {
  return value.length > 0 && skipClass(value, 0, PARAM_VALUE) === value.length;
}

/**
 * Reads one `name-addr` or `addr-spec` with its parameters.
 *
 * The URI is only ever what stands between the first unquoted `<` and its `>`: a display name can hold `<`, `;`, `,`
 * or NUL in quotes and changes nothing. Without brackets everything after `;` is a header parameter, and `?` and `,`
 * are faults (RFC 3261, section 20.10). A display name needs no blank before `<` (RFC 4475, section 3.1.1.6).
 *
 * @returns undefined for anything else: an open quote, blanks inside the brackets, more than one value, `*`.
 */
export function parseNameAddr(value: string): NameAddr | undefined {
  let at = skipBlanks(value, 0);
  let display: string | undefined;
  if (value.charCodeAt(at) === 0x22) {
    const end = endOfQuoted(value, at);
    if (end === -1) return undefined;
    display = unquote(value.slice(at, end));
    at = skipBlanks(value, end);
    if (value.charCodeAt(at) !== 0x3c) return undefined;
  } else if (value.charCodeAt(at) !== 0x3c) {
    const start = at;
    let wordsEnd = at;
    for (let end = skipClass(value, at, TOKEN); end > at; end = skipClass(value, at, TOKEN)) {
      wordsEnd = end;
      at = skipBlanks(value, end);
    }
    if (value.charCodeAt(at) !== 0x3c) return addrSpec(value, start);
    display = value.slice(start, wordsEnd);
  }
  const uriEnd = skipClass(value, at + 1, URI);
  if (value.charCodeAt(uriEnd) !== 0x3e) return undefined;
  return nameAddr(display, value.slice(at + 1, uriEnd), paramsFrom(value, uriEnd + 1));
}

/** The form without brackets, which ends at a blank or at the first `;`. */
function addrSpec(value: string, start: number): NameAddr | undefined {
  let end = start;
  for (; end < value.length; end++) {
    const code = value.charCodeAt(end);
    if (code === 0x3b || !isIn(code, URI)) break;
    if (code === 0x3f || code === 0x2c) return undefined;
  }
  return nameAddr(undefined, value.slice(start, end), paramsFrom(value, end));
}

function nameAddr(display: string | undefined, uri: string, params: Params | undefined): NameAddr | undefined {
  if (params === undefined || schemeOf(uri) === undefined) return undefined;
  return display === undefined ? { uri, params } : { display, uri, params };
}

/** Reads a comma-separated list of them; undefined when it is empty or one of them is none. */
export function parseNameAddrList(value: string): NameAddr[] | undefined {
  const addresses: NameAddr[] = [];
  for (const item of splitList(value) ?? []) {
    const address = parseNameAddr(item);
    if (address === undefined) return undefined;
    addresses.push(address);
  }
  return addresses.length === 0 ? undefined : addresses;
}

/** Writes a `name-addr`, always with brackets, the display name always quoted. */
export function formatNameAddr(address: { display?: string; uri: string; params?: Params }): string {
  const display = address.display === undefined ? '' : `${quoteString(address.display)} `;
  return `${display}<${address.uri}>${formatParams(address.params ?? NO_PARAMS)}`;
}

/**
 * Reads one Via value, with blanks where the grammar has them (RFC 4475, section 3.1.1.1) and any transport (section
 * 3.1.1.10).
 */
export function parseVia(value: string): SipVia | undefined {
  // The usual form first, without a detour: SIP/2.0/ at the very start.
  let protocol = 'SIP/2.0';
  let at = 8;
  if (!value.startsWith('SIP/2.0/')) {
    const nameEnd = skipClass(value, 0, TOKEN);
    const versionStart = afterSlash(value, nameEnd);
    const versionEnd = skipClass(value, versionStart, TOKEN);
    at = afterSlash(value, versionEnd);
    if (nameEnd === 0 || versionStart === -1 || at === -1 || versionEnd === versionStart) return undefined;
    protocol = `${value.slice(0, nameEnd)}/${value.slice(versionStart, versionEnd)}`;
  }
  at = skipBlanks(value, at);
  const transportEnd = skipClass(value, at, TOKEN);
  const hostStart = skipBlanks(value, transportEnd);
  if (transportEnd === at || hostStart === transportEnd) return undefined;
  const transport = value.slice(at, transportEnd).toUpperCase();

  at = value.charCodeAt(hostStart) === 0x5b ? value.indexOf(']', hostStart) + 1 : skipClass(value, hostStart, HOST);
  if (at <= hostStart) return undefined;
  const host = parseHost(value.slice(hostStart, at));
  if (host === undefined) return undefined;

  at = skipBlanks(value, at);
  let port: number | undefined;
  if (value.charCodeAt(at) === 0x3a) {
    at = skipBlanks(value, at + 1);
    let end = at;
    while (isDigit(value.charCodeAt(end))) end++;
    port = parseDigits(value.slice(at, end), 65_535);
    if (port === undefined || port === 0) return undefined;
    at = end;
  }
  const params = paramsFrom(value, at);
  if (params === undefined) return undefined;
  return port === undefined ? { protocol, transport, host, params } : { protocol, transport, host, port, params };
}

/** The place after a slash and the blanks around it; -1 when there is no slash. */
function afterSlash(value: string, start: number): number {
  if (start === -1) return -1;
  const at = skipBlanks(value, start);
  return value.charCodeAt(at) === 0x2f ? skipBlanks(value, at + 1) : -1;
}

/** Writes a Via value as `parseVia` reads it. */
export function formatVia(via: SipVia): string {
  const port = via.port === undefined ? '' : `:${via.port}`;
  return `${via.protocol}/${via.transport} ${via.host}${port}${formatParams(via.params)}`;
}

/** Reads a CSeq: a number below 2^32 and a method (RFC 4475, section 3.1.2.4). */
export function parseCSeq(value: string): CSeq | undefined {
  let end = 0;
  while (isDigit(value.charCodeAt(end))) end++;
  const number = parseDigits(value.slice(0, end), CSEQ_MAX);
  const methodStart = skipBlanks(value, end);
  const method = trimBlanks(value, methodStart);
  if (number === undefined || methodStart === end || !isToken(method)) return undefined;
  return { number, method };
}

/** Reads a quality value, 0 to 1 with at most three decimals (RFC 3261, `qvalue`). */
export function parseQvalue(text: string): number | undefined {
  const point = text.indexOf('.');
  const whole = point === -1 ? text : text.slice(0, point);
  const decimals = point === -1 ? '' : text.slice(point + 1);
  if ((whole !== '0' && whole !== '1') || decimals.length > 3) return undefined;
  const thousandths = decimals === '' ? 0 : parseDigits(decimals.padEnd(3, '0'), whole === '1' ? 0 : 999);
  return thousandths === undefined ? undefined : Number(whole) + thousandths / 1000;
}

/**
 * Reads an Expires; seconds, cut to what 32 bits hold (RFC 3261, section 20.19).
 *
 * @returns undefined when there is none or it is no number: the usual time is meant then
 */
export function parseExpires(value: string | undefined): number | undefined {
  if (value === undefined || value === '' || skipDigits(value) !== value.length) return undefined;
  return parseDigits(value, SECONDS_MAX) ?? SECONDS_MAX;
}

function skipDigits(value: string): number {
  let end = 0;
  while (isDigit(value.charCodeAt(end))) end++;
  return end;
}

/**
 * Reads a Retry-After, its comment and parameters left aside; seconds, a day at most (RFC 3261, section 20.33).
 *
 * @returns undefined when it does not begin with a number
 */
export function parseRetryAfter(value: string): number | undefined {
  const end = skipDigits(value);
  const seconds = parseDigits(value.slice(0, end), Number.MAX_SAFE_INTEGER);
  return seconds === undefined ? undefined : Math.min(seconds, RETRY_AFTER_SECONDS_MAX);
}

/**
 * Reads what follows `Authorization:`, `WWW-Authenticate:` and their kin: a scheme and its parameters.
 *
 * @returns the scheme as sent, names in lower case, values without quotes and escapes; undefined when a parameter
 *   comes twice or anything else stands there.
 */
export function parseAuthParams(value: string): { scheme: string; params: Map<string, string> } | undefined {
  let at = skipClass(value, 0, TOKEN);
  const scheme = value.slice(0, at);
  if (scheme === '') return undefined;
  const params = new Map<string, string>();
  do {
    // First the blanks after the scheme, then the comma of each further turn.
    const nameStart = skipBlanks(value, params.size === 0 ? at : at + 1);
    const nameEnd = skipClass(value, nameStart, TOKEN);
    const equals = skipBlanks(value, nameEnd);
    if (nameEnd === nameStart || nameStart === at || value.charCodeAt(equals) !== 0x3d) return undefined;
    const start = skipBlanks(value, equals + 1);
    const quoted = value.charCodeAt(start) === 0x22;
    const end = quoted ? endOfQuoted(value, start) : skipClass(value, start, PARAM_VALUE);
    const name = value.slice(nameStart, nameEnd).toLowerCase();
    if (end <= start || params.has(name) || params.size === PARAM_COUNT_MAX) return undefined;
    params.set(name, quoted ? unquote(value.slice(start, end)) : value.slice(start, end));
    at = skipBlanks(value, end);
  } while (value.charCodeAt(at) === 0x2c);
  return at === value.length ? { scheme, params } : undefined;
}

const WEEKDAYS = 'SunMonTueWedThuFriSat';
const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec';

/**
 * Reads a Date value, `Sat, 13 Nov 2010 23:29:00 GMT`; ms since 1970.
 *
 * @returns undefined for any other form or zone: only GMT exists (RFC 4475, section 3.1.2.12).
 */
export function parseSipDate(value: string): number | undefined {
  if (value.length !== 29 || value.slice(3, 5) !== ', ' || value.slice(25) !== ' GMT') return undefined;
  if (value.charAt(7) !== ' ' || value.charAt(11) !== ' ' || value.charAt(16) !== ' ') return undefined;
  if (value.charAt(19) !== ':' || value.charAt(22) !== ':') return undefined;
  const month = MONTHS.indexOf(value.slice(8, 11)) / 3;
  const day = parseDigits(value.slice(5, 7), 31);
  const year = parseDigits(value.slice(12, 16), 9999);
  const hour = parseDigits(value.slice(17, 19), 23);
  const minute = parseDigits(value.slice(20, 22), 59);
  // 60 is a leap second, which is the first second of the next minute here.
  const second = parseDigits(value.slice(23, 25), 60);
  if (!Number.isInteger(month) || month < 0 || WEEKDAYS.indexOf(value.slice(0, 3)) % 3 !== 0) return undefined;
  if (day === undefined || year === undefined || hour === undefined) return undefined;
  if (minute === undefined || second === undefined || year < 1970) return undefined;
  const ms = Date.UTC(year, month, day, hour, minute, second);
  return new Date(Date.UTC(year, month, day)).getUTCDate() === day ? ms : undefined;
}

/** Writes ms since 1970 as a Date value; whole seconds. */
export function formatSipDate(ms: number): string {
  return new Date(ms).toUTCString();
}
