import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';

import type { GatewayError } from '../../src/core/errors.ts';
import type { SipOutgoing, SipReply, SipRequest } from '../../src/sip/message.ts';
import type { DrachtioListen, DrachtioServer as ServerOptions } from '../../src/sip/drachtio/servers.ts';
import { createDrachtioStack } from '../../src/sip/stack-drachtio.ts';
import { NoWayOut, type SipStack } from '../../src/sip/stack.ts';
import { systemClock } from '../../src/system-clock.ts';
import { DrachtioServer, type DrachtioServerOptions } from '../support/drachtio-server.ts';
import { FakeClock, settled } from '../support/fake-clock.ts';
import { anOutgoing } from '../support/engine-stage.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { freePort } from '../support/ports.ts';
import { rawRequest, rawResponse, StreamPeer, UdpPeer } from '../support/raw-sip.ts';
import { testAuthority, testCertificate } from '../support/self-signed.ts';
import { until } from '../support/until.ts';

/** Control connections as operators meet them: several servers, lost and found again, TLS, in either direction. */
const SECRET = 'between the two of us';

type Stage = { readonly stack: SipStack; readonly seen: SipRequest[]; readonly log: LogRecorder };

async function serverOf(t: TestContext, options: Partial<DrachtioServerOptions> = {}): Promise<DrachtioServer> {
  const server = await DrachtioServer.start({ secret: SECRET, ...options });
  t.after(() => server.stop());
  return server;
}

function towards(server: { controlPort: number }, more: Partial<ServerOptions> = {}): ServerOptions {
  return { host: '127.0.0.1', port: server.controlPort, secret: SECRET, tags: [], ...more };
}

async function stageOf(
  t: TestContext,
  servers: ReadonlyArray<ServerOptions | DrachtioListen>,
  handler: (request: SipRequest) => Promise<SipReply> = async () => ({ status: 200 }),
): Promise<Stage> {
  const seen: SipRequest[] = [];
  const log = new LogRecorder();
  const stack = createDrachtioStack({ servers, clock: systemClock, random: Math.random, log });
  t.after(() => stack.stop(0));
  await stack.start(async (request) => {
    seen.push(request);
    return handler(request);
  });
  return { stack, seen, log };
}

async function peerOf(t: TestContext): Promise<UdpPeer> {
  const peer = await UdpPeer.open();
  t.after(() => peer.close());
  return peer;
}

const to = (peer: UdpPeer, more: Partial<SipOutgoing> = {}): SipOutgoing =>
  anOutgoing(`sip:bob@127.0.0.1:${peer.port}`, more);
const isCode = (code: string) => (error: GatewayError) => error.code === code;
const stateOf = (stack: SipStack) => Object.values(stack.servers?.() ?? {})[0];

/** Sends a request and answers it; gives the port of the server that it came from. */
async function carrier(stack: SipStack, peer: UdpPeer, more: Partial<SipOutgoing> = {}): Promise<number> {
  const answered = stack.request(to(peer, more));
  const request = await peer.next();
  peer.send(rawResponse(request, 200), request.port);
  await answered;
  return request.port;
}

test('drachtio servers: requests come from all, and leave over the first that is there', async (t) => {
  const [one, other] = [await serverOf(t), await serverOf(t)];
  const { stack, seen } = await stageOf(t, [towards(one), towards(other)]);
  const peer = await peerOf(t);
  for (const { sip } of [one, other]) {
    peer.send(rawRequest(), sip.ports.udp);
    assert.equal((await peer.next()).status, 200);
  }
  assert.equal(seen.length, 2);
  assert.equal(await carrier(stack, peer), one.sip.ports.udp);
  await one.cutControl();
  await until(() => stateOf(stack)?.at === 'down', { what: 'the loss is seen' });
  assert.equal(await carrier(stack, peer), other.sip.ports.udp);
  await one.openControl();
  await until(() => stateOf(stack)?.at === 'up', { what: 'the first is back' });
  assert.equal(await carrier(stack, peer), one.sip.ports.udp);
});

test('drachtio servers: what is for a flow leaves over its server alone', async (t) => {
  const [one, other] = [await serverOf(t), await serverOf(t)];
  const { stack, seen } = await stageOf(t, [towards(one), towards(other)]);
  const phone = await StreamPeer.connect(other.sip.ports.tcp);
  t.after(() => phone.close());
  phone.send(rawRequest());
  assert.equal((await phone.next()).status, 200);
  const { flow } = seen[0]!;
  assert.deepEqual(
    [flow.transport, flow.remotePort, flow.localPort],
    ['tcp', phone.socket.localPort, other.sip.ports.tcp],
  );
  const answered = stack.request(anOutgoing('sip:bob@192.0.2.9', { nextHop: { flow: flow.id } }));
  const request = await phone.next();
  assert.equal(request.startLine, 'MESSAGE sip:bob@192.0.2.9 SIP/2.0');
  phone.send(rawResponse(request, 202));
  assert.equal((await answered).status, 202);
  assert.equal(stack.isFlowOpen(flow.id), true);
  phone.close();
  await until(
    () =>
      stack
        .request(anOutgoing('sip:bob@192.0.2.9', { nextHop: { flow: flow.id } }))
        .then(() => false, isCode('peer-unreachable')),
    { what: 'the connection is gone' },
  );
  assert.equal(stack.isFlowOpen(flow.id), false);
  await other.cutControl();
  await until(() => Object.values(stack.servers?.() ?? {})[1]?.at === 'down', { what: 'the loss is seen' });
  const gone = stack.request(anOutgoing('sip:bob@192.0.2.9', { nextHop: { flow: flow.id } }));
  await assert.rejects(
    gone,
    (error) => isCode('peer-unreachable')(error as GatewayError) && !(error instanceof NoWayOut),
  );
  const foreign = stack.request(anOutgoing('sip:bob@192.0.2.9', { nextHop: { flow: 'tcp,of the embedded engine,7' } }));
  await assert.rejects(foreign, isCode('peer-unreachable'));
});

test('drachtio servers: two of us on one server share its requests, its flows, and the rest of one that stops', async (t) => {
  const server = await serverOf(t);
  const [one, other] = [await stageOf(t, [towards(server)]), await stageOf(t, [towards(server)])];
  const phone = await StreamPeer.connect(server.sip.ports.tcp);
  t.after(() => phone.close());
  const ask = async (times: number) => {
    for (let at = 0; at < times; at++) {
      phone.send(rawRequest());
      assert.equal((await phone.next()).status, 200);
    }
  };
  await ask(4);
  assert.deepEqual([one.seen.length, other.seen.length], [2, 2]);
  const answered = other.stack.request(anOutgoing('sip:bob@192.0.2.9', { nextHop: { flow: one.seen[0]!.flow.id } }));
  phone.send(rawResponse(await phone.next(), 202));
  assert.equal((await answered).status, 202);
  await one.stack.stop(0);
  await ask(2);
  assert.deepEqual([one.seen.length, other.seen.length], [2, 4]);
});

test('drachtio servers: one that is away does not stop the start, and with none requests fail at once', async (t) => {
  const port = await freePort();
  const { stack, log } = await stageOf(t, [towards({ controlPort: port })]);
  assert.match(
    stateOf(stack)?.reason ?? '',
    new RegExp(`nothing listens at 127.0.0.1:${port}: start the drachtio server`),
  );
  const peer = await peerOf(t);
  const startMs = performance.now();
  await assert.rejects(
    stack.request(to(peer)),
    (error) => error instanceof NoWayOut && error.code === 'peer-unreachable',
  );
  assert.ok(performance.now() - startMs < 200);
  assert.equal(await stack.reachableAt('udp', '127.0.0.1'), undefined);
  assert.equal(log.lines.filter(({ message }) => message === 'drachtio server is not there').length, 1);
  const server = await serverOf(t, { controlPort: port });
  await until(() => stateOf(stack)?.at === 'up', { what: 'it has come' });
  assert.equal(await stack.reachableAt('udp', '127.0.0.1'), `127.0.0.1:${server.sip.ports.udp}`);
  assert.equal(await carrier(stack, peer), server.sip.ports.udp);
});

test('drachtio servers: what is under way when the control connection is lost ends at once, to be tried again', async (t) => {
  const server = await serverOf(t);
  const { stack } = await stageOf(t, [towards(server)]);
  const peer = await peerOf(t);
  const waiting = assert.rejects(stack.request(to(peer)), (error) => error instanceof NoWayOut && error.transient);
  await peer.next();
  await server.cutControl();
  await waiting;
});

test('drachtio servers: an answer to a request whose control connection is gone harms nobody', async (t) => {
  const server = await serverOf(t);
  let finish: (reply: SipReply) => void = () => undefined;
  const { stack, seen, log } = await stageOf(t, [towards(server)], () => new Promise((resolve) => (finish = resolve)));
  const peer = await peerOf(t);
  peer.send(rawRequest(), server.sip.ports.udp);
  await until(() => seen.length === 1, { what: 'the handler has it' });
  await server.cutControl();
  await until(() => stateOf(stack)?.at === 'down', { what: 'the loss is seen' });
  finish({ status: 200 });
  await settled();
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, 0);
});

test('drachtio servers: a wrong secret is said as an error, with what to do', async (t) => {
  const server = await serverOf(t);
  const { stack, log } = await stageOf(t, [towards(server, { secret: 'another one' })]);
  assert.match(stateOf(stack)?.reason ?? '', /^the server refuses the secret: make `secret`/);
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, 1);
  assert.ok(!JSON.stringify(log.lines).includes('another one'), 'and the secret itself is not');
});

test('drachtio servers: what is no control port is said', async (t) => {
  const web = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  t.after(() => web.close());
  const { stack } = await stageOf(t, [towards({ controlPort: (web.address() as AddressInfo).port })]);
  assert.match(stateOf(stack)?.reason ?? '', /is no drachtio control port/);
});

test('drachtio servers: TLS on the control connection, also the second time; not with a certificate of others', async (t) => {
  const tls = testCertificate(['DNS:edge.sip.example']);
  const server = await serverOf(t, { tls });
  const ca = testAuthority().certificate;
  const { stack } = await stageOf(t, [towards(server, { tls: { ca, servername: 'edge.sip.example' } })]);
  assert.equal(stateOf(stack)?.at, 'up');
  await server.cutControl();
  await server.openControl();
  await until(() => server.applications === 1, { what: 'it is back over TLS' });
  const stranger = await stageOf(t, [towards(server, { tls: { ca, servername: 'other.sip.example' } })]);
  assert.match(stateOf(stranger.stack)?.reason ?? '', /altnames.*correct `tls.ca` or `tls.servername`/s);
  const unknown = await stageOf(t, [towards(server, { tls: { servername: 'edge.sip.example' } })]);
  assert.equal(stateOf(unknown.stack)?.at, 'down');
});

for (const transport of ['tcp', 'tls'] as const) {
  test(`drachtio servers: one that connects here over ${transport} is served, and carries requests while it is there`, async (t) => {
    const port = await freePort();
    const tls = testCertificate(['DNS:localhost']);
    const listen: DrachtioListen = {
      listen: { transport, address: '127.0.0.1', port },
      trust: ['127.0.0.1'],
      secret: SECRET,
      tags: ['interpres'],
      ...(transport === 'tls' ? { tls } : {}),
    };
    const { stack, seen } = await stageOf(t, [listen]);
    assert.deepEqual([stateOf(stack)?.at, stateOf(stack)?.connections], ['listening', 0]);
    const ca = transport === 'tls' ? { ca: testAuthority().certificate } : {};
    const server = await serverOf(t, { outbound: { port, ...ca } });
    const peer = await peerOf(t);
    peer.send(rawRequest(), server.sip.ports.udp);
    assert.equal((await peer.next()).status, 200);
    assert.equal(seen.length, 1);
    assert.ok(server.received.includes(`authenticate|${SECRET}|interpres`));
    assert.ok(!server.received.some((kind) => kind.startsWith('route')), 'such a server is asked for nothing');
    assert.equal(stateOf(stack)?.connections, 1);
    assert.equal(await carrier(stack, peer), server.sip.ports.udp);
    const stranger = new StreamPeer(connect({ port, host: '127.0.0.1', localAddress: '127.0.0.66' }));
    await stranger.closed;
    assert.equal(stranger.bytes.length, 0, 'nothing is said to others');
    await server.cutControl();
    await until(() => stateOf(stack)?.connections === 0, { what: 'it is gone' });
    await assert.rejects(stack.request(to(peer)), isCode('peer-unreachable'));
  });
}

test('drachtio servers: a server that hangs is lost after a ping without an answer', async (t) => {
  const clock = new FakeClock();
  const server = await serverOf(t, { clock });
  const stack = createDrachtioStack({ servers: [towards(server)], clock, random: Math.random, log: new LogRecorder() });
  t.after(() => stack.stop(0));
  await stack.start(async () => ({ status: 200 }));
  const pass = async (ms: number) => {
    await clock.advanceAsync(ms);
    for (let turn = 0; turn < 20; turn++) await settled();
  };
  for (let times = 0; times < 4; times++) await pass(16_000);
  assert.equal(stateOf(stack)?.at, 'up', 'pings are answered');
  server.isHanging = true;
  const lost = assert.rejects(
    stack.request(anOutgoing('sip:bob@127.0.0.1:9', { timeoutMs: 32_000 })),
    isCode('peer-unreachable'),
  );
  await pass(15_500);
  await pass(10_500);
  await lost;
  assert.match(stateOf(stack)?.reason ?? '', /does not answer any more/);
});

test('drachtio servers: 200 messages of 9 kB at once all arrive, and nothing overruns what the server reads into', async (t) => {
  const server = await serverOf(t);
  const { stack } = await stageOf(t, [towards(server)]);
  const port = await answeringServer(t);
  const body = Buffer.alloc(9_000, 'x');
  const answers = Array.from({ length: 200 }, (_, at) =>
    stack.request(
      anOutgoing(`sip:bob@127.0.0.1:${port};transport=tcp`, {
        headers: [
          ...anOutgoing('sip:x').headers.filter(([name]) => name !== 'Call-ID'),
          ['Call-ID', `c${at}`],
          ['Content-Type', 'text/plain'],
        ],
        body,
      }),
    ),
  );
  assert.equal((await Promise.all(answers)).filter(({ status }) => status === 200).length, 200);
  assert.equal(server.applications, 1);
});

test('drachtio servers: a dialog with a route set goes by the routes that the server keeps; one it does not know is refused', async (t) => {
  const server = await serverOf(t);
  const { stack } = await stageOf(t, [towards(server)], async () => ({
    status: 200,
    toTag: 'ours',
    headers: [['Expires', '60']],
  }));
  const proxy = await peerOf(t);
  const routes = [`<sip:127.0.0.1:${proxy.port};lr>`, '<sip:token@192.0.2.8;lr>'];
  proxy.send(
    rawRequest({
      method: 'SUBSCRIBE',
      callId: 'dialog@x',
      headers: [
        'Event: presence',
        'Contact: <sip:alice@192.0.2.7>',
        ...routes.map((route) => `Record-Route: ${route}`),
      ],
      body: '',
    }),
    server.sip.ports.udp,
  );
  assert.equal((await proxy.next()).status, 200);
  const notify = (callId: string): SipOutgoing => ({
    method: 'NOTIFY',
    uri: 'sip:alice@192.0.2.7',
    headers: [
      ['From', '<sip:bob@sip.example>;tag=ours'],
      ['To', '<sip:alice@sip.example>;tag=a1'],
      ['Call-ID', callId],
      ['CSeq', '70001 NOTIFY'],
      ['Event', 'presence'],
      ['Subscription-State', 'active'],
      ...routes.map((route) => ['Route', route] as const),
    ],
  });
  const answered = stack.request(notify('dialog@x'));
  const request = await proxy.next();
  assert.deepEqual(request.all('Route'), routes);
  assert.equal(request.header('CSeq'), '70001 NOTIFY');
  assert.equal(request.header('From'), '<sip:bob@sip.example>;tag=ours');
  proxy.send(rawResponse(request, 200), request.port);
  assert.equal((await answered).status, 200);
  await assert.rejects(stack.request(notify('another@x')), isCode('feature-unsupported'));
});

/** Accepts connections, and answers what comes over them. @returns its port */
async function answeringServer(t: TestContext): Promise<number> {
  const server = createServer((socket) => {
    const peer = new StreamPeer(socket);
    const serve = async () => {
      for (;;) peer.send(rawResponse(await peer.next(20_000), 200));
    };
    serve().catch(() => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}
