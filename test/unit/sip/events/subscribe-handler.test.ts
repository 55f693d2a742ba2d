import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../../../src/core/errors.ts';
import {
  ANONYMOUS,
  type Notification,
  type NotifyBody,
  type Subscription,
} from '../../../../src/core/presence/subscription.ts';
import type { FetchRequest, RefreshRequest, SubscribeRequest } from '../../../../src/core/presence/subscriptions.ts';
import { etagOf } from '../../../../src/sip/events/presence-bodies.ts';
import { subscribeHandler } from '../../../../src/sip/events/subscribe-handler.ts';
import type { SipLease } from '../../../../src/sip/events/subscription-lease.ts';
import type { HeaderField, SipReply } from '../../../../src/sip/message.ts';
import type { WatcherProof } from '../../../../src/sip/sender-proof.ts';
import type { SipHandler } from '../../../../src/sip/stack.ts';
import { FakeClock, settled } from '../../../support/fake-clock.ts';
import { LogRecorder } from '../../../support/log-recorder.ts';
import { A_BODY, JULIET, ROMEO, RUN } from '../../../support/sip-leases.ts';
import { aRequest, type RequestParts } from '../../../support/sip-request.ts';

const PROVED: WatcherProof = { kind: 'proved', sender: { address: ROMEO }, origin: { kind: 'local', user: ROMEO } };
const CONTACT: HeaderField = ['Contact', '<sip:romeo@198.51.100.7:5062>'];
const EVENT: HeaderField = ['Event', 'presence'];

/** The handler before a core that grants what is asked for, and writes down what that was. */
class World {
  readonly clock = new FakeClock();
  readonly subscribed: SubscribeRequest[] = [];
  readonly refreshed: Array<RefreshRequest & { id: string; lease: SipLease }> = [];
  readonly fetched: FetchRequest[] = [];
  readonly notified: Notification[] = [];
  readonly kept = new Map<string, Subscription>();
  proof: WatcherProof = PROVED;
  refusal: GatewayError | undefined;
  isSuppressed = false;
  body: NotifyBody | undefined = A_BODY;
  contact = 'sip:192.0.2.10:5060';
  #made = 0;
  readonly handler: SipHandler;

  constructor() {
    this.handler = subscribeHandler({
      prove: () => this.proof,
      subscriptions: {
        subscribe: async (request) => {
          this.subscribed.push(request);
          if (this.refusal !== undefined) throw this.refusal;
          const { id, watcher, presentity, lease } = request;
          const state = { at: 'active', expiresAtMs: 1_700_000_600_000 } as const;
          this.kept.set(id, { id, package: request.package, watcher, presentity, state, subscribedAtMs: 0, lease });
          return { expiresSeconds: typeof request.expires === 'number' ? Math.min(request.expires, 7_200) : 3_600 };
        },
        refresh: async (id, request) => {
          const lease = structuredClone(this.kept.get(id)?.lease) as SipLease;
          this.refreshed.push({ ...request, id, lease });
          await settled();
          if (this.refusal !== undefined) throw this.refusal;
          return { expiresSeconds: request.expiresSeconds ?? 3_600, isSuppressed: this.isSuppressed };
        },
        fetch: async (request) => {
          this.fetched.push(request);
          if (this.refusal !== undefined) throw this.refusal;
          return this.body === undefined ? {} : { body: this.body };
        },
        find: (id) => this.kept.get(id),
      },
      notify: async (notification) => {
        this.notified.push(notification);
        return { kind: 'told' };
      },
      contactFor: async () => this.contact,
      newId: () => `sAB${++this.#made}`,
      run: RUN,
      clock: this.clock,
      log: new LogRecorder(),
    });
  }

  /** A SUBSCRIBE by romeo for juliet; `headers` come beside Event and Contact, and instead of them. */
  ask({ headers = [], ...parts }: RequestParts = {}): Promise<SipReply> {
    const given = new Set(headers.map(([name]) => name));
    const usual = [EVENT, CONTACT].filter(([name]) => !given.has(name));
    return this.handler(
      aRequest({ method: 'SUBSCRIBE', uri: `sip:${JULIET}`, ...parts, headers: [...usual, ...headers] }),
    );
  }

  /** One within the dialog of the first subscription, with a higher number. */
  goOn({ headers = [], ...parts }: RequestParts = {}): Promise<SipReply> {
    const to = `<sip:${JULIET}>;tag=sAB1`;
    return this.ask({ uri: 'sip:192.0.2.10:5060', to, cseq: 2, ...parts, headers });
  }

  lease(at = 0): SipLease {
    return this.subscribed[at]?.lease as SipLease;
  }
}

function fieldsOf({ headers = [] }: SipReply): Record<string, string> {
  return Object.fromEntries(headers);
}

test('a first SUBSCRIBE is answered when the core has it, in a new dialog', async () => {
  const world = new World();
  const reply = await world.ask({ headers: [['Expires', '600']], from: '"Romeo  M." <sip:romeo@sip.example>;tag=f1' });
  assert.deepEqual(reply, {
    status: 200,
    toTag: 'sAB1',
    headers: [
      ['Expires', '600'],
      ['Contact', '<sip:192.0.2.10:5060>'],
      ['Allow-Events', 'presence, presence.winfo'],
    ],
  });
  const [request] = world.subscribed;
  assert.ok(request !== undefined);
  const { lease, ...rest } = request;
  assert.deepEqual(rest, {
    id: 'sAB1',
    watcher: ROMEO,
    presentity: JULIET,
    package: 'presence',
    origin: { kind: 'local', user: ROMEO },
    displayName: 'Romeo  M.',
    expires: 600,
  });
  assert.deepEqual(lease, {
    via: 'sip',
    dialog: {
      callId: 'call-1',
      localTag: 'sAB1',
      remoteTag: 'f1',
      localUri: 'sip:juliet@sip.example',
      remoteUri: 'sip:romeo@sip.example',
      remoteTarget: 'sip:romeo@198.51.100.7:5062',
      routeSet: [],
      flow: undefined,
      localCseq: 0,
      localCseqReserved: world.lease().dialog.localCseqReserved,
      remoteCseq: 1,
    },
    format: 'application/pidf+xml',
    contact: 'sip:192.0.2.10:5060',
    run: RUN,
    unanswered: 0,
    failed: 0,
  });
  assert.ok(world.lease().dialog.localCseqReserved >= 10);
  // The core tells the watcher by itself.
  world.clock.advance(1);
  assert.deepEqual(world.notified, []);
});

test('Record-Route is copied, in order', async () => {
  const world = new World();
  const reply = await world.ask({ headers: [['Record-Route', '<sip:p2;lr>, <sip:p1;lr;x=y>']] });
  assert.deepEqual(reply.headers?.slice(0, 2), [
    ['Record-Route', '<sip:p2;lr>'],
    ['Record-Route', '<sip:p1;lr;x=y>'],
  ]);
  assert.deepEqual(world.lease().dialog.routeSet, ['<sip:p2;lr>', '<sip:p1;lr;x=y>']);
});

test('an Event id is kept with the dialog', async () => {
  const world = new World();
  await world.ask({ headers: [['Event', 'presence;id=7']] });
  assert.equal(world.lease().eventId, '7');
});

const EXPIRES: ReadonlyArray<readonly [header: string, asked: number | undefined]> = [
  ['', undefined],
  ['60', 60],
  ['0060', 60],
  ['3600.5', undefined],
  ['-1', undefined],
  ['soon', undefined],
  ['4294967296', 4_294_967_295],
  ['9'.repeat(400), 4_294_967_295],
];
for (const [header, asked] of EXPIRES) {
  test(`Expires: ${JSON.stringify(header.slice(0, 20))} asks for ${asked ?? 'the usual time'}`, async () => {
    const world = new World();
    assert.equal((await world.ask({ headers: [['Expires', header]] })).status, 200);
    assert.equal(world.subscribed[0]?.expires, asked);
  });
}

const FORMATS: ReadonlyArray<readonly [event: string, accept: readonly string[], format: string | undefined]> = [
  ['presence', [], 'application/pidf+xml'],
  ['presence', ['application/xpidf+xml'], 'application/xpidf+xml'],
  ['presence', ['application/xpidf+xml, application/pidf+xml'], 'application/pidf+xml'],
  ['presence', ['*/*'], 'application/pidf+xml'],
  ['presence', ['text/plain', 'application/cpim-pidf+xml'], undefined],
  ['presence', ['application/watcherinfo+xml'], undefined],
  ['presence.winfo', [], 'application/watcherinfo+xml'],
  ['presence.winfo', ['application/watcherinfo+xml'], 'application/watcherinfo+xml'],
  ['presence.winfo', ['application/pidf+xml'], undefined],
  ['presence', Array<string>(60).fill('text/x, text/y'), undefined],
];
for (const [event, accept, format] of FORMATS) {
  const name = `${event}, ${accept.length} fields of Accept, ${accept[0] ?? 'none'}`;
  test(`format: ${name} -> ${format ?? '406'}`, async () => {
    const world = new World();
    const asked = world.ask({
      headers: [['Event', event], ...accept.map((value): HeaderField => ['Accept', value])],
    });
    if (format === undefined) await assert.rejects(asked, { code: 'not-acceptable' });
    else {
      assert.equal((await asked).status, 200);
      assert.equal(world.lease().format, format);
    }
    assert.equal(world.subscribed.length, format === undefined ? 0 : 1);
  });
}

test('one empty Accept takes nothing', async () => {
  const request = aRequest({ method: 'SUBSCRIBE', uri: `sip:${JULIET}`, headers: [EVENT, CONTACT, ['Accept', ' ']] });
  await assert.rejects(new World().handler(request), { code: 'not-acceptable' });
});

for (const event of ['', 'dialog', 'presence.winfo.winfo', 'Presence', 'presence;id', ';', 'presence;id="x y"']) {
  test(`Event: ${JSON.stringify(event)} is none of ours`, async () => {
    const world = new World();
    await assert.rejects(world.ask({ headers: [['Event', event]] }), { code: 'event-unsupported' });
    assert.deepEqual(world.subscribed, []);
  });
}

for (const code of ['interval-too-brief', 'sender-forbidden', 'recipient-unknown', 'peer-unknown'] as const) {
  test(`what the core refuses is refused: ${code}`, async () => {
    const world = new World();
    world.refusal = new GatewayError(code, 'test');
    await assert.rejects(world.ask(), { code });
    await assert.rejects(world.ask({ headers: [['Expires', '0']] }), { code });
    world.clock.advance(1);
    assert.deepEqual(world.notified, []);
  });
}

test('without proof nothing happens but a challenge', async () => {
  const world = new World();
  world.proof = { kind: 'challenge', headers: [['WWW-Authenticate', 'Digest a=b']] };
  assert.deepEqual(await world.ask({ headers: [['Event', 'broken;']] }), {
    status: 401,
    headers: [['WWW-Authenticate', 'Digest a=b']],
  });
  assert.deepEqual([world.subscribed, world.fetched], [[], []]);
});

const NAMES: ReadonlyArray<readonly [from: string, name: string | undefined]> = [
  ['<sip:romeo@sip.example>;tag=1', undefined],
  ['Romeo <sip:romeo@sip.example>;tag=1', 'Romeo'],
  ['"" <sip:romeo@sip.example>;tag=1', undefined],
  ['" \\\u0001\\\u0002 " <sip:romeo@sip.example>;tag=1', undefined],
  ['"a\\\u0007b\u2028c" <sip:romeo@sip.example>;tag=1', 'a b c'],
  [`"${'x'.repeat(500)}" <sip:romeo@sip.example>;tag=1`, 'x'.repeat(100)],
  [`"${'x'.repeat(99)}\u{1F600}y" <sip:romeo@sip.example>;tag=1`, 'x'.repeat(99)],
];
for (const [from, name] of NAMES) {
  test(`the watcher calls himself ${JSON.stringify(from.slice(0, 30))}`, async () => {
    const world = new World();
    await world.ask({ from });
    assert.equal(world.subscribed[0]?.displayName, name);
  });
}

test('an anonymous watcher has no name', async () => {
  const world = new World();
  world.proof = { kind: 'anonymous', origin: { kind: 'sip-peer', domain: 'partner.example' } };
  const from = '"Romeo" <sip:anonymous@anonymous.invalid>;tag=f1';
  assert.equal((await world.ask({ from })).status, 200);
  const [request] = world.subscribed;
  assert.equal(request?.watcher, ANONYMOUS);
  assert.deepEqual(request.origin, { kind: 'sip-peer', domain: 'partner.example' });
  assert.equal('displayName' in request, false);
  assert.equal((await world.goOn({ from })).status, 200);
});

test('an anonymous watcher who is refused is told that it is for being anonymous (RFC 5079)', async () => {
  const world = new World();
  world.proof = { kind: 'anonymous', origin: { kind: 'sip-peer', domain: 'partner.example' } };
  world.refusal = new GatewayError('sender-forbidden', 'blocked');
  await assert.rejects(world.ask(), { code: 'sender-forbidden', details: { status: 433 } });
  world.refusal = new GatewayError('recipient-unknown', 'nobody');
  await assert.rejects(world.ask(), { code: 'recipient-unknown', details: {} });
});

test('one look: 200, then one NOTIFY that ends it, and nothing is kept', async () => {
  const world = new World();
  const reply = await world.ask({
    headers: [
      ['Expires', '0'],
      ['Event', 'presence;id=9'],
    ],
  });
  assert.equal(reply.status, 200);
  assert.equal(reply.toTag, 'sAB1');
  assert.equal(fieldsOf(reply)['Expires'], '0');
  assert.equal(world.notified.length, 0);
  world.clock.advance(1);
  const [notification] = world.notified;
  assert.ok(notification !== undefined);
  assert.deepEqual(notification.state, { at: 'terminated', reason: 'timeout' });
  assert.equal(notification.body, A_BODY);
  const { id, watcher, presentity, lease } = notification.subscription;
  assert.deepEqual([id, watcher, presentity], ['sAB1', ROMEO, JULIET]);
  assert.equal((lease as SipLease).eventId, '9');
  assert.equal((lease as SipLease).dialog.localTag, 'sAB1');
  assert.deepEqual([world.subscribed, world.kept.size], [[], 0]);
});

test('one look at somebody who may not be seen has no body', async () => {
  const world = new World();
  world.body = undefined;
  await world.ask({ headers: [['Expires', '0']] });
  world.clock.advance(1);
  assert.equal('body' in world.notified[0]!, false);
});

for (const [tag, isKnown] of [
  ['*', true],
  [etagOf(A_BODY, 'application/pidf+xml') ?? '', true],
  [etagOf(A_BODY, 'application/xpidf+xml') ?? '', false],
  ['other', false],
  ['none', false],
  ['x'.repeat(300), false],
] as const) {
  test(`Suppress-If-Match: ${tag.slice(0, 30)} is ${isKnown ? 'what there is' : 'something else'}`, async () => {
    const world = new World();
    const headers: readonly HeaderField[] = [['Suppress-If-Match', tag]];
    await world.ask({ headers: [...headers, ['Expires', '0']] });
    world.clock.advance(1);
    assert.equal(world.notified[0]?.isBodySuppressed ?? false, isKnown);
    await world.ask({ headers });
    assert.equal(world.subscribed[0]?.hasBody?.(A_BODY) ?? false, isKnown);
    assert.equal(world.subscribed[0]?.hasBody?.(undefined) ?? false, tag === '*' || tag === 'none');
  });
}

test('without Suppress-If-Match nothing is suppressed', async () => {
  const world = new World();
  await world.ask();
  assert.equal(world.subscribed[0]?.hasBody, undefined);
});

async function subscribed(parts: RequestParts = {}): Promise<World> {
  const world = new World();
  await world.ask(parts);
  return world;
}

test('a refresh goes on with the subscription', async () => {
  const world = await subscribed();
  assert.deepEqual(await world.goOn({ headers: [['Expires', '120']] }), {
    status: 200,
    headers: [
      ['Expires', '120'],
      ['Contact', '<sip:192.0.2.10:5060>'],
    ],
  });
  assert.deepEqual([world.refreshed[0]?.id, world.refreshed[0]?.expiresSeconds], ['sAB1', 120]);
  assert.equal(world.subscribed.length, 1);
});

test('a refresh without Expires asks for the usual time', async () => {
  const world = await subscribed();
  assert.equal(fieldsOf(await world.goOn())['Expires'], '3600');
  assert.equal('expiresSeconds' in world.refreshed[0]!, false);
});

test('Expires: 0 within the dialog ends the subscription', async () => {
  const world = await subscribed();
  assert.equal(fieldsOf(await world.goOn({ headers: [['Expires', '0']] }))['Expires'], '0');
  assert.equal(world.refreshed[0]?.expiresSeconds, 0);
  assert.deepEqual(world.fetched, []);
});

test('a refresh that tells nothing new is answered 204 (RFC 5839, section 6.3)', async () => {
  const world = await subscribed();
  world.isSuppressed = true;
  const reply = await world.goOn({
    headers: [
      ['Suppress-If-Match', '*'],
      ['Expires', '90'],
    ],
  });
  assert.equal(reply.status, 204);
  assert.equal(fieldsOf(reply)['Expires'], '90');
  assert.equal(world.refreshed[0]?.hasBody?.(A_BODY), true);
});

test('a refresh from elsewhere moves the target, and is stored with it', async () => {
  const world = await subscribed();
  world.contact = 'sip:192.0.2.11:5060';
  await world.goOn({
    headers: [
      ['Contact', '<sip:romeo@203.0.113.5:5070;ob>'],
      ['Accept', 'application/xpidf+xml'],
    ],
  });
  const stored = world.refreshed[0]?.lease;
  assert.equal(stored?.dialog.remoteTarget, 'sip:romeo@203.0.113.5:5070;ob');
  assert.equal(stored.format, 'application/xpidf+xml');
  assert.equal(stored.contact, 'sip:192.0.2.11:5060');
  assert.equal(stored.dialog.remoteCseq, 2);
});

test('a refresh without a Contact or Accept leaves both', async () => {
  const world = await subscribed({ headers: [['Accept', 'application/xpidf+xml']] });
  await world.goOn({ headers: [['Contact', '']] });
  assert.equal(world.lease().dialog.remoteTarget, 'sip:romeo@198.51.100.7:5062');
  assert.equal(world.lease().format, 'application/xpidf+xml');
});

test('numbers that run short are reserved with a refresh', async () => {
  const world = await subscribed();
  const { dialog } = world.lease();
  dialog.localCseq = dialog.localCseqReserved - 5;
  const before = dialog.localCseqReserved;
  await world.goOn();
  assert.ok(dialog.localCseqReserved > before);
  // With fewer left a notification could use one that is not stored yet.
  dialog.localCseq = dialog.localCseqReserved - 1;
  const reserved = dialog.localCseqReserved;
  await world.goOn({ cseq: 3 });
  assert.equal(dialog.localCseqReserved, reserved);
});

test('a refresh that is refused changes nothing but the number', async () => {
  const world = await subscribed();
  const before = structuredClone(world.lease());
  world.refusal = new GatewayError('interval-too-brief', 'test', { details: { minExpiresSeconds: 60 } });
  world.contact = 'sip:192.0.2.11:5060';
  const moved: readonly HeaderField[] = [
    ['Contact', '<sip:romeo@203.0.113.5>'],
    ['Accept', 'application/xpidf+xml'],
  ];
  await assert.rejects(world.goOn({ headers: moved }), { code: 'interval-too-brief' });
  assert.deepEqual(world.lease(), { ...before, dialog: { ...before.dialog, remoteCseq: 2 } });
});

test('what a later refresh has changed is not put back by an earlier one that fails', async () => {
  const world = await subscribed();
  world.refusal = new GatewayError('store-unavailable', 'test');
  const first = world.goOn({ headers: [['Contact', '<sip:romeo@203.0.113.5>']] });
  const second = world.goOn({ cseq: 3, headers: [['Contact', '<sip:romeo@203.0.113.6>']] });
  const [outcome] = await Promise.allSettled([first, second]);
  assert.equal(outcome.status, 'rejected');
  assert.notEqual(world.lease().dialog.remoteTarget, 'sip:romeo@198.51.100.7:5062');
});

test('a lower number within the dialog: 500 (RFC 3261, section 12.2.2)', async () => {
  const world = await subscribed();
  await world.goOn({ cseq: 7 });
  assert.equal((await world.goOn({ cseq: 6 })).status, 500);
  assert.equal(world.refreshed.length, 1);
});

test('the same number again goes on: its answer may have been lost with the process before', async () => {
  const world = await subscribed();
  assert.equal((await world.goOn({ cseq: 2 })).status, 200);
  assert.equal((await world.goOn({ cseq: 2 })).status, 200);
});

const OTHERS: ReadonlyArray<readonly [name: string, parts: RequestParts]> = [
  ['an unknown tag', { to: '<sip:juliet@sip.example>;tag=sAB2' }],
  ['another Call-ID', { callId: 'call-2' }],
  ['another From tag', { from: '<sip:romeo@sip.example>;tag=f2' }],
  ['no From tag', { from: '<sip:romeo@sip.example>' }],
  ['another package', { headers: [['Event', 'presence.winfo']] }],
  ['an Event id', { headers: [['Event', 'presence;id=1']] }],
];
for (const [name, parts] of OTHERS) {
  test(`no subscription: ${name}`, async () => {
    const world = await subscribed();
    await assert.rejects(world.goOn(parts), { code: 'dialog-unknown' });
    assert.equal(world.lease().dialog.remoteCseq, 1);
  });
}

test('no subscription: of another watcher, whatever he knows', async () => {
  const world = await subscribed();
  world.proof = { ...PROVED, sender: { address: JULIET } };
  await assert.rejects(world.goOn({ headers: [['Expires', '0']] }), { code: 'dialog-unknown' });
  world.proof = { kind: 'anonymous', origin: { kind: 'sip-peer', domain: 'partner.example' } };
  await assert.rejects(world.goOn({ headers: [['Expires', '0']] }), { code: 'dialog-unknown' });
  assert.deepEqual(world.refreshed, []);
});

test('no subscription: over a link', async () => {
  const world = await subscribed();
  const kept = world.kept.get('sAB1');
  assert.ok(kept !== undefined);
  world.kept.set('sAB1', { ...kept, lease: { via: 'link:office' } });
  await assert.rejects(world.goOn(), { code: 'dialog-unknown' });
});

test('capitals make no other watcher', async () => {
  const world = await subscribed();
  world.proof = { ...PROVED, sender: { address: 'Romeo@sip.example' as typeof ROMEO } };
  assert.equal((await world.goOn()).status, 200);
});

const FLOWS: ReadonlyArray<readonly [name: string, contact: string, transport: 'udp' | 'tcp', isOver: boolean]> = [
  ['a phone on its own connection', 'sip:romeo@192.0.2.99:5062', 'tcp', true],
  ['a phone behind a NAT, over TCP', 'sip:romeo@10.0.0.7', 'tcp', true],
  ['a phone behind a NAT, over UDP', 'sip:romeo@192.168.1.7', 'udp', true],
  ['a phone at its address, over UDP', 'sip:romeo@192.0.2.99:5062', 'udp', false],
  ['another host', 'sip:romeo@198.51.100.7', 'tcp', false],
];
for (const [name, contact, transport, isOver] of FLOWS) {
  test(`the way back: ${name}: ${isOver ? 'the flow' : 'the Contact'}`, async () => {
    const flow = { transport, id: 'flow-1' };
    const world = await subscribed({ headers: [['Contact', `<${contact}>`]], flow });
    assert.equal(world.lease().dialog.flow, isOver ? 'flow-1' : undefined);
    await world.goOn({ headers: [['Contact', `<${contact}>`]], flow: { ...flow, id: 'flow-2' } });
    assert.equal(world.lease().dialog.flow, isOver ? 'flow-2' : undefined);
  });
}

test('a subscription is small', async () => {
  const world = new World();
  for (let i = 0; i < 4_000; i++) await world.ask({ callId: `${i}-5b1f6d2f0f3e4c5f8a9b@192.0.2.99` });
  const leases = world.subscribed.map(({ lease }) => lease);
  // As the store keeps it; in memory it is about as much again for the objects.
  assert.ok(JSON.stringify(leases).length / leases.length < 600);
});
