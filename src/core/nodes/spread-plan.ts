import type { LeaseView, NodeView } from './node-ports.ts';

/** Which lease goes from whom to whom, and why. */
export type HandOver = {
  readonly lease: string;
  readonly from: NodeView;
  readonly to: NodeView;
  /** How many each of the two has now. */
  readonly has: { readonly from: number; readonly to: number };
};

/** So much more than its share is still nothing to be mended. */
const SLACK = 1.1;

/**
 * The next lease that is to be handed over so that ownership spreads: from the node that has most to the one that has
 * fewest among those who want it. Each step brings the two nearer to each other and none the other way round, so that it
 * comes to an end by itself: a node hands over nothing when the other would not have fewer than it afterwards, nor while
 * it has no more than its share and a tenth.
 *
 * @param isMovable whether a lease may go to the node of this run; those that may not count as well
 */
export function nextHandOver(
  nodes: readonly NodeView[],
  leases: readonly LeaseView[],
  isMovable: (lease: string, toRun: string) => boolean,
): HandOver | undefined {
  const staying = nodes.filter(({ isLeaving }) => !isLeaving);
  const has = new Map(staying.map(({ run }) => [run, 0]));
  for (const { run } of leases) {
    const count = has.get(run);
    if (count !== undefined) has.set(run, count + 1);
  }
  const countOf = ({ run }: NodeView): number => has.get(run) ?? 0;
  const share = [...has.values()].reduce((sum, count) => sum + count, 0) / staying.length;
  const byName = (a: NodeView, b: NodeView): number => (a.name < b.name ? -1 : 1);
  const fewestFirst = staying.toSorted((a, b) => countOf(a) - countOf(b) || byName(a, b));
  for (const from of fewestFirst.toReversed()) {
    if (countOf(from) <= share * SLACK) return undefined;
    for (const to of fewestFirst) {
      if (countOf(from) - countOf(to) < 2) break;
      const found = leases.find(
        ({ name, run }) => run === from.run && to.wants.includes(name) && isMovable(name, to.run),
      );
      if (found !== undefined) return { lease: found.name, from, to, has: { from: countOf(from), to: countOf(to) } };
    }
  }
  return undefined;
}
