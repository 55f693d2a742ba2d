import assert from 'node:assert/strict';
import { deflateSync } from 'node:zlib';
import { describe, test } from 'node:test';
import {
  CLOSED,
  FAR_ADDRESS,
  FarNotifier,
  OPEN,
  PAIR,
  quiet,
  type NotifyParts,
} from '../../../support/far-notifier.ts';

async function watched(): Promise<FarNotifier> {
  const far = new FarNotifier();
  await far.watch();
  await far.notify({ state: 'active;expires=3600', body: OPEN, cseq: 10 });
  return far;
}

/** Each in the dialog of a pair that is watched, after a NOTIFY with CSeq 10 that said open. */
const CASES: ReadonlyArray<readonly [name: string, parts: NotifyParts, status: number, told?: string]> = [
  ['that is right', { body: CLOSED, cseq: 11 }, 200, 'active closed'],
  ['without a body', { cseq: 11 }, 200],
  ['in capitals', { state: 'ACTIVE;Expires=60', body: CLOSED, cseq: 11 }, 200, 'active closed'],
  ['with its last number once more', { body: CLOSED, cseq: 10 }, 200, 'active closed'],
  ['with an older number', { body: CLOSED, cseq: 9 }, 500],
  ['with another Call-ID', { body: CLOSED, cseq: 11, callId: 'another' }, 481],
  ['with another To tag', { body: CLOSED, cseq: 11, to: '<sip:juliet@xmpp.example>;tag=another' }, 481],
  ['without a To tag', { body: CLOSED, cseq: 11, to: '<sip:juliet@xmpp.example>' }, 481],
  ['with another From tag', { body: CLOSED, cseq: 11, tag: 'another' }, 481],
  ['without a From tag', { body: CLOSED, cseq: 11, from: '<sip:romeo@partner.example>' }, 481],
  ['of another package', { body: CLOSED, cseq: 11, headers: [['Event', 'message-summary']] }, 489],
  ['of a package written otherwise', { body: CLOSED, cseq: 11, headers: [['Event', 'Presence']] }, 489],
  ['of presence.winfo, which is not watched', { body: CLOSED, cseq: 11, headers: [['Event', 'presence.winfo']] }, 489],
  ['without Event', { body: CLOSED, cseq: 11, headers: [['Event', '']] }, 489],
  ['with an id where we gave none', { body: CLOSED, cseq: 11, headers: [['Event', 'presence;id=1']] }, 481],
  [
    'with another parameter of Event',
    { cseq: 11, body: CLOSED, headers: [['Event', 'presence;x=1']] },
    200,
    'active closed',
  ],
  ['without Subscription-State', { state: '', body: CLOSED, cseq: 11 }, 400],
  ['with a state that nobody knows', { state: 'sleeping', body: CLOSED, cseq: 11 }, 400],
  ['with a state that cannot be read', { state: 'active;;', body: CLOSED, cseq: 11 }, 400],
  ['with a body of another type', { body: 'x', type: 'text/plain', cseq: 11 }, 415],
  [
    'with a partial document, which was not asked for',
    { body: CLOSED, type: 'application/pidf-diff+xml', cseq: 11 },
    415,
  ],
  ['with a body in an unknown coding', { body: CLOSED, cseq: 11, headers: [['Content-Encoding', 'br']] }, 415],
  ['with a body in an unknown charset', { body: CLOSED, cseq: 11, type: 'application/pidf+xml;charset=x-none' }, 415],
  ['with a document that is no XML', { body: '<presence', cseq: 11 }, 400],
  ['with a document that is none of presence', { body: '<a xmlns="urn:b"/>', cseq: 11 }, 400],
  ['with a document type', { body: `<!DOCTYPE a [<!ENTITY b "c">]>${CLOSED.slice(39)}`, cseq: 11 }, 400],
  ['with a type that cannot be read', { body: CLOSED, type: ';', cseq: 11 }, 400],
  [
    'with a document that is too large',
    { body: CLOSED.replace('<status>', `<status><!--${'x'.repeat(20_000)}-->`), cseq: 11 },
    413,
  ],
  ['with an old CPIM document', { body: CLOSED, type: 'application/cpim-pidf+xml', cseq: 11 }, 200, 'active closed'],
  ['with a Contact that is none', { body: CLOSED, cseq: 11, headers: [['Contact', '<tel:+1>']] }, 400],
  ['without a Contact', { body: CLOSED, cseq: 11, headers: [['Contact', '']] }, 200, 'active closed'],
  ['from elsewhere', { body: CLOSED, cseq: 11, flow: { remoteAddress: '203.0.113.9' } }, 403],
  ['that ends it, from elsewhere', { state: 'terminated', cseq: 11, flow: { remoteAddress: '203.0.113.9' } }, 403],
  [
    'that ends it, with a body that cannot be read',
    { state: 'terminated;reason=rejected', body: '<', cseq: 11 },
    400,
    'ended rejected',
  ],
  [
    'that ends it, with a body of another type',
    { state: 'terminated;reason=rejected', body: 'x', type: 'a/b', cseq: 11 },
    415,
    'ended rejected',
  ],
];

describe('a NOTIFY', () => {
  for (const [name, parts, status, told] of CASES) {
    test(`${name}: ${status}`, async () => {
      const far = await watched();
      const before = far.record();
      const calls = far.store.journal.length;
      assert.equal((await far.notify(parts)).status, status);
      assert.deepEqual(far.told.slice(1), told === undefined ? [] : [told]);
      if (status !== 200 && told === undefined) {
        assert.deepEqual(far.record(), before);
        assert.equal(far.store.journal.length, calls);
      }
      // Whatever it was, the dialog goes on.
      if (told?.startsWith('ended') !== true) assert.equal((await far.notify({ cseq: 12 })).status, 200);
    });
  }

  test('deflated, as liblinphone does it', async () => {
    const far = await watched();
    const body = deflateSync(Buffer.from(CLOSED)) as unknown as string;
    const reply = await far.notify({ body, cseq: 11, headers: [['Content-Encoding', 'deflate']] });
    assert.equal(reply.status, 200);
    assert.deepEqual(far.told.slice(1), ['active closed']);
  });

  test('moves the target, and the routes only when it is the first', async () => {
    const far = new FarNotifier();
    await far.watch();
    await far.notify({ headers: [['Record-Route', '<sip:a.partner.example;lr>']] });
    await far.notify({
      headers: [
        ['Contact', '<sip:other.partner.example>'],
        ['Record-Route', '<sip:b.partner.example;lr>'],
      ],
    });
    assert.deepEqual(far.record()?.dialog?.routeSet, ['<sip:a.partner.example;lr>']);
    assert.equal(far.record()?.dialog?.remoteTarget, 'sip:other.partner.example');
  });

  test('for nobody at all: 481', async () => {
    const far = new FarNotifier();
    await far.watch();
    const [about] = far.stack.sent;
    far.subscriber.end(PAIR);
    await far.clock.advanceAsync(33_000);
    assert.equal((await far.notify({ body: OPEN }, about)).status, 481);
  });

  test('that makes a dialog, or changes its state, is answered when that is stored', async () => {
    const far = new FarNotifier();
    await far.watch();
    far.store.holding = true;
    let status = 0;
    const answered = far.notify({ state: 'pending' }).then((reply) => (status = reply.status));
    await quiet();
    assert.equal(status, 0);
    await far.store.release();
    await answered;
    assert.equal(status, 200);
  });

  test('that makes a dialog while the store fails: 503', async () => {
    const far = new FarNotifier();
    await far.watch();
    far.store.failing = true;
    assert.equal((await far.notify({ state: 'pending' })).status, 503);
    far.store.failing = false;
    assert.equal((await far.notify({ state: 'active' })).status, 200);
    assert.equal(far.record()?.state.at, 'active');
  });

  test('with a new document alone does not wait for the store', async () => {
    const far = await watched();
    far.store.holding = true;
    assert.equal((await far.notify({ body: CLOSED, cseq: 11 })).status, 200);
    await far.store.release();
    assert.equal(far.record()?.document?.tuples[0]?.basic, 'closed');
  });
});

describe('a NOTIFY from an address that no peer entry names', () => {
  test('is believed where the SUBSCRIBE was answered', async () => {
    const far = new FarNotifier({ trusted: [] });
    await far.watch();
    assert.equal((await far.notify({ body: OPEN, flow: { remoteAddress: FAR_ADDRESS } })).status, 200);
    assert.equal((await far.notify({ body: CLOSED, flow: { remoteAddress: '203.0.113.9' } })).status, 403);
    assert.deepEqual(far.log.said('warn'), ['notification from an address that may not speak for the presentity']);
  });

  /** One whose answers wait until they are let go. */
  function slow(transport: 'tcp' | 'tls' = 'tcp') {
    let release = (): void => undefined;
    const far: FarNotifier = new FarNotifier({
      trusted: [],
      request: async (outgoing) => {
        const response = await far.stack.request(outgoing);
        await new Promise<void>((resolve) => (release = resolve));
        return { ...response, flow: { ...response.flow, transport } };
      },
    });
    return { far, release: () => release() };
  }

  test('waits for the answer that it has overtaken', async () => {
    const { far, release } = slow();
    await far.watch();
    let status = 0;
    const answered = far.notify({ body: OPEN }).then((reply) => (status = reply.status));
    await quiet();
    assert.deepEqual([status, far.told], [0, []]);
    release();
    await answered;
    assert.deepEqual([status, far.told], [200, ['active open']]);
  });

  test('waits, and is refused where it comes from elsewhere', async () => {
    const { far, release } = slow();
    await far.watch();
    const answered = far.notify({ body: OPEN, flow: { remoteAddress: '203.0.113.9' } });
    await quiet();
    release();
    assert.equal((await answered).status, 403);
  });

  test('waits, and is of nobody where the answer was of another fork', async () => {
    const { far, release } = slow();
    await far.watch();
    const answered = far.notify({ body: OPEN, tag: 'other' });
    await quiet();
    release();
    assert.equal((await answered).status, 481);
    assert.deepEqual(far.told, []);
  });

  test('must come over TLS where the answer did', async () => {
    const { far, release } = slow('tls');
    await far.watch();
    release();
    await quiet();
    assert.equal((await far.notify({ body: OPEN, flow: { transport: 'tcp' } })).status, 403);
    assert.equal((await far.notify({ body: OPEN, flow: { transport: 'tls' } })).status, 200);
  });
});
