import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseView, NodeView } from '../../../../src/core/nodes/node-ports.ts';
import { nextHandOver } from '../../../../src/core/nodes/spread-plan.ts';

const WANTS = ['presence', ...Array.from({ length: 100 }, (_, n) => `link:${n}`)];

function node(name: string, more: Partial<NodeView> = {}): NodeView {
  const base = { startedAtMs: 0, version: '1', addresses: [], isLeaving: false, wants: WANTS };
  return { ...base, name, run: name, ...more };
}

/** So many links at each node; `p` before the number: it keeps presence as well. */
function leasesOf(has: Readonly<Record<string, number | `p${number}`>>): LeaseView[] {
  let n = 0;
  return Object.entries(has).flatMap(([name, count]) => {
    const held = (lease: string): LeaseView => ({ name: lease, node: name, run: name, fence: 1 });
    const links = Array.from({ length: Number(String(count).replace('p', '')) }, () => held(`link:${n++}`));
    return String(count).startsWith('p') ? [held('presence'), ...links] : links;
  });
}

const isLink = (lease: string): boolean => lease.startsWith('link:');

const ROWS: ReadonlyArray<readonly [has: Parameters<typeof leasesOf>[0], move: string | undefined]> = [
  [{ a: 'p1', b: 0 }, 'a b'],
  [{ a: 'p0', b: 1 }, undefined],
  [{ a: 'p0', b: 0, c: 0 }, undefined],
  [{ a: 'p3', b: 0, c: 0 }, 'a b'],
  [{ a: 'p2', b: 1, c: 0 }, 'a c'],
  [{ a: 'p1', b: 1, c: 1 }, undefined],
  // No more than the share and a tenth: a difference of two is nothing to be mended there.
  [{ a: 21, b: 21, c: 19 }, undefined],
  [{ a: 24, b: 19, c: 19 }, 'a b'],
];
for (const [has, move] of ROWS) {
  test(`spread: ${JSON.stringify(has)}: ${move ?? 'stays as it is'}`, () => {
    const nodes = Object.keys(has).map((name) => node(name));
    const next = nextHandOver(nodes, leasesOf(has), isLink);
    assert.equal(next && `${next.from.name} ${next.to.name}`, move);
    assert.ok(next === undefined || isLink(next.lease));
  });
}

test('spread: one who leaves, or does not want it, or has refused it gets none', () => {
  const leases = leasesOf({ a: 'p3', b: 0, c: 0 });
  assert.equal(nextHandOver([node('a'), node('b', { isLeaving: true }), node('c')], leases, isLink)?.to.name, 'c');
  assert.equal(nextHandOver([node('a'), node('b', { wants: ['presence'] }), node('c')], leases, isLink)?.to.name, 'c');
  const refuses = (lease: string, run: string): boolean => isLink(lease) && !(run === 'b' && lease === 'link:0');
  const next = nextHandOver([node('a'), node('b'), node('c')], leases, refuses);
  assert.deepEqual([next?.lease, next?.to.name], ['link:1', 'b']);
  // Whoever leaves has nothing taken from it either: it gives up all by itself.
  assert.equal(nextHandOver([node('a', { isLeaving: true }), node('b'), node('c')], leases, isLink), undefined);
});

test('spread: from wherever it begins it comes to an end, and nobody has twice as much as another then', () => {
  for (const has of [
    { a: 'p60', b: 0, c: 0 },
    { a: 'p1', b: 40, c: 3, d: 0 },
    { a: 90, b: 0 },
  ] as const) {
    const nodes = Object.keys(has).map((name) => node(name));
    let leases = leasesOf(has);
    let steps = 0;
    for (let next = nextHandOver(nodes, leases, isLink); next !== undefined; steps++) {
      const { lease, to } = next;
      leases = leases.map((held) => (held.name === lease ? { ...held, node: to.name, run: to.run } : held));
      next = nextHandOver(nodes, leases, isLink);
      assert.ok(steps < 100, JSON.stringify(has));
    }
    const counts = nodes.map(({ run }) => leases.filter((held) => held.run === run).length);
    assert.ok(steps > 0 && Math.max(...counts) <= 1.1 * (leases.length / nodes.length) + 1, counts.join(' '));
  }
});
