import { hash } from 'node:crypto';
import type { XmlElement } from '../../cpim/xml.ts';
import type { DiscoInfo } from './disco-info.ts';

/** XEP-0390. */
export const CAPS_HASHES_NAMESPACE = 'urn:xmpp:caps';
/** Before the hash: the node that is asked about it (XEP-0390, section 4.2). */
export const CAPS_HASH_NODE = 'urn:xmpp:caps#sha-256.';
const HASHES_NAMESPACE = 'urn:xmpp:hashes:2';

const [FILE, GROUP, RECORD, UNIT] = ['\u001c', '\u001d', '\u001e', '\u001f'];

/** The SHA-256 of what disco#info says, base64 (XEP-0390, section 4.1). */
export function capsHash({ identities, features, forms }: DiscoInfo): string {
  const text = [
    sorted(features.map((feature) => `${feature}${UNIT}`)),
    sorted(
      identities.map(
        ({ category, type, language = '', name = '' }) =>
          `${category}${UNIT}${type}${UNIT}${language}${UNIT}${name}${UNIT}${RECORD}`,
      ),
    ),
    sorted(forms.map(formText)),
  ]
    .map((part) => `${part}${FILE}`)
    .join('');
  return hash('sha256', text, 'base64');
}

/** What presence says of it. */
export function capsHashesElement(value: string): XmlElement {
  const one = { name: 'hash', attrs: { xmlns: HASHES_NAMESPACE, algo: 'sha-256' }, children: [value] };
  return { name: 'c', attrs: { xmlns: CAPS_HASHES_NAMESPACE }, children: [one] };
}

function formText({ type, fields }: DiscoInfo['forms'][number]): string {
  const all = [{ name: 'FORM_TYPE', values: [type] }, ...fields];
  const texts = all.map(
    ({ name, values }) => `${name}${UNIT}${sorted(values.map((value) => `${value}${UNIT}`))}${RECORD}`,
  );
  return `${sorted(texts)}${GROUP}`;
}

/** By octets of UTF-8, one after the other. */
function sorted(texts: readonly string[]): string {
  return [...texts].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other))).join('');
}
