/**
 * Character classes of the SIP grammar (RFC 3261, section 25.1), one bit each, so that a scan is one look-up per
 * character and never goes back.
 */

/** `token`: methods, header names, parameter names, tags. */
export const TOKEN = 1;
/** What may stand unescaped in the user part of a SIP URI; `%` is judged apart. */
export const URI_USER = 2;
/** The same for the password. */
export const URI_PASSWORD = 4;
/** `paramchar` of a SIP URI without the escapes. */
export const URI_PARAM = 8;
/** Names and values of the headers part of a SIP URI, with its `&` and `=`, without the escapes. */
export const URI_HEADER = 16;
/** What stands in a URI of any scheme between `<` and `>`: visible ASCII but quotes and angle brackets. */
export const URI = 32;
/**
 * An unquoted parameter value. Wider than `token / host`: branches and tags of real senders hold `=`, `/` and `@`
 * (RFC 5118, section 4.5 adds the brackets of IPv6); narrow enough that no separator hides in it.
 */
export const PARAM_VALUE = 64;
/** Letters, digits, hyphen, underscore and dot: host names, and IPv4 addresses. */
export const HOST = 128;

const CLASSES = new Uint8Array(128);

function mark(characters: string, bits: number): void {
  for (let i = 0; i < characters.length; i++) {
    const code = characters.charCodeAt(i);
    CLASSES[code] = (CLASSES[code] ?? 0) | bits;
  }
}

const ALPHANUM = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const UNRESERVED = `${ALPHANUM}-_.!~*'()`;
mark(`${ALPHANUM}-.!%*_+\`'~`, TOKEN);
mark(`${UNRESERVED}&=+$,;?/`, URI_USER);
mark(`${UNRESERVED}&=+$,`, URI_PASSWORD);
mark(`${UNRESERVED}[]/:&+$`, URI_PARAM);
mark(`${UNRESERVED}[]/?:+$&=`, URI_HEADER);
mark(`${ALPHANUM}-_.`, HOST);
for (let code = 0x21; code < 0x7f; code++) {
  const character = String.fromCharCode(code);
  if (!'<>"'.includes(character)) mark(character, URI);
  if (!'<>",;\\'.includes(character)) mark(character, PARAM_VALUE);
}

/** Whether a UTF-16 unit is in a class. */
export function isIn(code: number, bits: number): boolean {
  return code < 128 && ((CLASSES[code] ?? 0) & bits) !== 0;
}

/** Where the run of characters of a class that begins at `start` ends; `start` itself when there is none. */
export function skipClass(text: string, start: number, bits: number): number {
  let i = start;
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 128 || ((CLASSES[code] ?? 0) & bits) === 0) break;
  }
  return i;
}

/** The same, with `%` HEX HEX counted in; -1 when a `%` is no escape. */
export function skipEscaped(text: string, start: number, bits: number): number {
  let i = start;
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x25) {
      if (!isHexDigit(text.charCodeAt(i + 1)) || !isHexDigit(text.charCodeAt(i + 2))) return -1;
      i += 2;
    } else if (code >= 128 || ((CLASSES[code] ?? 0) & bits) === 0) break;
  }
  return i;
}

/** Where the blanks (SP, HTAB) that begin at `start` end. Folding is gone before values are read. */
export function skipBlanks(text: string, start: number): number {
  let i = start;
  while (i < text.length) {
    const code = text.charCodeAt(i);
    if (code !== 0x20 && code !== 0x09) break;
    i++;
  }
  return i;
}

/**
 * The part of a text without the blanks at its ends. Not `trim`: that would take U+FEFF and the no-break space too,
 * which are content here.
 */
export function trimBlanks(text: string, start = 0, end = text.length): string {
  let from = start;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

export function isToken(text: string): boolean {
  return text.length > 0 && skipClass(text, 0, TOKEN) === text.length;
}

export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

export function isHexDigit(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);
}

/**
 * A number written as digits only; leading zeros allowed (RFC 4475, section 3.1.1.1), blanks and signs not.
 *
 * @returns undefined when it is none or above `max`; never NaN, never negative.
 */
export function parseDigits(text: string, max: number): number | undefined {
  if (text.length === 0) return undefined;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return undefined;
    value = value * 10 + (code - 0x30);
    if (value > max) return undefined;
  }
  return value;
}

/**
 * Whether each control character of a header value is the second half of a quoted pair, where the grammar allows it
 * (RFC 4475, section 3.1.1.2); never true with CR or LF, which cannot be quoted.
 */
export function areControlsQuoted(value: string): boolean {
  let inQuotes = false;
  let isPair = false;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0x0d || code === 0x0a) return false;
    if (isPair) isPair = false;
    else if (code === 0x22) inQuotes = !inQuotes;
    else if (code === 0x5c) isPair = inQuotes;
    else if ((code < 0x20 && code !== 0x09) || code === 0x7f) return false;
  }
  return true;
}
