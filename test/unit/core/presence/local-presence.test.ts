import assert from 'node:assert/strict';
import test from 'node:test';
import { LocalPresence } from '../../../../src/core/presence/local-presence.ts';
import { isSameData } from '../../../../src/core/presence/same-data.ts';
import type { Publication } from '../../../../src/core/presence/publication.ts';
import type { Binding } from '../../../../src/core/ports.ts';
import { aBinding, anAddress } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aDocument, aPerson, aPublication, aTuple } from '../../../support/presence-builders.ts';

const NOW = 1_700_000_000_000;
const KEY = 'alice@sip.example';
const OPEN = aPublication({ document: aDocument() });
const AWAY = aPublication({ document: aDocument({ tuples: [aTuple({ show: 'away' })] }) });

class World {
  readonly clock = new FakeClock(NOW);
  publications: readonly Publication[] = [];
  bindings: readonly Binding[] = [];
  asked = 0;
  /** Seconds since the start at which a change was reported. */
  readonly seen: number[] = [];
  readonly local = new LocalPresence({
    publicationsOf: (key) => {
      this.asked += 1;
      return key === KEY ? this.publications : [];
    },
    bindingsOf: (key) => (key === KEY ? this.bindings : []),
    cardOf: () => undefined,
    policy: { registrations: 'fallback', staleAfterSeconds: 600 },
    clock: this.clock,
    onChanged: (key) => {
      assert.equal(key, KEY);
      this.seen.push((this.clock.nowMs() - NOW) / 1_000);
    },
  });

  /** Puts these in the place of the publications, and says so. */
  publish(...publications: readonly Publication[]): void {
    this.publications = publications;
    this.local.changed(KEY);
  }
}

test('local presence: a document is composed once for all who watch', () => {
  const world = new World();
  world.publications = [OPEN];
  world.local.watch(KEY);
  const document = world.local.documentOf(KEY);
  assert.deepEqual(document, OPEN.document);
  world.local.watch(KEY);
  for (let count = 0; count < 10; count += 1) assert.equal(world.local.documentOf(KEY), document);
  assert.equal(world.asked, 1);
});

test('local presence: a user nobody watches is composed when asked for, and costs no timer', () => {
  const world = new World();
  world.publish(OPEN);
  assert.equal(world.asked, 0);
  assert.deepEqual(world.local.documentOf(KEY), OPEN.document);
  world.publish(AWAY);
  assert.equal(world.local.documentOf(KEY).tuples[0]?.show, 'away');
  assert.deepEqual([world.seen, world.clock.pending], [[], 0]);
});

test('local presence: a change of one who is watched is reported once, with the new document in place', () => {
  const world = new World();
  world.local.watch(KEY);
  world.publish(OPEN);
  assert.deepEqual(world.local.documentOf(KEY), OPEN.document);
  world.publish(AWAY);
  assert.deepEqual(world.local.documentOf(KEY), AWAY.document);
  world.publish();
  assert.equal(world.local.documentOf(KEY).tuples[0]?.basic, 'closed');
  assert.equal(world.seen.length, 3);
});

test('local presence: what says the same is not reported, and stays the same object', () => {
  const world = new World();
  world.publish(OPEN);
  world.local.watch(KEY);
  const document = world.local.documentOf(KEY);
  world.publish(aPublication({ ...OPEN, document: structuredClone(OPEN.document), changedAtMs: NOW + 5 }));
  world.local.changed(KEY);
  assert.deepEqual(world.seen, []);
  assert.equal(world.local.documentOf(KEY), document);
});

test('local presence: a registration that is refreshed is not reported, one that ends is', () => {
  const world = new World();
  const phone = aBinding({ expiresAtMs: NOW + 60_000 });
  const tablet = aBinding({ contact: 'sip:alice@192.0.2.9', expiresAtMs: NOW + 300_000 });
  world.bindings = [phone, tablet];
  world.local.watch(KEY);
  world.clock.advance(50_000);
  world.bindings = [tablet, { ...phone, expiresAtMs: NOW + 110_000 }];
  world.local.changed(KEY);
  assert.deepEqual(world.seen, []);
  world.clock.advance(1_000_000);
  assert.deepEqual(world.seen, [110, 300]);
});

test('local presence: what changes by itself is reported at its time, while somebody watches', () => {
  const meeting = { values: [{ name: 'meeting' }], fromMs: NOW + 60_000, untilMs: NOW + 120_000 };
  const world = new World();
  world.publications = [
    aPublication({ document: aDocument({ persons: [aPerson({ rich: { activities: meeting } })] }) }),
  ];
  world.local.watch(KEY);
  assert.equal(world.clock.pending, 1);
  world.clock.advance(60_000);
  assert.deepEqual(world.local.documentOf(KEY).persons[0]?.rich, { activities: meeting });
  world.clock.advance(1_000_000);
  // The third: nothing new for ten minutes.
  assert.deepEqual(world.seen, [60, 120, 600]);
  assert.equal(world.clock.pending, 0);
});

test('local presence: nobody is told, and no time is kept, after unwatch', () => {
  const world = new World();
  world.publications = [OPEN];
  world.local.watch(KEY);
  world.local.unwatch(KEY);
  world.local.unwatch(KEY);
  world.publish(AWAY);
  world.clock.advance(1_000_000);
  assert.deepEqual(world.seen, []);
  assert.deepEqual([world.local.documentOf(KEY).tuples[0]?.show, world.clock.pending], ['away', 0]);
});

test('local presence: the spelling of the address is the publisher’s where there is one', () => {
  const world = new World();
  world.local.watch(KEY);
  assert.equal(world.local.documentOf(KEY).entity, 'pres:alice@sip.example');
  world.publish(aPublication({ presentity: anAddress('Alice@sip.example') }));
  assert.equal(world.local.documentOf(KEY).entity, 'pres:Alice@sip.example');
});

const SAME: ReadonlyArray<readonly [a: unknown, b: unknown, isSame: boolean]> = [
  [1, 1, true],
  [1, '1', false],
  [null, undefined, false],
  [null, {}, false],
  [[], {}, false],
  [{}, [], false],
  [[1, 2], [1, 2], true],
  [[1, 2], [2, 1], false],
  [[1], [1, 2], false],
  [{ a: 1, b: [{ c: 2 }] }, { b: [{ c: 2 }], a: 1 }, true],
  [{ a: 1 }, { a: 1, b: 2 }, false],
  [{ a: 1, b: 2 }, { a: 1 }, false],
  [{ a: undefined }, { b: undefined }, false],
  [{ constructor: undefined }, {}, false],
  [{ a: { b: { c: 1 } } }, { a: { b: { c: 2 } } }, false],
];
for (const [a, b, isSame] of SAME) {
  test(`same data: ${JSON.stringify(a)} and ${JSON.stringify(b)}: ${isSame ? 'yes' : 'no'}`, () => {
    assert.equal(isSameData(a, b), isSame);
    assert.equal(isSameData(b, a), isSame);
  });
}
