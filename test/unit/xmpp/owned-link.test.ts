import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { XmlElement } from '../../../src/cpim/xml.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import type { LinkEvents } from '../../../src/xmpp/link.ts';
import { OwnedLink, type OwnedLinkDeps } from '../../../src/xmpp/owned-link.ts';
import { systemClock } from '../../../src/system-clock.ts';
import { LINK_LIMITS, xmppLinkContract, type LinkWorld } from '../../contract/xmpp-link.ts';
import { componentWorld } from '../../support/component-world.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { NodeStage, type StagedNode } from '../../support/node-stage.ts';
import { RecordingLink } from '../../support/recording-link.ts';

xmppLinkContract('OwnedLink on the node that owns it', async (): Promise<LinkWorld> => {
  const world = await componentWorld({ limits: LINK_LIMITS });
  const { server, clock, trusting } = world;
  const stage = new NodeStage(systemClock);
  const node = await stage.join('a');
  const link = new OwnedLink({ ...node, name: world.link.name, create: () => world.link, clock, log: stage.log });
  const end = async (): Promise<void> => {
    await node.leave();
    await world.end();
  };
  return { link, peer: server, clock, own: 'sip.xmpp.example', far: 'xmpp.example', trusting, end };
});

function message(n: number): XmlElement {
  return { name: 'message', attrs: { id: `m${n}` }, children: [] };
}

/** Two nodes with the same link: the first has it. */
class Pair {
  readonly clock = new FakeClock();
  readonly stage: NodeStage;
  readonly made: RecordingLink[] = [];
  readonly seen: Record<string, string[]> = { a: [], b: [] };

  constructor(t: TestContext) {
    this.stage = new NodeStage(this.clock, t);
  }

  link(node: StagedNode, more: Partial<OwnedLinkDeps> = {}): OwnedLink {
    const { clock, made, stage } = this;
    const create = (): RecordingLink => {
      const link = new RecordingLink('office');
      made.push(link);
      return link;
    };
    return new OwnedLink({ ...node, name: 'office', create, clock, log: stage.log, ...more });
  }

  events(name: string): LinkEvents {
    const seen = this.seen[name] ?? [];
    return { onStanza: () => undefined, onUp: () => void seen.push('up'), onDown: () => void seen.push('down') };
  }

  async open(): Promise<{ a: StagedNode; b: StagedNode; atA: OwnedLink; atB: OwnedLink }> {
    const [a, b] = [await this.stage.join('a'), await this.stage.join('b')];
    const [atA, atB] = [this.link(a), this.link(b)];
    const started = atA.start(this.events('a'));
    await this.clock.advanceAsync(10);
    await started;
    const second = atB.start(this.events('b'));
    await this.clock.advanceAsync(1_100);
    await second;
    return { a, b, atA, atB };
  }
}

const isUnreachable = (thrown: unknown): boolean =>
  thrown instanceof GatewayError && thrown.code === 'peer-unreachable';

test('owned link: one node runs it, both are up and say whose it is', async (t) => {
  const pair = new Pair(t);
  const { atA, atB } = await pair.open();
  assert.equal(pair.made.length, 1);
  assert.deepEqual(pair.seen, { a: ['up'], b: ['up'] });
  assert.deepEqual([atA.state().node, atB.state().node, atB.state().at], ['a', 'a', 'up']);
});

test('owned link: what the other node sends leaves in order, and resolves when the owner has it confirmed', async (t) => {
  const pair = new Pair(t);
  const { atB } = await pair.open();
  const [own] = pair.made;
  own!.isHolding = true;
  let confirmed = 0;
  const sent = [1, 2, 3].map((n) => atB.send(message(n)).then(() => (confirmed += 1)));
  await pair.clock.advanceAsync(10);
  assert.deepEqual(
    own!.stanzas.map(({ attrs }) => attrs['id']),
    ['m1', 'm2', 'm3'],
  );
  assert.equal(confirmed, 0);
  own!.confirm();
  await Promise.all(sent);
  atB.post(message(4));
  await pair.clock.advanceAsync(10);
  assert.equal(own!.stanzas.at(-1)?.attrs['id'], 'm4');
});

test('owned link: an error of the owner comes back as it is', async (t) => {
  const pair = new Pair(t);
  const { atB } = await pair.open();
  pair.made[0]!.refuses = () => new GatewayError('content-too-large', 'too large', { details: { sizeMax: 10 } });
  await assert.rejects(atB.send(message(1)), (thrown: unknown) => {
    assert.ok(thrown instanceof GatewayError);
    assert.deepEqual([thrown.code, thrown.details], ['content-too-large', { sizeMax: 10 }]);
    return true;
  });
});

test('owned link: the owner dies: what it had not confirmed is rejected, the other takes the link over', async (t) => {
  const pair = new Pair(t);
  const { a, atB } = await pair.open();
  pair.made[0]!.isHolding = true;
  const lost = assert.rejects(atB.send(message(1)), isUnreachable);
  await pair.clock.advanceAsync(10);
  a.members.abandon();
  await a.bus.close();
  await pair.clock.advanceAsync(6_000);
  await lost;
  assert.equal(pair.made.length, 2);
  assert.deepEqual(pair.seen['b'], ['up', 'down', 'up']);
  await atB.send(message(2));
  assert.deepEqual(
    pair.made[1]!.stanzas.map(({ attrs }) => attrs['id']),
    ['m2'],
  );
});

test('owned link: the owner stops in order: the other has it at once', async (t) => {
  const pair = new Pair(t);
  const { a, atA, atB } = await pair.open();
  const stopped = a.members.prepareToLeave().then(() => atA.stop(1_000));
  await pair.clock.advanceAsync(50);
  await stopped;
  await settled();
  assert.equal(atB.state().node, 'b');
  assert.deepEqual(pair.seen['b'], ['up', 'down', 'up']);
  assert.equal(atA.state().at, 'stopped');
});

test('owned link: without Redis both are down within the term, and nothing is sent by anybody', async (t) => {
  const pair = new Pair(t);
  const { atA, atB } = await pair.open();
  pair.stage.medium.isAway = true;
  await pair.clock.advanceAsync(3_200);
  assert.deepEqual(pair.seen, { a: ['up', 'down'], b: ['up', 'down'] });
  await assert.rejects(atA.send(message(1)), isUnreachable);
  await assert.rejects(atB.send(message(2)), isUnreachable);
  pair.stage.medium.isAway = false;
  await pair.clock.advanceAsync(3_000);
  assert.deepEqual([atA.state().at, atB.state().at], ['up', 'up']);
});

test('owned link: what comes in at another node is answered there where that can be, else by the owner, and waits for it', async (t) => {
  const pair = new Pair(t);
  const [a, b] = [await pair.stage.join('a'), await pair.stage.join('b')];
  let untilRoom: () => void = () => undefined;
  const atA = pair.link(a, {
    create: () => {
      const link = new RecordingLink('office');
      pair.made.push(link);
      return Object.assign(link, { room: () => new Promise<void>((resolve) => (untilRoom = resolve)) });
    },
  });
  let face: Parameters<NonNullable<OwnedLinkDeps['listen']>>[0] | undefined;
  const here: string[] = [];
  let isBothWays = true;
  const atB: OwnedLink = pair.link(b, {
    listen: (given) => (face = given),
    answer: ({ attrs }) => isBothWays && here.push(attrs['id'] ?? '') > 0,
  });
  const answer = (stanza: XmlElement): void =>
    atB.post({ name: 'iq', attrs: { type: 'result', id: stanza.attrs['id'] ?? '' }, children: [] });
  const started = Promise.all([atA.start(pair.events('a')), atB.start({ ...pair.events('b'), onStanza: answer })]);
  await pair.clock.advanceAsync(1_100);
  await started;
  const owner = pair.made[0]!;

  assert.equal(face?.onStanza({ name: 'iq', attrs: { id: '1' }, children: [] }), undefined);
  atB.post({ name: 'presence', attrs: { id: 'seen' }, children: [] });
  await pair.clock.advanceAsync(10);
  untilRoom();
  await pair.clock.advanceAsync(10);
  isBothWays = false;
  let isDone = false;
  const done = face?.onStanza({ name: 'iq', attrs: { id: '2' }, children: [] });
  void done?.then(() => (isDone = true));
  await pair.clock.advanceAsync(10);
  assert.deepEqual([here, owner.stanzas.map(({ attrs }) => attrs['id']), isDone], [['1'], ['seen', '2'], false]);
  untilRoom();
  await done;
});

test('owned link: one that cannot be had from its owner, and is waited for, is passed on to another node', async (t) => {
  const pair = new Pair(t);
  const [a, b] = [await pair.stage.join('a'), await pair.stage.join('b')];
  let isWanted = false;
  class Lost extends RecordingLink {
    override start(): Promise<void> {
      this.down();
      return Promise.resolve();
    }
  }
  const atA = pair.link(a, { create: () => new Lost(), isWanted: () => isWanted });
  const first = atA.start(pair.events('a'));
  await pair.clock.advanceAsync(10);
  await first;
  const atB = pair.link(b, { isWanted: () => isWanted });
  const second = atB.start(pair.events('b'));
  await pair.clock.advanceAsync(40_000);
  await second;
  // Nothing waits: it stays where it is.
  assert.deepEqual([atB.state().node, atB.state().at], ['a', 'down']);
  isWanted = true;
  await pair.clock.advanceAsync(20_000);
  assert.deepEqual([atA.state().node, atA.state().at], ['b', 'up']);
  assert.deepEqual(pair.seen, { a: ['up'], b: ['up'] });
  await atA.send(message(1));
  assert.equal(pair.made[0]!.stanzas.length, 1);
});
