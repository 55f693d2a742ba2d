import { trimBlanks } from '../characters.ts';
import { parseParams, parseQvalue, splitList } from '../header-values.ts';

/**
 * The first of the media types offered that an Accept takes best (RFC 3261, section 20.1); undefined when it takes none.
 *
 * Among ranges that cover a type the most special one counts, among types the one with the highest q, and of equal ones
 * that which is offered first. Ranges that cannot be read count for nothing; parameters other than `q` are passed over.
 * Linear in what was sent, however many fields and values that are.
 *
 * @param values of the Accept fields; not empty: one without a value takes nothing
 */
export function acceptedType<T extends string>(values: readonly string[], offered: readonly T[]): T | undefined {
  const found = offered.map(() => ({ rank: 0, q: 0 }));
  for (const value of values) {
    for (const range of splitList(value) ?? []) {
      const semicolon = range.indexOf(';');
      const type = trimBlanks(range, 0, semicolon < 0 ? range.length : semicolon).toLowerCase();
      for (const [at, one] of offered.entries()) {
        const rank = rankOf(type, one);
        const best = found[at];
        if (best === undefined || rank <= best.rank) continue;
        const q = semicolon < 0 ? 1 : qOf(range.slice(semicolon));
        if (q !== undefined) found[at] = { rank, q };
      }
    }
  }
  let best = -1;
  for (const [at, { q }] of found.entries()) if (q > (found[best]?.q ?? 0)) best = at;
  return offered[best];
}

/** How closely a range speaks of a type: 3 by name, 2 and 1 by wildcards, 0 not at all. */
function rankOf(range: string, type: string): number {
  if (range === type) return 3;
  if (range === '*/*') return 1;
  return range.endsWith('/*') && type.startsWith(range.slice(0, -1)) ? 2 : 0;
}

function qOf(params: string): number | undefined {
  const q = parseParams(params)?.get('q');
  if (q === undefined) return 1;
  return typeof q === 'string' ? parseQvalue(q) : undefined;
}
