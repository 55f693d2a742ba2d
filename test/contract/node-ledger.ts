import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GatewayError } from '../../src/core/errors.ts';
import type { LedgerAnswer, LedgerRequest, NodeLedger, NodeView } from '../../src/core/nodes/node-ports.ts';

export interface LedgerWorld {
  /** One for each node, all on one medium. */
  ledger(): NodeLedger;
  pass(ms: number): Promise<void>;
  setAway(isAway: boolean): Promise<void>;
  /** It loses all it had. */
  lose(): Promise<void>;
  close(): Promise<void>;
}

const TERM_MS = 400;

/** One process of a node, as far as the ledger sees it. */
class Node {
  readonly self: NodeView;
  readonly #ledger: NodeLedger;
  holds: LedgerRequest['holds'] = [];
  seen: LedgerRequest['seen'] = [];

  constructor(ledger: NodeLedger, name: string, wants: readonly string[], more: Partial<NodeView> = {}) {
    this.#ledger = ledger;
    this.self = {
      name,
      run: `run-of-${name}`,
      startedAtMs: 1_700_000_000_000,
      version: '1',
      addresses: [],
      isLeaving: false,
      wants,
      ...more,
    };
  }

  /** Looks, and holds from then on what the answer says is its own. */
  async look(more: Partial<LedgerRequest> = {}): Promise<Extract<LedgerAnswer, { kind: 'done' }>> {
    const answer = await this.ask(more);
    if (answer.kind !== 'done') throw new Error('the name is taken');
    this.holds = answer.leases.filter(({ run }) => run === this.self.run).map(({ name, fence }) => ({ name, fence }));
    this.seen = answer.leases.filter(({ run }) => run !== this.self.run).map(({ name, fence }) => ({ name, fence }));
    return answer;
  }

  ask(more: Partial<LedgerRequest> = {}): Promise<LedgerAnswer> {
    return this.#ledger.tick({
      self: this.self,
      termMs: TERM_MS,
      holds: this.holds,
      seen: this.seen,
      releases: [],
      ...more,
    });
  }

  get names(): readonly string[] {
    return this.holds.map(({ name }) => name);
  }
}

/** The promises of NodeLedger, run against one implementation. `make` gives a fresh, empty world. */
export function nodeLedgerContract(name: string, make: () => Promise<LedgerWorld>, skip?: string): void {
  const promise = (title: string, body: (world: LedgerWorld) => Promise<void>): void => {
    void test(title, { skip: skip ?? false }, async () => {
      const world = await make();
      try {
        await body(world);
      } finally {
        await world.close();
      }
    });
  };

  describe(`${name} keeps the promises of NodeLedger`, () => {
    promise('1: tick enters the node, and answers with all nodes and leases of the term', async (world) => {
      const a = new Node(world.ledger(), 'a', ['link:x'], { addresses: ['udp://127.0.0.1:5060'] });
      const b = new Node(world.ledger(), 'b', []);
      await a.look({ holds: [] });
      const seen = await b.look();
      assert.deepEqual(
        seen.nodes.map(({ name: node }) => node),
        ['a', 'b'],
      );
      assert.deepEqual(seen.nodes[0], a.self);
      assert.deepEqual(seen.leases, [{ name: 'link:x', node: 'a', run: 'run-of-a', fence: a.holds[0]?.fence }]);
      await world.pass(TERM_MS + 50);
      assert.deepEqual((await b.look()).nodes, [b.self]);
    });

    promise('2: a name belongs to one process while its term lasts', async (world) => {
      const first = new Node(world.ledger(), 'a', ['presence']);
      const second = new Node(world.ledger(), 'a', ['presence'], { run: 'another' });
      await first.look();
      const answer = await second.ask();
      assert.equal(answer.kind === 'taken' ? answer.by.run : undefined, 'run-of-a');
      assert.deepEqual((await first.look()).nodes, [first.self]);
      await world.pass(TERM_MS + 50);
      assert.equal((await second.ask()).kind, 'done');
    });

    promise('3: a lease has one holder at a time, and each new one a higher fence', async (world) => {
      const [a, b] = [new Node(world.ledger(), 'a', ['presence']), new Node(world.ledger(), 'b', ['presence'])];
      await Promise.all([a.look(), b.look()]);
      assert.equal(a.names.length + b.names.length, 1);
      const [holder, other] = a.names.length === 1 ? [a, b] : [b, a];
      const fence = holder.holds[0]?.fence ?? 0;
      await world.pass(TERM_MS / 2);
      await other.look();
      assert.deepEqual(other.names, []);
      await world.pass(TERM_MS / 2 + 50);
      await other.look();
      assert.deepEqual(other.names, ['presence']);
      assert.ok((other.holds[0]?.fence ?? 0) > fence);
    });

    promise('4: what is free goes to whoever holds the fewest of those who want it', async (world) => {
      const wants = ['link:x', 'link:y', 'presence'];
      const a = new Node(world.ledger(), 'a', wants);
      const b = new Node(world.ledger(), 'b', []);
      await a.look();
      assert.deepEqual(a.names.toSorted(), wants);
      await b.look();
      const newcomer = new Node(world.ledger(), 'c', wants);
      await newcomer.look();
      assert.deepEqual(newcomer.names, []);
      // b holds none, but does not want any.
      const [given] = a.holds;
      await a.look({ holds: a.holds.slice(1), releases: given === undefined ? [] : [given] });
      assert.equal(a.names.length, 2);
      await newcomer.look();
      assert.equal(newcomer.names.length, 1);
    });

    promise('4: a node that leaves gets none, and keeps nobody from getting it', async (world) => {
      const leaving = new Node(world.ledger(), 'a', ['presence'], { isLeaving: true });
      const b = new Node(world.ledger(), 'b', ['link:x', 'presence']);
      await leaving.look();
      assert.deepEqual(leaving.names, []);
      await b.look();
      assert.deepEqual(b.names.toSorted(), ['link:x', 'presence']);
    });

    promise('5: holds keeps its fence, and the note is for all', async (world) => {
      const a = new Node(world.ledger(), 'a', ['link:x']);
      const b = new Node(world.ledger(), 'b', ['link:x']);
      await a.look();
      const fence = a.holds[0]?.fence ?? 0;
      for (let times = 0; times < 3; times++) {
        await world.pass(TERM_MS / 2);
        await a.look({ holds: [{ name: 'link:x', fence, note: { at: 'up', n: times } }] });
      }
      assert.deepEqual((await b.look()).leases, [
        { name: 'link:x', node: 'a', run: 'run-of-a', fence, note: { at: 'up', n: 2 } },
      ]);
    });

    promise('5: a term that was over goes on when nobody has taken the lease, and not when one has', async (world) => {
      const a = new Node(world.ledger(), 'a', ['link:x']);
      await a.look();
      const fence = a.holds[0]?.fence ?? 0;
      await world.pass(TERM_MS + 50);
      await a.look();
      assert.equal(a.holds[0]?.fence, fence);
      await world.pass(TERM_MS + 50);
      const b = new Node(world.ledger(), 'b', ['link:x']);
      await b.look();
      await a.look();
      assert.deepEqual([a.names, b.names], [[], ['link:x']]);
    });

    promise('5: what is its own and it does not know of is held anew', async (world) => {
      const a = new Node(world.ledger(), 'a', ['link:x']);
      await a.look();
      const fence = a.holds[0]?.fence ?? 0;
      await a.look({ holds: [] });
      assert.ok((a.holds[0]?.fence ?? 0) > fence);
    });

    promise('6: releases frees at once, the last word takes the node out', async (world) => {
      const a = new Node(world.ledger(), 'a', ['link:x', 'presence']);
      const b = new Node(world.ledger(), 'b', ['link:x', 'presence']);
      await a.look();
      await b.look();
      await a.ask({ holds: [], releases: a.holds, isLast: true });
      const seen = await b.look();
      assert.deepEqual(seen.nodes, [b.self]);
      assert.deepEqual(b.names.toSorted(), ['link:x', 'presence']);
    });

    promise(
      '6: what is given to a node goes to it, with a higher fence, where it is there and wants it',
      async (world) => {
        const a = new Node(world.ledger(), 'a', ['link:x', 'link:y', 'link:z']);
        const b = new Node(world.ledger(), 'b', ['link:x', 'link:y', 'link:z']);
        const c = new Node(world.ledger(), 'c', ['link:x']);
        const leaving = new Node(world.ledger(), 'd', ['link:z'], { isLeaving: true });
        for (const node of [a, b, c, leaving]) await node.look();
        assert.deepEqual(a.names.toSorted(), ['link:x', 'link:y', 'link:z']);
        let self = a.self;
        const give = (lease: string, to: string): ReturnType<Node['look']> => {
          const given = a.holds.filter(({ name: held }) => held === lease).map((held) => ({ ...held, to }));
          self = { ...self, wants: self.wants.filter((want) => want !== lease) };
          return a.look({ self, holds: a.holds.filter(({ name: held }) => held !== lease), releases: given });
        };
        const fences = a.holds.map(({ fence }) => fence);
        const seen = await give('link:x', 'run-of-b');
        assert.equal(seen.leases.find(({ name: lease }) => lease === 'link:x')?.node, 'b');
        await c.look();
        await b.look();
        assert.deepEqual([b.names, c.names], [['link:x'], []]);
        assert.ok(fences.every((fence) => (b.holds[0]?.fence ?? 0) > fence));
        // Who is not there, does not want it or leaves does not get it.
        const free = await give('link:y', 'run-of-c');
        const left = await give('link:z', 'run-of-d');
        assert.equal(
          free.leases.find(({ name: lease }) => lease === 'link:y'),
          undefined,
        );
        assert.equal(
          left.leases.find(({ name: lease }) => lease === 'link:z'),
          undefined,
        );
        await b.look();
        assert.deepEqual(b.names.toSorted(), ['link:x', 'link:y', 'link:z']);
      },
    );

    promise('7: of twenty nodes that want it at once one has it', async (world) => {
      const nodes = Array.from({ length: 20 }, (_, n) => new Node(world.ledger(), `n${n}`, ['presence']));
      await Promise.all(nodes.map((node) => node.look()));
      assert.equal(nodes.filter(({ names }) => names.length === 1).length, 1);
    });

    promise('8: a ledger that loses what it had takes nothing from whoever holds it', async (world) => {
      const [a, b, c] = ['a', 'b', 'c'].map((name) => new Node(world.ledger(), name, ['one', 'two', 'three']));
      assert.ok(a !== undefined && b !== undefined && c !== undefined);
      for (const node of [a, b, c, a, b, c]) await node.look();
      const held = [a, b, c].map(({ holds }) => holds);
      const fences = new Set(held.flat().map(({ fence }) => fence));
      assert.equal(fences.size, 3);
      await world.lose();
      for (const node of [c, b, a, c, b, a]) await node.look();
      assert.deepEqual(
        [a, b, c].map(({ holds }) => holds),
        held,
      );
      // What nobody says is his goes to another, as ever, after the term, with a number above all that were given.
      await world.lose();
      await b.look();
      await c.look();
      await world.pass(TERM_MS + 50);
      b.seen = [];
      await b.look();
      await c.look();
      await b.look();
      await c.look();
      const others = [...b.holds, ...c.holds];
      assert.deepEqual(new Set(others.map(({ name }) => name)), new Set(['one', 'two', 'three']));
      assert.ok(Math.max(...others.map(({ fence }) => fence)) > Math.max(...fences));
    });

    promise('9: a medium that is away is said to be, and works again', async (world) => {
      const a = new Node(world.ledger(), 'a', ['link:x']);
      await a.look();
      await world.setAway(true);
      await assert.rejects(
        a.look(),
        (thrown: unknown) => thrown instanceof GatewayError && thrown.code === 'store-unavailable',
      );
      await world.setAway(false);
      await a.look();
      assert.deepEqual(a.names, ['link:x']);
    });
  });
}
