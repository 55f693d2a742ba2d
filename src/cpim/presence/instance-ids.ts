import { hexPair } from '../hex.ts';
import { decodeUtf8 } from '../utf8.ts';
import { toWellFormed } from '../well-formed.ts';

const PREFIX = 'ID-';

/**
 * Characters that stand for themselves: ASCII, and letters of common scripts that every edition of XML 1.0 and so every
 * validator lets a name hold.
 */
const PLAIN =
  '-.0-9A-Za-z\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u00FF\\u0388-\\u038A\\u03A3-\\u03CE\\u0401-\\u040C\\u040E-\\u044F' +
  '\\u05D0-\\u05EA\\u0621-\\u063A\\u0641-\\u064A\\u3041-\\u3094\\u30A1-\\u30FA\\u4E00-\\u9FA5\\uAC00-\\uD7A3';
const ALL_PLAIN = new RegExp(`^[${PLAIN}]*$`);
const NOT_PLAIN = new RegExp(`[^${PLAIN}]+`, 'g');
/** What `tupleIdFromInstance` writes behind the prefix. */
const ENCODED = new RegExp(`^([${PLAIN}]|__|_x[0-9A-F]{2})*$`);

/**
 * The tuple id of an instance: of an XMPP resource, of a GRUU (RFC 8048, section 6.2, note 2).
 *
 * `ID-` and the instance. Because an XML ID holds few characters, each byte of the UTF-8 of any other one is `_xHH`, and
 * `_` is `__`, so that no two instances share an id: `home_phone` is `ID-home__phone`, `my phone` is `ID-my_x20phone`.
 */
export function tupleIdFromInstance(instance: string): string {
  if (ALL_PLAIN.test(instance)) return PREFIX + instance;
  return PREFIX + toWellFormed(instance).replace(NOT_PLAIN, encoded);
}

/**
 * The instance that a tuple id names: `tupleIdFromInstance` undone. One `ID-` is taken off; an id without it (so
 * RFC 3922, section 5.1.1 writes them), and one that we would not have written, is an instance as it stands.
 */
export function instanceFromTupleId(id: string): string {
  if (!id.startsWith(PREFIX)) return id;
  const rest = id.slice(PREFIX.length);
  if (!rest.includes('_') || !ENCODED.test(rest)) return rest;
  const instance = decoded(rest);
  return instance !== undefined && tupleIdFromInstance(instance) === id ? instance : rest;
}

function encoded(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    out += byte === 0x5f ? '__' : `_x${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

function decoded(text: string): string | undefined {
  const from = Buffer.from(text, 'utf8');
  const to = Buffer.allocUnsafe(from.length);
  let length = 0;
  for (let at = 0; at < from.length; at += 1) {
    let byte = from[at] ?? 0;
    if (byte === 0x5f) {
      const isByte = from[at + 1] === 0x78;
      if (isByte) byte = hexPair(from[at + 2], from[at + 3]);
      at += isByte ? 3 : 1;
    }
    to[length] = byte;
    length += 1;
  }
  return decodeUtf8(to.subarray(0, length));
}
