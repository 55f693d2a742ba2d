import { posixMatch } from './posix-regexp.ts';

const RESULT_LENGTH_MAX = 1_024;
/** A rule of more is nobody's: a character string of DNS has 255 octets, and three fit. */
const RULE_LENGTH_MAX = 765;

type Rule = { readonly pattern: string; readonly replacement: string; readonly ignoresCase: boolean };

/**
 * Carries out the substitution expression of a NAPTR record (RFC 3402, section 3.2): `!^.*$!sip:info@example.com!`.
 *
 * The delimiter is the first character; escaped with a backslash it stands for itself. `\1` to `\9` in the replacement are
 * what the groups have taken; what is outside of the match stays, as with sed.
 *
 * @returns undefined where it does not match, is malformed, or gives what is too long; never throws
 */
export function applyNaptrRule(regexp: string, text: string): string | undefined {
  const rule = ruleFrom(regexp);
  if (rule === undefined) return undefined;
  const match = posixMatch(rule.pattern, text, rule.ignoresCase);
  if (match === undefined) return undefined;
  const replaced = replacementFor(rule.replacement, match.groups);
  if (replaced === undefined) return undefined;
  const result = text.slice(0, match.start) + replaced + text.slice(match.end);
  return result.length > RESULT_LENGTH_MAX ? undefined : result;
}

function ruleFrom(regexp: string): Rule | undefined {
  const delimiter = regexp.charAt(0);
  // RFC 3402, section 3.2: no digit, no flag; a backslash would escape itself.
  if (regexp.length > RULE_LENGTH_MAX || delimiter === '' || /[0-9i\\]/.test(delimiter)) return undefined;
  const parts: string[] = [];
  let part = '';
  for (let at = 1; at < regexp.length; at++) {
    const character = regexp.charAt(at);
    if (character === delimiter) {
      parts.push(part);
      part = '';
    } else if (character === '\\' && at + 1 < regexp.length) {
      const next = regexp.charAt(++at);
      // An escaped delimiter is no more than that character, whatever it would mean in an expression.
      part += next === delimiter && !/[.^$*+?()[{|]/.test(next) ? next : `\\${next}`;
    } else part += character;
  }
  parts.push(part);
  const [pattern, replacement, flags, ...rest] = parts;
  if (pattern === undefined || replacement === undefined || flags === undefined || rest.length > 0) return undefined;
  if (pattern === '' || (flags !== '' && flags !== 'i')) return undefined;
  return { pattern, replacement, ignoresCase: flags === 'i' };
}

function replacementFor(replacement: string, groups: ReadonlyArray<string | undefined>): string | undefined {
  let out = '';
  for (let at = 0; at < replacement.length; at++) {
    const character = replacement.charAt(at);
    if (character !== '\\') {
      out += character;
      continue;
    }
    const next = replacement.charAt(++at);
    if (next === '' || next === '0') return undefined;
    out += /[1-9]/.test(next) ? (groups[Number(next)] ?? '') : next;
    if (out.length > RESULT_LENGTH_MAX) return undefined;
  }
  return out;
}
