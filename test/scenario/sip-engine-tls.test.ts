import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { connect, createServer, TLSSocket, type ConnectionOptions } from 'node:tls';

import { GatewayError } from '../../src/core/errors.ts';
import { anOutgoing, EngineStage } from '../support/engine-stage.ts';
import { rawRequest, rawResponse, StreamPeer, StreamServer } from '../support/raw-sip.ts';
import { needs } from '../support/peers.ts';
import { testAuthority, testCertificate, type Leaf } from '../support/self-signed.ts';
import { srv, ZoneDns } from '../support/zone-dns.ts';

const openssl = needs('openssl');

async function tlsStage(t: TestContext, options: Parameters<typeof EngineStage.open>[1] = {}) {
  const own = testCertificate(['DNS:sip.example']);
  return EngineStage.open(t, {
    listeners: [
      { transport: 'tls', address: '127.0.0.1', port: 0 },
      { transport: 'tcp', address: '127.0.0.1', port: 0 },
    ],
    tls: { certificate: own.certificate, key: own.key, ca: testAuthority().certificate },
    ...options,
  });
}

async function tlsPeer(t: TestContext, port: number, options: ConnectionOptions = {}) {
  const socket = connect({
    port,
    host: '127.0.0.1',
    ca: testAuthority().certificate,
    servername: 'sip.example',
    ...options,
  });
  const peer = new StreamPeer(socket);
  t.after(() => peer.close());
  await once(socket, 'secureConnect');
  return peer;
}

function tlsOf(peer: StreamPeer): TLSSocket {
  assert.ok(peer.socket instanceof TLSSocket);
  return peer.socket;
}

async function tlsServer(t: TestContext, leaf: Leaf) {
  const server = await StreamServer.open(
    createServer({ cert: leaf.certificate, key: leaf.key, ca: testAuthority().certificate, requestCert: true }),
    'secureConnection',
  );
  t.after(() => server.close());
  return server;
}

const clients: ReadonlyArray<readonly [string, () => Leaf | undefined, readonly string[] | undefined]> = [
  ['no certificate', () => undefined, undefined],
  ['DNS names', () => testCertificate(['DNS:Peer.example', 'DNS:b.example']), ['peer.example', 'b.example']],
  ['a sip URI beside DNS names', () => testCertificate(['DNS:host.example', 'URI:sip:peer.example']), ['peer.example']],
  ['a common name alone', () => testCertificate([], { commonName: 'peer.example' }), ['peer.example']],
  ['a common name beside other names', () => testCertificate(['IP:127.0.0.1'], { commonName: 'peer.example' }), []],
  ['a certificate that is over', () => testCertificate(['DNS:peer.example'], { isOver: true }), undefined],
  ['a wildcard', () => testCertificate(['DNS:*.example']), []],
  [
    'the certificate of an authority nobody here knows',
    () => testCertificate(['DNS:peer.example'], { by: testAuthority('Stranger CA') }),
    undefined,
  ],
];
for (const [what, leaf, names] of clients) {
  test(`TLS server: a client with ${what} is ${names === undefined ? 'nobody' : `[${names.join(', ')}]`}`, async (t) => {
    const stage = await tlsStage(t);
    const certificate = leaf();
    const peer = await tlsPeer(
      t,
      stage.ports.tls,
      certificate === undefined ? {} : { cert: certificate.certificate, key: certificate.key },
    );
    peer.send(rawRequest({ via: 'SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKtls' }));
    assert.equal((await peer.next()).status, 200);
    assert.deepEqual(stage.seen[0]!.flow.peerNames, names);
    assert.equal(stage.seen[0]!.flow.transport, 'tls');
  });
}

test('TLS server: names are found again when a session is resumed', openssl, async (t) => {
  const stage = await tlsStage(t);
  const leaf = testCertificate(['DNS:peer.example']);
  const first = await tlsPeer(t, stage.ports.tls, { cert: leaf.certificate, key: leaf.key, maxVersion: 'TLSv1.2' });
  const session = tlsOf(first).getSession();
  first.send(rawRequest());
  await first.next();
  const second = await tlsPeer(t, stage.ports.tls, {
    cert: leaf.certificate,
    key: leaf.key,
    maxVersion: 'TLSv1.2',
    ...(session === undefined ? {} : { session }),
  });
  assert.equal(tlsOf(second).isSessionReused(), true);
  second.send(rawRequest());
  await second.next();
  assert.deepEqual(
    stage.seen.map(({ flow }) => flow.peerNames),
    [['peer.example'], ['peer.example']],
  );
});

test('TLS server: nothing older than TLS 1.2 is spoken', openssl, async (t) => {
  const stage = await tlsStage(t);
  const socket = connect({
    port: stage.ports.tls,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  });
  t.after(() => socket.destroy());
  await assert.rejects(once(socket, 'secureConnect'));
});

test('TLS server: bytes that are no TLS close that connection only', openssl, async (t) => {
  const stage = await tlsStage(t);
  const bad = await StreamPeer.connect(stage.ports.tls);
  bad.send(rawRequest());
  await bad.closed;
  const peer = await tlsPeer(t, stage.ports.tls);
  peer.send(rawRequest());
  assert.equal((await peer.next()).status, 200);
});

test('TLS server: connections count before their handshake', openssl, async (t) => {
  const stage = await tlsStage(t, { limits: { connectionsPerAddressMax: 2 } });
  const halves = [await StreamPeer.connect(stage.ports.tls), await StreamPeer.connect(stage.ports.tls)];
  const third = await StreamPeer.connect(stage.ports.tls);
  await third.closed;
  for (const half of halves) half.close();
});

const servers: ReadonlyArray<readonly [string, readonly string[], string, readonly string[] | undefined, boolean]> = [
  ['the very name', ['DNS:localhost'], 'localhost', undefined, true],
  ['a sip URI', ['URI:sip:localhost'], 'localhost', undefined, true],
  ['another name', ['DNS:other.example'], 'localhost', undefined, false],
  [
    'the name as DNS beside a sip URI of another',
    ['DNS:localhost', 'URI:sip:other.example'],
    'localhost',
    undefined,
    false,
  ],
  ['a wildcard', ['DNS:*.example'], 'localhost', undefined, false],
  ['no name but the common one', [], 'localhost', undefined, false],
  ['the name the caller expects', ['DNS:peer.example'], 'localhost', ['x.example', 'peer.example'], true],
  ['the host, while the caller expects another', ['DNS:localhost'], 'localhost', ['peer.example'], false],
  ['the address', ['IP:127.0.0.1'], '127.0.0.1', undefined, true],
  ['another address', ['IP:127.0.0.2'], '127.0.0.1', undefined, false],
  ['nothing, and nothing is expected', ['DNS:localhost'], 'localhost', [], false],
];
for (const [what, names, host, expectNames, isAccepted] of servers) {
  test(
    `TLS client: a server with ${what} is ${isAccepted ? 'accepted' : 'refused, and told nothing'}`,
    openssl,
    async (t) => {
      const stage = await tlsStage(t);
      const server = await tlsServer(t, testCertificate(names, { commonName: 'localhost' }));
      const answered = stage.stack.request(
        anOutgoing(`sip:bob@${host}:${server.port};transport=tls`, expectNames === undefined ? {} : { expectNames }),
      );
      if (isAccepted) {
        const peer = await server.next();
        const request = await peer.next();
        assert.match(request.header('Via'), /^SIP\/2\.0\/TLS 127\.0\.0\.1:/);
        peer.send(rawResponse(request, 200));
        const response = await answered;
        assert.equal(response.flow.transport, 'tls');
        return;
      }
      await assert.rejects(answered, (error) => error instanceof GatewayError && error.code === 'peer-unreachable');
      for (const peer of server.peers) {
        await peer.closed;
        assert.equal(peer.bytes.length, 0);
      }
    },
  );
}

test('TLS client: a server whose authority is unknown is refused, and told nothing', openssl, async (t) => {
  const stage = await tlsStage(t);
  const server = await tlsServer(t, testCertificate(['DNS:localhost'], { by: testAuthority('Stranger CA') }));
  await assert.rejects(
    stage.stack.request(anOutgoing(`sips:bob@localhost:${server.port}`)),
    (error) => error instanceof GatewayError && error.code === 'peer-unreachable',
  );
  for (const peer of server.peers) assert.equal(peer.bytes.length, 0);
});

test(
  'TLS client: DNS may lead to another host, the certificate is for the domain that was asked for',
  openssl,
  async (t) => {
    const server = await tlsServer(t, testCertificate(['DNS:peer.example']));
    const dns = new ZoneDns({
      srv: { '_sips._tcp.peer.example': [srv(0, 0, server.port, 'host.elsewhere.example')] },
      a: { 'host.elsewhere.example': ['127.0.0.1'] },
    });
    const stage = await tlsStage(t, { dns });
    const answered = stage.stack.request(anOutgoing('sips:bob@peer.example'));
    const peer = await server.next();
    const socket = tlsOf(peer);
    assert.equal((socket as unknown as { servername: string }).servername, 'peer.example');
    assert.equal(socket.getPeerCertificate().subjectaltname, 'DNS:sip.example', 'we show our own certificate');
    peer.send(rawResponse(await peer.next(), 200));
    assert.deepEqual((await answered).flow.peerNames, ['peer.example']);
  },
);

test('TLS client: a connection is shared only by those who expect the same names', openssl, async (t) => {
  const stage = await tlsStage(t);
  const server = await tlsServer(t, testCertificate(['DNS:localhost', 'DNS:other.example']));
  const uri = `sip:bob@localhost:${server.port};transport=tls`;
  for (const [expectNames, connections] of [
    [['localhost'], 1],
    [['localhost'], 1],
    [['other.example'], 2],
  ] as const) {
    const answered = stage.stack.request(anOutgoing(uri, { expectNames }));
    const peer = connections > server.peers.length ? await server.next() : server.peers[connections - 1]!;
    peer.send(rawResponse(await peer.next(), 200));
    await answered;
    assert.equal(server.peers.length, connections);
  }
  await assert.rejects(stage.stack.request(anOutgoing(uri, { expectNames: ['third.example'] })));
});

test(
  'TLS client: a request over a connection the peer opened goes to whom its certificate names',
  openssl,
  async (t) => {
    const stage = await tlsStage(t);
    const leaf = testCertificate(['DNS:peer.example']);
    const peer = await tlsPeer(t, stage.ports.tls, { cert: leaf.certificate, key: leaf.key });
    peer.send(rawRequest());
    await peer.next();
    const flow = stage.seen[0]!.flow.id;
    const answered = stage.stack.request(anOutgoing('sip:bob@peer.example', { nextHop: { flow } }));
    peer.send(rawResponse(await peer.next(), 200));
    assert.equal((await answered).flow.id, flow);
    await assert.rejects(
      stage.stack.request(anOutgoing('sip:bob@x.example', { nextHop: { flow }, expectNames: ['x.example'] })),
      (error) => error instanceof GatewayError && error.code === 'peer-unreachable',
    );
  },
);

test('TLS: a listener without a certificate does not start', openssl, async (t) => {
  await assert.rejects(
    EngineStage.open(t, { listeners: [{ transport: 'tls', address: '127.0.0.1', port: 0 }] }),
    /certificate/,
  );
});
