/** What its author asks to be kept from those whom his side does not trust (RFC 3323, section 4.2; RFC 3325, section 9.3). */
export const PRIVACY_KINDS = ['header', 'session', 'user', 'id', 'history', 'critical'] as const;

export type PrivacyKind = (typeof PRIVACY_KINDS)[number];

/** A list without repetitions, never empty: nothing is asked for where it is absent. */
export type Privacy = readonly PrivacyKind[];

/** Whether those who are not trusted must not learn who wrote it. */
export function hidesAuthor(privacy: Privacy | undefined): boolean {
  return privacy?.some((kind) => kind === 'id' || kind === 'user') === true;
}

/** Whether they must not learn anything of his device and network: user agent, ids that his device made. */
export function hidesDevice(privacy: Privacy | undefined): boolean {
  return privacy?.some((kind) => kind === 'id' || kind === 'user' || kind === 'header') === true;
}

/** Whether they must not get what he says about himself beside the message: subject, organization, what he answers. */
export function hidesTexts(privacy: Privacy | undefined): boolean {
  return privacy?.includes('user') === true;
}
