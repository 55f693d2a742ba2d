import { isWellFormed } from '../../cpim/well-formed.ts';

/**
 * What an operator has written down about a user of ours. Plain data: it goes through JSON into the store and comes back
 * equal.
 */
export type Profile = {
  readonly displayName?: string;
  readonly email?: string;
  /** A telephone number as people write it. */
  readonly phone?: string;
  /** An http or https URL. */
  readonly homepage?: string;
  readonly avatar?: Avatar;
};

/** A small picture. */
export type Avatar = {
  readonly type: AvatarType;
  readonly base64: string;
  /** Of the picture itself. */
  readonly bytes: number;
  /** SHA-1 of the picture, hex in lower case: its name in XEP-0153 and XEP-0084. */
  readonly sha1: string;
};

export type AvatarType = 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp';

/** What is to be changed: a text sets, `null` takes away, what is absent stays. */
export type ProfileChange = Readonly<Partial<Record<TextField, string | null>>> & {
  /** Base64 of the picture. */
  readonly avatar?: string | null;
};

export const TEXT_FIELDS = ['displayName', 'email', 'phone', 'homepage'] as const;
type TextField = (typeof TEXT_FIELDS)[number];

/** Characters. */
const TEXT_MAX = 256;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufffe\uffff]/;

/** What the first bytes of a picture are, as base64 gives them; an SVG can hold a program and is none of these. */
const SIGNATURES: ReadonlyArray<readonly [AvatarType, RegExp]> = [
  ['image/png', /^iVBORw0KGgo/],
  ['image/jpeg', /^\/9j\//],
  ['image/gif', /^R0lGODdh|^R0lGODlh/],
  // RIFF, four bytes of length, WEBP.
  ['image/webp', /^UklGR[A-Za-z0-9+/]{6}XRUJQ/],
];

/** Says what is wrong with a text of a profile, in words that follow its name; undefined: nothing. */
export function textFault(field: TextField, text: string): string | undefined {
  if (text.trim() === '') return 'is empty';
  if (text.length > TEXT_MAX) return `has more than ${TEXT_MAX} characters`;
  if (CONTROLS.test(text) || !isWellFormed(text)) return 'has control characters in it';
  switch (field) {
    case 'email':
      return /^[^\s@<>"]{1,64}@[^\s@<>"]{1,190}$/.test(text) ? undefined : 'is no address of mail';
    case 'phone':
      return /^\+?[0-9][0-9 ().\-/]{1,40}$/.test(text) ? undefined : 'is no telephone number';
    case 'homepage':
      return /^https?:\/\/[^\s<>"]+$/.test(text) ? undefined : 'is no http or https URL';
    case 'displayName':
      return undefined;
  }
}

/**
 * What kind of picture base64 holds, and how many bytes; the picture itself is not looked into.
 *
 * @returns undefined for what is no base64, or no PNG, JPEG, GIF or WebP
 */
export function pictureIn(base64: string): { readonly type: AvatarType; readonly bytes: number } | undefined {
  if (!BASE64.test(base64)) return undefined;
  const type = SIGNATURES.find(([, signature]) => signature.test(base64.slice(0, 32)))?.[0];
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
  return type === undefined ? undefined : { type, bytes: (base64.length / 4) * 3 - padding };
}
