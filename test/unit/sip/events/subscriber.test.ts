import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pairKey } from '../../../../src/core/presence/subscription.ts';
import { anAddress } from '../../../support/builders.ts';
import { accepts, CLOSED, FarNotifier, fieldOf, OPEN, PAIR, quiet, ROUTE } from '../../../support/far-notifier.ts';
import type { Answer } from '../../../support/fake-stack.ts';

const KEY = pairKey(PAIR);

/** A pair that is watched, and whose presentity has answered. */
async function watched(): Promise<FarNotifier> {
  const far = new FarNotifier();
  await far.watch();
  await far.notify({ body: OPEN });
  return far;
}

describe('a SUBSCRIBE as it is sent', () => {
  test('for a new dialog', async () => {
    const far = new FarNotifier();
    await far.watch();
    const { uri, nextHop, expectNames } = far.last;
    assert.equal(uri, 'sip:romeo@partner.example');
    assert.deepEqual(nextHop, { uri: ROUTE.nextHop });
    assert.deepEqual(expectNames, ['partner.example', '192.0.2.77']);
    assert.match(fieldOf(far.last, 'From'), /^<sip:juliet@xmpp\.example>;tag=./);
    assert.equal(fieldOf(far.last, 'To'), '<sip:romeo@partner.example>');
    assert.equal(fieldOf(far.last, 'Contact'), '<sip:192.0.2.10;transport=tcp>');
    assert.equal(fieldOf(far.last, 'Event'), 'presence');
    assert.equal(fieldOf(far.last, 'Accept'), 'application/pidf+xml, application/cpim-pidf+xml');
    assert.deepEqual(far.sent, ['1 SUBSCRIBE, Expires 3600, new']);
  });

  test('within a dialog without routes, through the next hop to the Contact of the NOTIFY', async () => {
    const far = await watched();
    await far.untilSent(2);
    assert.deepEqual(far.sent.slice(1), ['2 SUBSCRIBE, Expires 3600, far']);
    assert.equal(far.last.uri, 'sip:ps.partner.example:5070;transport=tcp');
    assert.deepEqual(far.last.nextHop, { uri: ROUTE.nextHop });
  });

  test('within a dialog with routes, by them', async () => {
    const far = new FarNotifier();
    await far.watch();
    await far.notify({ headers: [['Record-Route', '<sip:p1.partner.example;lr>, <sip:p2.partner.example;lr>']] });
    await far.untilSent(2);
    assert.equal(far.last.nextHop, undefined);
    const routes = far.last.headers.filter(([name]) => name === 'Route').map(([, value]) => value);
    assert.deepEqual(routes, ['<sip:p1.partner.example;lr>', '<sip:p2.partner.example;lr>']);
    assert.deepEqual(far.last.expectNames, ['partner.example', 'p1.partner.example']);
  });

  test('leaves when it is stored, and not before', async () => {
    const far = new FarNotifier();
    far.store.holding = true;
    const stored = far.subscriber.watch(PAIR, ROUTE);
    await quiet();
    assert.deepEqual(far.sent, []);
    await far.store.release();
    await stored;
    await quiet();
    assert.equal(far.sent.length, 1);
    const first = far.store.journal[0]?.value as { dialog?: { localCseq: number } };
    assert.equal(first.dialog?.localCseq, 1);
  });
});

describe('what the watcher is told', () => {
  test('nothing after the 2xx alone', async () => {
    const far = new FarNotifier();
    await far.watch();
    assert.deepEqual(far.told, []);
    assert.deepEqual(far.subscriber.reportOf(PAIR), { state: { at: 'asked' } });
  });

  const NOTIFIED: ReadonlyArray<
    readonly [name: string, states: ReadonlyArray<readonly [string, string?]>, told: string[]]
  > = [
    ['pending', [['pending']], ['pending']],
    ['pending, with a document that says nothing', [['pending', CLOSED]], ['pending']],
    ['active with a document', [['active', OPEN]], ['active open']],
    ['active without one', [['active']], ['active']],
    ['pending, then active', [['pending'], ['active', OPEN]], ['pending', 'active open']],
    [
      'a change',
      [
        ['active', OPEN],
        ['active', CLOSED],
      ],
      ['active open', 'active closed'],
    ],
    [
      'the same again',
      [
        ['active', OPEN],
        ['active', OPEN],
      ],
      ['active open'],
    ],
    ['active, then active without a document', [['active', OPEN], ['active']], ['active open']],
    ['rejected', [['active', OPEN], ['terminated;reason=rejected']], ['active open', 'ended rejected']],
    ['noresource', [['active', OPEN], ['terminated;reason=noresource']], ['active open', 'ended noresource']],
    ['deactivated', [['active', OPEN], ['terminated;reason=deactivated']], ['active open']],
    [
      'timeout, with a last document',
      [
        ['active', OPEN],
        ['terminated;reason=timeout', CLOSED],
      ],
      ['active open'],
    ],
    ['probation', [['active', OPEN], ['terminated;reason=probation;retry-after=60']], ['active open']],
    ['giveup', [['pending'], ['terminated;reason=giveup;retry-after=60']], ['pending']],
    ['an unknown reason', [['active', OPEN], ['terminated;reason=whim']], ['active open']],
    [
      'invariant',
      [
        ['active', OPEN],
        ['terminated;reason=invariant', CLOSED],
      ],
      ['active open', 'active closed'],
    ],
  ];
  for (const [name, states, told] of NOTIFIED) {
    test(name, async () => {
      const far = new FarNotifier();
      await far.watch();
      const first = far.last;
      for (const [state, body] of states) {
        assert.equal((await far.notify({ state, ...(body === undefined ? {} : { body }) }, first)).status, 200);
      }
      assert.deepEqual(far.told, told);
    });
  }

  const ANSWERED: ReadonlyArray<readonly [answer: Answer, told: string[], state: string]> = [
    [403, ['ended rejected'], 'ended'],
    [489, ['ended rejected'], 'ended'],
    [603, ['ended rejected'], 'ended'],
    [401, ['ended rejected'], 'ended'],
    [407, ['ended rejected'], 'ended'],
    [404, ['ended noresource'], 'ended'],
    [604, ['ended noresource'], 'ended'],
    [408, [], 'retry'],
    [480, [], 'retry'],
    [481, [], 'retry'],
    [500, [], 'retry'],
    [503, [], 'retry'],
    [302, [], 'retry'],
    [406, [], 'retry'],
    ['peer-unreachable', [], 'retry'],
    ['peer-timeout', [], 'retry'],
    ['internal', [], 'retry'],
  ];
  for (const [answer, told, state] of ANSWERED) {
    test(`a first request that comes to ${String(answer)}`, async () => {
      const far = new FarNotifier();
      far.answer = () => answer;
      await far.watch();
      assert.deepEqual(far.told, told);
      assert.equal(far.record()?.state.at, state);
    });
  }

  const REFRESHED: ReadonlyArray<readonly [answer: Answer, told: string[], state: string]> = [
    [403, ['ended rejected'], 'ended'],
    [489, ['ended rejected'], 'ended'],
    [603, ['ended rejected'], 'ended'],
    [404, [], 'retry'],
    [480, [], 'retry'],
    [501, [], 'retry'],
    [481, [], 'asking'],
    [500, [], 'active'],
    [503, [], 'active'],
    ['peer-timeout', [], 'active'],
  ];
  for (const [answer, told, state] of REFRESHED) {
    test(`a refresh that comes to ${String(answer)}`, async () => {
      const far = await watched();
      far.reports.length = 0;
      far.answer = (outgoing) => (fieldOf(outgoing, 'To').includes('tag=') ? answer : 'silence');
      await far.untilSent(2);
      assert.deepEqual(far.told, told);
      assert.equal(far.record()?.state.at, state);
    });
  }

  test('peers that ask for credentials are named to the operator', async () => {
    const far = new FarNotifier();
    far.answer = () => 401;
    await far.watch();
    assert.deepEqual(far.log.said('warn'), ['peer asks for credentials that this server does not have']);
  });

  test('a peer that does not answer is a warning once, whoever asks, and a line when it is back', async () => {
    const far = new FarNotifier();
    far.answer = () => 'peer-timeout';
    await far.watch();
    await far.untilSent(3);
    assert.deepEqual(far.log.said('warn'), ['peer does not answer subscriptions, they are tried again']);
    far.answer = accepts;
    await far.untilSent(4);
    assert.equal(far.log.said('info').filter((line) => line === 'peer answers subscriptions again').length, 1);
  });

  test('that nothing is known any more, when it cannot be had again in time', async () => {
    const far = await watched();
    far.answer = () => 'peer-unreachable';
    await far.clock.advanceAsync(3_600_000 + 600_000);
    assert.deepEqual(far.told, ['active open', 'active']);
    far.answer = accepts;
    await far.untilSent(far.sent.length + 1);
    await far.notify({ body: OPEN });
    assert.deepEqual(far.told, ['active open', 'active', 'active open']);
  });
});

describe('how it goes on', () => {
  test('423: asked again with Min-Expires, at once', async () => {
    const far = new FarNotifier();
    far.answer = (outgoing) =>
      fieldOf(outgoing, 'Expires') === '3600' ? [423, ['Min-Expires', '7200']] : accepts(outgoing);
    await far.watch();
    assert.deepEqual(far.sent, ['1 SUBSCRIBE, Expires 3600, new', '1 SUBSCRIBE, Expires 7200, new']);
  });

  test('423 without a time: later', async () => {
    const far = new FarNotifier();
    far.answer = () => 423;
    await far.watch();
    assert.equal(far.sent.length, 1);
    assert.equal(far.record()?.state.at, 'retry');
  });

  test('481 to a refresh: a new dialog at once, with a Call-ID and a tag of its own', async () => {
    const far = await watched();
    far.answer = (outgoing) => (fieldOf(outgoing, 'To').includes('tag=') ? 481 : accepts(outgoing));
    await far.untilSent(3);
    assert.deepEqual(far.sent.slice(1), ['2 SUBSCRIBE, Expires 3600, far', '1 SUBSCRIBE, Expires 3600, new']);
    const [first, , third] = far.stack.sent;
    assert.notEqual(fieldOf(first!, 'Call-ID'), fieldOf(third!, 'Call-ID'));
    assert.notEqual(fieldOf(first!, 'From'), fieldOf(third!, 'From'));
    assert.equal((await far.notify({ body: CLOSED }, first)).status, 481);
    assert.equal((await far.notify({ body: CLOSED }, third)).status, 200);
  });

  test('Retry-After is waited for', async () => {
    const far = new FarNotifier();
    far.answer = () => [503, ['Retry-After', '120']];
    await far.watch();
    await far.clock.advanceAsync(119_000);
    assert.equal(far.sent.length, 1);
    await far.clock.advanceAsync(2_000);
    assert.equal(far.sent.length, 2);
  });

  test('Timer N: nobody notifies, so another dialog is asked for', async () => {
    const far = new FarNotifier();
    await far.watch();
    await far.clock.advanceAsync(31_900);
    assert.equal(far.record()?.state.at, 'asking');
    await far.clock.advanceAsync(200);
    assert.equal(far.record()?.state.at, 'retry');
    const [first] = far.stack.sent;
    await far.clock.advanceAsync(60_000);
    assert.equal(far.sent.length, 3);
    assert.equal((await far.notify({}, first)).status, 481);
  });

  test('what waits for a peer that was silent goes on when he answers somebody', async () => {
    const far = new FarNotifier();
    far.answer = () => 'peer-unreachable';
    const other = { ...PAIR, watcher: anAddress('nurse@xmpp.example') };
    await far.watch();
    await far.clock.advanceAsync(3_000_000);
    far.answer = accepts;
    const { state } = far.record()!;
    assert.ok(state.at === 'retry' && state.atMs - far.clock.nowMs() > 30_000);
    await far.watch(other);
    await far.clock.advanceAsync(10_500);
    assert.equal(far.record()?.state.at, 'asking');
  });

  test('an answer that comes after its pair has moved on changes nothing', async () => {
    const far = new FarNotifier();
    let answerLate: (() => void) | undefined;
    const slow = new FarNotifier({
      clock: far.clock,
      request: async (outgoing) => {
        if (answerLate === undefined) await new Promise<void>((resolve) => (answerLate = resolve));
        return far.stack.request(outgoing);
      },
    });
    await slow.watch();
    slow.subscriber.rest(PAIR);
    await slow.watch();
    assert.equal(far.sent.length, 1);
    far.answer = () => 403;
    answerLate?.();
    await quiet();
    assert.equal(far.sent.length, 2);
    assert.equal(slow.record()?.state.at, 'asking');
    assert.deepEqual(slow.told, []);
  });
});

describe('watch, rest and end', () => {
  test('asking again for what is under way changes nothing', async () => {
    const far = await watched();
    await far.watch();
    assert.equal(far.sent.length, 1);
  });

  test('asking twice at once opens one dialog, and both wait until it is stored', async () => {
    const far = new FarNotifier();
    far.store.holding = true;
    let stored = 0;
    const count = (): unknown => (stored += 1);
    const both = [far.subscriber.watch(PAIR, ROUTE).then(count), far.subscriber.watch(PAIR, ROUTE).then(count)];
    await quiet();
    assert.equal(stored, 0);
    await far.store.release();
    await Promise.all(both);
    await quiet();
    assert.equal(far.sent.length, 1);
  });

  test('asking while a retry waits keeps its time', async () => {
    const far = new FarNotifier();
    far.answer = () => [503, ['Retry-After', '120']];
    await far.watch();
    await far.watch();
    assert.equal(far.sent.length, 1);
  });

  test('rest ends the dialog and tells nobody; its last NOTIFY is taken', async () => {
    const far = await watched();
    const [first] = far.stack.sent;
    far.subscriber.rest(PAIR);
    await quiet();
    assert.deepEqual(far.sent.slice(1), ['2 SUBSCRIBE, Expires 0, far']);
    assert.equal((await far.notify({ state: 'terminated;reason=timeout', body: CLOSED }, first)).status, 200);
    assert.deepEqual(far.told, ['active open']);
    assert.equal(far.subscriber.reportOf(PAIR)?.document?.tuples[0]?.basic, 'open');
    await far.clock.advanceAsync(7_200_000);
    assert.equal(far.sent.length, 2);
    assert.equal((await far.notify({ state: 'terminated' }, first)).status, 481);
  });

  test('rest is stored before it is said', async () => {
    const far = await watched();
    far.store.holding = true;
    far.subscriber.rest(PAIR);
    await quiet();
    assert.equal(far.sent.length, 1);
    await far.store.release();
    await quiet();
    assert.equal(far.sent.length, 2);
    assert.equal(far.record()?.dialog, undefined);
  });

  test('rest before the far side has answered ends the dialog as soon as it has', async () => {
    const far = new FarNotifier();
    let release: (() => void) | undefined;
    const slow = new FarNotifier({
      clock: far.clock,
      request: async (outgoing) => {
        if (release === undefined) await new Promise<void>((resolve) => (release = resolve));
        return far.stack.request(outgoing);
      },
    });
    await slow.watch();
    slow.subscriber.rest(PAIR);
    await quiet();
    assert.deepEqual(far.sent, []);
    release?.();
    await quiet();
    assert.deepEqual(far.sent, ['1 SUBSCRIBE, Expires 3600, new', '2 SUBSCRIBE, Expires 0, far']);
  });

  test('rest before the request has left lets it not leave at all', async () => {
    const far = new FarNotifier();
    far.store.holding = true;
    const stored = far.subscriber.watch(PAIR, ROUTE);
    far.subscriber.rest(PAIR);
    await far.store.release();
    await stored;
    await quiet();
    assert.deepEqual(far.sent, []);
    assert.equal(far.record()?.state.at, 'resting');
  });

  test('watch after rest opens a new dialog', async () => {
    const far = await watched();
    far.subscriber.rest(PAIR);
    await quiet();
    await far.watch();
    assert.equal(far.sent.at(-1), '1 SUBSCRIBE, Expires 3600, new');
    await far.notify({ body: OPEN });
    assert.deepEqual(far.told, ['active open']);
  });

  test('end forgets the pair', async () => {
    const far = await watched();
    far.subscriber.end(PAIR);
    await quiet();
    assert.deepEqual(far.sent.slice(1), ['2 SUBSCRIBE, Expires 0, far']);
    assert.equal(far.record(), undefined);
    assert.equal(far.subscriber.reportOf(PAIR), undefined);
    assert.deepEqual(far.store.calls('sip-upstream').at(-1), `remove ${KEY}`);
  });

  test('end while it is reported forgets it for good', async () => {
    const store = await watched();
    const { subscriber } = store;
    store.reports.push = () => {
      subscriber.end(PAIR);
      return 0;
    };
    await store.notify({ state: 'terminated;reason=rejected' });
    await quiet();
    assert.equal(store.record(), undefined);
  });

  test('rest and end of what nobody watches do nothing', () => {
    const far = new FarNotifier();
    far.subscriber.rest(PAIR);
    far.subscriber.end(PAIR);
    assert.deepEqual(far.store.journal, []);
  });

  test('a watch that cannot be stored is refused, and does not happen', async () => {
    const far = new FarNotifier();
    far.store.failing = true;
    await assert.rejects(far.subscriber.watch(PAIR, ROUTE), { code: 'store-unavailable' });
    far.store.failing = false;
    await far.clock.advanceAsync(600_000);
    assert.deepEqual(far.sent, []);
    assert.equal(far.subscriber.reportOf(PAIR), undefined);
    await far.watch();
    assert.equal(far.sent.length, 1);
  });

  test('a refresh that cannot be stored waits for the store', async () => {
    const far = await watched();
    far.store.failing = true;
    await far.clock.advanceAsync(2_881_000);
    assert.equal(far.sent.length, 1);
    far.store.failing = false;
    await far.clock.advanceAsync(60_000);
    assert.equal(far.sent.at(-1)?.split(',')[1], ' Expires 3600');
  });

  test('asking again while a refresh cannot be stored costs no dialog', async () => {
    const far = await watched();
    far.store.failing = true;
    const { dialog } = far.record()!;
    far.clock.advance(2_881_000);
    await far.subscriber.watch(PAIR, ROUTE);
    await quiet();
    far.store.failing = false;
    await far.untilSent(2);
    assert.equal(fieldOf(far.last, 'Call-ID'), dialog?.callId);
  });

  test('a route that has changed is the one from then on', async () => {
    const far = await watched();
    await far.subscriber.watch(PAIR, { ...ROUTE, nextHop: 'sip:192.0.2.78' });
    await far.untilSent(2);
    assert.deepEqual(far.last.nextHop, { uri: 'sip:192.0.2.78' });
    assert.equal(far.record()?.route.nextHop, 'sip:192.0.2.78');
  });

  test('a link is not watched over SIP', async () => {
    const far = new FarNotifier();
    await assert.rejects(far.subscriber.watch(PAIR, { kind: 'link', link: 'office' }), { code: 'internal' });
  });
});

describe('the first message of the far side makes the dialog', () => {
  test('its NOTIFY before its 2xx; a 2xx of another fork is passed over', async () => {
    const far = new FarNotifier();
    let release: (() => void) | undefined;
    const slow = new FarNotifier({
      clock: far.clock,
      request: async (outgoing) => {
        far.stack.sent.push(outgoing);
        await new Promise<void>((resolve) => (release = resolve));
        far.stack.sent.pop();
        return far.stack.request(outgoing);
      },
    });
    await slow.watch();
    const [first] = far.stack.sent;
    assert.equal((await slow.notify({ tag: 'one', body: OPEN }, first)).status, 200);
    far.answer = (outgoing) => [200, ['To', `${fieldOf(outgoing, 'To')};tag=two`]];
    release?.();
    await quiet();
    assert.deepEqual(slow.told, ['active open']);
    assert.equal(slow.record()?.dialog?.remoteTag, 'one');
    assert.equal((await slow.notify({ tag: 'two', body: CLOSED }, first)).status, 481);
  });

  test('its 2xx before its NOTIFY; the NOTIFY of another fork is refused', async () => {
    const far = new FarNotifier();
    await far.watch();
    assert.equal((await far.notify({ tag: 'other', body: CLOSED })).status, 481);
    assert.equal((await far.notify({ tag: 'far', body: OPEN })).status, 200);
    assert.deepEqual(far.told, ['active open']);
  });
});
