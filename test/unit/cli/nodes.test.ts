import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodesText } from '../../../src/cli/nodes.ts';
import type { NodesReport } from '../../../src/http/routes-nodes.ts';

const AT_MS = 1_700_000_000_000;
const A: NodesReport['nodes'][number] = {
  name: 'a',
  startedAtMs: AT_MS,
  version: '1',
  addresses: ['udp://127.0.0.1:5060'],
  isLeaving: false,
  owns: ['link:office', 'presence'],
};
const B = { ...A, name: 'b', isLeaving: true, owns: [] };
const LAST = { lease: 'link:office', from: 'b', to: 'a', atMs: AT_MS, reason: 'node b has 3, node a has 1' };

const HEAD = 'node         since                     version  listens               owns\n';
const LINES =
  'a            2023-11-14T22:13:20.000Z  1        udp://127.0.0.1:5060  link:office presence\n' +
  'b (leaving)  2023-11-14T22:13:20.000Z  1        udp://127.0.0.1:5060\n';
const HANDED = 'last handed over: link:office from b to a, 2023-11-14T22:13:20.000Z: node b has 3, node a has 1\n';
const AWAY = 'Redis does not answer: this is as it was when it last did\n';

const ROWS: ReadonlyArray<readonly [what: string, more: Partial<NodesReport>, rest: string]> = [
  ['nothing was handed over', { handOvers: { count: 0 } }, ''],
  ['a server of a version without hand-overs', {}, ''],
  ['one was handed over', { handOvers: { count: 1, last: LAST } }, HANDED],
  ['Redis away', { isHeard: false, handOvers: { count: 1, last: LAST } }, HANDED + AWAY],
];
for (const [what, more, rest] of ROWS) {
  test(`nodes command: ${what}`, () => {
    const text = nodesText({ node: 'a', isHeard: true, nodes: [A, B], ...more });
    assert.equal(text.replace(/ +$/gm, ''), HEAD + LINES + rest);
  });
}
