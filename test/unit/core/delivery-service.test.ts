import assert from 'node:assert/strict';
import test from 'node:test';
import { DeliveryService, type DeliveryDeps } from '../../../src/core/delivery-service.ts';
import { GatewayError, type ErrorCode, type ErrorDetails } from '../../../src/core/errors.ts';
import { PeerTable } from '../../../src/core/peers.ts';
import type { AttemptOutcome, Binding, Delivery, HopId, QueueEntry } from '../../../src/core/ports.ts';
import { Router } from '../../../src/core/router.ts';
import type { FailureReport } from '../../../src/cpim/operation.ts';
import { aBinding, aConfig, aDelivery, aMessage, anAddress, aReport } from '../../support/builders.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { open, RecordingSender } from '../../support/recording-sender.ts';

/** A delivery service before a queue that only writes down what it is told. */
class World {
  readonly clock = new FakeClock();
  readonly log = new RecordingLog();
  readonly local = new RecordingSender();
  readonly link = new RecordingSender();
  readonly sip = new RecordingSender();
  readonly added: QueueEntry[] = [];
  readonly woken: Array<readonly [HopId, number | undefined]> = [];
  contacts: readonly Binding[] = [aBinding()];
  /** What the queue answers to an `add`. */
  addFails: GatewayError | undefined;
  readonly service: DeliveryService;

  constructor(parts: Partial<DeliveryDeps> = {}) {
    this.service = new DeliveryService({
      queue: {
        add: async (entry) => {
          if (this.addFails !== undefined) throw this.addFails;
          if (this.added.some(({ id }) => id === entry.id)) return 'known';
          this.added.push(entry);
          return 'added';
        },
        wake: (hop, lanesMax) => this.woken.push([hop, lanesMax]),
      },
      router: new Router(new PeerTable(aConfig()), () => true),
      senders: { local: this.local, link: this.link, sip: this.sip },
      contactsOf: () => this.contacts,
      clock: this.clock,
      random: () => 1,
      log: this.log,
      lifetimeMs: 1_000_000,
      retry: { firstMs: 2_000, maxMs: 600_000 },
      ...parts,
    });
    this.service.hopUp('link:office');
    this.woken.length = 0;
  }

  get reports(): FailureReport[] {
    return this.added.map(({ operation }) => operation as FailureReport);
  }
}

const OFFICE: HopId = 'link:office';
const PARTNER: HopId = 'sip:partner.example';
const BOB: HopId = 'user:bob@sip.example';
const toXmpp = (parts: Partial<Delivery> = {}, id = 'm1'): Delivery => aDelivery(aMessage({ id }), OFFICE, parts);
const toSip = (parts: Partial<Delivery> = {}, id = 'm1'): Delivery =>
  aDelivery(aMessage({ id, to: 'dave@partner.example' }), PARTNER, parts);
const toBob = (parts: Partial<Delivery> = {}, id = 'm1'): Delivery =>
  aDelivery(aMessage({ id, to: 'bob@sip.example' }), BOB, parts);
const error = (code: ErrorCode, details: ErrorDetails = {}): GatewayError =>
  new GatewayError(code, 'test', { details });

const shape = (outcome: AttemptOutcome, nowMs: number): string => {
  if (outcome.kind === 'again') return `again in ${outcome.atMs - nowMs}`;
  return outcome.kind === 'dead' ? `dead ${outcome.code}` : outcome.kind;
};

type Row = readonly [
  name: string,
  delivery: Delivery,
  fails: GatewayError | undefined,
  outcome: string,
  reports: number,
];
const OUTCOMES: readonly Row[] = [
  ['link: taken', toXmpp(), undefined, 'delivered', 0],
  ['SIP: taken', toSip(), undefined, 'delivered', 0],
  ['user: taken', toBob(), undefined, 'delivered', 0],
  ['link: lost', toXmpp(), error('peer-unreachable'), 'again in 2000', 0],
  ['link: lost for the fourth time', toXmpp({ attempt: 4 }), error('peer-unreachable'), 'again in 16000', 0],
  ['link: lost for the fortieth time', toXmpp({ attempt: 40 }), error('peer-unreachable'), 'again in 600000', 0],
  ['link: refused', toXmpp(), error('content-too-large'), 'dead content-too-large', 1],
  ['SIP: silent', toSip(), error('peer-timeout'), 'again in 2000', 0],
  ['SIP: not now', toSip(), error('peer-failed', { status: 503 }), 'again in 2000', 0],
  [
    'SIP: not before a time',
    toSip(),
    error('peer-failed', { status: 503, retryAfterSeconds: 30 }),
    'again in 30000',
    0,
  ],
  [
    'SIP: a time below the pause',
    toSip({ attempt: 5 }),
    error('peer-failed', { retryAfterSeconds: 3 }),
    'again in 32000',
    0,
  ],
  ['SIP: refused', toSip(), error('recipient-unknown', { status: 404 }), 'dead recipient-unknown', 1],
  ['SIP: no such domain', toSip(), error('peer-not-found'), 'dead peer-not-found', 1],
  ['user: contacts do not answer', toBob(), error('peer-timeout'), 'again in 2000', 0],
  ['user: contacts are not available', toBob(), error('recipient-unavailable', { status: 480 }), 'again in 2000', 0],
  ['user: refused', toBob(), error('recipient-refused', { status: 603 }), 'dead recipient-refused', 1],
  ['a fault of ours', toSip(), error('internal'), 'dead internal', 1],
  ['we are about to stop', toXmpp(), error('shutting-down'), 'again in 2000', 0],
];
for (const [name, delivery, fails, outcome, reports] of OUTCOMES) {
  test(`delivery: ${name}: ${outcome}`, async () => {
    const world = new World();
    const sender = { link: world.link, sip: world.sip, user: world.local }[delivery.hop.split(':')[0] ?? ''];
    assert.ok(sender !== undefined);
    sender.behave = () => fails;
    assert.equal(shape(await world.service.attempt(delivery), world.clock.nowMs()), outcome);
    assert.equal(sender.sent.length, 1);
    assert.equal(world.reports.length, reports);
  });
}

test('delivery: anything thrown that is no error of ours is a fault of ours, and no reason to lose the message', async () => {
  const world = new World();
  world.link.behave = () => {
    throw new TypeError('x is undefined');
  };
  assert.equal(shape(await world.service.attempt(toXmpp()), world.clock.nowMs()), 'dead internal');
  assert.deepEqual(world.log.said('error'), ['operation failed']);
  assert.equal(world.reports[0]?.code, 'internal');
});

test('delivery: no attempt is put off past the end of the lifetime', async () => {
  const world = new World();
  world.sip.behave = () => error('peer-failed', { status: 503, retryAfterSeconds: 3_600 });
  const outcome = await world.service.attempt(toSip({ expiresAtMs: world.clock.nowMs() + 5_000 }));
  assert.equal(shape(outcome, world.clock.nowMs()), 'again in 5000');
});

test('delivery: a message whose lifetime is over is reported and kept, and never sent', async () => {
  const world = new World();
  world.service.hopDown(OFFICE);
  const outcome = await world.service.attempt(toXmpp({ expiresAtMs: world.clock.nowMs() }));
  assert.equal(shape(outcome, world.clock.nowMs()), 'dead lifetime-over');
  assert.equal(world.link.sent.length, 0);
  assert.equal(world.reports[0]?.code, 'lifetime-over');
});

test('delivery: a destination that is nobody any more since the peer table changed is reported', async () => {
  const world = new World();
  const gone = aDelivery(aMessage({ to: 'x@gone.example' }), 'sip:gone.example');
  assert.equal(shape(await world.service.attempt(gone), world.clock.nowMs()), 'dead peer-unknown');
});

// --- reports

test('delivery: the report goes to the sender, names the message, and quotes it', async () => {
  const world = new World();
  world.link.behave = () => error('recipient-unknown', { text: 'no\r\nsuch user' });
  const message = aMessage({ senderId: 's1', thread: 't1', subjects: [{ text: 'Of\nlove' }] });
  await world.service.attempt(aDelivery(message, OFFICE));
  const [entry] = world.added;
  assert.deepEqual(entry, {
    id: 'r-m1',
    lane: 'juliet@xmpp.example\nalice@sip.example',
    hop: 'user:alice@sip.example',
    owner: 'juliet@xmpp.example',
    expiresAtMs: world.clock.nowMs() + 1_000_000,
    operation: {
      op: 'report',
      id: 'r-m1',
      source: message.destination,
      destination: message.source,
      acceptedAtMs: world.clock.nowMs(),
      expiresAtMs: world.clock.nowMs() + 1_000_000,
      thread: 't1',
      about: { id: 'm1', senderId: 's1', subject: 'Of love', excerpt: 'Neither, fair saint, if either thee dislike.' },
      code: 'recipient-unknown',
      text: 'no such user',
    },
  });
});

test('delivery: the report to an XMPP sender goes over his link', async () => {
  const world = new World();
  world.local.behave = () => error('recipient-refused');
  const message = aMessage({ from: 'juliet@xmpp.example', to: 'bob@sip.example' });
  await world.service.attempt(aDelivery(message, BOB));
  assert.equal(world.added[0]?.hop, OFFICE);
});

test('delivery: a report that fails is not reported', async () => {
  const world = new World();
  world.local.behave = () => error('recipient-unknown');
  const outcome = await world.service.attempt(aDelivery(aReport(), 'user:alice@sip.example'));
  assert.equal(shape(outcome, world.clock.nowMs()), 'dead recipient-unknown');
  assert.equal(world.added.length, 0);
});

test('delivery: a report of another server that fails is not reported', async () => {
  const world = new World();
  world.local.behave = () => error('recipient-refused', { status: 603 });
  const message = aMessage({ from: 'Postmaster@partner.example', to: 'bob@sip.example' });
  const outcome = await world.service.attempt(aDelivery(message, BOB));
  assert.equal(shape(outcome, world.clock.nowMs()), 'dead recipient-refused');
  assert.equal(world.added.length, 0);
});

test('delivery: a postmaster of ours is told like any other user', async () => {
  const world = new World();
  world.link.behave = () => error('recipient-unknown');
  await world.service.attempt(aDelivery(aMessage({ from: 'postmaster@sip.example' }), OFFICE));
  assert.equal(world.reports.length, 1);
});

test('delivery: a failed message stays until its report is stored', async () => {
  const world = new World();
  world.sip.behave = () => error('recipient-unknown');
  world.addFails = error('queue-full');
  assert.equal(shape(await world.service.attempt(toSip()), world.clock.nowMs()), 'again in 2000');
  const expired = toSip({ expiresAtMs: world.clock.nowMs() - 1 });
  assert.equal(shape(await world.service.attempt(expired), world.clock.nowMs()), 'again in 2000');
  world.addFails = undefined;
  assert.equal(shape(await world.service.attempt(expired), world.clock.nowMs()), 'dead lifetime-over');
  assert.equal(world.reports.length, 1);
});

test('delivery: a sender outside every route cannot be told, which is logged', async () => {
  const world = new World();
  const message = aMessage({ from: 'x@gone.example', to: 'bob@sip.example' });
  assert.equal(
    shape(await world.service.attempt(aDelivery(message, BOB)), world.clock.nowMs()),
    'dead sender-forbidden',
  );
  assert.deepEqual(world.log.said('warn'), ['sender cannot be told of a failure']);
});

// --- links

test('delivery: while a link is down nothing is sent to it, and its return wakes it', async () => {
  const world = new World();
  world.service.hopDown(OFFICE);
  assert.equal(world.service.isReachable(OFFICE), false);
  assert.deepEqual(await world.service.attempt(toXmpp()), { kind: 'held' });
  assert.equal(world.link.sent.length, 0);
  world.service.hopUp(OFFICE);
  assert.deepEqual(world.woken, [[OFFICE, undefined]]);
  assert.deepEqual(await world.service.attempt(toXmpp()), { kind: 'delivered' });
});

test('delivery: a link counts as down until it says that it is up', async () => {
  const world = new World();
  const second = aDelivery(aMessage({ from: 'carol@core.example' }), 'link:second');
  assert.deepEqual(await world.service.attempt(second), { kind: 'held' });
});

test('delivery: what was lost with a link that is up again meanwhile goes at once', async () => {
  const world = new World();
  const lost = open();
  world.link.behave = () => lost.promise;
  const attempt = world.service.attempt(toXmpp());
  world.service.hopDown(OFFICE);
  world.service.hopUp(OFFICE);
  lost.refuse(error('peer-unreachable'));
  assert.equal(shape(await attempt, world.clock.nowMs()), 'again in 0');
});

test('delivery: the stanzas of a lane go to the link in the order of the attempts, before any is confirmed', () => {
  const world = new World();
  world.link.behave = () => open().promise;
  for (let n = 0; n < 500; n++) void world.service.attempt(toXmpp({}, `m${n}`));
  assert.deepEqual(
    world.link.ids,
    Array.from({ length: 500 }, (_, n) => `m${n}`),
  );
});

test('delivery: a link carries many of a lane at once, everything else one', () => {
  const { service } = new World();
  assert.ok(service.window(OFFICE) > 1);
  assert.equal(service.window(PARTNER), 1);
  assert.equal(service.window(BOB), 1);
});

test('delivery: what waits for a hop that the queue does not know is looked at again after a while', async () => {
  const world = new World();
  const moved = aDelivery(aMessage({ from: 'carol@core.example' }), 'link:old');
  assert.equal(shape(await world.service.attempt(moved), world.clock.nowMs()), 'again in 60000');
});

// --- errors that come later

const JULIET = anAddress('juliet@xmpp.example');
type Late = readonly [name: string, from: string, id: string, told: boolean];
const LATE: readonly Late[] = [
  ['from whom it was sent to', 'juliet@xmpp.example', 'm1', true],
  ['from whom it was sent to, in other capitals', 'Juliet@xmpp.example', 'm1', true],
  ['from his server', 'xmpp.example', 'm1', true],
  ['from another user there', 'mallory@xmpp.example', 'm1', false],
  ['from another domain', 'juliet@evil.example', 'm1', false],
  ['about another message', 'juliet@xmpp.example', 'm2', false],
];
for (const [name, from, id, told] of LATE) {
  test(`delivery: an error ${name} after the delivery ${told ? 'is told' : 'is not believed'}`, async () => {
    const world = new World();
    await world.service.attempt(toXmpp());
    world.service.failedLater(id, error('recipient-unknown'), anAddress(from));
    await settled();
    assert.deepEqual(
      world.reports.map(({ code }) => code),
      told ? ['recipient-unknown'] : [],
    );
  });

  test(`delivery: an error ${name} before the confirmation ${told ? 'fails the message' : 'is not believed'}`, async () => {
    const world = new World();
    const wait = open();
    world.link.behave = () => wait.promise;
    const attempt = world.service.attempt(toXmpp());
    world.service.failedLater(id, error('recipient-unavailable'), anAddress(from));
    wait.take();
    assert.equal(shape(await attempt, world.clock.nowMs()), told ? 'dead recipient-unavailable' : 'delivered');
    assert.equal(world.reports.length, told ? 1 : 0);
  });
}

test('delivery: a second error about the same message tells nobody again', async () => {
  const world = new World();
  await world.service.attempt(toXmpp());
  world.service.failedLater('m1', error('recipient-unknown'), JULIET);
  world.service.failedLater('m1', error('recipient-gone'), JULIET);
  await settled();
  assert.equal(world.reports.length, 1);
});

test('delivery: an error that comes hours later is about nothing', async () => {
  const world = new World();
  await world.service.attempt(toXmpp());
  world.clock.advance(3_600_000);
  world.service.failedLater('m1', error('recipient-unknown'), JULIET);
  await settled();
  assert.equal(world.reports.length, 0);
});

test('delivery: an error about a report is about nothing', async () => {
  const world = new World();
  const report = aReport({ source: { address: anAddress('bob@sip.example') }, destination: { address: JULIET } });
  await world.service.attempt(aDelivery(report, OFFICE));
  world.service.failedLater('r-m1', error('recipient-unknown'), JULIET);
  await settled();
  assert.equal(world.added.length, 0);
});

test('delivery: the report of a late error waits for a place in the queue', async () => {
  const world = new World();
  await world.service.attempt(toXmpp());
  world.addFails = error('store-unavailable');
  world.service.failedLater('m1', error('recipient-unknown'), JULIET);
  await world.clock.advanceAsync(20_000);
  world.addFails = undefined;
  await world.clock.advanceAsync(60_000);
  assert.equal(world.reports.length, 1);
});

test('delivery: a report that finds no place for an hour is given up with an error in the log', async () => {
  const world = new World();
  await world.service.attempt(toXmpp());
  world.addFails = error('store-unavailable');
  world.service.failedLater('m1', error('recipient-unknown'), JULIET);
  await world.clock.advanceAsync(6 * 3_600_000);
  assert.deepEqual(world.log.said('error'), ['sender was not told of a failure']);
  assert.equal(world.clock.pending, 0);
});

// --- users

test('delivery: for a user without contacts it waits, until he registers', async () => {
  const world = new World();
  world.contacts = [];
  assert.deepEqual(await world.service.attempt(toBob()), { kind: 'held' });
  assert.equal(world.local.sent.length, 0);
  world.service.hopUp(BOB);
  assert.deepEqual(world.woken, [[BOB, undefined]]);
});

test('delivery: a user who registers while his old contact is tried is tried again at once', async () => {
  const world = new World();
  const silent = open();
  world.local.behave = () => silent.promise;
  const attempt = world.service.attempt(toBob());
  world.service.hopUp(BOB);
  silent.refuse(error('peer-timeout'));
  assert.equal(shape(await attempt, world.clock.nowMs()), 'again in 0');
});

// --- SIP peers

test('delivery: a peer that does not answer is left alone, tried with one, and then all go', async () => {
  const world = new World();
  world.sip.behave = () => error('peer-unreachable');
  assert.equal(shape(await world.service.attempt(toSip()), world.clock.nowMs()), 'again in 2000');
  assert.equal(world.service.isReachable(PARTNER), false);
  assert.deepEqual(await world.service.attempt(toSip({}, 'm2')), { kind: 'held' });
  assert.equal(world.sip.sent.length, 1);

  world.clock.advance(1_000);
  assert.deepEqual(world.woken, [[PARTNER, 1]]);
  world.sip.behave = () => undefined;
  assert.deepEqual(await world.service.attempt(toSip()), { kind: 'delivered' });
  assert.deepEqual(world.woken.at(-1), [PARTNER, undefined]);
  assert.equal(world.service.isReachable(PARTNER), true);
  assert.deepEqual(world.log.said('warn'), ['peer does not answer, its messages wait']);
});

test('delivery: while a peer is tried all others wait', async () => {
  const world = new World();
  world.sip.behave = () => error('peer-unreachable');
  await world.service.attempt(toSip());
  world.clock.advance(1_000);
  const probe = open();
  world.sip.behave = () => probe.promise;
  const trying = world.service.attempt(toSip());
  assert.deepEqual(await world.service.attempt(toSip({}, 'm2')), { kind: 'held' });
  probe.take();
  assert.deepEqual(await trying, { kind: 'delivered' });
});

test('delivery: a peer that refuses is there', async () => {
  const world = new World();
  world.sip.behave = () => error('peer-timeout', { status: 504 });
  await world.service.attempt(toSip());
  assert.equal(world.service.isReachable(PARTNER), true);
});

test('delivery: what could not be sent at all says nothing about a peer that is being tried', async () => {
  const world = new World();
  world.sip.behave = () => error('peer-unreachable');
  await world.service.attempt(toSip());
  world.clock.advance(1_000);
  world.sip.behave = () => error('scheme-unsupported');
  assert.equal(shape(await world.service.attempt(toSip()), world.clock.nowMs()), 'dead scheme-unsupported');
  assert.equal(world.service.isReachable(PARTNER), false);
  world.clock.advance(2_000);
  assert.deepEqual(world.woken, [
    [PARTNER, 1],
    [PARTNER, 1],
  ]);
});

test('delivery: a dead peer holds up no other', async () => {
  const world = new World();
  world.sip.behave = () => error('peer-unreachable');
  await world.service.attempt(toSip());
  assert.deepEqual(await world.service.attempt(toXmpp()), { kind: 'delivered' });
  assert.deepEqual(await world.service.attempt(toBob()), { kind: 'delivered' });
});

test('delivery: only so many requests are under way to a peer; the others follow in order', async () => {
  const world = new World({ concurrency: 2 });
  const waits = [open(), open(), open(), open()];
  let n = 0;
  world.sip.behave = () => waits[n++]?.promise;
  const attempts = waits.map((_, at) => world.service.attempt(toSip({}, `m${at}`)));
  await settled();
  assert.deepEqual(world.sip.ids, ['m0', 'm1']);
  waits[1]?.take();
  await settled();
  assert.deepEqual(world.sip.ids, ['m0', 'm1', 'm2']);
  waits[0]?.refuse(error('recipient-unknown'));
  await settled();
  assert.deepEqual(world.sip.ids, ['m0', 'm1', 'm2', 'm3']);
  waits[2]?.take();
  waits[3]?.take();
  const outcomes = await Promise.all(attempts);
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ['dead', 'delivered', 'delivered', 'delivered'],
  );
});

test('delivery: when a peer turns silent those who wait for their turn are not sent into the void', async () => {
  const world = new World({ concurrency: 1 });
  const first = open();
  world.sip.behave = () => first.promise;
  const attempts = [world.service.attempt(toSip()), world.service.attempt(toSip({}, 'm2'))];
  first.refuse(error('peer-timeout'));
  const outcomes = await Promise.all(attempts);
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ['again', 'held'],
  );
  assert.deepEqual(world.sip.ids, ['m1']);
});

test('delivery: a probe that has nothing left to send does not leave the peer untried', async () => {
  const world = new World();
  world.sip.behave = () => error('peer-unreachable');
  await world.service.attempt(toSip());
  world.clock.advance(1_000);
  await world.service.attempt(toSip({ expiresAtMs: world.clock.nowMs() }));
  world.clock.advance(1_000);
  assert.deepEqual(world.woken, [
    [PARTNER, 1],
    [PARTNER, 1],
  ]);
});

// --- senders on the line

test('delivery: a sender on the line is told of the first attempt, and then by no report', async () => {
  const world = new World();
  world.local.behave = () => error('recipient-refused', { status: 603 });
  const waiting = world.service.whenSettled('m1');
  await world.service.attempt(toBob());
  const settlement = await waiting.settled;
  assert.equal(settlement.kind === 'failed' && settlement.error.code, 'recipient-refused');
  assert.equal(world.added.length, 0);
  assert.equal(world.service.settledLately('m1')?.kind, 'failed');
});

test('delivery: a sender who has left is told by a report', async () => {
  const world = new World();
  const slow = open();
  world.local.behave = () => slow.promise;
  const waiting = world.service.whenSettled('m1');
  const attempt = world.service.attempt(toBob());
  await world.clock.advanceAsync(2_000);
  assert.equal((await waiting.settled).kind, 'pending');
  slow.refuse(error('recipient-refused'));
  await attempt;
  assert.equal(world.reports.length, 1);
});

const PENDING: ReadonlyArray<readonly [name: string, code: ErrorCode]> = [
  ['contacts that do not answer', 'peer-timeout'],
  ['contacts that are busy', 'recipient-unavailable'],
];
for (const [name, code] of PENDING) {
  test(`delivery: a sender on the line does not wait for ${name}`, async () => {
    const world = new World();
    world.local.behave = () => error(code);
    const waiting = world.service.whenSettled('m1');
    await world.service.attempt(toBob());
    assert.equal((await waiting.settled).kind, 'pending');
  });
}

test('delivery: every outcome is one line of the log with the id and how long it took', async () => {
  const world = new World();
  world.clock.advance(250);
  await world.service.attempt(toXmpp());
  const lines = world.log.lines.filter(({ level }) => level === 'info');
  assert.deepEqual(lines, [
    {
      level: 'info',
      message: 'operation delivered',
      fields: { messageId: 'm1', operation: 'message', nextHop: OFFICE, attempt: 1, durationMs: 250 },
    },
  ]);
});

test('delivery: stopping lets no timer fire and nobody wait', async () => {
  const world = new World();
  world.sip.behave = () => error('peer-unreachable');
  await world.service.attempt(toSip());
  const waiting = world.service.whenSettled('m9');
  world.service.stop();
  assert.equal((await waiting.settled).kind, 'pending');
  assert.equal(world.clock.pending, 0);
});
