import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';

import { GatewayError } from '../../src/core/errors.ts';
import type { SipReply } from '../../src/sip/message.ts';
import { anOutgoing, EngineStage } from '../support/engine-stage.ts';
import { rawRequest, rawResponse, StreamPeer } from '../support/raw-sip.ts';
import { until } from '../support/until.ts';

const soon = (what: string) => ({ what, everyMs: 2 });

function isFailure(code: string) {
  return (error: unknown) => {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

test('engine faults: a connection that says nothing is closed after 30 s, one that spoke is kept', async (t) => {
  const stage = await EngineStage.open(t);
  const silent = await stage.tcpPeer();
  const speaking = await stage.tcpPeer();
  speaking.send(rawRequest());
  await speaking.next();
  await stage.pass(29_000);
  assert.equal(silent.isClosed, false);
  await stage.pass(1_200);
  await silent.closed;
  speaking.send(rawRequest());
  assert.equal((await speaking.next()).status, 200);
});

test('engine faults: half a message holds a connection for 30 s at most, whatever trickles in', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.tcpPeer();
  peer.send(rawRequest());
  await peer.next();
  peer.send('MESSAGE sip:bob@sip.example SIP/2.0\r\n');
  for (let second = 0; second < 28; second++) {
    await stage.pass(1_000);
    peer.send('x');
    await stage.pass(0);
  }
  assert.equal(peer.isClosed, false);
  await stage.pass(4_000);
  await peer.closed;
});

test('engine faults: an idle connection is closed after its time, a ping makes it last', async (t) => {
  const stage = await EngineStage.open(t, { limits: { idleMs: 60_000 } });
  const idle = await stage.tcpPeer();
  const pinging = await stage.tcpPeer();
  for (const peer of [idle, pinging]) {
    peer.send(rawRequest());
    await peer.next();
  }
  await stage.pass(50_000);
  pinging.send('\r\n\r\n');
  await until(() => pinging.bytes.toString().endsWith('\r\n\r\n\r\n'), soon('the pong'));
  await stage.pass(11_500);
  await idle.closed;
  assert.equal(pinging.isClosed, false);
});

test('engine faults: garbage ends its own connection only', async (t) => {
  const stage = await EngineStage.open(t);
  const good = await stage.tcpPeer();
  for (const garbage of ['\0\0\0\0\r\n\r\n', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\n\n', 'x'.repeat(40_000)]) {
    const bad = await stage.tcpPeer();
    bad.send(garbage);
    await until(
      () => stage.log.at('info').includes('stream closed for a fault in its framing'),
      soon('the fault is seen'),
    );
    await stage.pass(2_100);
    await bad.closed;
    stage.log.lines.length = 0;
  }
  good.send(rawRequest());
  assert.equal((await good.next()).status, 200);
  assert.equal(stage.seen.length, 1);
});

const badLengths: ReadonlyArray<readonly [string, readonly string[]]> = [
  ['no Content-Length', []],
  ['a negative Content-Length', ['Content-Length: -1']],
  ['a Content-Length that is no number', ['Content-Length: 5x']],
  ['two that differ', ['Content-Length: 5', 'l: 6']],
  ['one beyond all bounds', ['Content-Length: 99999999999999']],
];
for (const [what, headers] of badLengths) {
  test(`engine faults: on a stream ${what} is answered 400 and closes it`, async (t) => {
    const stage = await EngineStage.open(t);
    const peer = await stage.tcpPeer();
    peer.send(Buffer.concat([rawRequest(), rawRequest({ contentLength: false, headers })]));
    const statuses = [(await peer.next()).status, (await peer.next()).status];
    assert.deepEqual(statuses.sort(), [200, 400], 'what came before is answered, too');
    peer.send(rawRequest());
    await stage.pass(2_100);
    await peer.closed;
    assert.equal(stage.seen.length, 1);
  });
}

test('engine faults: one byte at a time is as good as any other way', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.tcpPeer();
  peer.socket.setNoDelay(true);
  const bytes = Buffer.concat([rawRequest({ body: 'one' }), Buffer.from('\r\n\r\n'), rawRequest({ body: 'two' })]);
  for (const byte of bytes) {
    peer.send(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await peer.count(2);
  assert.deepEqual(
    stage.seen.map(({ body }) => Buffer.from(body).toString()),
    ['one', 'two'],
  );
});

test('engine faults: 10,000 requests in one write are all answered, in order', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.tcpPeer();
  peer.send(Buffer.concat(Array.from({ length: 10_000 }, (_, at) => rawRequest({ cseq: at + 1 }))));
  // Counted in bytes: cutting them up one by one in the test would take longer than the answering.
  let before = -1;
  await until(
    () => {
      const now = peer.bytes.length;
      const isDone = stage.seen.length === 10_000 && now === before;
      before = now;
      return isDone;
    },
    { what: 'all are answered', everyMs: 50 },
  );
  const text = peer.bytes.toString('latin1');
  const numbers = text.split('\r\n').filter((line) => line.startsWith('CSeq: '));
  assert.equal(numbers.length, 10_000);
  assert.deepEqual(
    numbers,
    Array.from({ length: 10_000 }, (_, at) => `CSeq: ${at + 1} MESSAGE`),
  );
});

test('engine faults: a reader that does not read is cut off, and its memory is free', async (t) => {
  const stage = await EngineStage.open(t, { limits: { pendingBytesMax: 200_000 } }, async () => ({
    status: 200,
    body: Buffer.alloc(50_000, 'x'),
  }));
  const peer = await stage.tcpPeer();
  peer.socket.pause();
  for (let at = 0; at < 400 && !peer.socket.destroyed; at++) {
    peer.send(rawRequest());
    await stage.pass(0);
  }
  peer.socket.resume();
  await peer.closed;
  assert.ok(stage.log.lines.some(({ fields }) => fields['reason'] === 'reader too slow'));
});

test('engine faults: connections are bounded per address, and room comes back', async (t) => {
  const stage = await EngineStage.open(t, { limits: { connectionsPerAddressMax: 3 } });
  const peers = [await stage.tcpPeer(), await stage.tcpPeer(), await stage.tcpPeer()];
  const refused = await stage.tcpPeer();
  await refused.closed;
  peers[0]!.send(rawRequest());
  assert.equal((await peers[0]!.next()).status, 200);
  peers[0]!.close();
  await peers[0]!.closed;
  await stage.pass(0);
  const welcome = await stage.tcpPeer();
  welcome.send(rawRequest());
  assert.equal((await welcome.next()).status, 200);
});

test('engine faults: connections are bounded in all', async (t) => {
  const stage = await EngineStage.open(t, { limits: { connectionsMax: 2 } });
  const peers = [await stage.tcpPeer(), await stage.tcpPeer()];
  await (
    await stage.tcpPeer()
  ).closed;
  assert.deepEqual(
    peers.map(({ isClosed }) => isClosed),
    [false, false],
  );
});

test('engine faults: responses nobody waits for are dropped, however many', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.udpPeer();
  const target = await stage.udpPeer();
  const answered = stage.stack.request(anOutgoing(`sip:bob@127.0.0.1:${target.port}`));
  const request = await target.next();
  const stray = rawResponse(request, 200, { via: 'SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKnobody' });
  for (let at = 0; at < 2_000; at++) peer.send(stray, stage.ports.udp);
  target.send(rawResponse(request, 200), request.port);
  assert.equal((await answered).status, 200);
  peer.send(rawRequest(), stage.ports.udp);
  assert.equal((await peer.next()).status, 200);
  assert.equal(stage.seen.length, 1);
});

test('engine faults: more requests at once than the bound are answered 503 with Retry-After', async (t) => {
  const finish: Array<(reply: SipReply) => void> = [];
  const stage = await EngineStage.open(
    t,
    { limits: { requestsUnderWayMax: 2 } },
    () => new Promise((resolve) => finish.push(resolve)),
  );
  const peer = await stage.udpPeer();
  for (let at = 0; at < 3; at++) peer.send(rawRequest(), stage.ports.udp);
  const refused = await peer.next();
  assert.equal(refused.status, 503);
  assert.match(refused.header('Retry-After'), /^\d+$/);
  assert.equal(stage.seen.length, 2);
  for (const answer of finish) answer({ status: 200 });
  await peer.count(3);
  peer.send(rawRequest(), stage.ports.udp);
  await until(() => stage.seen.length === 3, soon('there is room again'));
  finish[2]!({ status: 200 });
});

test('engine faults: a handler that never answers is given up after 64*T1, and is no leak', async (t) => {
  const stage = await EngineStage.open(t, {}, () => new Promise(() => undefined));
  const peer = await stage.udpPeer();
  const request = rawRequest();
  peer.send(request, stage.ports.udp);
  await until(() => stage.seen.length === 1, soon('the handler has it'));
  await stage.pass(33_000);
  assert.deepEqual(
    peer.received.map(({ status }) => status),
    [100],
  );
  peer.send(request, stage.ports.udp);
  await until(() => stage.seen.length === 2, soon('a repetition after that is a new request'));
});

test('engine faults: transactions are forgotten after 64*T1, so a repetition then is a new request', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.udpPeer();
  const request = rawRequest();
  peer.send(request, stage.ports.udp);
  await peer.next();
  await stage.pass(31_900);
  peer.send(request, stage.ports.udp);
  await peer.next();
  assert.equal(stage.seen.length, 1);
  await stage.pass(300);
  peer.send(request, stage.ports.udp);
  await peer.next();
  assert.equal(stage.seen.length, 2);
  assert.equal(stage.clock.pending, 1);
  await stage.pass(33_000);
  assert.equal(stage.clock.pending, 0, 'nothing is left to wait for');
});

test('engine faults: past the bound of transactions answers are sent and not remembered', async (t) => {
  const stage = await EngineStage.open(t, { limits: { transactionsKeptMax: 1 } });
  const peer = await stage.udpPeer();
  const [kept, not] = [rawRequest(), rawRequest()];
  for (const request of [kept, not, kept, not]) {
    peer.send(request, stage.ports.udp);
    await peer.next();
  }
  assert.equal(stage.seen.length, 3);
});

test('engine faults: a request waits for no more than 4 s for a connection that does not open', async (t) => {
  const stage = await EngineStage.open(t);
  const server = await stage.tcpServer();
  const plain = stage.stack.request(anOutgoing(`sip:bob@127.0.0.1:${server.port};transport=tls`));
  const failed = assert.rejects(plain, isFailure('peer-unreachable'));
  // It accepts, and says nothing in a TLS handshake.
  await server.next();
  await stage.pass(4_100);
  await failed;
});

test('engine faults: the answer finds its way when the connection of its request is gone', async (t) => {
  let finish: (reply: SipReply) => void = () => undefined;
  const stage = await EngineStage.open(t, {}, () => new Promise((resolve) => (finish = resolve)));
  const server = await stage.tcpServer();
  const peer = await stage.tcpPeer();
  peer.send(rawRequest({ via: `SIP/2.0/TCP 127.0.0.1:${server.port};branch=z9hG4bKback` }));
  await until(() => stage.seen.length === 1, soon('the handler has it'));
  peer.close();
  await peer.closed;
  await stage.pass(0);
  finish({ status: 202 });
  const back = await server.next();
  assert.equal((await back.next()).status, 202);
});

test('engine faults: a flow that is gone is peer-unreachable, one of an earlier process too', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.tcpPeer();
  peer.send(rawRequest());
  await peer.next();
  const flow = stage.seen[0]!.flow.id;
  const answered = stage.stack.request(anOutgoing('sip:bob@sip.example', { nextHop: { flow } }));
  const request = await peer.next();
  peer.send(rawResponse(request, 200));
  assert.equal((await answered).flow.id, flow);
  peer.close();
  await peer.closed;
  await stage.pass(0);
  for (const id of [flow, 'tcp,other,1', 'udp,127.0.0.1,1,127.0.0.1,2', 'nonsense', '']) {
    await assert.rejects(
      stage.stack.request(anOutgoing('sip:bob@sip.example', { nextHop: { flow: id } })),
      isFailure('peer-unreachable'),
    );
  }
});

test('engine faults: a flow over UDP goes back to the very port its request came from', async (t) => {
  const stage = await EngineStage.open(t);
  const peer = await stage.udpPeer();
  peer.send(rawRequest(), stage.ports.udp);
  await peer.next();
  const flow = stage.seen[0]!.flow.id;
  const answered = stage.stack.request(
    anOutgoing('sip:bob@unresolvable.invalid', { nextHop: { flow }, body: Buffer.alloc(3_000) }),
  );
  const request = await peer.next();
  assert.equal(request.port, stage.ports.udp);
  peer.send(rawResponse(request, 200), request.port);
  assert.equal((await answered).status, 200);
});

test('engine faults: stop closes connections, also those that never said anything', async (t) => {
  const stage = await EngineStage.open(t);
  const peers: StreamPeer[] = [await stage.tcpPeer(), await stage.tcpPeer()];
  peers[0]!.send(rawRequest());
  await peers[0]!.next();
  await stage.stack.stop(1_000);
  await Promise.all(peers.map(({ closed }) => closed));
  const late = StreamPeer.connect(stage.ports.tcp);
  await assert.rejects(late);
  const udp = await stage.udpPeer();
  udp.send(rawRequest(), stage.ports.udp);
  await once(process, 'nothing', { signal: AbortSignal.timeout(30) }).catch(() => undefined);
  assert.equal(udp.received.length, 0);
});
