import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { SipReply, SipRequest } from '../../src/sip/message.ts';
import { createDrachtioStack } from '../../src/sip/stack-drachtio.ts';
import type { SipStack } from '../../src/sip/stack.ts';
import { systemClock } from '../../src/system-clock.ts';
import { DrachtioServer } from '../support/drachtio-server.ts';
import { settled } from '../support/fake-clock.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { rawRequest, UdpPeer } from '../support/raw-sip.ts';
import { until } from '../support/until.ts';

/** Requests as they come from a drachtio server: as they were written, calls among them, and what its library knows not. */
const SECRET = 'between the two of us';
const log = new LogRecorder();
const seen: SipRequest[] = [];
let server: DrachtioServer;
let stack: SipStack;
let peer: UdpPeer;
let answer: (request: SipRequest) => SipReply | Promise<SipReply> = () => ({ status: 200 });

before(async () => {
  server = await DrachtioServer.start({ secret: SECRET });
  const servers = [{ host: '127.0.0.1', port: server.controlPort, secret: SECRET, tags: [] }];
  stack = createDrachtioStack({ servers, clock: systemClock, random: Math.random, log });
  await stack.start(async (request) => {
    seen.push(request);
    return answer(request);
  });
  peer = await UdpPeer.open();
});

after(async () => {
  peer.close();
  await stack.stop(0);
  await server.stop();
  assert.deepEqual(log.at('error'), [], 'no input makes the engine fail');
});

function send(bytes: Buffer | string): void {
  peer.send(bytes, server.sip.ports.udp);
}

/** The next final answer. */
async function next() {
  for (;;) {
    const message = await peer.next();
    if (message.status >= 200) return message;
  }
}

test('drachtio requests: compact names are the long ones, and folded lines are one', async () => {
  const text = [
    'SUBSCRIBE sip:bob@sip.example SIP/2.0',
    'v: SIP/2.0/UDP 127.0.0.1:5999;rport;branch=z9hG4bKcompact1',
    'f: <sip:alice@sip.example>;tag=a1',
    't: <sip:bob@sip.example>',
    'i: compact1@raw.example',
    'CSeq: 1 SUBSCRIBE',
    'm: <sip:alice@192.0.2.7>',
    'o: presence',
    'u: presence.winfo',
    's: two',
    '   lines',
    'c: text/plain',
    'l: 2',
    '',
    'hi',
  ].join('\r\n');
  send(text);
  assert.equal((await next()).status, 200);
  const { headers, body } = seen.at(-1)!;
  const names = ['Event', 'Allow-Events', 'Subject', 'Contact', 'Content-Type', 'From', 'Call-ID'];
  assert.deepEqual(
    names.map((name) => headers.get(name)),
    [
      'presence',
      'presence.winfo',
      'two lines',
      '<sip:alice@192.0.2.7>',
      'text/plain',
      '<sip:alice@sip.example>;tag=a1',
      'compact1@raw.example',
    ],
  );
  assert.equal(Buffer.from(body).toString(), 'hi');
});

test('drachtio requests: a header that is no UTF-8 arrives, one character per byte', async () => {
  send(
    Buffer.from(
      rawRequest({ headers: ['Subject: gr@'] })
        .toString()
        .replace('gr@', 'gr\xfc'),
      'latin1',
    ),
  );
  assert.equal((await next()).status, 200);
  assert.equal(seen.at(-1)!.headers.get('Subject'), 'gr\xfc');
});

test('drachtio requests: what they were received on and came from is their flow', async () => {
  send(rawRequest());
  assert.equal((await next()).status, 200);
  const { flow } = seen.at(-1)!;
  assert.deepEqual(
    [flow.transport, flow.localAddress, flow.localPort, flow.remoteAddress, flow.remotePort, flow.peerNames],
    ['udp', '127.0.0.1', server.sip.ports.udp, '127.0.0.1', peer.port, undefined],
  );
});

for (const status of [440, 555, 699]) {
  test(`drachtio requests: ${status}, which the library does not know, is answered all the same`, async () => {
    answer = () => ({ status, reason: 'As Told', toTag: 'mine', headers: [['Subject', 'grüße']] });
    send(rawRequest());
    const message = await next();
    answer = () => ({ status: 200 });
    assert.equal(message.startLine, `SIP/2.0 ${status} As Told`);
    assert.equal(message.header('To'), '<sip:bob@sip.example>;tag=mine');
    assert.equal(Buffer.from(message.header('Subject'), 'latin1').toString(), 'grüße');
  });
}

test('drachtio requests: fields of one name leave as fields of their own', async () => {
  answer = () => ({
    status: 401,
    headers: [
      ['WWW-Authenticate', 'Digest realm="a"'],
      ['WWW-Authenticate', 'Digest realm="b"'],
    ],
  });
  send(rawRequest());
  const message = await next();
  answer = () => ({ status: 200 });
  assert.deepEqual(message.all('WWW-Authenticate'), ['Digest realm="a"', 'Digest realm="b"']);
});

test("drachtio requests: an INVITE is told to wait by the server, refused by us, and its ACK is nobody else's", async () => {
  answer = () => ({ status: 486 });
  const before = seen.length;
  const invite = { method: 'INVITE', branch: 'z9hG4bKinvite1', callId: 'invite1@x', headers: [], body: '' };
  send(rawRequest(invite));
  assert.equal((await peer.next()).status, 100);
  const refused = await next();
  assert.equal(refused.status, 486);
  send(rawRequest({ ...invite, method: 'ACK', to: refused.header('To'), cseq: '1' }));
  send(rawRequest());
  assert.equal((await next()).status, 486);
  answer = () => ({ status: 200 });
  assert.deepEqual(
    seen.slice(before).map(({ method }) => method),
    ['INVITE', 'MESSAGE'],
  );
});

test('drachtio requests: an INVITE that is cancelled meanwhile harms nobody', async () => {
  let finish: (reply: SipReply) => void = () => undefined;
  answer = () => new Promise((resolve) => (finish = resolve));
  const before = seen.length;
  const invite = { method: 'INVITE', branch: 'z9hG4bKinvite2', callId: 'invite2@x', headers: [], body: '' };
  send(rawRequest(invite));
  await until(() => seen.length === before + 1, { what: 'the handler has it' });
  send(rawRequest({ ...invite, method: 'CANCEL' }));
  assert.deepEqual([(await next()).status, (await next()).status].sort(), [200, 487]);
  answer = () => ({ status: 200 });
  finish({ status: 486 });
  await settled();
  send(rawRequest());
  assert.equal((await next()).status, 200);
  assert.deepEqual(
    seen.slice(before).map(({ method }) => method),
    ['INVITE', 'MESSAGE'],
  );
});

test('drachtio requests: a method without a specification vanishes in the server', async () => {
  const before = seen.length;
  send(rawRequest({ method: 'FOO' }));
  send(rawRequest());
  assert.equal((await next()).status, 200);
  assert.equal(seen.length, before + 1);
});

test('drachtio requests: a header of the server that cannot be read is answered, and handed to nobody', async () => {
  const before = seen.length;
  const bytes = rawRequest({ headers: ['Contact: <sip:a@b>'] });
  // As a server passes on what its stack lets through and ours does not.
  server.deliverRaw(Buffer.from(bytes.toString().replace('CSeq: 1 MESSAGE', 'CSeq: 1 OPTIONS')));
  await until(() => server.received.some((line) => line === 'sip SIP/2.0 400 Bad Request'), { what: 'the answer' });
  assert.equal(seen.length, before);
});
