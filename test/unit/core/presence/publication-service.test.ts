import assert from 'node:assert/strict';
import test from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import { PublicationService } from '../../../../src/core/presence/publication-service.ts';
import type { Publication, PublishRequest } from '../../../../src/core/presence/publication.ts';
import { anAddress } from '../../../support/builders.ts';
import { FakeClock, settled } from '../../../support/fake-clock.ts';
import { MemoryRecordStore } from '../../../support/memory-records.ts';
import { aDocument, aPublication, aTuple } from '../../../support/presence-builders.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

const NOW = 1_700_000_000_000;
const ALICE = anAddress('Alice@sip.example');
const KEY = 'alice@sip.example';
const OPEN = aDocument();
const CLOSED = aDocument({ tuples: [aTuple({ basic: 'closed' })] });
const LIMITS = { expires: { min: 60, default: 600, max: 7_200 }, publicationsPerUser: 3 };

class World {
  readonly store: MemoryRecordStore;
  readonly clock: FakeClock;
  readonly service: PublicationService;
  /** What was reported, with the seconds since the start and the publications at that moment. */
  readonly seen: string[] = [];

  constructor(store = new MemoryRecordStore(), clock = new FakeClock(NOW), prefix = 'e') {
    this.store = store;
    this.clock = clock;
    let tokens = 0;
    const marks = store.records<1>('unsettled');
    this.service = new PublicationService({
      records: store.records<Publication>('publication'),
      limits: LIMITS,
      clock,
      log: new RecordingLog(),
      newToken: () => `${prefix}${(tokens += 1)}`,
      beforeChange: (key) => {
        marks.putLater(key, 1);
        this.#see('before', key);
      },
      changed: (key) => this.#see('changed', key),
    });
  }

  publish(parts: Partial<PublishRequest> = {}): ReturnType<PublicationService['publish']> {
    return this.service.publish({ presentity: ALICE, ...parts });
  }

  /** A process that finds what this one leaves when it is killed now. */
  crash(): World {
    return new World(this.store.crash(), this.clock, 'after-');
  }

  #see(what: string, key: string): void {
    this.seen.push(`${(this.clock.nowMs() - NOW) / 1_000} ${what} ${key} ${this.service.of(key).length}`);
  }
}

/** Numbers and the basic status of the first tuple, as `1 open`. */
function shown(world: World, key = KEY): string[] {
  return world.service.of(key).map(({ number, document }) => `${number} ${document.tuples[0]?.basic}`);
}

type Step = readonly [name: string, request: Partial<PublishRequest>, outcome: string | number];
/** Requests after one that has published an open document as `e1`. */
const STEPS: readonly Step[] = [
  ['refresh', { ifMatch: 'e1' }, 600],
  ['refresh with a time', { ifMatch: 'e1', expiresSeconds: 60 }, 60],
  ['refresh that is too long', { ifMatch: 'e1', expiresSeconds: 86_400 }, 7_200],
  ['refresh that is too brief', { ifMatch: 'e1', expiresSeconds: 59 }, 'interval-too-brief'],
  ['modify', { ifMatch: 'e1', document: CLOSED }, 600],
  ['remove', { ifMatch: 'e1', expiresSeconds: 0 }, 0],
  ['remove with a document', { ifMatch: 'e1', expiresSeconds: 0, document: CLOSED }, 0],
  ['initial beside it', { document: CLOSED }, 600],
  ['initial that is over at once', { document: CLOSED, expiresSeconds: 0 }, 0],
  ['initial without a document', {}, 'request-malformed'],
  ['initial without a document that is over at once', { expiresSeconds: 0 }, 'request-malformed'],
  ['initial that is too brief', { document: OPEN, expiresSeconds: 1 }, 'interval-too-brief'],
  ['refresh of an unknown tag', { ifMatch: 'e2' }, 'precondition-failed'],
  ['modify of an unknown tag', { ifMatch: 'e2', document: CLOSED }, 'precondition-failed'],
  ['remove of an unknown tag', { ifMatch: 'e2', expiresSeconds: 0 }, 'precondition-failed'],
  ['an unknown tag goes above a time that is too brief', { ifMatch: 'e2', expiresSeconds: 1 }, 'precondition-failed'],
  ['an empty tag', { ifMatch: '' }, 'precondition-failed'],
  ['the tag of another presentity', { ifMatch: 'e1', presentity: anAddress('bob@sip.example') }, 'precondition-failed'],
  ['the tag under another spelling of the address', { ifMatch: 'e1', presentity: anAddress(KEY) }, 600],
];
for (const [name, request, outcome] of STEPS) {
  test(`publication: ${name}: ${outcome}`, async () => {
    const world = new World();
    await world.publish({ document: OPEN });
    if (typeof outcome === 'string') {
      await assert.rejects(world.publish(request), (error) => error instanceof GatewayError && error.code === outcome);
      assert.deepEqual(shown(world), ['1 open']);
      return;
    }
    assert.deepEqual(await world.publish(request), { etag: 'e2', expiresSeconds: outcome });
  });
}

test('publication: what is too brief is told what is long enough', async () => {
  await assert.rejects(
    new World().publish({ document: OPEN, expiresSeconds: 59 }),
    (error) => error instanceof GatewayError && error.details.minExpiresSeconds === 60,
  );
});

type Effect = readonly [name: string, request: Partial<PublishRequest>, shown: readonly string[], isReported: boolean];
const EFFECTS: readonly Effect[] = [
  ['refresh', { ifMatch: 'e1' }, ['1 open'], false],
  ['modify', { ifMatch: 'e1', document: CLOSED }, ['1 closed'], true],
  ['remove', { ifMatch: 'e1', expiresSeconds: 0 }, [], true],
  ['initial', { document: CLOSED }, ['1 open', '2 closed'], true],
  ['initial that is over at once', { document: CLOSED, expiresSeconds: 0 }, ['1 open'], false],
];
for (const [name, request, expected, isReported] of EFFECTS) {
  test(`publication: ${name} is durable${isReported ? ', announced before that and reported after' : ' and changes nothing for watchers'}`, async () => {
    const world = new World();
    await world.publish({ document: OPEN });
    world.seen.length = 0;
    world.clock.advance(1_000);
    const { etag, expiresSeconds } = await world.publish(request);
    assert.deepEqual(shown(world), expected);
    const change = [`1 before ${KEY} 1`, `1 changed ${KEY} ${expected.length}`];
    assert.deepEqual(world.seen, isReported ? change : []);

    const after = world.crash();
    assert.deepEqual(shown(after), expected);
    if (expiresSeconds > 0) await after.publish({ ifMatch: etag });
  });
}

test('publication: the announcement becomes durable with the change or before it', async () => {
  const world = new World();
  world.store.holding = true;
  const published = world.publish({ document: OPEN });
  await settled();
  assert.deepEqual(
    world.store.journal.map(({ kind, call, key }) => `${kind} ${call} ${key}`),
    [`unsettled putLater ${KEY}`, 'publication put e1'],
  );
  assert.deepEqual([shown(world), world.seen], [[], [`0 before ${KEY} 0`]]);
  await world.store.release();
  await published;
  assert.deepEqual(shown(world), ['1 open']);
});

test('publication: a tag works once', async () => {
  const world = new World();
  await world.publish({ document: OPEN });
  await world.publish({ ifMatch: 'e1' });
  await assert.rejects(world.publish({ ifMatch: 'e1' }), { code: 'precondition-failed' });
  await world.publish({ ifMatch: 'e2', expiresSeconds: 0 });
  await assert.rejects(world.publish({ ifMatch: 'e3' }), { code: 'precondition-failed' });
});

test('publication: the new record comes before the old one goes', async () => {
  const world = new World();
  await world.publish({ document: OPEN });
  await world.publish({ ifMatch: 'e1' });
  await world.publish({ ifMatch: 'e2', document: CLOSED });
  await world.publish({ ifMatch: 'e3', expiresSeconds: 0 });
  assert.deepEqual(world.store.calls('publication'), [
    'put e1',
    'put e2',
    'removeLater e1',
    'put e3',
    'removeLater e2',
    'remove e3',
  ]);
});

test('publication: what the store refuses changes nothing', async () => {
  const world = new World();
  await world.publish({ document: OPEN });
  world.store.failing = true;
  for (const request of [
    { document: CLOSED },
    { ifMatch: 'e1' },
    { ifMatch: 'e1', document: CLOSED },
    { ifMatch: 'e1', expiresSeconds: 0 },
  ]) {
    await assert.rejects(world.publish(request), { code: 'store-unavailable' });
  }
  world.store.failing = false;
  assert.deepEqual(shown(world), ['1 open']);
  assert.equal(world.seen.filter((line) => line.includes('changed')).length, 1);
  await world.publish({ ifMatch: 'e1', document: CLOSED });
  assert.deepEqual(shown(world), ['1 closed']);
});

test('publication: requests of one presentity are carried out one after the other', async () => {
  const world = new World();
  await world.publish({ document: OPEN });
  const [first, second] = await Promise.allSettled([
    world.publish({ ifMatch: 'e1', document: CLOSED }),
    world.publish({ ifMatch: 'e1' }),
  ]);
  assert.equal(first.status, 'fulfilled');
  // The tag was used up by the first.
  assert.equal(second.status === 'rejected' && GatewayError.of(second.reason).code, 'precondition-failed');
  assert.deepEqual(shown(world), ['1 closed']);
});

test('publication: a presentity whose store is slow holds up no other', async () => {
  const world = new World();
  world.store.holding = true;
  const held = [
    world.publish({ document: OPEN }),
    world.publish({ document: OPEN }),
    world.publish({ document: OPEN, presentity: anAddress('bob@sip.example') }),
  ];
  await settled();
  assert.deepEqual(world.store.calls('publication'), ['put e1', 'put e2']);
  await world.store.release();
  await world.store.release();
  await Promise.all(held);
  assert.deepEqual([shown(world).length, shown(world, 'bob@sip.example').length], [2, 1]);
});

test('publication: each expires at its time and is reported, a refreshed one later', async () => {
  const world = new World();
  world.service.start();
  await world.publish({ document: OPEN, expiresSeconds: 100 });
  await world.publish({ document: CLOSED, expiresSeconds: 300 });
  await world.publish({ ifMatch: 'e1', expiresSeconds: 200 });
  world.seen.length = 0;
  await world.clock.advanceAsync(1_000_000);
  assert.deepEqual(world.seen, [
    `200 before ${KEY} 1`,
    `200 changed ${KEY} 1`,
    `300 before ${KEY} 0`,
    `300 changed ${KEY} 0`,
  ]);
  assert.deepEqual([world.service.count(), world.clock.pending], [0, 0]);
  assert.deepEqual(shown(world.crash()), []);
});

test('publication: one that is made shorter expires sooner', async () => {
  const world = new World();
  world.service.start();
  await world.publish({ document: OPEN, expiresSeconds: 600 });
  await world.publish({ ifMatch: 'e1', expiresSeconds: 60 });
  world.seen.length = 0;
  await world.clock.advanceAsync(1_000_000);
  assert.deepEqual(world.seen, [`60 before ${KEY} 0`, `60 changed ${KEY} 0`]);
});

test('publication: one that has expired is not there, even before that was noticed', async () => {
  const world = new World();
  await world.publish({ document: OPEN, expiresSeconds: 60 });
  const restarted = world.crash();
  await world.clock.advanceAsync(60_000);
  assert.deepEqual(shown(restarted), []);
  await assert.rejects(restarted.publish({ ifMatch: 'e1' }), { code: 'precondition-failed' });
});

test('publication: an expiry that comes while a refresh is being stored changes nothing', async () => {
  const world = new World();
  await world.publish({ document: OPEN, expiresSeconds: 60 });
  world.seen.length = 0;
  world.clock.advance(59_999);
  world.store.holding = true;
  const refresh = world.publish({ ifMatch: 'e1' });
  world.clock.advance(1);
  await world.store.release();
  await refresh;
  await world.clock.advanceAsync(1);
  assert.deepEqual([shown(world), world.seen], [['1 open'], []]);
});

test('publication: what expired while no process ran is reported at the start, the rest at its time', async () => {
  const world = new World();
  await world.publish({ document: OPEN, expiresSeconds: 60 });
  await world.publish({ document: OPEN, expiresSeconds: 200 });
  await world.publish({ document: OPEN, expiresSeconds: 60, presentity: anAddress('bob@sip.example') });
  await settled();
  const restarted = world.crash();
  world.clock.advance(100_000);
  restarted.service.start();
  assert.deepEqual(restarted.seen, [
    `100 before ${KEY} 1`,
    `100 changed ${KEY} 1`,
    '100 before bob@sip.example 0',
    '100 changed bob@sip.example 0',
  ]);
  await world.clock.advanceAsync(100_000);
  assert.deepEqual(restarted.seen.slice(4), [`200 before ${KEY} 0`, `200 changed ${KEY} 0`]);
  assert.deepEqual(shown(restarted.crash()), []);
});

test('publication: of one number that is there twice after a crash the newer counts, also when the clock was set back', async () => {
  const world = new World();
  await world.publish({ document: OPEN });
  world.clock.advance(-5_000);
  await world.publish({ ifMatch: 'e1', document: CLOSED });
  const records = world.store.records<Publication>('publication');
  const before = world.store.journal.find(({ key }) => key === 'e1')?.value as Publication;
  // As if the process had ended between the two writes.
  await records.put('e1', before);
  const restarted = world.crash();
  assert.deepEqual(shown(restarted), ['1 closed']);
  await assert.rejects(restarted.publish({ ifMatch: 'e1' }), { code: 'precondition-failed' });
  await restarted.publish({ ifMatch: 'e2' });
  assert.deepEqual(shown(restarted.crash()), ['1 closed']);
});

test('publication: over the bound the one that goes is the one not heard of for longest', async () => {
  const world = new World();
  for (const basic of ['open', 'closed', 'open'] as const) {
    await world.publish({ document: aDocument({ tuples: [aTuple({ basic })] }) });
    world.clock.advance(1_000);
  }
  await world.publish({ ifMatch: 'e1' });
  world.clock.advance(1_000);
  world.seen.length = 0;
  await world.publish({ document: CLOSED });
  assert.deepEqual(shown(world), ['1 open', '3 open', '4 closed']);
  assert.deepEqual(world.seen, [`4 before ${KEY} 3`, `4 changed ${KEY} 3`]);
  await assert.rejects(world.publish({ ifMatch: 'e2' }), { code: 'precondition-failed' });
  await world.publish({ ifMatch: 'e4' });
  assert.deepEqual(shown(world.crash()), ['1 open', '3 open', '4 closed']);
});

test('publication: a phone that restarts a thousand times leaves no more than the bound', async () => {
  const world = new World();
  for (let count = 0; count < 1_000; count += 1) await world.publish({ document: OPEN, expiresSeconds: 7_200 });
  await settled();
  assert.deepEqual([world.service.count(), world.clock.pending], [3, 1]);
  assert.deepEqual(shown(world.crash()), ['998 open', '999 open', '1000 open']);
});

test('publication: more than the bound after a crash are cut down to it', async () => {
  const store = new MemoryRecordStore();
  const records = store.records<Publication>('publication');
  for (const number of [5, 3, 4, 2, 9]) {
    await records.put(`old-${number}`, aPublication({ number, publishedAtMs: NOW - number * 1_000 }));
  }
  const world = new World(store);
  assert.deepEqual(shown(world), ['2 open', '3 open', '4 open']);
  await world.publish({ ifMatch: 'old-2', document: CLOSED });
  assert.deepEqual(shown(world.crash()), ['2 closed', '3 open', '4 open']);
});

test('publication: numbers grow, over a restart too', async () => {
  const world = new World();
  await world.publish({ document: OPEN });
  await world.publish({ document: OPEN, presentity: anAddress('bob@sip.example') });
  const restarted = world.crash();
  await restarted.publish({ document: CLOSED });
  assert.deepEqual(shown(restarted), ['1 open', '3 closed']);
});

test('publication: a refresh moves neither the document nor the time of its change', async () => {
  const world = new World();
  await world.publish({ document: OPEN });
  world.clock.advance(5_000);
  await world.publish({ ifMatch: 'e1', expiresSeconds: 100 });
  assert.deepEqual(world.service.of(KEY), [
    {
      presentity: ALICE,
      number: 1,
      document: OPEN,
      expiresAtMs: NOW + 105_000,
      publishedAtMs: NOW + 5_000,
      changedAtMs: NOW,
    },
  ]);
});
