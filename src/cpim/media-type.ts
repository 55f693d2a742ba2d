import { MEDIA_TYPE_LENGTH_MAX, MEDIA_TYPE_PARAMS_MAX } from './limits.ts';

/** A Content-Type value taken apart. */
export type MediaType = {
  /** `type/subtype`, lower case. */
  readonly type: string;
  /** Parameters by lower-case name, values unquoted; of two with one name the first counts. */
  readonly params: ReadonlyMap<string, string>;
};

/** `token` of RFC 2045, section 5.1. */
const TOKEN = /^[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+$/;
const NO_PARAMS: ReadonlyMap<string, string> = new Map();

/**
 * Reads a Content-Type value (RFC 2045, section 5.1) in one pass.
 *
 * Tolerated: blanks around `/`, `;` and `=`, a trailing `;`, a parameter without a value (ignored), and an unquoted
 * value that should have been quoted. Comments are not (SIP has none there).
 *
 * @returns undefined when there is no `type/subtype`, a quoted string does not end, or a bound is passed; never throws.
 */
export function parseMediaType(value: string): MediaType | undefined {
  if (value.length > MEDIA_TYPE_LENGTH_MAX) return undefined;
  const semicolon = value.indexOf(';');
  const full = (semicolon < 0 ? value : value.slice(0, semicolon)).trim().toLowerCase();
  const slash = full.indexOf('/');
  if (slash < 0) return undefined;
  const main = full.slice(0, slash).trimEnd();
  const sub = full.slice(slash + 1).trimStart();
  if (!TOKEN.test(main) || !TOKEN.test(sub)) return undefined;
  if (semicolon < 0) return { type: `${main}/${sub}`, params: NO_PARAMS };
  const params = parseParams(value, semicolon + 1);
  return params === undefined ? undefined : { type: `${main}/${sub}`, params };
}

function parseParams(value: string, from: number): ReadonlyMap<string, string> | undefined {
  const params = new Map<string, string>();
  let at = from;
  let count = 0;
  while (at < value.length) {
    count += 1;
    if (count > MEDIA_TYPE_PARAMS_MAX) return undefined;
    const end = nameEnd(value, at);
    const name = value.slice(at, end).trim().toLowerCase();
    if (value[end] !== '=') {
      at = end + 1;
      continue;
    }
    at = end + 1;
    while (value[at] === ' ' || value[at] === '\t') at += 1;
    let text: string;
    if (value[at] === '"') {
      const quoted = quotedString(value, at + 1);
      if (quoted === undefined) return undefined;
      text = quoted.text;
      const next = value.indexOf(';', quoted.end);
      at = next < 0 ? value.length : next + 1;
    } else {
      const next = value.indexOf(';', at);
      const stop = next < 0 ? value.length : next;
      text = value.slice(at, stop).trim();
      at = stop + 1;
    }
    if (name !== '' && !params.has(name)) params.set(name, text);
  }
  return params;
}

function nameEnd(value: string, from: number): number {
  for (let at = from; at < value.length; at += 1) {
    const char = value[at];
    if (char === '=' || char === ';') return at;
  }
  return value.length;
}

/** The text of a quoted string whose first character stands at `from`, and where it goes on behind the closing quote. */
function quotedString(value: string, from: number): { text: string; end: number } | undefined {
  let text = '';
  for (let at = from; at < value.length; at += 1) {
    const char = value.charAt(at);
    if (char === '"') return { text, end: at + 1 };
    if (char === '\\') {
      at += 1;
      text += value.charAt(at);
    } else {
      text += char;
    }
  }
  return undefined;
}
