/**
 * The priority of a contact in PIDF for the priority of an XMPP presence (RFC 8048, section 6.2, note 6).
 *
 * 0 is 0, 127 is 1000, between them each has its own, as in the examples of the RFC: 1 is 0.007, 126 is 0.992.
 *
 * @param priority -128 to 127
 * @returns thousandths, or undefined for a negative one, which must not be mapped
 */
export function pidfPriorityFromXmpp(priority: number): number | undefined {
  if (!Number.isInteger(priority) || priority < 0 || priority > 127) return undefined;
  return Math.floor((1000 * priority) / 127);
}

/**
 * The XMPP priority for that of a contact; `pidfPriorityFromXmpp` undone, and what stands between goes up, so that
 * nothing but 0 becomes 0 and nothing but 1 becomes 127.
 *
 * @param thousandths 0 to 1000
 * @returns 0 to 127
 */
export function xmppPriorityFromPidf(thousandths: number): number {
  if (thousandths <= 0) return 0;
  if (thousandths >= 1000) return 127;
  return Math.min(126, Math.ceil((127 * thousandths) / 1000));
}

/** `priority` as PIDF writes it, 0 to 1 (RFC 3863, section 4.1.5), in thousandths; undefined out of range: ignored. */
export function thousandthsOf(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? '';
  // Some writers take the decimal sign from their locale.
  if (!/^\+?(\d+([.,]\d*)?|[.,]\d+)$/.test(trimmed)) return undefined;
  const thousandths = Math.round(Number(trimmed.replace(',', '.')) * 1000);
  return thousandths <= 1000 ? thousandths : undefined;
}

/** Thousandths as PIDF writes them: `0`, `0.5`, `0.992`, `1`; undefined for what is out of range. */
export function priorityText(thousandths: number): string | undefined {
  if (!Number.isInteger(thousandths) || thousandths < 0 || thousandths > 1000) return undefined;
  return String(thousandths / 1000);
}
