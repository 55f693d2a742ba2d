import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pair } from '../../../../src/core/presence/subscription.ts';
import type { SipOutgoing } from '../../../../src/sip/message.ts';
import { anAddress } from '../../../support/builders.ts';
import { settled } from '../../../support/fake-clock.ts';
import {
  accepts,
  CLOSED,
  FAR_ADDRESS,
  FarNotifier,
  fieldOf,
  OPEN,
  PAIR,
  quiet,
  ROUTE,
  toTagged,
} from '../../../support/far-notifier.ts';
import type { MemoryRecordStore } from '../../../support/memory-records.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

async function watched(): Promise<FarNotifier> {
  const far = new FarNotifier();
  await far.watch();
  await far.notify({ body: OPEN });
  return far;
}

describe('a process that begins anew on the same records', () => {
  test('answers at once, before anything has come from the wire', async () => {
    const { subscriber } = (await watched()).restarted();
    const report = subscriber.reportOf(PAIR);
    assert.ok(report);
    assert.deepEqual(report.state, { at: 'active' });
    assert.equal(report.document?.tuples[0]?.basic, 'open');
  });

  test('tells nobody what he knows', async () => {
    const far = (await watched()).restarted();
    await far.clock.advanceAsync(60_000);
    assert.deepEqual(far.told, []);
    assert.deepEqual(far.sent, []);
  });

  test('takes the next NOTIFY of the dialog, and none that is older', async () => {
    const old = await watched();
    await old.notify({ body: CLOSED, cseq: 40 });
    const far = old.restarted();
    assert.equal((await far.notify({ body: OPEN, cseq: 39 }, old.last)).status, 500);
    assert.equal((await far.notify({ body: OPEN, cseq: 41 }, old.last)).status, 200);
    assert.deepEqual(far.told, ['active open']);
  });

  test('goes on in the dialog with the next number', async () => {
    const old = await watched();
    await old.untilSent(2);
    await old.notify({ body: OPEN });
    const far = old.restarted();
    await far.untilSent(1);
    assert.deepEqual(far.sent, ['3 SUBSCRIBE, Expires 3600, far']);
    assert.equal(fieldOf(far.last, 'Call-ID'), fieldOf(old.last, 'Call-ID'));
  });

  test('never uses a number twice, though the last request was under way', async () => {
    const old = await watched();
    old.answer = () => 'silence';
    await old.untilSent(2);
    const far = old.restarted();
    await far.clock.advanceAsync(11_000);
    assert.deepEqual(far.sent, ['3 SUBSCRIBE, Expires 3600, far']);
  });

  test('carries out a refresh that was due meanwhile', async () => {
    const old = await watched();
    const crashed = old.store.crash();
    old.subscriber.stop();
    await old.clock.advanceAsync(3_400_000);
    const far = new FarNotifier({ clock: old.clock, store: crashed });
    await far.clock.advanceAsync(11_000);
    assert.deepEqual(far.sent, ['2 SUBSCRIBE, Expires 3600, far']);
  });

  test('asks for another dialog where the old one has expired meanwhile', async () => {
    const old = await watched();
    const crashed = old.store.crash();
    old.subscriber.stop();
    await old.clock.advanceAsync(86_400_000);
    const far = new FarNotifier({ clock: old.clock, store: crashed });
    await far.clock.advanceAsync(11_000);
    assert.deepEqual(far.sent, ['1 SUBSCRIBE, Expires 3600, new']);
    assert.equal((await far.notify({ body: OPEN }, old.last)).status, 481);
    assert.equal((await far.notify({ body: CLOSED })).status, 200);
    assert.deepEqual(far.told, ['active closed']);
  });

  test('asks anew where the first request may not have been sent', async () => {
    const old = new FarNotifier();
    old.store.holding = true;
    const stored = old.subscriber.watch(PAIR, ROUTE);
    await old.store.release();
    await stored;
    const far = old.restarted();
    await far.clock.advanceAsync(11_000);
    assert.deepEqual(far.sent, ['1 SUBSCRIBE, Expires 3600, new']);
  });

  test('carries out a retry that was due meanwhile', async () => {
    const old = new FarNotifier();
    old.answer = () => [503, ['Retry-After', '600']];
    await old.watch();
    old.subscriber.stop();
    const crashed = old.store.crash();
    await old.clock.advanceAsync(3_600_000);
    const far = new FarNotifier({ clock: old.clock, store: crashed });
    await far.clock.advanceAsync(11_000);
    assert.equal(far.sent.length, 1);
  });

  test('leaves those alone who rest', async () => {
    const old = await watched();
    old.subscriber.rest(PAIR);
    await quiet();
    const far = old.restarted();
    await far.clock.advanceAsync(7_200_000);
    assert.deepEqual(far.sent, []);
    assert.equal(far.subscriber.reportOf(PAIR)?.state.at, 'active');
    await far.watch();
    assert.equal(far.sent.length, 1);
  });

  test('believes the address that has answered, after the restart, too', async () => {
    const old = await watched();
    const far = old.restarted({ trusted: [] });
    assert.equal(
      (await far.notify({ body: CLOSED, cseq: 9, flow: { remoteAddress: '192.0.2.5' } }, old.last)).status,
      403,
    );
    assert.equal(
      (await far.notify({ body: CLOSED, cseq: 9, flow: { remoteAddress: FAR_ADDRESS } }, old.last)).status,
      200,
    );
  });

  test('still knows an end for a week, and forgets it then', async () => {
    const old = await watched();
    await old.notify({ state: 'terminated;reason=rejected' });
    const far = old.restarted();
    assert.deepEqual(far.subscriber.reportOf(PAIR), { state: { at: 'ended', reason: 'rejected' } });
    await far.clock.advanceAsync(7 * 86_400_000);
    const later = far.restarted();
    assert.equal(later.subscriber.reportOf(PAIR), undefined);
    await quiet();
    assert.equal(later.record(), undefined);
  });

  test('asks anew where the dialog of a record cannot be read', async () => {
    const old = await watched();
    const { watcher, presentity, route, state } = old.record()!;
    old.records.putLater([...old.records.all()][0]![0], { watcher, presentity, route, state });
    await quiet();
    const far = old.restarted();
    await far.clock.advanceAsync(11_000);
    assert.deepEqual(far.sent, ['1 SUBSCRIBE, Expires 3600, new']);
  });
});

describe('ten thousand pairs at once', () => {
  const PAIRS = 10_000;
  const PER_HOP_MAX = 50;

  function pairOf(number: number): Pair {
    return { watcher: anAddress(`w${number}@xmpp.example`), presentity: PAIR.presentity };
  }

  /** Answers each request 50 ms later, and counts how many were under way. */
  function storm(store: MemoryRecordStore, clock: FarNotifier['clock']) {
    const seen = { underWay: 0, most: 0, sent: [] as SipOutgoing[], atMs: [] as number[] };
    const far: FarNotifier = new FarNotifier({
      store,
      clock,
      perHopMax: PER_HOP_MAX,
      random: seededRandom(7),
      request: async (outgoing) => {
        seen.underWay += 1;
        seen.most = Math.max(seen.most, seen.underWay);
        seen.sent.push(outgoing);
        seen.atMs.push(clock.nowMs());
        await new Promise<void>((resolve) => clock.after(50, resolve));
        seen.underWay -= 1;
        far.answer = () => [200, ['To', toTagged(outgoing)], ['Expires', '3600']];
        return far.stack.request(outgoing);
      },
    });
    return { far, seen };
  }

  test('after a restart: each is refreshed once, a bounded number at a time, within 30 s', async () => {
    const old = new FarNotifier({ perHopMax: PAIRS });
    const pairs = Array.from({ length: PAIRS }, (_, number) => pairOf(number));
    for (const pair of pairs) void old.subscriber.watch(pair, ROUTE);
    await quiet();
    for (const outgoing of [...old.stack.sent]) void old.notify({ body: OPEN }, outgoing);
    await quiet();
    old.subscriber.stop();
    const crashed = old.store.crash();
    await old.clock.advanceAsync(3_000_000);

    const { far, seen } = storm(crashed, old.clock);
    const startMs = far.clock.nowMs();
    // The clock's timers are few: what is due is in one list.
    assert.ok(far.clock.pending < 10, String(far.clock.pending));
    for (let turn = 0; turn < 3_000 && seen.sent.length < PAIRS; turn++) {
      far.clock.advance(10);
      await settled();
      await settled();
    }
    assert.equal(seen.sent.length, PAIRS);
    assert.ok(seen.most <= PER_HOP_MAX, String(seen.most));
    assert.ok((seen.atMs.at(-1) ?? 0) - startMs < 30_000);
    assert.equal(new Set(seen.sent.map((outgoing) => fieldOf(outgoing, 'Call-ID'))).size, PAIRS);
    assert.ok(seen.sent.every((outgoing) => fieldOf(outgoing, 'CSeq') === '2 SUBSCRIBE'));
  });

  test('one next hop that is silent holds up no other', async () => {
    const far = new FarNotifier({ perHopMax: 2 });
    far.answer = (outgoing) => (outgoing.uri.includes('partner') ? 'silence' : accepts(outgoing));
    for (let number = 0; number < 20; number++) await far.watch(pairOf(number));
    const before = far.sent.length;
    const elsewhere = { watcher: PAIR.watcher, presentity: anAddress('benvolio@other.example') };
    void far.subscriber.watch(elsewhere, { kind: 'sip', domain: 'other.example' });
    await quiet();
    assert.equal(before, 2);
    assert.equal(far.last.uri, 'sip:benvolio@other.example');
    assert.equal(far.last.nextHop, undefined);
  });
});
