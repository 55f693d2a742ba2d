import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { UpstreamReport } from '../../../../src/core/presence/subscription.ts';
import {
  accepts,
  CLOSED,
  FarNotifier,
  fieldOf,
  OPEN,
  PAIR,
  quiet,
  ROUTE,
  type NotifyParts,
} from '../../../support/far-notifier.ts';
import type { Answer } from '../../../support/fake-stack.ts';

function wordsOf({ state, document }: UpstreamReport): string {
  const word = state.at === 'ended' ? `ended ${state.reason}` : state.at;
  const basic = document?.tuples[0]?.basic;
  return basic === undefined ? word : `${word} ${basic}`;
}

describe('a fetch', () => {
  test('is a SUBSCRIBE with Expires 0 in a dialog of its own, which is not stored', async () => {
    const far = new FarNotifier();
    void far.subscriber.fetch(PAIR, ROUTE);
    await quiet();
    assert.deepEqual(far.sent, ['1 SUBSCRIBE, Expires 0, new']);
    assert.deepEqual(far.last.nextHop, { uri: ROUTE.nextHop });
    assert.deepEqual(far.store.journal, []);
  });

  const CASES: ReadonlyArray<readonly [name: string, notify: NotifyParts, words: string]> = [
    ['the document counts, not that it ends', { state: 'terminated;reason=timeout', body: OPEN }, 'active open'],
    ['nothing is known', { state: 'terminated;reason=timeout' }, 'asked'],
    ['refused', { state: 'terminated;reason=rejected' }, 'ended rejected'],
    ['nobody there', { state: 'terminated;reason=noresource' }, 'ended noresource'],
    ['not decided', { state: 'pending' }, 'pending'],
    ['not decided, with a document', { state: 'pending', body: CLOSED }, 'pending'],
    ['active from an older server', { state: 'active;expires=0', body: CLOSED }, 'active closed'],
  ];
  for (const [name, notify, words] of CASES) {
    test(`NOTIFY: ${name}`, async () => {
      const far = new FarNotifier();
      const fetched = far.subscriber.fetch(PAIR, ROUTE);
      await quiet();
      assert.equal((await far.notify(notify)).status, 200);
      assert.equal(wordsOf(await fetched), words);
      assert.deepEqual(far.told, []);
    });
  }

  const ANSWERS: ReadonlyArray<readonly [Answer, string]> = [
    [403, 'ended rejected'],
    [404, 'ended noresource'],
    [481, 'asked'],
    [503, 'asked'],
    ['peer-unreachable', 'asked'],
  ];
  for (const [answer, words] of ANSWERS) {
    test(`answered ${String(answer)}`, async () => {
      const far = new FarNotifier();
      far.answer = () => answer;
      assert.equal(wordsOf(await far.subscriber.fetch(PAIR, ROUTE)), words);
    });
  }

  test('waits 2 s and no longer', async () => {
    const far = new FarNotifier();
    let words = '';
    void far.subscriber.fetch(PAIR, ROUTE).then((report) => (words = wordsOf(report)));
    await far.clock.advanceAsync(1_900);
    assert.equal(words, '');
    await far.clock.advanceAsync(200);
    assert.equal(words, 'asked');
    // What comes later is taken, and interests nobody.
    assert.equal((await far.notify({ state: 'terminated;reason=timeout', body: OPEN })).status, 200);
    assert.equal((await far.notify({ state: 'terminated;reason=timeout', body: OPEN })).status, 481);
  });

  test('does not keep its dialog', async () => {
    const far = new FarNotifier();
    void far.subscriber.fetch(PAIR, ROUTE);
    await far.clock.advanceAsync(33_000);
    assert.equal((await far.notify({ state: 'terminated', body: OPEN })).status, 481);
  });

  test('of one who rests asks, and gives what was known when nothing comes', async () => {
    const far = new FarNotifier();
    await far.watch();
    await far.notify({ body: OPEN });
    far.subscriber.rest(PAIR);
    await quiet();
    const sent = far.sent.length;
    const fetched = far.subscriber.fetch(PAIR, ROUTE);
    await far.clock.advanceAsync(2_000);
    assert.equal(far.sent.length, sent + 1);
    assert.equal(wordsOf(await fetched), 'active open');
  });

  test('of one who is watched asks nobody', async () => {
    const far = new FarNotifier();
    await far.watch();
    await far.notify({ body: OPEN });
    assert.equal(wordsOf(await far.subscriber.fetch(PAIR, ROUTE)), 'active open');
    assert.equal(far.sent.length, 1);
  });

  test('whose turn does not come is not sent when its time is over', async () => {
    const far = new FarNotifier({ perHopMax: 1 });
    far.answer = () => 'silence';
    void far.subscriber.fetch(PAIR, ROUTE);
    const second = far.subscriber.fetch(PAIR, ROUTE);
    await far.clock.advanceAsync(2_100);
    assert.equal(wordsOf(await second), 'asked');
    assert.equal(far.sent.length, 1);
  });

  test('that is refused says nothing about the one who watches', async () => {
    const far = new FarNotifier();
    await far.watch();
    await far.notify({ body: OPEN });
    far.subscriber.rest(PAIR);
    await quiet();
    far.answer = (outgoing) => (fieldOf(outgoing, 'Expires') === '0' ? 403 : accepts(outgoing));
    assert.equal(wordsOf(await far.subscriber.fetch(PAIR, ROUTE)), 'ended rejected');
    assert.equal(wordsOf(far.subscriber.reportOf(PAIR)!), 'active open');
  });
});
