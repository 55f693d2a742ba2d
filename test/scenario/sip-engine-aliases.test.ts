/** Connections that a peer has opened and that requests go back over (RFC 5923), and those over which none goes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { connect, createServer } from 'node:tls';
import { GatewayError } from '../../src/core/errors.ts';
import { needs } from '../support/peers.ts';
import { anOutgoing, EngineStage } from '../support/engine-stage.ts';
import { rawRequest, rawResponse, StreamPeer, StreamServer } from '../support/raw-sip.ts';
import { testAuthority, testCertificate, type Leaf } from '../support/self-signed.ts';

const openssl = needs('openssl');

/** Our engine, a peer's listener, and a connection that the peer has opened. */
async function aliasStage(t: TestContext, leaf: Leaf | undefined, transport: 'tls' | 'tcp') {
  const own = testCertificate(['DNS:sip.example']);
  const stage = await EngineStage.open(t, {
    listeners: [
      { transport: 'tcp', address: '127.0.0.1', port: 0 },
      { transport: 'tls', address: '127.0.0.1', port: 0 },
    ],
    tls: { certificate: own.certificate, key: own.key, ca: testAuthority().certificate },
  });
  const listening = testCertificate(['DNS:peer.example', 'DNS:other.example']);
  const server = await StreamServer.open(
    createServer({ cert: listening.certificate, key: listening.key, ca: testAuthority().certificate }),
    'secureConnection',
  );
  t.after(() => server.close());
  const opened = transport === 'tls' ? await overTls(stage.ports.tls, leaf) : await StreamPeer.connect(stage.ports.tcp);
  t.after(() => opened.close());
  return { stage, server, opened };
}

async function overTls(port: number, leaf: Leaf | undefined): Promise<StreamPeer> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    ca: testAuthority().certificate,
    servername: 'sip.example',
    ...(leaf === undefined ? {} : { cert: leaf.certificate, key: leaf.key }),
  });
  const peer = new StreamPeer(socket);
  await once(socket, 'secureConnect');
  return peer;
}

type Row = {
  readonly what: string;
  readonly names?: readonly string[];
  readonly transport?: 'tcp';
  readonly alias?: false;
  /** Says that it listens somewhere else. */
  readonly isElsewhere?: true;
  readonly expectNames?: readonly string[];
  readonly isReused: boolean;
};
const PEER = ['DNS:peer.example'];
const rows: readonly Row[] = [
  { what: 'of a peer with a certificate for the domain', names: PEER, isReused: true },
  { what: 'for one of several names', names: ['DNS:x.example', 'DNS:other.example'], expectNames: ['other.example'], isReused: true },
  { what: 'without `alias`', names: PEER, alias: false, isReused: false },
  { what: 'without a certificate', isReused: false },
  { what: 'with a certificate for another domain', names: ['DNS:mallory.example'], isReused: false },
  { what: 'for another domain at the same place', names: PEER, expectNames: ['other.example'], isReused: false },
  { what: 'with a wildcard', names: ['DNS:*.example'], isReused: false },
  { what: 'of whoever listens elsewhere', names: PEER, isElsewhere: true, isReused: false },
  { what: 'over TCP', transport: 'tcp', isReused: false },
]; // prettier-ignore

for (const row of rows) {
  test(
    `connection reuse: a connection ${row.what} ${row.isReused ? 'takes' : 'never takes'} requests back`,
    openssl,
    async (t) => {
      const { what, names, transport = 'tls', alias = true, isElsewhere = false, expectNames = ['peer.example'] } = row;
      const leaf = names === undefined ? undefined : testCertificate(names);
      const { stage, server, opened } = await aliasStage(t, leaf, transport);
      const sentBy = `127.0.0.1:${isElsewhere ? server.port + 1 : server.port}`;
      const flags = `rport${alias ? ';alias' : ''};branch=z9hG4bKalias${what.length}`;
      opened.send(rawRequest({ via: `SIP/2.0/${transport.toUpperCase()} ${sentBy};${flags}` }));
      assert.equal((await opened.next()).status, 200);
      const uri = `sip:bob@127.0.0.1:${server.port};transport=tls`;
      const answered = stage.stack.request(anOutgoing(uri, { expectNames }));
      const peer = row.isReused ? opened : await server.next();
      const request = await peer.next();
      assert.equal(request.startLine, `MESSAGE ${uri} SIP/2.0`);
      assert.match(request.header('Via'), /;alias(;|$)/, 'we take requests back over it, too');
      peer.send(rawResponse(request, 200));
      assert.equal((await answered).status, 200);
      assert.equal(server.peers.length, row.isReused ? 0 : 1);
    },
  );
}

test('connection reuse: where the connection is gone, another one is opened', openssl, async (t) => {
  const { stage, server, opened } = await aliasStage(t, testCertificate(PEER), 'tls');
  opened.send(rawRequest({ via: `SIP/2.0/TLS 127.0.0.1:${server.port};alias;branch=z9hG4bKgone` }));
  await opened.next();
  opened.close();
  await opened.closed;
  await stage.pass(1);
  const answered = stage.stack.request(
    anOutgoing(`sip:bob@127.0.0.1:${server.port};transport=tls`, { expectNames: ['peer.example'] }),
  );
  const peer = await server.next();
  peer.send(rawResponse(await peer.next(), 200));
  assert.equal((await answered).status, 200);
});

test('connection reuse: over a connection of ours the far end sends requests, as itself', openssl, async (t) => {
  const { stage, server } = await aliasStage(t, undefined, 'tcp');
  const uri = `sip:bob@127.0.0.1:${server.port};transport=tls`;
  const answered = stage.stack.request(anOutgoing(uri, { expectNames: ['peer.example'] }));
  const peer = await server.next();
  peer.send(rawResponse(await peer.next(), 200));
  await answered;
  peer.send(rawRequest({ via: 'SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bKback' }));
  assert.equal((await peer.next()).status, 200);
  assert.deepEqual(stage.seen[0]?.flow.peerNames, ['peer.example', 'other.example']);
  await assert.rejects(
    stage.stack.request(anOutgoing(uri, { expectNames: ['third.example'] })),
    (error) => error instanceof GatewayError && error.code === 'peer-unreachable',
  );
});
