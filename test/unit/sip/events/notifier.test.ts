import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import type { Notification, NotifyOutcome } from '../../../../src/core/presence/subscription.ts';
import type { Dialog } from '../../../../src/sip/events/dialog.ts';
import { SipNotifier } from '../../../../src/sip/events/notifier.ts';
import { presenceBody } from '../../../../src/sip/events/presence-bodies.ts';
import type { SipLease } from '../../../../src/sip/events/subscription-lease.ts';
import type { HeaderField, SipOutgoing } from '../../../../src/sip/message.ts';
import { anAddress } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FakeStack, type Answer } from '../../../support/fake-stack.ts';
import { LogRecorder } from '../../../support/log-recorder.ts';
import { aDocument } from '../../../support/presence-builders.ts';
import { A_BODY, aNotification, aSipLease, aSubscription, RUN } from '../../../support/sip-leases.ts';

type World = {
  readonly notifier: SipNotifier;
  readonly stack: FakeStack;
  readonly log: LogRecorder;
  readonly saved: number[];
  flow: string | undefined;
  store: 'works' | GatewayError;
};

const NEXT_HOP = 'sip:edge.partner.example:5071;transport=tls';

function aWorld(script: (outgoing: SipOutgoing, at: number) => Answer = () => 200, run = RUN): World {
  let at = 0;
  const stack = new FakeStack((outgoing) => script(outgoing, at++));
  const log = new LogRecorder();
  const world: World = {
    notifier: new SipNotifier({
      request: (outgoing) => stack.request(outgoing),
      saveLease: async () => {
        if (world.store !== 'works') throw world.store;
        world.saved.push(stack.sent.length);
      },
      flowOf: () => world.flow,
      nextHopOf: (domain) => (domain === 'partner.example' ? NEXT_HOP : undefined),
      clock: new FakeClock(),
      log,
      run,
    }),
    stack,
    log,
    saved: [],
    flow: undefined,
    store: 'works',
  };
  return world;
}

const fieldsOf = ({ headers }: SipOutgoing): Record<string, string> => Object.fromEntries(headers);

test('a NOTIFY says what its dialog and its notification say', async () => {
  const { notifier, stack } = aWorld();
  assert.deepEqual(await notifier.notify(aNotification()), { kind: 'told' });
  assert.ok(A_BODY.kind === 'presence');
  const { bytes, etag } = presenceBody(A_BODY.document, 'application/pidf+xml');
  assert.deepEqual(stack.sent, [
    {
      method: 'NOTIFY',
      uri: 'sip:romeo@192.0.2.99:5062',
      headers: [
        ['From', '<sip:juliet@sip.example>;tag=sub-1'],
        ['To', '<sip:romeo@sip.example>;tag=f1'],
        ['Call-ID', 'call-1'],
        ['CSeq', '1 NOTIFY'],
        ['Contact', '<sip:192.0.2.10:5060>'],
        ['Event', 'presence'],
        ['Subscription-State', 'active;expires=600'],
        ['SIP-ETag', etag],
        ['Content-Type', 'application/pidf+xml'],
      ],
      body: bytes,
    },
  ]);
  assert.match(etag, /^[A-Za-z0-9_-]{16,}$/);
});

type Said = readonly [name: string, notification: Notification, fields: Record<string, string | undefined>];
const SAID: readonly Said[] = [
  [
    'pending',
    aNotification({ state: { at: 'pending', expiresAtMs: 1_700_000_060_000 } }),
    { 'Subscription-State': 'pending;expires=60' },
  ],
  [
    'the last second is a whole one',
    aNotification({ state: { at: 'active', expiresAtMs: 1_700_000_000_001 } }),
    { 'Subscription-State': 'active;expires=1' },
  ],
  [
    'other parts of a second count for nothing',
    aNotification({ state: { at: 'active', expiresAtMs: 1_700_000_002_899 } }),
    { 'Subscription-State': 'active;expires=2' },
  ],
  [
    'what was granted a moment ago',
    aNotification({ state: { at: 'active', expiresAtMs: 1_700_000_002_900 } }),
    { 'Subscription-State': 'active;expires=3' },
  ],
  [
    'time that is over is none',
    aNotification({ state: { at: 'active', expiresAtMs: 1_600_000_000_000 } }),
    { 'Subscription-State': 'active;expires=0' },
  ],
  ...(['rejected', 'timeout', 'giveup', 'deactivated', 'probation', 'noresource'] as const).map((reason): Said => [
    `terminated, ${reason}`,
    aNotification({ state: { at: 'terminated', reason } }),
    { 'Subscription-State': `terminated;reason=${reason}` },
  ]),
  [
    'when to come again',
    aNotification({ state: { at: 'terminated', reason: 'probation', retryAfterSeconds: 29.5 } }),
    { 'Subscription-State': 'terminated;reason=probation;retry-after=30' },
  ],
  ['an Event id', aNotification({}, { lease: aSipLease({ eventId: 'e7' }) }), { Event: 'presence;id=e7' }],
  [
    'the other format',
    aNotification({}, { lease: aSipLease({ format: 'application/xpidf+xml' }) }),
    { 'Content-Type': 'application/xpidf+xml' },
  ],
  [
    'nothing known',
    { subscription: aSubscription(), state: aNotification().state },
    { 'Content-Type': undefined, 'SIP-ETag': 'none' },
  ],
  [
    'known already (RFC 5839, section 6.2)',
    aNotification({ isBodySuppressed: true }),
    {
      'Content-Type': undefined,
      'SIP-ETag': A_BODY.kind === 'presence' ? presenceBody(A_BODY.document, 'application/pidf+xml').etag : '',
    },
  ],
];
for (const [name, notification, fields] of SAID) {
  test(`a NOTIFY says: ${name}`, async () => {
    const { notifier, stack } = aWorld();
    await notifier.notify(notification);
    const [sent] = stack.sent;
    assert.ok(sent !== undefined);
    for (const [field, value] of Object.entries(fields)) assert.equal(fieldsOf(sent)[field], value, field);
    assert.equal(sent.body === undefined, fieldsOf(sent)['Content-Type'] === undefined);
  });
}

test('two documents have two tags, one document one for each format, and is written once', () => {
  const document = aDocument();
  const pidf = presenceBody(document, 'application/pidf+xml');
  assert.equal(presenceBody(document, 'application/pidf+xml'), pidf);
  assert.notEqual(presenceBody(document, 'application/xpidf+xml').etag, pidf.etag);
  assert.notEqual(presenceBody(aDocument({ entity: 'pres:x@sip.example' }), 'application/pidf+xml').etag, pidf.etag);
});

test('versions of watcher lists begin at 0, grow, and are in step with the CSeq', async () => {
  const { notifier, stack } = aWorld();
  const lease = aSipLease({ format: 'application/watcherinfo+xml' });
  const list = { presentity: aSubscription().presentity, package: 'presence', state: 'full', watchers: [] } as const;
  const notification = (state: 'full' | 'partial') =>
    aNotification({ body: { kind: 'watchers', list: { ...list, state } } }, { package: 'presence.winfo', lease });
  await notifier.notify(notification('full'));
  await notifier.notify(notification('partial'));
  const bodies = stack.sent.map(({ body }) => Buffer.from(body ?? []).toString());
  assert.match(bodies[0] ?? '', /version="0"[^>]*state="full"|state="full"[^>]*version="0"/);
  assert.match(bodies[1] ?? '', /version="1"[^>]*state="partial"|state="partial"[^>]*version="1"/);
  assert.deepEqual(
    stack.sent.map((sent) => [fieldsOf(sent)['Event'], fieldsOf(sent)['Content-Type']]),
    Array(2).fill(['presence.winfo', 'application/watcherinfo+xml']),
  );
  // The tag of a list that is not whole would have to be that of the whole one.
  assert.deepEqual(
    stack.sent.map((sent) => 'SIP-ETag' in fieldsOf(sent)),
    [true, false],
  );
});

const GONE = [401, 404, 405, 407, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604];
const LATER = [300, 301, 302, 400, 402, 403, 406, 413, 414, 415, 420, 421, 423, 429, 430, 486, 487, 488, 491, 493]
  .concat([494, 500, 502, 503, 504, 505, 513, 580, 600, 603, 606])
  .sort((a, b) => a - b);

for (const status of [200, 202, 204, 299]) {
  test(`NOTIFY answered ${status}: told`, async () => {
    assert.deepEqual(await aWorld(() => status).notifier.notify(aNotification()), { kind: 'told' });
  });
}
for (const status of GONE) {
  test(`NOTIFY answered ${status}: the subscription is over`, async () => {
    const { notifier, log } = aWorld(() => status);
    assert.deepEqual(await notifier.notify(aNotification()), { kind: 'gone', reason: `NOTIFY answered ${status}` });
    const [line] = log.lines;
    assert.equal(line?.level, status === 401 || status === 407 ? 'warn' : 'info');
    const { subscriptionId, watcher, presentity, callId } = line.fields;
    assert.deepEqual(
      [subscriptionId, watcher, presentity, callId],
      ['sub-1', 'romeo@sip.example', 'juliet@sip.example', 'call-1'],
    );
  });
  test(`NOTIFY answered ${status} with Retry-After: over all the same`, async () => {
    const { notifier } = aWorld(() => [status, ['Retry-After', '5']]);
    assert.equal((await notifier.notify(aNotification())).kind, 'gone');
  });
}
for (const status of LATER) {
  test(`NOTIFY answered ${status}: again, six times, then the subscription is over`, async () => {
    const { notifier } = aWorld(() => status);
    const notification = aNotification();
    const outcomes: NotifyOutcome[] = [];
    for (let i = 0; i < 7; i++) outcomes.push(await notifier.notify(notification));
    assert.deepEqual(outcomes, [
      ...[5_000, 10_000, 20_000, 40_000, 80_000, 160_000].map((afterMs) => ({ kind: 'again', afterMs })),
      { kind: 'gone', reason: `NOTIFY answered ${status}` },
    ]);
  });
}

const RETRY: ReadonlyArray<readonly [value: string, afterMs: number]> = [
  ['120', 120_000],
  ['18000;duration=3600', 18_000_000],
  ['30 (maintenance)', 30_000],
  ['0', 1_000],
  ['99999999999', 86_400_000],
  ['soon', 5_000],
];
for (const [value, afterMs] of RETRY) {
  test(`NOTIFY answered 503 with Retry-After: ${value}`, async () => {
    const { notifier } = aWorld(() => [503, ['Retry-After', value]]);
    assert.deepEqual(await notifier.notify(aNotification()), { kind: 'again', afterMs });
  });
}

test('a watcher who asks for patience is not given up, however often', async () => {
  const { notifier } = aWorld(() => [500, ['Retry-After', '60']]);
  const notification = aNotification();
  for (let i = 0; i < 20; i++) assert.equal((await notifier.notify(notification)).kind, 'again');
});

for (const silence of ['peer-timeout', 408] as const) {
  test(`NOTIFY not answered (${silence}): once is forgiven, twice in a row is the end`, async () => {
    const { notifier } = aWorld(() => silence);
    const notification = aNotification();
    assert.deepEqual(await notifier.notify(notification), { kind: 'again', afterMs: 5_000 });
    assert.deepEqual(await notifier.notify(notification), { kind: 'gone', reason: 'the watcher does not answer' });
  });
}

test('an answer between two silences forgives the first', async () => {
  const script: readonly Answer[] = ['peer-timeout', 200, 'peer-timeout', 500, 200, 500];
  const { notifier } = aWorld((_, at) => script[at] ?? 200);
  const notification = aNotification();
  const kinds: string[] = [];
  while (kinds.length < script.length) kinds.push((await notifier.notify(notification)).kind);
  assert.deepEqual(kinds, ['again', 'told', 'again', 'again', 'told', 'again']);
  assert.equal((notification.subscription.lease as SipLease).failed, 1);
});

test('a watcher who cannot be reached is tried for minutes', async () => {
  const { notifier } = aWorld(() => 'peer-unreachable');
  const notification = aNotification();
  let waitedMs = 0;
  for (let outcome = await notifier.notify(notification); outcome.kind === 'again';) {
    waitedMs += outcome.afterMs;
    outcome = await notifier.notify(notification);
  }
  assert.equal(waitedMs, 315_000);
});

test('a server that stops gives nobody up', async () => {
  const { notifier } = aWorld(() => 'shutting-down');
  const notification = aNotification();
  for (let i = 0; i < 20; i++) assert.equal((await notifier.notify(notification)).kind, 'again');
});

test('numbers grow with each NOTIFY, whatever became of the last one', async () => {
  const { notifier, stack, saved } = aWorld((_, at) => (at % 2 === 0 ? 500 : 200));
  const notification = aNotification();
  for (let i = 0; i < 6; i++) await notifier.notify(notification);
  assert.deepEqual(
    stack.sent.map((sent) => fieldsOf(sent)['CSeq']),
    [1, 2, 3, 4, 5, 6].map((cseq) => `${cseq} NOTIFY`),
  );
  assert.deepEqual(saved, []);
});

test('when numbers run out more are stored before one is used', async () => {
  const { notifier, stack, saved } = aWorld();
  const lease = aSipLease({ dialog: { localCseq: 9, localCseqReserved: 10 } });
  const notification = aNotification({}, { lease });
  for (let i = 0; i < 34; i++) await notifier.notify(notification);
  assert.deepEqual(saved, [1, 33]);
  assert.equal(lease.dialog.localCseqReserved, 10 + 32 + 32);
  assert.equal(fieldsOf(stack.sent[1]!)['CSeq'], '11 NOTIFY');
});

test('numbers that cannot be stored are not used', async () => {
  const world = aWorld();
  const lease = aSipLease({ dialog: { localCseq: 10, localCseqReserved: 10 } });
  const notification = aNotification({}, { lease });
  world.store = new GatewayError('store-unavailable', 'disk full');
  for (let i = 0; i < 10; i++) {
    assert.deepEqual(await world.notifier.notify(notification), { kind: 'again', afterMs: 5_000 });
  }
  assert.deepEqual(world.stack.sent, []);
  world.store = 'works';
  assert.deepEqual(await world.notifier.notify(notification), { kind: 'told' });
  assert.equal(fieldsOf(world.stack.sent[0]!)['CSeq'], '11 NOTIFY');
});

test('a subscription that is over when its numbers should be stored is over', async () => {
  const world = aWorld();
  world.store = new GatewayError('dialog-unknown', 'gone');
  const lease = aSipLease({ dialog: { localCseqReserved: 0 } });
  assert.equal((await world.notifier.notify(aNotification({}, { lease }))).kind, 'gone');
});

test('after a restart the first number is above all that may have been used', async () => {
  const before = aSipLease({ dialog: { localCseq: 3, localCseqReserved: 10 } });
  const lease = JSON.parse(JSON.stringify(before)) as SipLease;
  const { notifier, stack, saved } = aWorld(() => 200, RUN + 1);
  const notification = aNotification({}, { lease });
  await notifier.notify(notification);
  await notifier.notify(notification);
  assert.deepEqual(
    stack.sent.map((sent) => fieldsOf(sent)['CSeq']),
    ['11 NOTIFY', '12 NOTIFY'],
  );
  assert.deepEqual(saved, [0]);
});

test('a NOTIFY goes over the flow of its watcher', async () => {
  const { notifier, stack } = aWorld();
  await notifier.notify(aNotification({}, { lease: aSipLease({ dialog: { flow: 'tcp-1' } }) }));
  assert.deepEqual(stack.sent[0]?.nextHop, { flow: 'tcp-1' });
});

test('where the flow is gone the watcher is reached at his Contact', async () => {
  const { notifier, stack } = aWorld(({ nextHop }) => (nextHop === undefined ? 200 : 'peer-unreachable'));
  const lease = aSipLease({ dialog: { flow: 'tcp-1' } });
  assert.deepEqual(await notifier.notify(aNotification({}, { lease })), { kind: 'told' });
  assert.deepEqual(
    stack.sent.map((sent) => [sent.nextHop, fieldsOf(sent)['CSeq']]),
    [
      [{ flow: 'tcp-1' }, '1 NOTIFY'],
      [undefined, '2 NOTIFY'],
    ],
  );
  assert.equal(lease.dialog.flow, undefined);
});

test('a server that cannot send to anybody gives nobody up, and forgets no flow', async () => {
  const { notifier, stack } = aWorld(() => 'no-way-out');
  const lease = aSipLease({ dialog: { flow: 'tcp-1' } });
  for (let i = 0; i < 20; i++) {
    assert.deepEqual(await notifier.notify(aNotification({}, { lease })), { kind: 'again', afterMs: 5_000 });
  }
  assert.equal(stack.sent.length, 20);
  assert.equal(lease.dialog.flow, 'tcp-1');
  assert.equal(lease.failed, 0);
});

test('where the flow is gone the watcher is reached over the one that he has registered since', async () => {
  const world = aWorld((_, at) => (at === 0 ? 'peer-unreachable' : 200));
  world.flow = 'tcp-2';
  const lease = aSipLease({ dialog: { flow: 'tcp-1' } });
  assert.deepEqual(await world.notifier.notify(aNotification({}, { lease })), { kind: 'told' });
  assert.deepEqual(world.stack.sent[1]?.nextHop, { flow: 'tcp-2' });
  assert.equal(lease.dialog.flow, 'tcp-2');
});

const TARGETS: ReadonlyArray<readonly [what: string, dialog: Partial<Dialog>, nextHop: SipOutgoing['nextHop']]> = [
  [
    'a target that is a domain with a configured next hop goes there',
    { remoteTarget: 'sip:partner.example;transport=tls' },
    { uri: NEXT_HOP },
  ],
  [
    'a machine of that domain is reached as it says',
    { remoteTarget: 'sip:ps1.partner.example;transport=tls' },
    undefined,
  ],
  [
    'with routes it goes by them',
    { remoteTarget: 'sip:partner.example', routeSet: ['<sip:proxy.partner.example;lr>'] },
    undefined,
  ],
  ['over its flow where it has one', { remoteTarget: 'sip:partner.example', flow: 'tls-1' }, { flow: 'tls-1' }],
];
for (const [what, dialog, nextHop] of TARGETS) {
  test(`the way of a NOTIFY: ${what}`, async () => {
    const { notifier, stack } = aWorld();
    const watcher = anAddress('romeo@partner.example');
    await notifier.notify(aNotification({}, { watcher, lease: aSipLease({ dialog }) }));
    assert.deepEqual(stack.sent[0]?.nextHop, nextHop);
    const names = nextHop !== undefined && 'uri' in nextHop ? ['partner.example', 'edge.partner.example'] : undefined;
    assert.deepEqual(stack.sent[0]?.expectNames, names);
  });
}

test('silence over a flow is silence: the watcher may have it already', async () => {
  const { notifier, stack } = aWorld(() => 'peer-timeout');
  const outcome = await notifier.notify(aNotification({}, { lease: aSipLease({ dialog: { flow: 'tcp-1' } }) }));
  assert.equal(outcome.kind, 'again');
  assert.equal(stack.sent.length, 1);
});

type Contacts = readonly [name: string, headers: readonly HeaderField[], target: string];
const CONTACTS: readonly Contacts[] = [
  ['no Contact', [], 'sip:romeo@192.0.2.99:5062'],
  ['another Contact', [['Contact', '<sip:romeo@192.0.2.7>;x=y']], 'sip:romeo@192.0.2.7'],
  ['our own Contact, as libpurple answers', [['Contact', '<sip:192.0.2.10:5060>']], 'sip:romeo@192.0.2.99:5062'],
  ['a Contact that is none', [['Contact', '%']], 'sip:romeo@192.0.2.99:5062'],
  ['a Contact of another scheme', [['Contact', '<tel:+1>']], 'sip:romeo@192.0.2.99:5062'],
];
for (const [name, headers, target] of CONTACTS) {
  test(`a 2xx to NOTIFY with ${name}`, async () => {
    const { notifier } = aWorld(() => [200, ...headers]);
    const lease = aSipLease();
    assert.deepEqual(await notifier.notify(aNotification({}, { lease })), { kind: 'told' });
    assert.equal(lease.dialog.remoteTarget, target);
  });
}

const NO_LEASES: ReadonlyArray<readonly [name: string, lease: unknown]> = [
  ['none', undefined],
  ['one of a link', { via: 'link:office' }],
  ['one without a dialog', { ...aSipLease(), dialog: undefined }],
  ['one with a broken dialog', { ...aSipLease(), dialog: { callId: 'x' } }],
  ['one with an unknown format', { ...aSipLease(), format: 'text/plain' }],
  ['one without a Contact', { ...aSipLease(), contact: undefined }],
  ['one without a run', { ...aSipLease(), run: '7' }],
];
for (const [name, lease] of NO_LEASES) {
  test(`a subscription whose lease is ${name} is over`, async () => {
    const { notifier, stack, log } = aWorld();
    const notification = aNotification({ subscription: { ...aSubscription(), lease: lease as SipLease } });
    assert.deepEqual(await notifier.notify(notification), { kind: 'gone', reason: 'there is no dialog' });
    assert.deepEqual(stack.sent, []);
    assert.deepEqual(log.at('error'), ['subscription without a dialog']);
  });
}

test('what cannot be written ends its subscription, not the notifier', async () => {
  const { notifier, log } = aWorld();
  const lease = aSipLease({ dialog: { callId: 'a\r\nb: c' } });
  assert.equal((await notifier.notify(aNotification({}, { lease }))).kind, 'gone');
  assert.deepEqual(log.at('error'), ['notification cannot be sent']);
});
