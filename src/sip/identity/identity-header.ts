import { parseParams, splitList } from '../header-values.ts';
import type { SipRequest } from '../message.ts';

/** One Identity value (RFC 8224, section 4). */
export type IdentityHeader = {
  /** Header and payload in base64url; absent: the compact form. */
  readonly full?: { readonly header: string; readonly payload: string };
  /** In base64url. */
  readonly signature: string;
  /** Where the certificate is. */
  readonly info: string;
  readonly alg: string;
  /** An extension. */
  readonly ppt?: string;
};

const VALUE_LENGTH_MAX = 8_192;
const IDENTITIES_MAX = 4;
const FORM = /^([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)[ \t]*(;.*)$/s;

/** The Identity values of a request, bounded; undefined stands for one that cannot be read. */
export function identitiesOf({ headers }: SipRequest): ReadonlyArray<IdentityHeader | undefined> {
  return headers
    .all('Identity')
    .flatMap((value) => (value.length > VALUE_LENGTH_MAX ? [''] : (splitList(value) ?? [''])))
    .slice(0, IDENTITIES_MAX)
    .map(parseIdentity);
}

/** `header.payload.signature;info=<uri>;alg=ES256`, or with nothing before the two dots; undefined for what is neither. */
export function parseIdentity(value: string): IdentityHeader | undefined {
  const found = FORM.exec(value);
  if (found === null) return undefined;
  const [, header = '', payload = '', signature = '', rest = ''] = found;
  const info = /;[ \t]*info[ \t]*=[ \t]*<([^<>"\s]{1,1024})>/i.exec(rest)?.[1];
  // A URI in angle brackets is no value of a parameter elsewhere.
  const params = parseParams(rest.replace(/;[ \t]*info[ \t]*=[ \t]*<[^<>]*>/i, ''));
  if (info === undefined || params === undefined || (header === '') !== (payload === '')) return undefined;
  const alg = params.get('alg');
  const ppt = params.get('ppt');
  return {
    ...(header === '' ? {} : { full: { header, payload } }),
    signature,
    info,
    alg: typeof alg === 'string' ? alg : 'ES256',
    ...(ppt === undefined ? {} : { ppt: ppt === true ? '' : ppt }),
  };
}
