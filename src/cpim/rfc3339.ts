const DATE_TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/**
 * Reads a date and time of RFC 3339, section 5.6 (also the one of XEP-0082). A leap second counts as the one after it.
 *
 * @returns ms since the epoch, or undefined when it is none or names a day or hour that does not exist; never throws
 */
export function parseRfc3339(text: string): number | undefined {
  const match = DATE_TIME.exec(text);
  if (match === null) return undefined;
  const field = (index: number): number => Number(match[index] ?? '0');
  const [year, month, day, hour, minute, second] = [field(1), field(2), field(3), field(4), field(5), field(6)];
  if (hour > 23 || minute > 59 || second > 60 || field(9) > 23 || field(10) > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const offsetMinutes = (match[8] === '-' ? -1 : 1) * (field(9) * 60 + field(10));
  const fractionMs = Math.floor(Number(`0.${match[7] ?? '0'}`) * 1000);
  return date.setUTCHours(hour, minute, second, fractionMs) - offsetMinutes * 60_000;
}

/** Writes ms since the epoch in UTC, with a fraction where there is one: `2004-08-01T12:00:00Z`. Years 0 to 9999. */
export function formatRfc3339(atMs: number): string {
  return new Date(atMs).toISOString().replace('.000Z', 'Z');
}
