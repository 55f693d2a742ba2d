import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { EmbeddedStackOptions } from '../../src/sip/stack-embedded.ts';
import type { SipReply, SipRequest } from '../../src/sip/message.ts';
import { anOutgoing, EngineStage } from '../support/engine-stage.ts';
import { rawRequest, rawResponse } from '../support/raw-sip.ts';
import { testCertificate } from '../support/self-signed.ts';
import { until } from '../support/until.ts';

/** The engine with listeners for WebSockets (RFC 7118), and a client of the `ws` package on real sockets. */
const PAGE = 'https://chat.example';
const VIA = 'SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKws';

function stage(
  t: TestContext,
  options: Partial<EmbeddedStackOptions> = {},
  handler?: (request: SipRequest) => Promise<SipReply>,
): Promise<EngineStage> {
  const listeners = [
    { transport: 'ws', address: '127.0.0.1', port: 0 },
    { transport: 'udp', address: '127.0.0.1', port: 0 },
    { transport: 'tcp', address: '127.0.0.1', port: 0 },
  ] as const;
  return EngineStage.open(t, { listeners, webSocketOrigins: [PAGE], ...options }, handler);
}

test('websocket: a request and its answer are one text message each, and Via stays as it was (RFC 7118, section 8.1)', async (t) => {
  const { seen, wsPeer } = bound(await stage(t));
  const peer = await wsPeer();
  peer.send(rawRequest({ via: VIA }));
  const answer = await peer.next();
  assert.equal(answer.status, 200);
  assert.equal(answer.header('Via'), VIA);
  assert.deepEqual(peer.binary, [false]);
  assert.equal(peer.webSocket.protocol, 'sip');
  assert.equal(seen[0]?.flow.transport, 'ws');
});

test('websocket: binary messages are read, Content-Length may be missing, and what is no UTF-8 leaves as binary', async (t) => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const { seen, wsPeer } = bound(await stage(t, {}, async () => ({ status: 200, body: everyByte })));
  const peer = await wsPeer();
  peer.send(rawRequest({ via: VIA, body: everyByte, contentLength: false }), true);
  const answer = await peer.next();
  assert.deepEqual(Buffer.from(seen[0]?.body ?? []), everyByte);
  assert.deepEqual(answer.body, everyByte);
  assert.deepEqual(peer.binary, [true]);
});

test('websocket: a message in many pieces is one message', async (t) => {
  const { wsPeer } = bound(await stage(t));
  const peer = await wsPeer();
  const bytes = rawRequest({ via: VIA });
  for (let at = 0; at < bytes.length; at += 40) {
    peer.webSocket.send(bytes.subarray(at, at + 40), { binary: false, fin: at + 40 >= bytes.length });
  }
  assert.equal((await peer.next()).status, 200);
});

test('websocket: CRLF CRLF is answered by CRLF (RFC 7118, section 6), and nonsense by 400', async (t) => {
  const { seen, wsPeer } = bound(await stage(t));
  const peer = await wsPeer();
  peer.send('\r\n\r\n');
  peer.send('');
  peer.send(rawRequest({ via: VIA, from: '<<>>' }));
  assert.equal((await peer.next()).status, 400);
  assert.deepEqual(peer.texts, ['\r\n']);
  assert.equal(seen.length, 0);
});

const refused: ReadonlyArray<readonly [string, object, number]> = [
  ['asks for another protocol than sip', { protocols: ['xmpp'] }, 400],
  ['asks for no protocol', { protocols: [] }, 400],
  ['comes from a page that is not named', { origin: 'https://evil.example' }, 403],
  ['comes from a page whose origin is hidden', { origin: 'null' }, 403],
  ['comes from a named page at another port', { origin: `${PAGE}:8443` }, 403],
];
for (const [what, options, status] of refused) {
  test(`websocket: a handshake that ${what} is refused with ${status}`, async (t) => {
    const { wsPeer } = bound(await stage(t));
    await assert.rejects(wsPeer(options), new RegExp(`Unexpected server response: ${status}`));
  });
}

test('websocket: a named page and a program without a page are let in, any page where * is named', async (t) => {
  const { wsPeer } = bound(await stage(t));
  for (const origin of [PAGE, 'HTTPS://Chat.Example']) await wsPeer({ origin });
  await wsPeer({ protocols: ['xmpp', 'sip'] });
  const open = bound(await stage(t, { webSocketOrigins: ['*'] }));
  await open.wsPeer({ origin: 'https://evil.example' });
});

test('websocket: plain HTTP is answered 426', async (t) => {
  const { ports } = await stage(t);
  const asked = httpRequest({ port: ports.ws, host: '127.0.0.1', path: '/' }).end();
  const [response] = (await once(asked, 'response')) as [{ statusCode: number; resume(): void }];
  response.resume();
  assert.equal(response.statusCode, 426);
});

test('websocket: a request goes over the connection that the client has opened, and its answer comes back', async (t) => {
  const { seen, stack, wsPeer } = bound(await stage(t));
  const peer = await wsPeer();
  peer.send(rawRequest({ via: VIA }));
  await peer.next();
  const answered = stack.request(
    anOutgoing('sip:alice@df7jal23ls0d.invalid;transport=ws', { nextHop: { flow: seen[0]!.flow.id } }),
  );
  const request = await peer.next();
  assert.match(request.header('Via'), /^SIP\/2\.0\/WS 127\.0\.0\.1:\d+;/);
  peer.send(rawResponse(request, 200));
  assert.equal((await answered).flow.transport, 'ws');
});

test('websocket: nobody is dialled', async (t) => {
  const { stack } = await stage(t);
  for (const uri of ['sip:a@df7jal23ls0d.invalid;transport=ws', 'sip:a@127.0.0.1:9;transport=wss']) {
    await assert.rejects(stack.request(anOutgoing(uri)), { code: 'peer-unreachable' });
  }
});

test('websocket: a flow is dead the moment its connection closes, for what is under way and for what comes', async (t) => {
  const { seen, stack, wsPeer } = bound(await stage(t));
  const peer = await wsPeer();
  peer.send(rawRequest({ via: VIA }));
  await peer.next();
  const flow = seen[0]!.flow.id;
  const outgoing = anOutgoing('sip:alice@x.invalid', { nextHop: { flow } });
  const underWay = assert.rejects(stack.request(outgoing), { code: 'peer-unreachable' });
  await peer.next();
  peer.close();
  await underWay;
  await assert.rejects(stack.request(outgoing), { code: 'peer-unreachable' });
});

test('websocket: wss shows the certificate of the server, and counts as TLS', async (t) => {
  const listeners = [{ transport: 'wss', address: '127.0.0.1', port: 0 }] as const;
  const { seen, wsPeer } = bound(await stage(t, { listeners, tls: testCertificate(['DNS:sip.example']) }));
  const peer = await wsPeer({ scheme: 'wss', rejectUnauthorized: false });
  peer.send(rawRequest({ via: VIA.replace('WS', 'WSS') }));
  assert.equal((await peer.next()).status, 200);
  assert.equal(seen[0]?.flow.transport, 'wss');
});

test('websocket: stop says goodbye to clients', async (t) => {
  const { stack, clock, wsPeer } = bound(await stage(t));
  const peer = await wsPeer();
  const stopped = stack.stop(0);
  await Promise.resolve();
  clock.advance(1);
  assert.equal(await peer.closed, 1001);
  await stopped;
});

test('vulnerabilities: a WebSocket message larger than any SIP message ends its connection alone', async (t) => {
  const { seen, wsPeer } = bound(await stage(t, { limits: { headerBytesMax: 4_096, bodyBytesMax: 4_096 } }));
  const [large, other] = [await wsPeer(), await wsPeer()];
  large.send(Buffer.alloc(8_193, 0x41));
  assert.equal(await large.closed, 1009);
  const endless = await wsPeer();
  for (let at = 0; at < 9; at++) endless.webSocket.send(Buffer.alloc(1_024, 0x41), { binary: true, fin: false });
  assert.equal(await endless.closed, 1009);
  const scattered = await wsPeer();
  for (let at = 0; at < 2_000; at++) scattered.webSocket.send('', { fin: false });
  await scattered.closed;
  other.send(rawRequest({ via: VIA }));
  assert.equal((await other.next()).status, 200);
  assert.equal(seen.length, 1);
});

test('vulnerabilities: text that is no UTF-8 ends its connection', async (t) => {
  const { wsPeer } = bound(await stage(t));
  const peer = await wsPeer();
  peer.send(Buffer.from([0xc3, 0x28]), false);
  assert.equal(await peer.closed, 1007);
});

test('vulnerabilities: a WebSocket client that does not read is cut off, and holds little memory until then', async (t) => {
  const { seen, stack, wsPeer, log } = bound(await stage(t, { limits: { pendingBytesMax: 256 * 1024 } }));
  const peer = await wsPeer();
  peer.send(rawRequest({ via: VIA }));
  await peer.next();
  const { _socket: socket } = peer.webSocket as unknown as { _socket: { pause(): void } };
  socket.pause();
  const body = Buffer.alloc(60_000, 'x');
  const flow = seen[0]!.flow.id;
  const failed: unknown[] = [];
  for (let at = 0; at < 2_000 && failed.length === 0; at++) {
    stack
      .request(anOutgoing('sip:a@x.invalid', { nextHop: { flow }, body }))
      .catch((error: unknown) => failed.push(error));
    if (at % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => failed.length > 0, { what: 'the client was cut off' });
  assert.ok(log.lines.some(({ fields }) => fields['reason'] === 'reader too slow'));
});

test('vulnerabilities: WebSockets that never speak, and ones whose far end is gone, are closed', async (t) => {
  const { wsPeer, pass } = bound(await stage(t));
  const silent = await wsPeer();
  await pass(31_000);
  assert.equal(await silent.closed, 1008);
  const dead = await wsPeer({ autoPong: false });
  dead.send(rawRequest({ via: VIA }));
  await dead.next();
  const alive = await wsPeer();
  alive.send(rawRequest({ via: VIA, branch: 'z9hG4bKother' }));
  await alive.next();
  const pinged = once(alive.webSocket, 'ping');
  await pass(26_000);
  await pinged;
  await new Promise((resolve) => setTimeout(resolve, 50));
  await pass(11_000);
  assert.equal(await dead.closed, 1006);
  alive.send('\r\n\r\n');
  await until(() => alive.texts.length === 1, { what: 'the other is there' });
});

test('vulnerabilities: handshakes that do not end, and too many connections, cost others nothing', async (t) => {
  const { ports, wsPeer } = bound(await stage(t, { limits: { connectionsPerAddressMax: 2 } }));
  const peer = await wsPeer();
  const half = connect(ports.ws, '127.0.0.1');
  half.on('error', () => undefined);
  await once(half, 'connect');
  half.write('GET / HTTP/1.1\r\nUpgrade: websocket\r\n');
  await assert.rejects(wsPeer());
  half.destroy();
  await once(half, 'close');
  peer.send(rawRequest({ via: VIA }));
  assert.equal((await peer.next()).status, 200);
  const huge = connect(ports.ws, '127.0.0.1');
  huge.on('error', () => undefined);
  huge.write(`GET / HTTP/1.1\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`);
  await once(huge, 'close');
});

/** The stage with its methods to be taken out of it. */
function bound(open: EngineStage) {
  const { stack, seen, ports, clock, log } = open;
  return { stack, seen, ports, clock, log, wsPeer: open.wsPeer.bind(open), pass: open.pass.bind(open) };
}
