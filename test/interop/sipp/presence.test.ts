import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { needs } from '../../support/peers.ts';
import { PresencePhone } from '../../support/presence-phone.ts';
import { PASSWORD, RunningApp, SteerableClock } from '../../support/running-app.ts';
import {
  sippAnswer,
  sippCall,
  sippRequest,
  sippTakes,
  type SippStep,
  type SippTarget,
  type SippUser,
} from '../../support/sipp.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { until } from '../../support/until.ts';

const ALICE = 'sip:alice@sip.example';
const NOTE = 'in the orchard';
const PIDF =
  '<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:alice@sip.example">' +
  '<tuple id="t1"><status><basic>open</basic></status></tuple></presence>';
const CONTACT = 'Contact: <sip:watcher@[local_ip]:[local_port];transport=[transport]>';
/** Its value is SIPp's variable 1. */
const TAG = /SIP-ETag: *([^ \r\n]+)/;
/** Subscriptions one watcher may ask for at once; after them the rate limit is met. */
const BURST = 6;

type Row = readonly [status: number, what: string, step: Partial<SippStep>, ...holds: RegExp[]];

const subscribe = (headers: readonly string[] = [], more: Partial<SippStep> = {}): Partial<SippStep> => ({
  method: 'SUBSCRIBE',
  uri: ALICE,
  headers: ['Event: presence', 'Expires: 600', CONTACT, ...headers],
  ...more,
});
const REFUSED_SUBSCRIBE: readonly Row[] = [
  [400, 'without a Contact', subscribe([], { headers: ['Event: presence'] })],
  [401, 'without credentials', subscribe([], { isUnproved: true }), /WWW-Authenticate: Digest /],
  [404, 'to a user that does not exist', subscribe([], { uri: 'sip:nobody@sip.example' })],
  [406, 'whose Accept has no format that there is', subscribe(['Accept: text/plain'])],
  [
    423,
    'for too short a time',
    subscribe([], { headers: ['Event: presence', 'Expires: 2', CONTACT] }),
    /Min-Expires: 5[^0-9]/,
  ],
  [481, 'in a dialog that there is not', subscribe([], { to: `<${ALICE}>;tag=gone` })],
  [
    489,
    'of another package',
    subscribe([], { headers: ['Event: dialog', 'Expires: 600', CONTACT] }),
    /Allow-Events: presence, presence.winfo/,
  ],
];

const publish = (headers: readonly string[], body = PIDF): Partial<SippStep> => ({
  method: 'PUBLISH',
  headers: ['Event: presence', 'Expires: 600', ...headers],
  body,
});
const TYPE = 'Content-Type: application/pidf+xml';
const REFUSED_PUBLISH: readonly Row[] = [
  [400, 'with neither body nor entity-tag', publish([], '')],
  [400, 'with a body that is no document', publish([TYPE], '<presence')],
  [401, 'without credentials', { ...publish([TYPE]), isUnproved: true }],
  [403, 'for somebody else', { ...publish([TYPE]), uri: ALICE }],
  [404, 'for a user that does not exist', { ...publish([TYPE]), uri: 'sip:nobody@sip.example' }],
  [412, 'of an entity-tag that there is not', publish([TYPE, 'SIP-If-Match: gone'])],
  [
    413,
    'of a document that is too large',
    publish([TYPE], PIDF.replace('</tuple>', `</tuple><note>${'x'.repeat(5_000)}</note>`)),
  ],
  [
    415,
    'of something else than presence',
    publish(['Content-Type: text/plain']),
    /Accept: [^\r\n]*application.pidf.xml/,
  ],
  [
    423,
    'for too short a time',
    { ...publish([TYPE]), headers: ['Event: presence', 'Expires: 2', TYPE] },
    /Min-Expires: 5[^0-9]/,
  ],
  [489, 'of another package', { ...publish([TYPE]), headers: ['Event: dialog', TYPE] }, /Allow-Events: presence/],
];

/** Answers to a NOTIFY after which the subscription is over (RFC 6665, section 4.2.2). */
const ENDS = ['481 Subscription Does Not Exist', '404 Not Found', '489 Bad Event', '501 Not Implemented'] as const;

describe('sipp: presence', needs('sipp'), () => {
  const clock = new SteerableClock();
  let world: RunningApp;
  let alice: PresencePhone;
  const watchers = Array.from({ length: 60 }, (_, at) => `w${at}`);
  let taken = 0;
  const newWatcher = (): SippUser => ({ user: watchers[taken++]!, domain: 'sip.example', password: PASSWORD });
  const folder = temporaryFolder('sipp-presence');
  const target = (transport: 'udp' | 'tcp'): SippTarget => ({
    port: world.ports[transport],
    transport,
    folder,
    udpPort: world.ports.udp,
  });

  before(async () => {
    world = await RunningApp.start({
      clock,
      users: watchers,
      presence: `default: allow, notifyIntervalSeconds: 0, expires: { min: 5, default: 600, max: 3600 }, limits: { subscriptionsPerWatcher: ${BURST}, documentBytes: 4096 }`,
      extra: `rateLimits: { perSenderPerSecond: 0.001, burst: ${BURST} }`,
    });
    alice = new PresencePhone(await world.phone('alice'));
    assert.equal((await alice.publish(NOTE)).status, 200);
  });
  after(async () => {
    await world.stop();
  });

  const request = (user: SippUser, step: Partial<SippStep>, transport: 'udp' | 'tcp' = 'udp'): Promise<string> =>
    sippRequest(target(transport), user, { method: 'SUBSCRIBE', uri: ownUri(user), ...step });
  /** A request within the dialog that the first answer has made; over UDP. */
  const inDialog = (cseq: number): Partial<SippStep> => ({
    uri: `sip:127.0.0.1:${world.ports.udp}`,
    to: `<${ALICE}>[peer_tag_param]`,
    cseq,
  });
  const ownUri = ({ user, domain }: SippUser): string => `sip:${user}@${domain}`;

  for (const transport of ['udp', 'tcp'] as const) {
    test(`sipp over ${transport}: SUBSCRIBE, 200 and never 202; NOTIFY; refresh; SUBSCRIBE, Expires 0; the last NOTIFY`, async () => {
      const user = newWatcher();
      const contact = `sip:127.0.0.1:${world.ports[transport]}${transport === 'tcp' ? ';transport=tcp' : ''}`;
      const refresh = (cseq: number, expires: number): Promise<string> =>
        request(
          user,
          {
            uri: contact,
            to: `<${ALICE}>[peer_tag_param]`,
            cseq,
            headers: ['Event: presence', `Expires: ${expires}`, CONTACT],
          },
          transport,
        );
      await sippCall(target(transport), user, [
        await request(user, subscribe(), transport),
        sippAnswer(200, /Expires: 600/, /Contact: <sip:127/),
        ...sippTakes('NOTIFY', '200 OK', [/Subscription-State: active;expires=/, /in the orchard/]),
        await refresh(2, 300),
        sippAnswer(200, /Expires: 300/),
        ...sippTakes('NOTIFY', '200 OK', [/Subscription-State: active;expires=/, /in the orchard/]),
        await refresh(3, 0),
        sippAnswer(200, /Expires: 0/),
        ...sippTakes('NOTIFY', '200 OK', [/Subscription-State: terminated;reason=timeout/]),
      ]);
    });
  }

  test('sipp: SUBSCRIBE for a user who wants to be asked: 200 and never 202, NOTIFY pending', async () => {
    const user = newWatcher();
    await world.rule('alice@sip.example', `${user.user}@sip.example`, 'confirm');
    await sippCall(target('udp'), user, [
      await request(user, subscribe()),
      sippAnswer(200),
      ...sippTakes('NOTIFY', '200 OK', [/Subscription-State: pending;expires=/, /Content-Length: 0/]),
    ]);
  });

  test('sipp: SUBSCRIBE, Expires 0: 200 and one NOTIFY', async () => {
    const user = newWatcher();
    await sippCall(target('udp'), user, [
      await request(user, subscribe([], { headers: ['Event: presence', 'Expires: 0', CONTACT] })),
      sippAnswer(200, /Expires: 0/),
      ...sippTakes('NOTIFY', '200 OK', [/Subscription-State: terminated;reason=timeout/, /in the orchard/]),
    ]);
  });

  test('sipp: SUBSCRIBE with Suppress-If-Match of what the watcher has: 204 and no NOTIFY (RFC 5839, section 5.2)', async () => {
    const user = newWatcher();
    const refresh = (cseq: number, ...headers: readonly string[]): Promise<string> =>
      request(user, { ...subscribe(headers), ...inDialog(cseq) });
    await sippCall(target('udp'), user, [
      await request(user, subscribe()),
      sippAnswer(200),
      ...sippTakes('NOTIFY', '200 OK', [TAG, /CSeq: 1 NOTIFY/]),
      await refresh(2, 'Suppress-If-Match: [$1]'),
      sippAnswer(204, /Expires: 600/),
      await refresh(3),
      sippAnswer(200),
      // The second one that was sent at all.
      ...sippTakes('NOTIFY', '200 OK', [TAG, /CSeq: 2 NOTIFY/]),
    ]);
  });

  for (const [status, what, step, ...holds] of REFUSED_SUBSCRIBE) {
    test(`sipp: SUBSCRIBE ${what}: ${status}`, async () => {
      const user = newWatcher();
      await sippCall(target('udp'), user, [await request(user, step), sippAnswer(status, ...holds)]);
    });
  }

  test('sipp: SUBSCRIBE by one who is blocked: 403', async () => {
    const user = newWatcher();
    await world.rule('alice@sip.example', `${user.user}@sip.example`, 'block');
    await sippCall(target('udp'), user, [await request(user, subscribe()), sippAnswer(403)]);
  });

  test('sipp: SUBSCRIBE too often: 503 with Retry-After', async () => {
    const user = newWatcher();
    const once = await request(user, subscribe([], { headers: ['Event: presence', 'Expires: 0', CONTACT] }));
    for (let i = 0; i < BURST; i++) {
      await sippCall(target('udp'), user, [
        i === 0 ? once : await request(user, subscribe([], { headers: ['Event: presence', 'Expires: 0', CONTACT] })),
        sippAnswer(200),
        ...sippTakes('NOTIFY', '200 OK'),
      ]);
    }
    await sippCall(target('udp'), user, [await request(user, subscribe()), sippAnswer(503, /Retry-After: [1-9]/)]);
  });

  test('sipp: PUBLISH: 200 with an entity-tag, refreshed, changed and taken back', async () => {
    const user = newWatcher();
    const ofTag = 'SIP-If-Match: [$1]';
    await sippCall(target('udp'), user, [
      await request(user, { ...publish([TYPE]), cseq: 1 }),
      sippAnswer(200, TAG, /Expires: 600/),
      await request(user, { ...publish([ofTag], ''), cseq: 2 }),
      sippAnswer(200, TAG),
      await request(user, { ...publish([TYPE, ofTag]), cseq: 3 }),
      sippAnswer(200, TAG),
      await request(user, { method: 'PUBLISH', headers: ['Event: presence', 'Expires: 0', ofTag], cseq: 4 }),
      sippAnswer(200, /Expires: 0/),
    ]);
  });

  for (const [status, what, step, ...holds] of REFUSED_PUBLISH) {
    test(`sipp: PUBLISH ${what}: ${status}`, async () => {
      const user = newWatcher();
      await sippCall(target('udp'), user, [await request(user, step), sippAnswer(status, ...holds)]);
    });
  }

  for (const answer of ENDS) {
    test(`sipp: NOTIFY answered ${answer.slice(0, 3)}: the subscription is over`, async () => {
      const user = newWatcher();
      await sippCall(target('udp'), user, [
        await request(user, subscribe()),
        sippAnswer(200),
        ...sippTakes('NOTIFY', answer),
        await request(user, { ...subscribe(), ...inDialog(2) }),
        sippAnswer(481),
      ]);
    });
  }

  test('sipp: NOTIFY answered 503 with Retry-After: told again after that, in the same dialog', async () => {
    const user = newWatcher();
    const beganAtMs = clock.nowMs();
    await sippCall(target('udp'), user, [
      await request(user, subscribe()),
      sippAnswer(200),
      ...sippTakes('NOTIFY', '503 Service Unavailable', [/CSeq: 1 NOTIFY/], ['Retry-After: 3']),
      ...sippTakes('NOTIFY', '200 OK', [/CSeq: 2 NOTIFY/, /in the orchard/]),
    ]);
    assert.ok(clock.nowMs() - beganAtMs >= 3_000);
  });

  test('sipp: NOTIFY not answered for 32 s: repeated as it was, then told again in the same dialog', async () => {
    const user = newWatcher();
    const call = sippCall(target('udp'), user, [
      await request(user, subscribe()),
      sippAnswer(200),
      ...sippTakes('NOTIFY', undefined, [/CSeq: 1 NOTIFY/]),
      ...sippTakes('NOTIFY', '200 OK', [/CSeq: 2 NOTIFY/, /in the orchard/]),
    ]);
    clock.run(20);
    await call.finally(() => clock.run(1));
  });

  test('sipp: NOTIFY not answered twice: the subscription is over', async () => {
    const user = newWatcher();
    const isOver = (line: string): boolean =>
      line.includes('"subscription lost its watcher"') && line.includes(`"${user.user}@sip.example"`);
    const call = sippCall(target('udp'), user, [
      await request(user, subscribe()),
      sippAnswer(200),
      ...sippTakes('NOTIFY', undefined, [/CSeq: 1 NOTIFY/]),
      ...sippTakes('NOTIFY', undefined, [/CSeq: 2 NOTIFY/]),
    ]);
    clock.run(20);
    try {
      await call;
      assert.ok(!world.logLines.some(isOver), 'not before Timer F has run out for the second one');
      await until(() => world.logLines.some(isOver), { what: 'the end of the subscription' });
    } finally {
      clock.run(1);
    }
  });

  test('sipp: nothing of all this was a fault of ours', () => {
    assert.deepEqual(world.errors, []);
  });
});
