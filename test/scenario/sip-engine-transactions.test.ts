import assert from 'node:assert/strict';
import { test } from 'node:test';

import { GatewayError } from '../../src/core/errors.ts';
import type { SipReply } from '../../src/sip/message.ts';
import { anOutgoing, EngineStage } from '../support/engine-stage.ts';
import { rawRequest, rawResponse, type RequestParts } from '../support/raw-sip.ts';
import { until } from '../support/until.ts';

const soon = (what: string) => ({ what, everyMs: 2 });

const via = (sentBy: string, branch: string) => `SIP/2.0/UDP ${sentBy};rport;branch=${branch}`;
const SAME: RequestParts = { callId: 'same@x', cseq: 4, from: '<sip:alice@sip.example>;tag=t1' };

const pairs: ReadonlyArray<readonly [string, RequestParts, RequestParts, readonly number[], number]> = [
  [
    'the same again is a retransmission',
    { ...SAME, via: via('a.example', 'z9hG4bK1') },
    { ...SAME, via: via('a.example', 'z9hG4bK1') },
    [200, 200],
    1,
  ],
  [
    'another branch from the same sent-by is a second try of the client',
    { ...SAME, via: via('a.example', 'z9hG4bK1') },
    { ...SAME, via: via('a.example', 'z9hG4bK2') },
    [200, 200],
    2,
  ],
  [
    'another branch from elsewhere is a merged request',
    { ...SAME, via: via('a.example', 'z9hG4bK1') },
    { ...SAME, via: via('b.example', 'z9hG4bK2') },
    [200, 482],
    1,
  ],
  [
    'the same branch from another sent-by is no retransmission',
    { ...SAME, via: via('a.example', 'z9hG4bK1') },
    { ...SAME, via: via('a.example:5070', 'z9hG4bK1') },
    [200, 482],
    1,
  ],
  [
    'within a dialog nothing is merged',
    { ...SAME, to: '<sip:bob@sip.example>;tag=d', via: via('a.example', 'z9hG4bK1') },
    { ...SAME, to: '<sip:bob@sip.example>;tag=d', via: via('b.example', 'z9hG4bK2') },
    [200, 200],
    2,
  ],
  [
    'two clients that repeat each other (branch, Call-ID, tag and CSeq) are told apart by From',
    { ...SAME, via: via('a.example', 'z9hG4bK1') },
    { ...SAME, via: via('a.example', 'z9hG4bK1'), from: '<sip:carol@sip.example>;tag=t1' },
    [200, 200],
    2,
  ],
  [
    'a forked request for two of our users is two requests',
    { ...SAME, via: via('a.example', 'z9hG4bK1') },
    { ...SAME, via: via('b.example', 'z9hG4bK2'), uri: 'sip:carol@sip.example' },
    [200, 200],
    2,
  ],
  [
    'the next CSeq is the next request, even with the branch of the last',
    { ...SAME, via: via('a.example', 'z9hG4bK1') },
    { ...SAME, via: via('a.example', 'z9hG4bK1'), cseq: 5 },
    [200, 200],
    2,
  ],
  [
    'without a branch the rest decides: the same again (RFC 2543)',
    { ...SAME, via: 'SIP/2.0/UDP a.example;rport' },
    { ...SAME, via: 'SIP/2.0/UDP a.example;rport' },
    [200, 200],
    1,
  ],
  [
    'a branch without the cookie is no proof: other parts differ (RFC 2543)',
    { ...SAME, via: via('a.example', '1') },
    { ...SAME, via: via('a.example', '1'), callId: 'other@x' },
    [200, 200],
    2,
  ],
];
for (const [what, first, second, statuses, handled] of pairs) {
  test(`server transactions: ${what}`, async (t) => {
    const stage = await EngineStage.open(t);
    const peer = await stage.udpPeer();
    const got: number[] = [];
    for (const parts of [first, second]) {
      peer.send(rawRequest(parts), stage.ports.udp);
      got.push((await peer.next()).status);
    }
    assert.deepEqual(got, statuses);
    assert.equal(stage.seen.length, handled);
  });
}

test('server transactions: the same request from two places is two requests', async (t) => {
  const stage = await EngineStage.open(t);
  const request = rawRequest({ ...SAME, via: via('a.example', 'z9hG4bK1') });
  for (const peer of [await stage.udpPeer(), await stage.udpPeer()]) {
    peer.send(request, stage.ports.udp);
    assert.equal((await peer.next()).status, 200);
  }
  assert.equal(stage.seen.length, 2);
});

test('server transactions: no more than eight of one request are under way by different branches', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.udpPeer();
  for (let at = 0; at < 20; at++) {
    peer.send(rawRequest({ ...SAME, via: via('a.example', `z9hG4bK${at}`) }), stage.ports.udp);
    await peer.next();
  }
  assert.equal(stage.seen.length, 8);
  assert.deepEqual([...new Set(peer.received.slice(8).map(({ status }) => status))], [503]);
  await stage.pass(33_000);
  assert.equal(stage.clock.pending, 0);
});

test('server transactions: over a connection nothing is kept after the answer', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.tcpPeer();
  const request = rawRequest({ via: 'SIP/2.0/TCP a.example;branch=z9hG4bKs' });
  for (let at = 0; at < 2; at++) {
    peer.send(request);
    await peer.next();
  }
  assert.equal(stage.seen.length, 2);
});

test('server transactions: over a connection a slow handler has a 100 sent, too', async (t) => {
  let finish: (reply: SipReply) => void = () => undefined;
  const stage = await EngineStage.open(t, {}, () => new Promise((resolve) => (finish = resolve)));
  const peer = await stage.tcpPeer();
  peer.send(rawRequest({ headers: ['Timestamp: 54'] }));
  await until(() => stage.seen.length === 1, soon('the handler has it'));
  await stage.pass(3_600);
  const trying = await peer.next();
  assert.equal(trying.status, 100);
  assert.equal(trying.header('Timestamp'), '54');
  assert.ok(!trying.header('To').includes('tag='));
  finish({ status: 200 });
  assert.equal((await peer.next()).status, 200);
});

const foreign = ['Via', 'To', 'from', 'Call-ID', 'CSeq', 'Content-Length'];
for (const name of foreign) {
  test(`server transactions: a handler that sets ${name} is answered 500`, async (t) => {
    const stage = await EngineStage.open(t, {}, async () => ({ status: 200, headers: [[name, 'x']] }));
    const peer = await stage.udpPeer();
    peer.send(rawRequest(), stage.ports.udp);
    assert.equal((await peer.next()).status, 500);
    assert.equal(stage.log.at('error').length, 1);
  });
}

for (const status of [100, 180, 99, 700]) {
  test(`server transactions: a handler that answers ${status} is answered 500`, async (t) => {
    const stage = await EngineStage.open(t, {}, async () => ({ status }));
    const peer = await stage.udpPeer();
    peer.send(rawRequest(), stage.ports.udp);
    assert.equal((await peer.next()).status, 500);
  });
}

test('server transactions: Server and User-Agent name the server when it has a name', async (t) => {
  const stage = await EngineStage.open(t, { serverName: 'Interpres/1' });
  const peer = await stage.udpPeer();
  peer.send(rawRequest(), stage.ports.udp);
  assert.equal((await peer.next()).header('Server'), 'Interpres/1');
  const answered = stage.stack.request(anOutgoing(`sip:bob@127.0.0.1:${peer.port}`));
  const request = await peer.next();
  assert.equal(request.header('User-Agent'), 'Interpres/1');
  assert.equal(request.header('Max-Forwards'), '70');
  peer.send(rawResponse(request, 200), request.port);
  await answered;
});

const invite = (branch: string, more: RequestParts = {}) =>
  rawRequest({ method: 'INVITE', via: via('127.0.0.1', branch), callId: branch, headers: [], body: '', ...more });

/** A handler that takes a while, so that the client is told to wait, and then says this. */
const slowly = (reply: SipReply): { answer: Promise<SipReply>; finish: () => void } => {
  let finish: (value: SipReply) => void = () => undefined;
  const answer = new Promise<SipReply>((resolve) => (finish = resolve));
  return { answer, finish: () => finish(reply) };
};

test('INVITE: 100 when it takes long, a refusal then repeated until its ACK, which is not answered', async (t) => {
  const { answer, finish } = slowly({ status: 405, headers: [['Allow', 'MESSAGE']] });
  const stage = await EngineStage.open(t, {}, () => answer);
  const peer = await stage.udpPeer();
  peer.send(invite('z9hG4bKi'), stage.ports.udp);
  await until(() => stage.seen.length === 1, soon('the handler has it'));
  assert.equal(peer.received.length, 0);
  await stage.pass(300);
  assert.equal((await peer.next()).status, 100);
  finish();
  const refusal = await peer.next();
  assert.equal(refusal.status, 405);
  await stage.pass(1_600);
  await peer.count(4);
  assert.deepEqual(
    peer.received.slice(2).map(({ bytes }) => bytes.toString()),
    [refusal.bytes.toString(), refusal.bytes.toString()],
  );
  peer.send(invite('z9hG4bKi', { method: 'ACK', to: refusal.header('To') }), stage.ports.udp);
  await stage.pass(0);
  await until(async () => {
    await stage.pass(500);
    return true;
  }, soon('time passes'));
  const count = peer.received.length;
  await stage.pass(33_000);
  assert.equal(peer.received.length, count);
  assert.equal(stage.clock.pending, 0);
  assert.equal(stage.seen.length, 1);
});

test('INVITE: without an ACK a refusal is repeated with growing pauses, and ends after 64*T1', async (t) => {
  const { answer, finish } = slowly({ status: 501 });
  const stage = await EngineStage.open(t, {}, () => answer);
  const peer = await stage.udpPeer();
  peer.send(invite('z9hG4bKi'), stage.ports.udp);
  await until(() => stage.seen.length === 1, soon('the handler has it'));
  await stage.pass(300);
  finish();
  await peer.count(2);
  await stage.pass(33_000);
  assert.equal(stage.clock.pending, 0);
  // T1 doubling to T2 within 32 s: 0.5, 1.5, 3.5, then every 4 s.
  await peer.count(2 + 10);
});

test('INVITE: one that is answered at once draws one packet for each of its own, and none after it', async (t) => {
  const stage = await EngineStage.open(t, {}, async () => ({ status: 501 }));
  const peer = await stage.udpPeer();
  for (let at = 0; at < 3; at++) peer.send(invite('z9hG4bKi'), stage.ports.udp);
  await peer.count(3);
  await stage.pass(33_000);
  assert.deepEqual(
    peer.received.map(({ status }) => status),
    [501, 501, 501],
  );
  assert.equal(stage.seen.length, 1);
  assert.equal(stage.clock.pending, 0);
});

test('INVITE: an answer that cannot be written is a 500', async (t) => {
  const stage = await EngineStage.open(t, {}, async () => ({ status: 488, headers: [['Warning', 'a\r\nX-Evil: 1']] }));
  const peer = await stage.udpPeer();
  peer.send(invite('z9hG4bKw'), stage.ports.udp);
  assert.equal((await peer.next()).status, 500);
});

test('INVITE: over a connection nothing is repeated', async (t) => {
  const stage = await EngineStage.open(t, {}, async () => ({ status: 488 }));
  const peer = await stage.tcpPeer();
  peer.send(invite('z9hG4bKi', { via: 'SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKi' }));
  await peer.count(1);
  await stage.pass(20_000);
  assert.equal(peer.received.length, 1);
});

test('INVITE: CANCEL is answered 200 and the INVITE 487, whatever the handler says later', async (t) => {
  let finish: (reply: SipReply) => void = () => undefined;
  const stage = await EngineStage.open(t, {}, () => new Promise((resolve) => (finish = resolve)));
  const peer = await stage.udpPeer();
  peer.send(invite('z9hG4bKc'), stage.ports.udp);
  await until(() => stage.seen.length === 1, soon('the handler has it'));
  await stage.pass(300);
  assert.equal((await peer.next()).status, 100);
  peer.send(invite('z9hG4bKc', { method: 'CANCEL' }), stage.ports.udp);
  const [first, second] = [await peer.next(), await peer.next()];
  assert.deepEqual([first.status, second.status], [200, 487]);
  assert.equal(first.header('CSeq'), '1 CANCEL');
  assert.equal(second.header('CSeq'), '1 INVITE');
  finish({ status: 486 });
  await stage.pass(0);
  assert.equal(peer.received.length, 3);
});

test('INVITE: a CANCEL of nothing is 481, an ACK of nothing is never answered', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.udpPeer();
  peer.send(invite('z9hG4bKn', { method: 'ACK' }), stage.ports.udp);
  peer.send(invite('z9hG4bKn', { method: 'ACK', from: '<<>' }), stage.ports.udp);
  peer.send(invite('z9hG4bKn', { method: 'CANCEL' }), stage.ports.udp);
  assert.equal((await peer.next()).status, 481);
  assert.equal(peer.received.length, 1);
  assert.equal(stage.seen.length, 0);
});

test('client transactions: a provisional response slows repetition down to every 4 s', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.udpPeer();
  const failed = assert.rejects(
    stage.stack.request(anOutgoing(`sip:bob@127.0.0.1:${peer.port}`)),
    (error) => error instanceof GatewayError && error.code === 'peer-timeout',
  );
  const request = await peer.next();
  peer.send(rawResponse(request, 100), request.port);
  await stage.pass(520);
  await until(() => peer.received.length === 2, soon('the timer that was set already'));
  await stage.pass(31_600);
  await failed;
  // At 4.5, 8.5 ... 28.5 s.
  await peer.count(9);
  await stage.pass(0);
  assert.equal(peer.received.length, 9);
});

test('client transactions: over a connection a request is sent once', async (t) => {
  const stage = await EngineStage.open(t);
  const server = await stage.tcpServer();
  const failed = assert.rejects(
    stage.stack.request(anOutgoing(`sip:bob@127.0.0.1:${server.port};transport=tcp`)),
    (error) => error instanceof GatewayError && error.code === 'peer-timeout',
  );
  const peer = await server.next();
  await peer.next();
  await stage.pass(32_100);
  await failed;
  assert.equal(peer.received.length, 1);
});

const refused: ReadonlyArray<readonly [string, Parameters<typeof anOutgoing>[1]]> = [
  ['without CSeq', { headers: anOutgoing('').headers.filter(([name]) => name !== 'CSeq') }],
  ['with a Via of its own', { headers: [...anOutgoing('').headers, ['v', 'SIP/2.0/UDP x;branch=z9hG4bKx']] }],
  ['of INVITE', { method: 'INVITE' }],
  ['to a next hop that is no SIP URI', { nextHop: { uri: 'mailto:x@y' } }],
];
for (const [what, more] of refused) {
  test(`client transactions: a request ${what} is a fault of the caller`, async (t) => {
    const stage = await EngineStage.open(t);
    await assert.rejects(
      stage.stack.request(anOutgoing('sip:bob@127.0.0.1:9', more)),
      (error) => error instanceof GatewayError && error.code === 'internal',
    );
  });
}

test('client transactions: the first Route is the next hop unless the caller names one', async (t) => {
  const stage = await EngineStage.open(t);
  const [route, named] = [await stage.udpPeer(), await stage.udpPeer()];
  const headers = [...anOutgoing('').headers, ['Route', `<sip:127.0.0.1:${route.port};lr>`] as const];
  for (const [peer, nextHop] of [
    [route, {}],
    [named, { nextHop: { uri: `sip:127.0.0.1:${named.port}` } }],
  ] as const) {
    const answered = stage.stack.request(anOutgoing('sip:bob@far.invalid', { headers, ...nextHop }));
    const request = await peer.next();
    assert.equal(request.startLine, 'MESSAGE sip:bob@far.invalid SIP/2.0');
    peer.send(rawResponse(request, 200), request.port);
    assert.equal((await answered).status, 200);
  }
});

test('transports: IPv6 and IPv4 side by side, each answered from the listener it was asked at', async (t) => {
  const stage = await EngineStage.open(t, {
    listeners: [
      { transport: 'udp', address: '0.0.0.0', port: 0 },
      { transport: 'udp', address: '[::]', port: 0 },
      { transport: 'tcp', address: '::1', port: 0 },
    ],
  });
  const [four, six] = [await stage.udpPeer(), await stage.udpPeer('::1')];
  for (const peer of [four, six]) {
    const answered = stage.stack.request(
      anOutgoing(`sip:bob@${peer === six ? '[0:0:0:0:0:0:0:1]' : '127.0.0.1'}:${peer.port}`),
    );
    const request = await peer.next();
    const address = peer === six ? '[::1]' : '127.0.0.1';
    assert.ok(request.header('Via').startsWith(`SIP/2.0/UDP ${address}:${request.port};rport;branch=z9hG4bK`));
    peer.send(rawResponse(request, 200), request.port);
    assert.equal((await answered).status, 200);
    peer.send(rawRequest(), request.port);
    const answer = await peer.next();
    assert.equal(answer.port, request.port);
    assert.equal(answer.viaParam('received'), peer === six ? '::1' : '127.0.0.1');
  }
});

test('transports: a listener that cannot be had frees the others again', async (t) => {
  const stage = await EngineStage.open(t);
  const { createEmbeddedStack } = await import('../../src/sip/stack-embedded.ts');
  const second = createEmbeddedStack({
    listeners: [
      { transport: 'udp', address: '127.0.0.1', port: 0 },
      { transport: 'tcp', address: '127.0.0.1', port: stage.ports.tcp },
    ],
    clock: stage.clock,
    log: stage.log,
  });
  await assert.rejects(
    second.start(async () => ({ status: 200 })),
    { code: 'EADDRINUSE' },
  );
});
