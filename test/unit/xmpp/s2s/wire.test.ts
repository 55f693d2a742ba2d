import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { createSecureContext } from 'node:tls';
import { systemClock } from '../../../../src/system-clock.ts';
import { connectTo } from '../../../../src/xmpp/s2s/wire.ts';

test('connecting to a peer: a server that waits for STARTTLS is told from one that is not there', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end("<?xml version='1.0'?><stream:stream>"));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const connect = (at: number): Promise<unknown> =>
    connectTo({ address: '127.0.0.1', port: at, isTls: true }, 'xmpp.example', {
      context: createSecureContext(),
      clock: systemClock,
      timeoutMs: 5_000,
      signal: new AbortController().signal,
    });
  await assert.rejects(connect(port), { message: 'what answers does not begin with TLS: STARTTLS is `tcp://`' });
  await assert.rejects(connect(1), { message: 'nobody listens there' });
});
