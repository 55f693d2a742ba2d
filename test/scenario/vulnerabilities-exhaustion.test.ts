import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { digestResponse, ha1Of } from '../../src/sip/digest.ts';
import { parseAuthParams } from '../../src/sip/header-values.ts';
import { createEmbeddedStack } from '../../src/sip/stack-embedded.ts';
import { systemClock } from '../../src/system-clock.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import {
  rawRequest,
  StreamServer,
  UdpPeer,
  type RawMessage,
  type RequestParts,
  type StreamPeer,
} from '../support/raw-sip.ts';
import { COMPONENT, messageWith, PASSWORD, PLACES, RunningApp, SteerableClock } from '../support/running-app.ts';
import { until } from '../support/until.ts';

/**
 * Nobody makes a running server use more memory, time, sockets, packets or log than it is worth. The numbers are those
 * of the classes in the project's list of past vulnerabilities; `promise` is one of that document's promises.
 */
const MIB = 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function memoryBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const OPTIONS: RequestParts = { method: 'OPTIONS', uri: 'sip:sip.example', headers: [], body: '' };
const overTcp = (parts: RequestParts = {}): Buffer => rawRequest({ ...OPTIONS, via: 'SIP/2.0/TCP h;branch=z9hG4bKt', ...parts }); // prettier-ignore
const ZOE: RequestParts = { from: '<sip:zoe@core.example>;tag=z' };

describe('a server at normal speed', () => {
  let world: RunningApp;
  let stranger: UdpPeer;
  let core: UdpPeer;

  before(async () => {
    world = await RunningApp.start({ rateLimits: 'off' });
    stranger = await world.udp();
    core = await world.udp(PLACES.core);
  });

  after(async () => {
    await world.stop();
    assert.deepEqual(world.errors, [], 'no input makes the server fail');
  });

  /** A message of alice to an XMPP user over TCP, with a digest of the oldest form. */
  async function statusForAlice(lines: readonly string[], body: string | Buffer): Promise<number> {
    const peer = await world.tcp(PLACES.server);
    const uri = 'sip:juliet@xmpp.example';
    const ask = async (cseq: number, more: readonly string[]): Promise<RawMessage> => {
      const via = `SIP/2.0/TCP h;branch=z9hG4bKalice${cseq}`;
      const parts = { uri, via, cseq, from: '<sip:alice@sip.example>;tag=a', to: `<${uri}>`, body };
      peer.send(rawRequest({ ...parts, headers: [...lines, ...more] }));
      return peer.next();
    };
    const challenge = parseAuthParams((await ask(1, [])).header('WWW-Authenticate'))?.params;
    const nonce = challenge?.get('nonce') ?? '';
    const ha1 = ha1Of('SHA-256', 'alice', 'sip.example', PASSWORD);
    const response = digestResponse({ algorithm: 'SHA-256', ha1, method: 'MESSAGE', uri, nonce });
    const { status } = await ask(2, [
      `Authorization: Digest username="alice", realm="sip.example", nonce="${nonce}", uri="${uri}", algorithm=SHA-256, response="${response}"`,
    ]);
    peer.close();
    return status;
  }

  const BOMB = `<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "${'x'.repeat(100)}">${Array.from({ length: 9 }, (_, at) => `<!ENTITY ${'bcdefghij'[at]} "${`&${'abcdefghi'[at]};`.repeat(10)}">`).join('')}]><b c="&j;">&j;</b>`; // prettier-ignore
  const BODIES: ReadonlyArray<readonly [name: string, type: string, body: string | Buffer, statuses: readonly number[]]> = [
    ['an XML bomb as text', 'text/plain', BOMB, [202]],
    ['an XML bomb as HTML', 'text/html', BOMB, [202]],
    ['an XML bomb as XML', 'application/xml', BOMB, [415]],
    ['an XML bomb as presence', 'application/pidf+xml', BOMB, [415]],
    ['an XML bomb as a composing notice', 'application/im-iscomposing+xml', BOMB, [415]],
    ['an external entity as HTML', 'text/html', '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><p>&e;</p>', [202]],
    ['a million open tags', 'text/html', '<p>'.repeat(20_000), [202, 415]],
    ['entities without end', 'text/html', '&#x'.repeat(20_000), [202]],
    ['a gzip bomb', 'text/plain\r\nContent-Encoding: gzip', gzipSync(Buffer.alloc(30 * MIB)), [413]],
    ['a gzip bomb in a gzip', 'text/plain\r\nContent-Encoding: gzip, gzip', gzipSync(gzipSync(Buffer.alloc(MIB))), [415]],
    ['what is no gzip', 'text/plain\r\nContent-Encoding: gzip', 'x'.repeat(1_000), [400]],
    ['70 kB', 'text/plain', 'x'.repeat(70_000), [413]],
    ['64 kB of what XML writes five times as long', 'text/plain', '&'.repeat(65_000), [202, 413]],
  ]; // prettier-ignore
  for (const [name, type, body, statuses] of BODIES) {
    test(`vulnerability 16: content of ${name}: ${statuses.join(' or ')}, at once`, async () => {
      const [media = '', encoding] = type.split('\r\nContent-Encoding: ');
      const before = memoryBytes();
      const startedAt = performance.now();
      const lines = [`Content-Type: ${media}`, ...(encoding === undefined ? [] : [`Content-Encoding: ${encoding}`])];
      const status = await statusForAlice(lines, body);
      assert.ok(statuses.includes(status), `${status}`);
      assert.ok(performance.now() - startedAt < 1_000);
      assert.ok(memoryBytes() - before < 20 * MIB);
      for (const text of world.xmppTexts) assert.ok(text.length < 70_000);
    });
  }

  test('vulnerability 16: a header or body over its limit ends the connection before it is whole', async () => {
    const header = await world.tcp();
    header.send(`OPTIONS sip:sip.example SIP/2.0\r\nX: ${'x'.repeat(40_000)}`);
    const body = await world.tcp();
    body.send(overTcp({ contentLength: false, headers: ['Content-Length: 1100000'] }));
    await Promise.all([header.closed, body.closed]);
    assert.deepEqual(body.received.map(({ status }) => status >= 400 && status < 600), [true]); // prettier-ignore
  });

  test('vulnerability 16: a client that never reads is cut off, and what waits for it is bounded', async () => {
    const before = memoryBytes();
    const socket = connect({ port: world.ports.tcp, host: PLACES.server, localAddress: PLACES.stranger });
    socket.on('error', () => undefined);
    socket.pause();
    // A long Call-ID comes back with the answer, so that there is something to hold.
    const flood = Buffer.concat(Array.from({ length: 64 }, () => overTcp({ callId: 'c'.repeat(12_000) })));
    let most = 0;
    for (let sent = 0; sent < 200 * MIB && !socket.destroyed; sent += flood.length) {
      await new Promise<void>((resume) => socket.write(flood, () => resume()));
      if (sent % (16 * flood.length) === 0) most = Math.max(most, process.memoryUsage().external + process.memoryUsage().heapUsed); // prettier-ignore
    }
    await until(() => socket.destroyed, { what: 'the end of the connection' });
    assert.ok(most - before < 100 * MIB, `${Math.round((most - before) / MIB)} MiB`);
    assert.equal((await world.ask(stranger, rawRequest(OPTIONS))).status, 200);
    await until(() => memoryBytes() - before < 20 * MIB, { what: 'the memory back' });
  });

  test('vulnerability 16: one address gets so many connections and no more, others still get theirs', async () => {
    const peers = await Promise.all(Array.from({ length: 600 }, () => world.tcp('127.0.0.70')));
    await until(() => peers.filter(({ isClosed }) => isClosed).length >= 100, { what: 'refusals' });
    const other = await world.tcp('127.0.0.71');
    other.send(overTcp());
    assert.equal((await other.next()).status, 200);
    for (const peer of peers) peer.close();
    await until(() => probes(world), { what: 'room again' });
  });

  const probes = async (running: RunningApp): Promise<boolean> => {
    const peer = await running.tcp('127.0.0.70');
    peer.send(overTcp());
    return peer.next(200).then(
      () => true,
      () => false,
    );
  };

  test('vulnerability 18: no packet leaves for a third address on behalf of a stranger', async () => {
    const victimUdp = await world.udp('127.0.0.80');
    const victimTcp = await StreamServer.open();
    const [at, tcp] = [`127.0.0.80:${victimUdp.port}`, `127.0.0.1:${victimTcp.port}`];
    const lures = ['MESSAGE', 'SUBSCRIBE', 'REGISTER', 'OPTIONS', 'INVITE', 'NOTIFY', 'PUBLISH', 'REFER'].flatMap((method) =>
      [at, tcp].flatMap((host) => [
        { method, via: `SIP/2.0/UDP ${host};rport;branch=z9hG4bKa${method}` },
        { method, via: `SIP/2.0/UDP ${host};branch=z9hG4bKb${method}` },
        { method, via: `SIP/2.0/UDP ${host};maddr=127.0.0.80;received=127.0.0.80;rport=${victimUdp.port};branch=z9hG4bKc${method}` },
        { method, via: `SIP/2.0/TCP ${tcp};branch=z9hG4bKd${method}` },
        { method, from: `<sip:x@${host}>;tag=1`, uri: `sip:x@${host}` },
        { method, from: '<sip:alice@sip.example>;tag=1', headers: [`Contact: <sip:x@${host}>`, `Route: <sip:${host};lr>`, `Record-Route: <sip:${host};lr>`, `Refer-To: <sip:x@${host}>`, `Path: <sip:${host};lr>`, 'Event: presence', 'Expires: 600'] },
      ]),
    ); // prettier-ignore
    for (const lure of lures) {
      const body = lure.method === 'MESSAGE' ? 'x' : '';
      stranger.send(
        rawRequest({ headers: ['Content-Type: text/plain'], ...lure, body }),
        world.ports.udp,
        PLACES.server,
      );
    }
    const peer = await world.tcp();
    for (const lure of lures.slice(0, 12)) peer.send(rawRequest({ ...lure, contentLength: true }));
    // Whoever asks for a port of his own address gets it there (RFC 3261, section 18.2.2): that is where he is.
    await world.askOrSilence(await world.udp(), rawRequest(OPTIONS));
    await new Promise((resume) => setTimeout(resume, 200));
    assert.equal(victimUdp.received.length, 0);
    assert.equal(victimTcp.peers.length, 0);
    assert.equal(world.app.health().registeredUsers, 0);
    victimTcp.close();
  });

  test('vulnerability 18: what a stranger is answered is not much more than what he sent', async () => {
    for (const method of ['MESSAGE', 'REGISTER', 'OPTIONS', 'SUBSCRIBE', 'PUBLISH', 'NOTIFY', 'DANCE']) {
      const peer = await world.udp();
      const bytes = rawRequest({ method, uri: 'sip:sip.example', body: 'x' });
      const answer = await world.ask(peer, bytes);
      const [sent, got] = [bytes.length, answer.bytes.length];
      assert.ok(got < 3 * sent && got < 1_300, `${method}: ${sent} bytes drew ${got}`);
      assert.equal(peer.received.length, 1);
    }
  });

  test('vulnerability 16: DOCTYPE, entities, comments, depth and size end the stream on the link, cheaply', async () => {
    const start = `<message from='juliet@xmpp.example' to='bob@${COMPONENT}'>`;
    const nests = ['<a>'.repeat(200_000), `${start}<body>${'x'.repeat(400_000)}`, `<message ${'a=" '.repeat(100_000)}`, BOMB, `${start}<body>&j;</body></message>`]; // prettier-ignore
    const before = memoryBytes();
    for (const nest of nests.slice(0, 2)) {
      await world.untilLinkUp();
      const { handshakes } = world.xmpp;
      world.xmpp.sendRaw(nest);
      await until(() => world.xmpp.handshakes > handshakes, { what: 'the link back', withinMs: 10_000 });
    }
    await world.untilLinkUp();
    assert.ok(memoryBytes() - before < 20 * MIB);
  });

  test('promise 5: what the log says of a stranger has no control characters, no secrets, and is short', async () => {
    const evil = '\x1b[2J\x07\u009b31m\u0085\u2028\x7f\u202e';
    const lines = world.logLines.length;
    world.xmpp.sendRaw(
      `<message from='x@stranger.example/\u009b31m\u0085' to='a\u007f\u0085@${COMPONENT}' id='\u009b\u2028${'i'.repeat(100)}\u009b'>` +
        `<body>x</body></message><iq type='get' id='\u009b' from='\u009b' to='\u0085'><q xmlns='\u009b'/></iq>`,
    );
    for (const parts of [{ from: `"${evil}" <sip:a@b.example>;tag=1` }, { uri: 'sip:%1b[2J@sip.example' }, ZOE]) {
      const text = messageWith([`User-Agent: ${evil}`, `Subject: ${evil}`], parts)
        .toString()
        .replace(/\x1b|\x07|\x7f/g, '');
      for (const peer of [stranger, core]) await world.askOrSilence(peer, text);
    }
    await until(() => world.logLines.length > lines + 4, { what: 'log lines' });
    for (const line of world.logLines) {
      assert.doesNotMatch(line.trimEnd(), /[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/);
    }
    const refusals = world.logLines.filter((line) => line.includes('"request refused"'));
    const longest = Math.max(...refusals.map(({ length }) => length));
    assert.ok(longest < 600, `a refused request costs ${longest} bytes of log`);
  });

  test('promise 4: no line of the log holds a credential', async () => {
    const alice = await world.registered('alice');
    await alice.write(alice.aor, 'hello');
    await world.ask(stranger, messageWith([`Authorization: Digest username="alice", response="${'f'.repeat(64)}"`]));
    await world.ask(
      stranger,
      messageWith(['Authorization: Basic c2VjcmV0LXdvcmQ=', 'Proxy-Authorization: Basic c2VjcmV0LXdvcmQ=']),
    );
    const log = world.logLines.join('');
    assert.ok(world.logLines.length > 0);
    for (const secret of [PASSWORD, world.secret, 'f'.repeat(64), 'c2VjcmV0LXdvcmQ=', 'response=', 'Digest ']) {
      assert.ok(!log.includes(secret), secret);
    }
    await alice.register(0);
  });

  const PATHS: ReadonlyArray<readonly [method: string, path: string, status: number]> = [
    ['GET', '/health', 200],
    ['GET', '/health/../queue', 404],
    ['GET', '/setup/setup-s/%u002e%u002e/%u002e%u002e/queue', 400],
    ['GET', '/%2e%2e/%2e%2e/etc/passwd', 404],
    ['GET', '//queue', 404],
    ['GET', '/queue', 404],
    ['POST', '/queue/x/retry', 404],
    ['DELETE', '/queue/x', 404],
    ['POST', '/health', 404],
    ['GET', `/${'a'.repeat(8_000)}`, 404],
    ['GET', '/<script>alert(1)</script>', 404],
    ['GET', '/health%', 400],
  ];
  for (const [method, path, status] of PATHS) {
    test(`vulnerability 21: ${method} ${path.slice(0, 50)} on the open door: ${status}, and nothing of the inside`, async () => {
      const text = await httpExchange(
        world.ports.http,
        `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      );
      assert.match(text, new RegExp(`^HTTP/1.1 ${status} `));
      assert.match(text, /x-content-type-options: nosniff/i);
      assert.doesNotMatch(text, /node_modules|\.ts|Error:|<script>|secret/);
      assert.ok(!text.includes(world.secret));
    });
  }
});

/** Sends and does not look at what comes back. */
async function deafSocket(address: string): Promise<Socket> {
  const socket = createSocket('udp4').on('message', () => undefined);
  socket.unref().bind(0, address);
  await once(socket, 'listening');
  return socket;
}

function httpExchange(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', reject).on('close', () => resolve(text));
    socket.write(request);
  });
}

describe('a server for which time runs fast', () => {
  const clock = new SteerableClock();
  let world: RunningApp;

  before(async () => {
    world = await RunningApp.start({ clock, onLogLine: () => undefined });
  });

  after(() => world.stop());

  test('vulnerability 5: silent connections and those that never end a message are closed; one that speaks is not', async () => {
    const silent = await Promise.all(Array.from({ length: 50 }, () => world.tcp()));
    const talker = await world.tcp();
    talker.send(overTcp());
    const dripper = await world.tcp();
    dripper.send(overTcp());
    await Promise.all([talker.next(), dripper.next()]);
    const blank = await world.tcp();
    let dripped = 0;
    const drip = setInterval(() => {
      // A byte now and then, for ever: the first in a header, the other between messages.
      if (!dripper.isClosed) dripper.send(dripped++ === 0 ? 'OPTIONS sip:sip.example SIP/2.0\r\nX: ' : 'x');
      if (!blank.isClosed) blank.send('x');
    }, 20);
    clock.run(60);
    const ended = (peers: readonly StreamPeer[]): boolean => peers.every(({ isClosed }) => isClosed);
    await until(() => ended([...silent, dripper, blank]), { what: 'the end of the silent ones' });
    clock.run(1);
    clearInterval(drip);
    talker.send(overTcp());
    assert.equal((await talker.next()).status, 200);
  });

  test('promise 5: 20,000 requests, users and places leave nothing behind once their time is over', async () => {
    const peers = await Promise.all(Array.from({ length: 20 }, (_, at) => deafSocket(`127.0.3.${at + 1}`)));
    const prober = await world.udp('127.0.3.100');
    const flood = async (round: string, count: number): Promise<void> => {
      for (let at = 0; at < count; at += 1) {
        const peer = peers[at % peers.length]!;
        const user = `${round}u${at}`;
        const credentials = `Authorization: Digest username="${user}", realm="sip.example", nonce="${'A'.repeat(32)}", uri="sip:bob@sip.example", response="${'0'.repeat(64)}", algorithm=SHA-256`;
        const kinds = [
          () => messageWith([credentials], { from: `<sip:${user}@sip.example>;tag=${user}`, callId: user }),
          () => rawRequest({ ...OPTIONS, callId: user, from: `<sip:x@${user}.example>;tag=${user}` }),
          () => rawRequest({ method: 'INVITE', callId: user, headers: [], body: '', branch: `z9hG4bK${user}` }),
          () =>
            rawRequest({
              method: 'REGISTER',
              uri: 'sip:sip.example',
              to: `<sip:${user}@sip.example>`,
              headers: [`Contact: <sip:${user}@127.0.0.1>`],
              body: '',
            }),
        ] as const;
        peer.send(kinds[at % kinds.length]!(), world.ports.udp, PLACES.server);
        if (at % 100 === 99) await world.ask(prober, rawRequest(OPTIONS));
      }
    };
    const quiet = async (): Promise<number> => {
      clock.run(200);
      await new Promise((resume) => setTimeout(resume, 600));
      clock.run(1);
      return memoryBytes();
    };
    await flood('warm', 5_000);
    const before = await quiet();
    await flood('f', 20_000);
    const during = memoryBytes();
    assert.ok(during - before < 100 * MIB, `${Math.round((during - before) / MIB)} MiB for 20,000 requests`);
    // What the engine of JavaScript itself holds on to goes within a few more rounds.
    await until(async () => (await quiet()) - before < 8 * MIB, { what: 'the memory back' });
    for (const peer of peers) peer.close();
  });
});

test('promise 5: answers to large requests are not all kept for their retransmissions', async () => {
  const stack = createEmbeddedStack({
    listeners: [{ transport: 'udp', address: '127.0.0.1', port: 0 }],
    clock: systemClock,
    log: new LogRecorder(),
    limits: { transactionsKeptBytesMax: 4 * MIB, inviteTransactionsMax: 20 },
  });
  const [listener] = await stack.start(() => Promise.resolve({ status: 200 }));
  const peer = await deafSocket('127.0.3.101');
  const prober = await UdpPeer.open('127.0.3.102');
  const before = memoryBytes();
  for (let at = 0; at < 2_000; at += 1) {
    const method = at % 2 === 0 ? 'OPTIONS' : 'INVITE';
    const bytes = rawRequest({ ...OPTIONS, method, callId: `${at}${'c'.repeat(28_000)}` });
    peer.send(bytes, listener?.port ?? 0, '127.0.0.1');
    if (at % 20 === 19) {
      prober.send(rawRequest(OPTIONS), listener?.port ?? 0, '127.0.0.1');
      assert.equal((await prober.next()).status, 200);
    }
  }
  const grown = memoryBytes() - before;
  assert.ok(grown < 24 * MIB, `${Math.round(grown / MIB)} MiB after 55 MiB of requests`);
  prober.close();
  peer.close();
  await stack.stop(0);
});
