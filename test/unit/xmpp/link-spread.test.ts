import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { XmlElement } from '../../../src/cpim/xml.ts';
import type { LinkEvents } from '../../../src/xmpp/link.ts';
import { linkLease, OwnedLink, type OwnedLinkDeps } from '../../../src/xmpp/owned-link.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { NodeStage, STAGED_PACE, type StagedNode } from '../../support/node-stage.ts';
import { RecordingLink } from '../../support/recording-link.ts';

/** One that waits for what is unconfirmed when it stops. */
class Drained extends RecordingLink {
  drained: () => void = () => undefined;
  override stop(): Promise<void> {
    if (this.state().unconfirmed === 0) return Promise.resolve();
    return new Promise((resolve) => (this.drained = resolve));
  }
}

class Lost extends RecordingLink {
  override start(): Promise<void> {
    this.down();
    return Promise.resolve();
  }
}

/** Nodes with the same links, each of which tells what it runs. */
class Nodes {
  readonly clock = new FakeClock();
  readonly stage: NodeStage;
  readonly nodes: StagedNode[] = [];
  /** By node and link: those that were ever made. */
  readonly made = new Map<string, Drained>();
  readonly links = new Map<string, OwnedLink>();
  readonly changes: string[] = [];

  constructor(t: TestContext) {
    this.stage = new NodeStage(this.clock, t);
  }

  async join(name: string, links: readonly string[], more: Partial<OwnedLinkDeps> = {}): Promise<StagedNode> {
    const { clock, stage } = this;
    const node = await stage.join(name);
    this.nodes.push(node);
    const started = links.map((link) => {
      const create = (): RecordingLink => {
        const made = new Drained(link);
        this.made.set(`${name} ${link}`, made);
        return made;
      };
      const owned = new OwnedLink({ ...node, name: link, create, clock, log: stage.log, ...more });
      this.links.set(`${name} ${link}`, owned);
      const events: LinkEvents = {
        onStanza: () => undefined,
        onUp: () => void this.changes.push(`${name} ${link} up`),
        onDown: () => void this.changes.push(`${name} ${link} down`),
      };
      return owned.start(events);
    });
    await clock.advanceAsync(1_100);
    await Promise.all(started);
    return node;
  }

  at(node: string, link: string): OwnedLink {
    const found = this.links.get(`${node} ${link}`);
    assert.ok(found !== undefined);
    return found;
  }

  owned(): Record<string, number> {
    const leases = this.nodes[0]?.members.leases ?? [];
    return Object.fromEntries(
      this.nodes.map(({ members }) => [members.name, leases.filter(({ node }) => node === members.name).length]),
    );
  }

  owner(link: string): string | undefined {
    return this.nodes[0]?.members.holderOf(linkLease(link))?.node;
  }

  handedOver(): number {
    return this.stage.log.lines.filter(({ message }) => message === 'lease was handed over to spread the load').length;
  }
}

const message = (n: number): XmlElement => ({ name: 'message', attrs: { id: `m${n}` }, children: [] });

const LINKS = ['l1', 'l2', 'l3', 'l4', 'l5', 'l6'];

test('spread: links go over to nodes that have come, one at a time with pauses, and then stay', async (t) => {
  const nodes = new Nodes(t);
  await nodes.join('a', LINKS);
  await nodes.join('b', LINKS);
  await nodes.join('c', LINKS);
  const seen: number[] = [];
  // Not before it has been quiet for long.
  await nodes.clock.advanceAsync(STAGED_PACE.quietMs - 2_000);
  assert.deepEqual(nodes.owned(), { a: 6, b: 0, c: 0 });
  for (let second = 0; second < 40; second++) {
    await nodes.clock.advanceAsync(1_000);
    seen.push(nodes.handedOver());
  }
  assert.deepEqual(nodes.owned(), { a: 2, b: 2, c: 2 });
  const moved = seen.flatMap((count, n) => (count > (seen[n - 1] ?? 0) ? [n] : []));
  assert.equal(moved.length, 4, seen.join(' '));
  assert.ok(moved.every((second, n) => n === 0 || second - (moved[n - 1] ?? 0) >= STAGED_PACE.pauseMs / 1_000));
  // All are up at all nodes, and nothing moves any more.
  for (const [, link] of nodes.links) assert.equal(link.state().at, 'up');
  await nodes.clock.advanceAsync(600_000);
  assert.equal(nodes.handedOver(), 4);
  const { count, last } = nodes.nodes[2]!.spread.report;
  assert.equal(count, 4);
  assert.deepEqual([last?.from, last?.reason], ['a', `node a has 3, node ${last?.to} has 1`]);
});

test('spread: after a death nothing is handed over before all has been quiet for long', async (t) => {
  const nodes = new Nodes(t);
  await nodes.join('a', ['l1', 'l2']);
  const b = await nodes.join('b', ['l1', 'l2']);
  await nodes.clock.advanceAsync(STAGED_PACE.quietMs - 4_000);
  await nodes.join('c', ['l1', 'l2']);
  b.members.abandon();
  await b.bus.close();
  await nodes.clock.advanceAsync(STAGED_PACE.quietMs + 2_000);
  assert.equal(nodes.handedOver(), 0);
  await nodes.clock.advanceAsync(6_000);
  assert.equal(nodes.handedOver(), 1);
  assert.deepEqual([nodes.owned()['a'], nodes.owned()['c']], [1, 1]);
});

test('spread: what is on its way is confirmed before another node has the link, what comes meanwhile comes again', async (t) => {
  const nodes = new Nodes(t);
  await nodes.join('a', ['l1', 'l2']);
  await nodes.join('b', ['l1', 'l2']);
  const outcome: string[] = [];
  const send = (at: string, n: number): Promise<void> =>
    nodes.at(at, 'l1').send(message(n)).then(
      () => void outcome.push(`m${n} taken`),
      () => void outcome.push(`m${n} refused`),
    ); // prettier-ignore
  const own = nodes.made.get('a l1');
  assert.ok(own !== undefined);
  own.isHolding = true;
  void send('a', 1);
  void send('b', 2);
  await nodes.clock.advanceAsync(STAGED_PACE.quietMs + 1_000);
  // It has begun, and all know.
  assert.deepEqual([nodes.at('a', 'l1').state().at, nodes.at('b', 'l1').state().at], ['up', 'connecting']);
  assert.match(nodes.at('b', 'l1').state().reason ?? '', /node b takes it over/);
  assert.deepEqual(nodes.changes.slice(-2).toSorted(), ['a l1 down', 'b l1 down']);
  await send('b', 3);
  assert.deepEqual([outcome, nodes.owner('l1')], [['m3 refused'], 'a']);
  own.confirm();
  await nodes.clock.advanceAsync(10);
  own.drained();
  // Release, word to the other, his answer: each takes a turn, and none of them waits for a look at the clock.
  for (let turn = 0; turn < 5; turn++) await nodes.clock.advanceAsync(10);
  assert.deepEqual([nodes.owner('l1'), nodes.at('a', 'l1').state().at], ['b', 'up']);
  await send('a', 4);
  assert.deepEqual(outcome.toSorted(), ['m1 taken', 'm2 taken', 'm3 refused', 'm4 taken']);
  assert.deepEqual(
    nodes.made.get('b l1')?.stanzas.map(({ attrs }) => attrs['id']),
    ['m4'],
  );
});

test('spread: a node that cannot connect to the far side gets nothing, and is asked no more', async (t) => {
  const nodes = new Nodes(t);
  let asked = 0;
  const canReach = (): Promise<boolean> => {
    asked += 1;
    return Promise.resolve(false);
  };
  await nodes.join('a', ['l1', 'l2']);
  await nodes.join('b', ['l1', 'l2'], { canReach });
  await nodes.clock.advanceAsync(300_000);
  assert.deepEqual([asked, nodes.owned(), nodes.changes.includes('a l1 down')], [2, { a: 2, b: 0 }, false]);
});

test('spread: one that does not come up where it went goes back to where it was up, and stays there', async (t) => {
  const nodes = new Nodes(t);
  await nodes.join('a', ['l1', 'l2']);
  await nodes.join('b', ['l1', 'l2'], { create: () => new Lost('l1') });
  await nodes.clock.advanceAsync(STAGED_PACE.quietMs + 5_000);
  const [moved] = ['l1', 'l2'].filter((link) => nodes.owner(link) === 'b');
  assert.ok(moved !== undefined);
  await nodes.clock.advanceAsync(16_000);
  assert.deepEqual([nodes.owner(moved), nodes.at('b', moved).state().at], ['a', 'up']);
  // The other one is tried once as well, and that is all.
  await nodes.clock.advanceAsync(300_000);
  assert.deepEqual(nodes.owned(), { a: 2, b: 0 });
  assert.equal(nodes.handedOver(), 2);
});

test('spread: a node that leaves while it hands a link over leaves it to the other', async (t) => {
  const nodes = new Nodes(t);
  const a = await nodes.join('a', ['l1', 'l2']);
  await nodes.join('b', ['l1', 'l2']);
  const own = nodes.made.get('a l1');
  assert.ok(own !== undefined);
  own.isHolding = true;
  void nodes.at('a', 'l1').send(message(1)).catch(() => undefined); // prettier-ignore
  await nodes.clock.advanceAsync(STAGED_PACE.quietMs + 1_000);
  const stopped = a.members
    .prepareToLeave()
    .then(() => Promise.all([nodes.at('a', 'l1').stop(1_000), nodes.at('a', 'l2').stop(1_000)]))
    .then(() => a.leave());
  await nodes.clock.advanceAsync(10);
  assert.equal(nodes.nodes[1]?.members.holderOf(linkLease('l1'))?.node, 'a');
  own.confirm();
  own.drained();
  await nodes.clock.advanceAsync(100);
  await stopped;
  assert.equal(nodes.nodes[1].members.leases.filter(({ node }) => node === 'b').length, 2);
  assert.equal(nodes.at('b', 'l1').state().at, 'up');
});
