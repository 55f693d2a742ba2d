import { sign, verify, type KeyObject } from 'node:crypto';

/** One end of a request as it is signed: a telephone number, or a URI in canonical form (RFC 8224, section 4.1). */
export type Party = { readonly tn: string } | { readonly uri: string };

/** What a PASSporT says: who, to whom, and when (seconds since the epoch). */
export type Claims = { readonly orig: Party; readonly dest: Party; readonly iat: number };

const ALG = 'ES256';
/** Of ECDSA on P-256, both numbers side by side (RFC 7518, section 3.4). */
const SIGNATURE_BYTES = 64;

/** Header and payload in base64url, as they are signed: keys in order, no blanks (RFC 8225, section 9). */
export function signingInput(claims: Claims, info: string): string {
  const header = JSON.stringify({ alg: ALG, typ: 'passport', x5u: info });
  return `${base64url(header)}.${base64url(payloadText(claims))}`;
}

function payloadText({ orig, dest, iat }: Claims): string {
  const to = 'tn' in dest ? { tn: [dest.tn] } : { uri: [dest.uri] };
  return JSON.stringify({ dest: to, iat, orig });
}

/** The signature over a signing input, in base64url. */
export function signatureOver(input: string, key: KeyObject): string {
  return sign('sha256', Buffer.from(input, 'ascii'), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
}

/** Never throws: a key of another kind has not signed it. */
export function isSignedBy(input: string, signature: string, key: KeyObject): boolean {
  const bytes = Buffer.from(signature, 'base64url');
  if (bytes.length !== SIGNATURE_BYTES || !isP256(key)) return false;
  try {
    return verify('sha256', Buffer.from(input, 'ascii'), { key, dsaEncoding: 'ieee-p1363' }, bytes);
  } catch {
    return false;
  }
}

/** Whether a key can be used with ES256. */
export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** What the header and payload of a full PASSporT say; undefined where they are not of one that is understood here. */
export function readFullForm(header: string, payload: string): (Claims & { readonly info: string }) | undefined {
  const { alg, typ, x5u, ppt } = objectFrom(header);
  const { orig, dest, iat } = objectFrom(payload);
  if (alg !== ALG || typ !== 'passport' || typeof x5u !== 'string' || ppt !== undefined) return undefined;
  const from = partyFrom(orig, false);
  const to = partyFrom(dest, true);
  if (from === undefined || to === undefined || typeof iat !== 'number' || !Number.isSafeInteger(iat)) return undefined;
  return { orig: from, dest: to, iat, info: x5u };
}

/** Whether two parties are the same. */
export function isSameParty(one: Party, other: Party): boolean {
  if ('tn' in one) return 'tn' in other && one.tn === other.tn;
  return 'uri' in other && one.uri === other.uri;
}

function partyFrom(value: unknown, isList: boolean): Party | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { tn, uri } = value as { tn?: unknown; uri?: unknown };
  const [number, address] = isList ? [onlyOf(tn), onlyOf(uri)] : [tn, uri];
  if (typeof number === 'string' && uri === undefined) return { tn: number };
  return typeof address === 'string' && tn === undefined ? { uri: address } : undefined;
}

/** A PASSporT for several recipients is none of a request for one. */
function onlyOf(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 ? (value[0] as unknown) : undefined;
}

function objectFrom(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  } catch {
    return {};
  }
}

function base64url(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64url');
}
