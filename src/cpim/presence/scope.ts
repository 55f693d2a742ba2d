import type { XmlElement } from '../xml.ts';

type Attrs = XmlElement['attrs'];

/** A child element with its name taken apart. */
export type Child = {
  readonly element: XmlElement;
  /** What its own attributes declare included. */
  readonly scope: Scope;
  readonly namespace: string;
  /** Its name without prefix. */
  readonly local: string;
};

/** RFC 5646 in the shape that `xml:lang` of the schemas takes. */
const LANGUAGE = /^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,15}$/;

/** The tag, or undefined when it is none. */
export function languageTag(tag: string | undefined): string | undefined {
  return tag !== undefined && LANGUAGE.test(tag) ? tag : undefined;
}

/** What is in force at one place of a document that has been read: namespaces and language. */
export class Scope {
  readonly defaultNamespace: string;
  /** Of `xml:lang`; undefined where none is in force. */
  readonly language: string | undefined;
  readonly #parent: Scope | undefined;
  readonly #prefixes: ReadonlyMap<string, string> | undefined;
  readonly #alias: Alias | undefined;

  private constructor(attrs: Attrs, parent: Scope | undefined, alias: Alias | undefined) {
    let defaultNamespace = parent?.defaultNamespace ?? '';
    let language = parent?.language;
    let prefixes: Map<string, string> | undefined;
    for (const key in attrs) {
      const value = attrs[key] ?? '';
      if (key === 'xmlns') defaultNamespace = canonical(value, alias);
      else if (key === 'xml:lang') language = languageTag(value);
      else if (key.startsWith('xmlns:')) {
        prefixes ??= new Map();
        prefixes.set(key.slice(6), canonical(value, alias));
      }
    }
    this.defaultNamespace = defaultNamespace;
    this.language = language;
    this.#parent = parent;
    this.#prefixes = prefixes;
    this.#alias = alias;
  }

  /** Outside of the root of a document, where nothing is declared. */
  static outside(alias?: Alias): Scope {
    return new Scope({}, undefined, alias);
  }

  /** Inside of an element that stands here. */
  enter(attrs: Attrs): Scope {
    for (const key in attrs) {
      if (key.startsWith('xml')) return new Scope(attrs, this, this.#alias);
    }
    return this;
  }

  /** Of a prefix, the empty one for the default namespace; undefined when it is unbound. */
  namespaceOf(prefix: string): string | undefined {
    if (prefix === '') return this.defaultNamespace;
    return this.#prefixes?.get(prefix) ?? this.#parent?.namespaceOf(prefix);
  }

  /** The child elements, in order. */
  childrenOf(element: XmlElement): Child[] {
    const children: Child[] = [];
    for (const child of element.children) {
      if (typeof child !== 'string') children.push(childIn(this, child));
    }
    return children;
  }
}

/** A namespace that is to be read as another one. */
export type Alias = { readonly from: string; readonly to: string };

function canonical(namespace: string, alias: Alias | undefined): string {
  return namespace === alias?.from ? alias.to : namespace;
}

/** An element that stands in this scope. */
export function childIn(outer: Scope, element: XmlElement): Child {
  const scope = outer.enter(element.attrs);
  const { name } = element;
  const colon = name.indexOf(':');
  return colon < 0
    ? { element, scope, namespace: scope.defaultNamespace, local: name }
    : { element, scope, namespace: scope.namespaceOf(name.slice(0, colon)) ?? '', local: name.slice(colon + 1) };
}

/**
 * The prefixes that an element and all in it use and that it does not declare itself, the empty one for the default
 * namespace. A value of `xsi:type` counts as a use.
 */
export function outerPrefixes(element: XmlElement): Set<string> {
  const outer = new Set<string>();
  gather(element, new Map(), outer);
  return outer;
}

/** `declared`: how many open elements declare a prefix. */
function gather(element: XmlElement, declared: Map<string, number>, outer: Set<string>): void {
  const own: string[] = [];
  for (const key in element.attrs) {
    if (key === 'xmlns') own.push('');
    else if (key.startsWith('xmlns:')) own.push(key.slice(6));
  }
  for (const prefix of own) declared.set(prefix, (declared.get(prefix) ?? 0) + 1);
  const use = (prefix: string): void => {
    if (prefix !== 'xml' && prefix !== 'xmlns' && (declared.get(prefix) ?? 0) === 0) outer.add(prefix);
  };
  const colon = element.name.indexOf(':');
  use(colon < 0 ? '' : element.name.slice(0, colon));
  for (const key in element.attrs) {
    const at = key.indexOf(':');
    if (at < 0) continue;
    use(key.slice(0, at));
    const value = element.attrs[key] ?? '';
    if (key.endsWith(':type') && /^[\w.-]+:[\w.-]+$/.test(value)) use(value.slice(0, value.indexOf(':')));
  }
  for (const child of element.children) if (typeof child !== 'string') gather(child, declared, outer);
  for (const prefix of own) declared.set(prefix, (declared.get(prefix) ?? 1) - 1);
}
