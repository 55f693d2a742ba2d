import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FailureReport, InstantMessage } from '../../../src/cpim/operation.ts';
import { GatewayError, type ErrorCode, type ErrorDetails } from '../../../src/core/errors.ts';
import type { Binding, Route } from '../../../src/core/ports.ts';
import { SipHeaderList } from '../../../src/sip/headers.ts';
import type { SipOutgoing } from '../../../src/sip/message.ts';
import { MessageSender } from '../../../src/sip/message-sender.ts';
import { aBinding, aDelivery, aMessage, anAddress, aReport } from '../../support/builders.ts';
import { settled } from '../../support/fake-clock.ts';
import { FakeStack, type Answer } from '../../support/fake-stack.ts';
import { LogRecorder } from '../../support/log-recorder.ts';

const NOW = 1_700_000_000_000;
const LOCAL: Route = { kind: 'local', hop: 'user:alice@sip.example', userKey: 'alice@sip.example' };
const PEER: Route = {
  kind: 'sip',
  hop: 'sip:partner.example',
  domain: 'partner.example',
  nextHop: 'sip:gw.partner.example;transport=tcp',
};
const toAlice = aMessage({ from: 'juliet@xmpp.example', to: 'alice@sip.example' });
const toPaul = aMessage({ from: 'alice@sip.example', to: 'paul@partner.example' });

function aSender(stack: FakeStack, contacts: readonly Binding[] = [], log = new LogRecorder()): MessageSender {
  return new MessageSender({
    request: (outgoing) => stack.request(outgoing),
    contactsOf: (userKey) => (userKey === 'alice@sip.example' ? contacts : []),
    isOwn: (domain) => ['sip.example', 'core.example'].includes(domain),
    mainDomain: 'sip.example',
    clock: { nowMs: () => NOW },
    log,
  });
}

function send(
  stack: FakeStack,
  route: Route,
  operation: InstantMessage | FailureReport,
  contacts: readonly Binding[] = [],
): Promise<void> {
  return aSender(stack, contacts).send(aDelivery(operation, route.hop, { sequence: 7 }), route);
}

/** Contacts `a`, `b`, ... with these q values, and a stack on which each does what the script says. */
function aliceAt(
  answers: Readonly<Record<string, Answer>>,
  q: Readonly<Record<string, number>> = {},
): [FakeStack, Binding[]] {
  const contacts = Object.keys(answers).map((name) =>
    aBinding({ contact: `sip:alice@${name}.example:5070`, q: q[name] ?? 1_000 }),
  );
  return [new FakeStack(({ uri }) => answers[hostOf(uri)] ?? 500), contacts];
}

function hostOf(uri: string): string {
  return /@(\w+)\.example/.exec(uri)?.[1] ?? uri;
}

async function failure(
  promise: Promise<void>,
): Promise<{ code: ErrorCode; details: ErrorDetails; transient: boolean }> {
  try {
    await promise;
  } catch (thrown) {
    const { code, details, transient } = GatewayError.of(thrown);
    return { code, details, transient };
  }
  return assert.fail('it was taken');
}

test('to a contact: Request-URI is the contact, To the user', async () => {
  const [stack, contacts] = aliceAt({ a: 200 });
  await send(stack, LOCAL, toAlice, contacts);
  const [outgoing] = stack.sent;
  assert.equal(outgoing?.uri, 'sip:alice@a.example:5070');
  const headers = new SipHeaderList(outgoing.headers);
  assert.equal(headers.get('To'), '<sip:alice@sip.example>');
  assert.equal(headers.get('CSeq'), '7 MESSAGE');
  assert.equal(outgoing.nextHop, undefined);
});

test('to a contact: what does not belong into a Request-URI is left out', async () => {
  const stack = new FakeStack(() => 200);
  await send(stack, LOCAL, toAlice, [aBinding({ contact: 'sip:alice@a.example;method=INVITE;ob?Subject=x' })]);
  assert.equal(stack.sent[0]?.uri, 'sip:alice@a.example;ob');
});

test('fork: all of one q at once, the first 2xx is enough', async () => {
  const [stack, contacts] = aliceAt({ a: 'silence', b: 486, c: 202, d: 'silence' });
  await send(stack, LOCAL, toAlice, contacts);
  assert.equal(stack.sent.length, 4);
});

test('fork: a lower q is asked only when all of the higher have failed', async () => {
  const [stack, contacts] = aliceAt(
    { c: 200, a: 486, b: 'peer-unreachable', d: 200 },
    { a: 1_000, b: 1_000, c: 500, d: 100 },
  );
  await send(stack, LOCAL, toAlice, contacts);
  assert.deepEqual(
    stack.sent.map(({ uri }) => hostOf(uri)),
    ['a', 'b', 'c'],
  );
});

test('fork: a higher q that is silent keeps the lower waiting', async () => {
  const [stack, contacts] = aliceAt({ a: 'silence', b: 200 }, { a: 1_000, b: 500 });
  void send(stack, LOCAL, toAlice, contacts);
  await settled();
  assert.equal(stack.sent.length, 1);
});

test('fork: nobody is asked after a 6xx', async () => {
  const [stack, contacts] = aliceAt({ a: 603, b: 200 }, { a: 1_000, b: 500 });
  const error = await failure(send(stack, LOCAL, toAlice, contacts));
  assert.equal(error.code, 'recipient-refused');
  assert.equal(error.details.status, 603);
  assert.equal(stack.sent.length, 1);
});

const BEST: ReadonlyArray<readonly [answers: Readonly<Record<string, Answer>>, code: ErrorCode, transient: boolean]> = [
  [{}, 'recipient-unavailable', true],
  [{ a: 404 }, 'recipient-unknown', false],
  [{ a: 486, b: 603 }, 'recipient-refused', false],
  [{ a: 500, b: 415 }, 'content-unsupported', false],
  [{ a: 503, b: 480 }, 'recipient-unavailable', true],
  [{ a: 403, b: 415 }, 'content-unsupported', false],
  [{ a: 302, b: 415 }, 'recipient-redirected', false],
  [{ a: 'peer-timeout', b: 'peer-unreachable' }, 'peer-timeout', true],
  [{ a: 'peer-timeout', b: 403 }, 'sender-forbidden', false],
  [{ a: 'peer-timeout', b: 404 }, 'peer-timeout', true],
  [{ a: 410, b: 486 }, 'recipient-unavailable', true],
  [{ a: 408, b: 404 }, 'peer-timeout', true],
  [{ a: 503, b: 500 }, 'peer-failed', true],
];
for (const [answers, code, transient] of BEST) {
  test(`fork: ${JSON.stringify(answers)} is ${code}`, async () => {
    const [stack, contacts] = aliceAt(answers);
    const error = await failure(send(stack, LOCAL, toAlice, contacts));
    assert.equal(error.code, code);
    assert.equal(error.transient, transient);
  });
}

const DEVICE = '<urn:uuid:1>';
const flowsOf = (...flows: string[]): Binding[] =>
  flows.map((flow, at) =>
    aBinding({ contact: 'sip:a@10.0.0.1', instance: DEVICE, regId: at + 1, flow, isFlowOnly: true, refreshedAtMs: at }),
  );
const waysOf = ({ sent }: FakeStack) =>
  sent.map(({ nextHop }) => (nextHop !== undefined && 'flow' in nextHop ? nextHop.flow : 'uri'));

const FAILOVERS: ReadonlyArray<readonly [what: string, answer: Answer, ways: readonly string[]]> = [
  ['is gone', 'peer-unreachable', ['new', 'old']],
  ['is gone, says its proxy', 430, ['new', 'old']],
  ['brings no answer', 'peer-timeout', ['new']],
  ['brings a refusal', 486, ['new']],
  ['is full', 503, ['new']],
];
for (const [what, answer, ways] of FAILOVERS) {
  test(`a flow that ${what}: ${ways.length === 1 ? 'that is all' : 'another of the device is tried, and never its URI'}`, async () => {
    const stack = new FakeStack(({ nextHop }) =>
      nextHop !== undefined && 'flow' in nextHop && nextHop.flow === 'new' ? answer : 200,
    );
    await send(stack, LOCAL, toAlice, flowsOf('old', 'new')).catch(() => undefined);
    assert.deepEqual(waysOf(stack), ways);
  });
}

test('a flow that was silent is tried last the next time', async () => {
  const stack = new FakeStack(({ nextHop }) =>
    nextHop !== undefined && 'flow' in nextHop && nextHop.flow === 'new' ? 'peer-timeout' : 200,
  );
  const sender = aSender(stack, flowsOf('old', 'new'));
  const delivery = aDelivery(toAlice, LOCAL.hop, { sequence: 7 });
  await failure(sender.send(delivery, LOCAL));
  await sender.send(delivery, LOCAL);
  assert.deepEqual(waysOf(stack), ['new', 'old']);
});

test('a path leads the way to a contact, and its own flow does not (RFC 3327, section 5.3)', async () => {
  const stack = new FakeStack(() => 200);
  const path = ['<sip:p3.example;lr>', '<sip:p1.example;lr>'];
  await send(stack, LOCAL, toAlice, [aBinding({ contact: 'sip:a@10.0.0.1', path, flow: 'f' })]);
  const [sent] = stack.sent;
  assert.deepEqual([sent?.uri, sent?.nextHop], ['sip:a@10.0.0.1', undefined]);
  assert.deepEqual(
    sent?.headers.filter(([name]) => name === 'Route').map(([, value]) => value),
    path,
  );
});

test('a contact with a flow is reached over it', async () => {
  const stack = new FakeStack(() => 200);
  await send(stack, LOCAL, toAlice, [aBinding({ flow: 'tcp-7' })]);
  assert.deepEqual(
    stack.sent.map(({ nextHop }) => nextHop),
    [{ flow: 'tcp-7' }],
  );
});

test('a contact whose connection is gone is reached at its URI', async () => {
  const stack = new FakeStack(({ nextHop }) => (nextHop === undefined ? 200 : 'peer-unreachable'));
  await send(stack, LOCAL, toAlice, [aBinding({ flow: 'tcp-7' })]);
  assert.deepEqual(
    stack.sent.map(({ nextHop }) => nextHop),
    [{ flow: 'tcp-7' }, undefined],
  );
});

for (const answer of ['peer-timeout', 486, 503] as const) {
  test(`a contact that said ${answer} over its flow is not asked again`, async () => {
    const stack = new FakeStack(() => answer);
    await failure(send(stack, LOCAL, toAlice, [aBinding({ flow: 'tcp-7' })]));
    assert.equal(stack.sent.length, 1);
  });
}

test('sips goes to contacts over TLS only', async () => {
  const stack = new FakeStack(() => 200);
  const contacts = ['sip:alice@a.example', 'sips:alice@b.example', 'sip:alice@c.example;transport=TLS'].map((contact) =>
    aBinding({ contact }),
  );
  await send(stack, LOCAL, { ...toAlice, secure: true }, contacts);
  assert.deepEqual(
    stack.sent.map(({ uri }) => hostOf(uri)),
    ['b', 'c'],
  );
  const none = await failure(send(stack, LOCAL, { ...toAlice, secure: true }, contacts.slice(0, 1)));
  assert.equal(none.code, 'recipient-unavailable');
});

test('to a peer: its user, its next hop, names that its certificate may carry', async () => {
  const stack = new FakeStack(() => 202);
  await send(stack, PEER, toPaul);
  const { uri, nextHop, expectNames } = stack.sent[0]!;
  assert.deepEqual(
    { uri, nextHop, expectNames },
    {
      uri: 'sip:paul@partner.example',
      nextHop: { uri: 'sip:gw.partner.example;transport=tcp' },
      expectNames: ['partner.example', 'gw.partner.example'],
    },
  );
});

test('to a peer without a next hop: by RFC 3263, instance as gr', async () => {
  const stack = new FakeStack(() => 200);
  const route: Route = { kind: 'sip', hop: 'sip:partner.example', domain: 'partner.example' };
  await send(stack, route, { ...toPaul, destination: { ...toPaul.destination, instance: 'desk' } });
  const { uri, nextHop, expectNames } = stack.sent[0]!;
  assert.deepEqual(
    { uri, nextHop, expectNames },
    { uri: 'sip:paul@partner.example;gr=desk', nextHop: undefined, expectNames: ['partner.example'] },
  );
});

test('sips to a peer: sips all the way, or not at all', async () => {
  const stack = new FakeStack(() => 200);
  const tls: Route = { ...PEER, nextHop: 'sip:gw.partner.example;transport=tls' };
  await send(stack, tls, { ...toPaul, secure: true });
  assert.equal(stack.sent[0]?.uri, 'sips:paul@partner.example');
  assert.equal((await failure(send(stack, PEER, { ...toPaul, secure: true }))).code, 'scheme-unsupported');
  assert.equal(stack.sent.length, 1);
});

const ANSWERS: ReadonlyArray<readonly [answer: Answer, code: ErrorCode, details: ErrorDetails]> = [
  [
    [302, ['Contact', '"P" <sip:paul@new.example>;q=1']],
    'recipient-redirected',
    { status: 302, alternative: 'sip:paul@new.example' },
  ],
  [[301, ['Contact', 'nonsense <']], 'recipient-moved', { status: 301 }],
  [
    [480, ['Retry-After', '120 (in a meeting);duration=60']],
    'recipient-unavailable',
    { status: 480, retryAfterSeconds: 120 },
  ],
  [[503, ['Retry-After', '99999999999999999999']], 'peer-failed', { status: 503 }],
  [[503, ['Retry-After', '999999999']], 'peer-failed', { status: 503, retryAfterSeconds: 86_400 }],
  [
    [415, ['Accept', 'text/plain'], ['Accept', 'text/html']],
    'content-unsupported',
    { status: 415, accept: 'text/plain, text/html' },
  ],
  [[403, ['Warning', '399 gw.example "not \\"you\\""']], 'sender-forbidden', { status: 403, text: 'not "you"' }],
  [
    [403, ['Warning', `399 gw.example "${'x'.repeat(500)}"`]],
    'sender-forbidden',
    { status: 403, text: 'x'.repeat(200) },
  ],
  [[403, ['Warning', '399 gw.example "open']], 'sender-forbidden', { status: 403 }],
  [604, 'recipient-unknown', { status: 604, wholeUser: true }],
  ['peer-unreachable', 'peer-unreachable', {}],
];
for (const [answer, code, details] of ANSWERS) {
  test(`peer answers ${JSON.stringify(answer).slice(0, 80)}: ${code}`, async () => {
    const error = await failure(send(new FakeStack(() => answer), PEER, toPaul));
    assert.equal(error.code, code);
    assert.deepEqual(error.details, details);
  });
}

for (const [status, code] of [
  [401, 'sender-unauthenticated'],
  [407, 'registration-required'],
] as const) {
  test(`peer answers ${status}: for good, and the operator is told why`, async () => {
    const log = new LogRecorder();
    const sender = aSender(new FakeStack(() => status), [], log);
    const error = await failure(sender.send(aDelivery(toPaul, PEER.hop), PEER));
    assert.equal(error.code, code);
    assert.equal(error.transient, false);
    assert.deepEqual(log.at('warn'), ['peer asks for credentials that this server does not have']);
  });
}

function fromOf(outgoing: SipOutgoing | undefined): string | undefined {
  return outgoing?.headers.find(([name]) => name === 'From')?.[1];
}

test('a report to a user of ours comes from the postmaster of his domain', async () => {
  const [stack, contacts] = aliceAt({ a: 200 });
  await send(stack, LOCAL, aReport(), contacts);
  assert.equal(fromOf(stack.sent[0]), '<sip:postmaster@sip.example>;tag=r-m1');
});

test('a report to a user of a peer comes from our postmaster', async () => {
  const stack = new FakeStack(() => 200);
  await send(stack, PEER, aReport({ destination: { address: anAddress('paul@partner.example') } }));
  assert.equal(fromOf(stack.sent[0]), '<sip:postmaster@sip.example>;tag=r-m1');
});

test('a repeated attempt is the same request', async () => {
  const [stack, contacts] = aliceAt({ a: 480 });
  const sender = aSender(stack, contacts);
  const delivery = aDelivery(toAlice, LOCAL.hop, { sequence: 9 });
  await failure(sender.send(delivery, LOCAL));
  await failure(sender.send({ ...delivery, attempt: 2, maybeSent: true }, LOCAL));
  assert.deepEqual(stack.sent[0], stack.sent[1]);
});

test('messages of one thread reach a phone under Call-IDs of their own, and a peer under one', async () => {
  const callIds = async (route: Route, contacts: readonly Binding[]): Promise<Array<string | undefined>> => {
    const stack = new FakeStack(() => 200);
    for (const id of ['m1', 'm2'])
      await send(stack, route, aMessage({ id, thread: 't', to: 'alice@sip.example' }), contacts);
    return stack.sent.map(({ headers }) => headers.find(([name]) => name === 'Call-ID')?.[1]);
  };
  assert.deepEqual(await callIds(LOCAL, aliceAt({ a: 200 })[1]), ['m1@interpres', 'm2@interpres']);
  assert.deepEqual(await callIds(PEER, []), ['t', 't']);
});
