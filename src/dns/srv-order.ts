import type { Random } from '../core/ports.ts';
import type { SrvRecord } from './dns-queries.ts';

/**
 * Puts SRV records into the order of trying: by priority; within one priority drawn at random in proportion to the
 * weights (RFC 2782). Records of several services may be mixed, as XEP-0368, section 3 asks.
 */
export function inSrvOrder<T extends SrvRecord>(records: readonly T[], random: Random): readonly T[] {
  if (records.length < 2) return records;
  const ordered: T[] = [];
  const left = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight);
  while (left.length > 0) {
    const priority = left[0]?.priority;
    const group = left.filter((record) => record.priority === priority);
    const total = group.reduce((sum, { weight }) => sum + weight, 0);
    let draw = Math.floor(random() * (total + 1));
    const chosen = group.find(({ weight }) => (draw -= weight) <= 0) ?? group[0];
    if (chosen === undefined) break;
    ordered.push(chosen);
    left.splice(left.indexOf(chosen), 1);
  }
  return ordered;
}
