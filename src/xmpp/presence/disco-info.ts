import { hash } from 'node:crypto';
import { childrenOf, textOf, type XmlElement } from '../../cpim/xml.ts';
import type { Caps } from './presence-content.ts';

export const DISCO_INFO_NAMESPACE = 'http://jabber.org/protocol/disco#info';
const DATA_FORM_NAMESPACE = 'jabber:x:data';

export type DiscoIdentity = {
  readonly category: string;
  readonly type: string;
  readonly name?: string;
  readonly language?: string;
};

/** What disco#info says of an entity (XEP-0030), extensions (XEP-0128) included. */
export type DiscoInfo = {
  readonly identities: readonly DiscoIdentity[];
  readonly features: readonly string[];
  /** Forms with a hidden FORM_TYPE, others left out. */
  readonly forms: readonly DiscoForm[];
};

type DiscoForm = {
  readonly type: string;
  readonly fields: ReadonlyArray<{ readonly name: string; readonly values: readonly string[] }>;
};

/** More than this is no honest answer. */
const FEATURES_MAX = 1_000;

/** The hash functions of XEP-0115 that we check; a `ver` by another is no word about anybody but its sender. */
const HASHES: ReadonlyMap<string, string> = new Map([
  ['sha-1', 'sha1'],
  ['sha-256', 'sha256'],
  ['sha-512', 'sha512'],
]);

/**
 * Reads the `query` of a disco#info answer.
 *
 * @returns undefined for one that XEP-0115, section 5.4 calls ill-formed (something is there twice) or that is too large
 */
export function readDiscoInfo(query: XmlElement): DiscoInfo | undefined {
  const identities = childrenOf(query, 'identity').map(({ attrs }) => ({
    category: attrs['category'] ?? '',
    type: attrs['type'] ?? '',
    ...(attrs['name'] === undefined ? {} : { name: attrs['name'] }),
    ...(attrs['xml:lang'] === undefined ? {} : { language: attrs['xml:lang'] }),
  }));
  const features = childrenOf(query, 'feature').map(({ attrs }) => attrs['var'] ?? '');
  const forms = childrenOf(query, 'x', DATA_FORM_NAMESPACE).map(readForm);
  if (identities.length + features.length + forms.length > FEATURES_MAX || forms.includes('ill-formed')) {
    return undefined;
  }
  const known = forms.filter((form) => typeof form === 'object');
  const isDouble =
    hasDouble(identities.map(identityText)) || hasDouble(features) || hasDouble(known.map(({ type }) => type));
  return isDouble ? undefined : { identities, features, forms: known };
}

/** The verification string of XEP-0115, section 5.1; undefined for a hash function that is not known. */
export function capsVer(info: DiscoInfo, hashName: string): string | undefined {
  const algorithm = HASHES.get(hashName);
  if (algorithm === undefined) return undefined;
  let text = '';
  for (const identity of sorted(info.identities.map(identityText))) text += `${identity}<`;
  for (const feature of sorted(info.features)) text += `${feature}<`;
  for (const form of sortedBy(info.forms, ({ type }) => type)) {
    text += `${form.type}<`;
    for (const { name, values } of sortedBy(form.fields, (field) => field.name)) {
      text += `${name}<`;
      for (const value of sorted(values)) text += `${value}<`;
    }
  }
  return hash(algorithm, text, 'base64');
}

/** Whether `info` is what `caps` stands for. */
export function isVerified(caps: Caps, info: DiscoInfo): boolean {
  return capsVer(info, caps.hash) === caps.ver;
}

/** Whether `ver` is by a hash function that can be checked, so that one answer counts for everybody who shows it. */
export function isCheckable(caps: Caps): boolean {
  return HASHES.has(caps.hash);
}

/** `category/type/lang/name`: what is compared, and what is hashed. */
function identityText({ category, type, language, name }: DiscoIdentity): string {
  return `${category}/${type}/${language ?? ''}/${name ?? ''}`;
}

function readForm(form: XmlElement): DiscoForm | 'ignored' | 'ill-formed' {
  const fields = childrenOf(form, 'field').map((field) => ({
    name: field.attrs['var'] ?? '',
    type: field.attrs['type'],
    values: childrenOf(field, 'value').map(textOf),
  }));
  const typeField = fields.find(({ name }) => name === 'FORM_TYPE');
  if (typeField?.type !== 'hidden') return 'ignored';
  const types = new Set(typeField.values);
  if (types.size > 1) return 'ill-formed';
  const [type = ''] = types;
  return {
    type,
    fields: fields.filter(({ name }) => name !== 'FORM_TYPE').map(({ name, values }) => ({ name, values })),
  };
}

function hasDouble(texts: readonly string[]): boolean {
  return new Set(texts).size !== texts.length;
}

/** By octets of UTF-8 (i;octet, RFC 4790, section 9.3). */
function sorted(texts: readonly string[]): string[] {
  return sortedBy(texts, (text) => text);
}

function sortedBy<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  return [...items].sort((one, other) => Buffer.compare(Buffer.from(keyOf(one)), Buffer.from(keyOf(other))));
}
