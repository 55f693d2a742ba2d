import { XmlError } from './xml-error.ts';

const XML = 'http://www.w3.org/XML/1998/namespace';
const XMLNS = 'http://www.w3.org/2000/xmlns/';

/** Characters that a name may hold and not begin with (XML 1.0, section 2.3); the local part is a name of its own. */
const NO_START = /[\u0300-\u036F\-.0-9\u00B7\u203F-\u2040]/;

type Attrs = Readonly<Record<string, string>>;

/**
 * Checks the names of an element that uses prefixes somewhere (Namespaces in XML 1.0, sections 2 to 6): every prefix is
 * bound, the reserved ones are not rebound, no name has two colons, no two attributes are the same once resolved.
 *
 * @param scopes attributes of the open elements, outermost first, this element's own last
 * @throws XmlError
 */
export function checkPrefixes(name: string, attrs: Attrs, scopes: ReadonlyArray<{ readonly attrs: Attrs }>): void {
  for (const [key, value] of Object.entries(attrs)) {
    if (key.startsWith('xmlns:')) checkDeclaration(key, value);
  }
  const prefix = prefixOf(name);
  if (prefix === 'xmlns') throw new XmlError('bad-namespace', 'element with the prefix xmlns');
  if (prefix !== '') resolved(prefix, scopes);
  let seen: Set<string> | undefined;
  for (const key of Object.keys(attrs)) {
    const own = prefixOf(key);
    if (own === '' || own === 'xmlns') continue;
    // The closing brace keeps namespace and local name apart: no local name holds one.
    const expanded = `${resolved(own, scopes)}}${key.slice(own.length + 1)}`;
    seen ??= new Set();
    if (seen.has(expanded)) throw new XmlError('not-well-formed', 'two attributes with one expanded name');
    seen.add(expanded);
  }
}

/** Refuses a default namespace that is one of the two reserved ones (Namespaces in XML 1.0, section 3). */
export function checkDefaultNamespace(uri: string): void {
  if (uri === XML || uri === XMLNS) throw new XmlError('bad-namespace', 'reserved namespace as the default one');
}

function checkDeclaration(key: string, uri: string): void {
  const prefix = key.slice(6);
  if (prefix === '' || prefix.includes(':')) throw new XmlError('bad-namespace', 'malformed namespace declaration');
  if (uri === '') throw new XmlError('bad-namespace', 'prefix bound to nothing');
  if (prefix === 'xmlns' || uri === XMLNS || (prefix === 'xml') !== (uri === XML)) {
    throw new XmlError('bad-namespace', 'reserved prefix or namespace bound anew');
  }
}

/** The prefix of a name, empty when it has none. */
function prefixOf(name: string): string {
  const colon = name.indexOf(':');
  if (colon < 0) return '';
  if (colon === 0 || colon === name.length - 1 || name.includes(':', colon + 1)) {
    throw new XmlError('bad-namespace', 'misplaced colon in a name');
  }
  if (NO_START.test(name.charAt(colon + 1))) throw new XmlError('bad-namespace', 'local name that is none');
  return name.slice(0, colon);
}

function resolved(prefix: string, scopes: ReadonlyArray<{ readonly attrs: Attrs }>): string {
  if (prefix === 'xml') return XML;
  const key = `xmlns:${prefix}`;
  for (let at = scopes.length - 1; at >= 0; at -= 1) {
    const uri = scopes[at]?.attrs[key];
    if (uri !== undefined) return uri;
  }
  throw new XmlError('bad-namespace', 'unbound namespace prefix');
}
