import assert from 'node:assert/strict';
import { test } from 'node:test';

import { GatewayError } from '../../src/core/errors.ts';
import { anOutgoing, EngineStage } from '../support/engine-stage.ts';
import { rawRequest, rawResponse, StreamServer, UdpPeer } from '../support/raw-sip.ts';
import { srv, ZoneDns, type Zone } from '../support/zone-dns.ts';

/** SRV records of peer.example in the order of the ports. */
function zone(service: string, ports: readonly number[]): Zone {
  return {
    srv: { [`${service}.peer.example`]: ports.map((port, at) => srv(at, 0, port, 'host.peer.example')) },
    a: { 'host.peer.example': ['127.0.0.1'] },
  };
}

async function closedPort(): Promise<number> {
  const server = await StreamServer.open();
  const { port } = server;
  server.close();
  return port;
}

/** The engine is made last, since its DNS names the ports of the peers. */
async function ports(t: Parameters<typeof EngineStage.open>[0], servers: number) {
  const open = await Promise.all(Array.from({ length: servers }, () => StreamServer.open()));
  t.after(() => open.forEach((server) => server.close()));
  return open;
}

const URI = 'sip:bob@peer.example';

test('failover: a refused target gives way to the next, and is tried last for 30 s', async (t) => {
  const [good] = await ports(t, 1);
  const dead = await closedPort();
  const stage = await EngineStage.open(t, { dns: new ZoneDns(zone('_sip._tcp', [dead, good!.port])) });
  const first = stage.stack.request(anOutgoing(URI));
  const peer = await good!.next();
  peer.send(rawResponse(await peer.next(), 200));
  assert.equal((await first).status, 200);

  // Somebody is there again, and may be tried again after a while.
  const back = await StreamServer.open(undefined, 'connection', dead);
  t.after(() => back.close());
  const second = stage.stack.request(anOutgoing(URI));
  peer.send(rawResponse(await peer.next(), 200));
  await second;
  assert.equal(back.peers.length, 0);
  await stage.pass(30_100);
  const third = stage.stack.request(anOutgoing(URI));
  const again = await back.next();
  again.send(rawResponse(await again.next(), 202));
  assert.equal((await third).status, 202);
});

test('failover: all refused is peer-unreachable', async (t) => {
  const stage = await EngineStage.open(t, {
    dns: new ZoneDns(zone('_sip._tcp', [await closedPort(), await closedPort()])),
  });
  await assert.rejects(
    stage.stack.request(anOutgoing(URI)),
    (error) => error instanceof GatewayError && error.code === 'peer-unreachable',
  );
});

test('failover: 503 gives way to the next, and is the answer when it was the last', async (t) => {
  const [one, two] = await ports(t, 2);
  const stage = await EngineStage.open(t, { dns: new ZoneDns(zone('_sip._tcp', [one!.port, two!.port])) });
  const answered = stage.stack.request(anOutgoing(URI));
  const first = await one!.next();
  const request = await first.next();
  first.send(rawResponse(request, 503, { headers: ['Retry-After: 9'] }));
  const second = await two!.next();
  const repeated = await second.next();
  assert.notEqual(repeated.viaParam('branch'), request.viaParam('branch'), 'a new branch for a new target');
  assert.equal(repeated.header('Call-ID'), request.header('Call-ID'));
  assert.equal(repeated.header('CSeq'), request.header('CSeq'));
  second.send(rawResponse(repeated, 503, { headers: ['Retry-After: 8'] }));
  const response = await answered;
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('Retry-After'), '8');
});

for (const status of [200, 404, 500, 600]) {
  test(`failover: ${status} is the answer, nobody else is asked`, async (t) => {
    const [one, two] = await ports(t, 2);
    const stage = await EngineStage.open(t, { dns: new ZoneDns(zone('_sip._tcp', [one!.port, two!.port])) });
    const answered = stage.stack.request(anOutgoing(URI));
    const peer = await one!.next();
    peer.send(rawResponse(await peer.next(), status));
    assert.equal((await answered).status, status);
    assert.equal(two!.peers.length, 0);
  });
}

test('failover: silence over UDP gives way to the next after half the time', async (t) => {
  const [silent, good] = [await UdpPeer.open(), await UdpPeer.open()];
  t.after(() => [silent, good].forEach((peer) => peer.close()));
  const stage = await EngineStage.open(t, { dns: new ZoneDns(zone('_sip._udp', [silent.port, good.port])) });
  const answered = stage.stack.request(anOutgoing(URI));
  await silent.next();
  await stage.pass(15_900);
  assert.equal(good.received.length, 0);
  await stage.pass(200);
  const request = await good.next();
  good.send(rawResponse(request, 200), request.port);
  assert.equal((await answered).status, 200);
});

test('failover: who has said 100 is waited for, nobody else is asked', async (t) => {
  const [busy, other] = [await UdpPeer.open(), await UdpPeer.open()];
  t.after(() => [busy, other].forEach((peer) => peer.close()));
  const stage = await EngineStage.open(t, { dns: new ZoneDns(zone('_sip._udp', [busy.port, other.port])) });
  const failed = assert.rejects(
    stage.stack.request(anOutgoing(URI)),
    (error) => error instanceof GatewayError && error.code === 'peer-timeout',
  );
  const request = await busy.next();
  busy.send(rawResponse(request, 100), request.port);
  await stage.pass(33_000);
  await failed;
  assert.equal(other.received.length, 0);
});

test('failover: a connection lost in the middle gives way to the next target', async (t) => {
  const [one, two] = await ports(t, 2);
  const stage = await EngineStage.open(t, { dns: new ZoneDns(zone('_sip._tcp', [one!.port, two!.port])) });
  const answered = stage.stack.request(anOutgoing(URI));
  const first = await one!.next();
  await first.next();
  first.close();
  const second = await two!.next();
  second.send(rawResponse(await second.next(), 200));
  assert.equal((await answered).status, 200);
});

test('failover: a large request takes a stream that DNS offers, though UDP comes first', async (t) => {
  const [stream] = await ports(t, 1);
  const datagrams = await UdpPeer.open();
  t.after(() => datagrams.close());
  const stage = await EngineStage.open(t, {
    dns: new ZoneDns({
      srv: {
        '_sip._udp.peer.example': [srv(0, 0, datagrams.port, 'host.peer.example')],
        '_sip._tcp.peer.example': [srv(0, 0, stream!.port, 'host.peer.example')],
      },
      a: { 'host.peer.example': ['127.0.0.1'] },
    }),
  });
  const answered = stage.stack.request(anOutgoing(URI, { body: Buffer.alloc(1_400, 'x') }));
  const peer = await stream!.next();
  peer.send(rawResponse(await peer.next(), 200));
  assert.equal((await answered).flow.transport, 'tcp');
  assert.equal(datagrams.received.length, 0);
});

test('failover: one connection serves all that goes to one place, a new one is opened when it is gone', async (t) => {
  const [server] = await ports(t, 1);
  const stage = await EngineStage.open(t);
  const uri = `sip:bob@127.0.0.1:${server!.port};transport=tcp`;
  for (const expected of [1, 1, 2]) {
    if (expected > server!.peers.length && server!.peers.length > 0) {
      server!.peers[0]!.close();
      await server!.peers[0]!.closed;
      await stage.pass(0);
    }
    const answered = stage.stack.request(anOutgoing(uri));
    const peer = expected > server!.peers.length ? await server!.next() : server!.peers.at(-1)!;
    peer.send(rawResponse(await peer.next(), 200));
    await answered;
    assert.equal(server!.peers.length, expected);
  }
});

test('failover: a request to a peer over its own connection can be answered, and it can ask over it', async (t) => {
  const [server] = await ports(t, 1);
  const stage = await EngineStage.open(t);
  const answered = stage.stack.request(anOutgoing(`sip:bob@127.0.0.1:${server!.port};transport=tcp`));
  const peer = await server!.next();
  const request = await peer.next();
  peer.send(Buffer.concat([rawRequest(), rawResponse(request, 200)]));
  assert.equal((await answered).status, 200);
  assert.equal((await peer.next()).status, 200);
  assert.equal(stage.seen[0]!.flow.remotePort, server!.port);
});
