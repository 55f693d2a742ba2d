import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstantMessage } from '../../../src/cpim/operation.ts';
import { PeerTable } from '../../../src/core/peers.ts';
import { credentialOf } from '../../../src/sip/digest.ts';
import { parseSipMessage } from '../../../src/sip/engine/parser.ts';
import { serializeResponse } from '../../../src/sip/engine/serializer.ts';
import type { HeaderField, SipRequest } from '../../../src/sip/message.ts';
import type { SipHandler } from '../../../src/sip/stack.ts';
import type { PublishRequest } from '../../../src/core/presence/publication.ts';
import type { Notifier, Subscription } from '../../../src/core/presence/subscription.ts';
import type { SubscribeRequest } from '../../../src/core/presence/subscriptions.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { aConfig, anAddress } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeStack } from '../../support/fake-stack.ts';
import { LogRecorder } from '../../support/log-recorder.ts';
import { A_FLOW, aRequest, type RequestParts } from '../../support/sip-request.ts';
import { loadVectors } from '../../support/vectors.ts';
import { tortureMessage } from '../../vectors/rfc4475/markup.ts';
import { memoryRecords } from '../../support/memory-records.ts';
import { sipSide } from '../../support/sip-side.ts';

type World = {
  readonly handler: SipHandler;
  readonly accepted: InstantMessage[];
  readonly subscribed: SubscribeRequest[];
  readonly published: PublishRequest[];
  readonly notifier: Notifier;
  readonly stack: FakeStack;
  readonly log: LogRecorder;
};

/** The SIP side with everything real but the core behind it; `core.example` is trusted from 192.0.2.50. */
function aWorld(): World {
  const accepted: InstantMessage[] = [];
  const log = new LogRecorder();
  const subscribed: SubscribeRequest[] = [];
  const published: PublishRequest[] = [];
  const stack = new FakeStack(() => 200);
  const alice = credentialOf(anAddress('alice@sip.example'), 'pw');
  const { handler, notifier } = sipSide({
    stack,
    peers: new PeerTable(aConfig()),
    credentials: { find: (user) => (user === alice.user ? alice : undefined) },
    contactsOf: () => [],
    accept: async (message) => {
      accepted.push(message);
      return 'queued';
    },
    listeners: () => [],
    clock: new FakeClock(),
    log,
    presence: {
      subscriptions: {
        subscribe: async (request) => {
          subscribed.push(request);
          return { expiresSeconds: 3_600 };
        },
        refresh: async () => ({ expiresSeconds: 3_600, isSuppressed: false }),
        fetch: async () => ({}),
        find: (id) => subscriptionOf(subscribed.find((request) => request.id === id)),
        saveLease: async () => undefined,
      },
      publish: async (request) => {
        published.push(request);
        return { etag: 'e1', expiresSeconds: 3_600 };
      },
      isUser: (address) => address === 'carol@core.example',
      upstreamRecords: memoryRecords<never>(),
      onReport: () => undefined,
      isWanted: () => Promise.resolve(true),
      documentBytesMax: 65_536,
      expiresSeconds: 3_600,
      random: () => 0.5,
    },
  });
  return { handler, accepted, subscribed, published, notifier, stack, log };
}

function subscriptionOf(request: SubscribeRequest | undefined): Subscription | undefined {
  if (request === undefined) return undefined;
  const { id, watcher, presentity, lease } = request;
  return { id, package: request.package, watcher, presentity, state: { at: 'active' }, subscribedAtMs: 0, lease };
}

for (const { id, in: from } of loadVectors<{ file: string }, unknown>('rfc4475/messages')) {
  const message = parseSipMessage(tortureMessage('rfc4475', from.file));
  if (message.kind !== 'request') continue;
  test(`torture message ${id} is answered, never with 500`, async () => {
    const { method, uri, headers, body } = message;
    const { handler, log } = aWorld();
    for (const remoteAddress of ['192.0.2.99', '192.0.2.50']) {
      const request: SipRequest = { method, uri, headers, body, flow: { ...A_FLOW, remoteAddress }, receivedAtMs: 0 };
      const reply = await handler(request);
      assert.notEqual(reply.status, 500);
      serializeResponse({ status: reply.status, reason: 'x', headers: reply.headers ?? [] });
    }
    assert.deepEqual(log.at('error'), []);
  });
}

test('OPTIONS says what a 405 and a 415 say', async () => {
  const { handler } = aWorld();
  const options = await handler(aRequest({ method: 'OPTIONS', uri: 'sip:sip.example' }));
  const refused = await handler(aRequest({ method: 'INVITE', uri: 'sip:alice@sip.example' }));
  assert.deepEqual(
    options.headers?.filter(([name]) => name === 'Allow'),
    refused.headers?.filter(([name]) => name === 'Allow'),
  );
  assert.deepEqual(
    options.headers
      ?.find(([name]) => name === 'Accept')?.[1]
      .split(', ')
      .slice(0, 2),
    ['text/plain', 'text/html'],
  );
});

/** CVE-2025-47779, CVE-2020-28361, CVE-2016-9938 and their kin: nobody gets another's name past the check. */
const FORGERIES: ReadonlyArray<readonly [name: string, from: string]> = [
  ['a semicolon in the display name', '"alice;x" <sip:mallory@stranger.example>'],
  ['NUL in the display name', '"alice\\\0" <sip:mallory@stranger.example>'],
  ['an address in the display name', '"<sip:carol@core.example>" <sip:mallory@stranger.example>'],
  ['NUL in the user part', '<sip:carol%00@core.example>'],
  ['our domain in the user part', '<sip:carol%40core.example@stranger.example>'],
  ['our domain as parameter', '<sip:mallory@stranger.example;maddr=core.example>'],
  ['our domain as password', '<sip:mallory:carol@stranger.example>'],
  ['our domain as start of another', '<sip:carol@core.example.stranger.example>'],
];
for (const [name, from] of FORGERIES) {
  test(`a forged sender is refused: ${name}`, async () => {
    const { handler, accepted } = aWorld();
    const reply = await handler(aRequest({ from: `${from};tag=1`, body: 'x' }));
    assert.ok([400, 401, 403].includes(reply.status), String(reply.status));
    assert.deepEqual(accepted, []);
  });
}

test('what a message says about its sender changes nothing', async () => {
  const { handler, accepted } = aWorld();
  const reply = await handler(
    aRequest({
      from: '<sip:zoe@core.example>;tag=1',
      flow: { remoteAddress: '192.0.2.50' },
      headers: [
        ['Content-Type', 'message/cpim'],
        ['Reply-To', '<sip:mallory@stranger.example>'],
        ['Remote-Party-ID', '<sip:mallory@core.example>'],
        ['P-Preferred-Identity', '<sip:mallory@core.example>'],
      ],
      body: 'From: <im:mallory@core.example>\r\nTo: <im:juliet@xmpp.example>\r\n\r\nContent-type: text/plain\r\n\r\nhi',
    }),
  );
  assert.equal(reply.status, 202);
  assert.equal(accepted[0]?.source.address, 'zoe@core.example');
  assert.equal(accepted[0].extras, undefined);
});

const FROM_CORE = { remoteAddress: '192.0.2.50' } as const;
const CAROL = { from: '<sip:carol@core.example>;tag=c1', flow: FROM_CORE } as const;

test('a SUBSCRIBE is answered in a dialog, and notified in it', async () => {
  const { handler, subscribed, notifier, stack } = aWorld();
  const request: RequestParts = {
    method: 'SUBSCRIBE',
    ...CAROL,
    headers: [
      ['Event', 'presence'],
      ['Contact', '<sip:carol@192.0.2.50>'],
    ],
  };
  const reply = await handler(aRequest(request));
  assert.equal(reply.status, 200);
  assert.match(reply.toTag ?? '', /^s[A-Za-z0-9_-]{20}$/);
  const contact = reply.headers?.find(([name]) => name === 'Contact')?.[1];
  assert.equal(contact, '<sip:192.0.2.10:5060;transport=tcp>');
  const subscription = subscriptionOf(subscribed[0]);
  assert.ok(subscription !== undefined);
  assert.equal(subscription.id, reply.toTag);
  await notifier.notify({ subscription, state: { at: 'pending', expiresAtMs: 1_700_000_060_000 } });
  const [notify] = stack.sent;
  assert.deepEqual(notify?.headers.slice(0, 2), [
    ['From', `<sip:juliet@xmpp.example>;tag=${reply.toTag}`],
    ['To', '<sip:carol@core.example>;tag=c1'],
  ]);
  const to = `<sip:juliet@xmpp.example>;tag=${reply.toTag}`;
  const refresh = await handler(aRequest({ ...request, uri: 'sip:192.0.2.10:5060', to, cseq: 2 }));
  assert.equal(refresh.status, 200);
});

test('a core publishes for its users', async () => {
  const { handler, published } = aWorld();
  const headers: HeaderField[] = [
    ['Event', 'presence'],
    ['Content-Type', 'application/pidf+xml'],
  ];
  const body = '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:carol@core.example"/>';
  const reply = await handler(aRequest({ method: 'PUBLISH', uri: 'sip:carol@core.example', ...CAROL, headers, body }));
  assert.equal(reply.status, 200);
  assert.equal(published[0]?.presentity, 'carol@core.example');
  const other = await handler(aRequest({ method: 'PUBLISH', uri: 'sip:dave@core.example', ...CAROL, headers, body }));
  assert.equal(other.status, 404);
});

const NO_PRESENCE: ReadonlyArray<readonly [name: string, parts: RequestParts, status: number, field: HeaderField]> = [
  ['another package', { headers: [['Event', 'dialog']] }, 489, ['Allow-Events', 'presence, presence.winfo']],
  [
    'another package published',
    { method: 'PUBLISH', uri: 'sip:carol@core.example' },
    489,
    ['Allow-Events', 'presence, presence.winfo'],
  ],
  [
    'another type published',
    {
      method: 'PUBLISH',
      uri: 'sip:carol@core.example',
      headers: [
        ['Event', 'presence'],
        ['Content-Type', 'text/plain'],
      ],
      body: 'x',
    },
    415,
    ['Accept', 'application/pidf+xml, application/cpim-pidf+xml, application/xpidf+xml'],
  ],
  [
    'a resource list',
    {
      headers: [
        ['Event', 'presence'],
        ['Require', 'eventlist'],
      ],
    },
    420,
    ['Unsupported', 'eventlist'],
  ],
];
for (const [name, parts, status, field] of NO_PRESENCE) {
  test(`presence refused: ${name} -> ${status}`, async () => {
    const reply = await aWorld().handler(aRequest({ method: 'SUBSCRIBE', ...CAROL, ...parts }));
    assert.equal(reply.status, status);
    assert.deepEqual(
      reply.headers?.find(([header]) => header === field[0]),
      field,
    );
  });
}

test('nothing is sent anywhere for a SUBSCRIBE without proof, whatever its Contact', async () => {
  const { handler, subscribed, stack } = aWorld();
  for (const [from, status] of [
    ['<sip:alice@sip.example>;tag=1', 401],
    ['<sip:eve@stranger.example>;tag=1', 403],
    ['<sip:anonymous@anonymous.invalid>;tag=1', 433],
  ] as const) {
    const headers: HeaderField[] = [
      ['Event', 'presence'],
      ['Contact', '<sip:victim@203.0.113.1>'],
      ['Expires', '0'],
    ];
    assert.equal((await handler(aRequest({ method: 'SUBSCRIBE', from, headers }))).status, status);
  }
  assert.deepEqual([subscribed, stack.sent], [[], []]);
});

/** Where one thing ends and another begins. */
const SHARP = ';<>"@,=*%: 09aZ/\\';

test('3,000 SUBSCRIBE and PUBLISH with faults: none of them fails the server', async () => {
  const { handler, log } = aWorld();
  const random = seededRandom(3);
  const sound = [
    'SUBSCRIBE sip:juliet@xmpp.example SIP/2.0\r\nEvent: presence;id=1\r\nContact: "C" <sip:c@192.0.2.50;ob>\r\n' +
      'Accept: application/pidf+xml;q=0.5, */*\r\nExpires: 600\r\nRecord-Route: <sip:p;lr>\r\n' +
      'Suppress-If-Match: x\r\nPrivacy: none\r\n',
    'PUBLISH sip:carol@core.example SIP/2.0\r\nEvent: presence\r\nSIP-If-Match: e1\r\nExpires: 60\r\n' +
      'Content-Type: application/pidf+xml;charset=utf-8\r\n',
  ].map((text, at) => {
    const method = text.slice(0, text.indexOf(' '));
    const body =
      '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:c@core.example"><tuple id="t"/></presence>';
    const common =
      'Via: SIP/2.0/UDP 192.0.2.50;branch=z9hG4bK1\r\nFrom: <sip:carol@core.example>;tag=1\r\nCall-ID: c\r\n' +
      `To: <sip:carol@core.example>\r\nCSeq: 1 ${method}\r\n\r\n`;
    return Buffer.from(text + common + (at === 0 ? '' : body));
  });
  let seen = 0;
  for (let i = 0; i < 3_000; i++) {
    const bytes = Buffer.from(sound[i % 2]!);
    for (let faults = 1 + Math.floor(random() * 2); faults > 0; faults--) {
      const isSharp = random() < 0.7;
      bytes[Math.floor(random() * bytes.length)] = isSharp
        ? SHARP.charCodeAt(Math.floor(random() * SHARP.length))
        : Math.floor(random() * 256);
    }
    const message = parseSipMessage(bytes);
    if (message.kind !== 'request') continue;
    seen += 1;
    const { method, uri, headers, body } = message;
    const reply = await handler({ method, uri, headers, body, flow: { ...A_FLOW, ...FROM_CORE }, receivedAtMs: 0 });
    assert.notEqual(reply.status, 500);
    serializeResponse({ status: reply.status, reason: reply.reason ?? 'x', headers: reply.headers ?? [] });
  }
  assert.ok(seen > 1_000, `only ${seen} were requests at all`);
  assert.deepEqual(log.at('error'), []);
});
