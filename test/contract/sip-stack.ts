import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import { GatewayError } from '../../src/core/errors.ts';
import type { HeaderField, SipOutgoing, SipReply, SipRequest } from '../../src/sip/message.ts';
import type { SipListener, SipStack } from '../../src/sip/stack.ts';
import { rawRequest, rawResponse, StreamPeer, StreamServer, UdpPeer } from '../support/raw-sip.ts';
import { until } from '../support/until.ts';

/** What an engine may lack: the exceptions that the docstring of `SipStack` names, and none beside them. */
export type SipStackAbilities = {
  /** 2. An answer to a request without rport goes to the port of its Via. */
  readonly answersToViaPort: boolean;
  /** 3. A handler that takes long costs a provisional answer. */
  readonly saysTrying: boolean;
  /** 5. How often a request over UDP is sent before it is given up. */
  readonly transmissions: number;
  /** 6. Bodies may be anything, not text alone. */
  readonly carriesBytes: boolean;
  /** 9. A refusal while it stops says when to come back. */
  readonly saysRetryAfter: boolean;
  /** 9. Connections of far ends are its own to close. */
  readonly ownsConnections: boolean;
  /** 12. Requests can be handed on, and connections watched. */
  readonly handsOn: boolean;
};

export const EVERY_ABILITY: SipStackAbilities = {
  answersToViaPort: true,
  saysTrying: true,
  transmissions: 11,
  carriesBytes: true,
  saysRetryAfter: true,
  ownsConnections: true,
  handsOn: true,
};

/** What a drachtio server leaves. */
export const DRACHTIO_ABILITIES: SipStackAbilities = {
  answersToViaPort: false,
  saysTrying: false,
  transmissions: 10,
  carriesBytes: false,
  saysRetryAfter: false,
  ownsConnections: false,
  handsOn: false,
};

/** What an adapter has to bring along to be tested. */
export type SipStackWorld = {
  readonly name: string;
  readonly abilities: SipStackAbilities;
  /** A stack that will listen on 127.0.0.1 over UDP and TCP, at ports the system chooses. */
  make(): Promise<{
    readonly stack: SipStack;
    /** Lets this much time pass for the stack, by its clock or for real. */
    passTime(ms: number): Promise<void>;
    /** Ends what was made for it, after the stack has stopped. */
    close?(): Promise<void>;
  }>;
};

const OK: SipReply = { status: 200 };

class Stage {
  readonly stack: SipStack;
  readonly passTime: (ms: number) => Promise<void>;
  readonly seen: SipRequest[] = [];
  readonly udpPort: number;
  readonly tcpPort: number;

  constructor(
    made: { stack: SipStack; passTime(ms: number): Promise<void> },
    listeners: readonly SipListener[],
    seen: SipRequest[],
  ) {
    this.stack = made.stack;
    this.passTime = (ms) => made.passTime(ms);
    this.seen = seen;
    this.udpPort = listeners.find(({ transport }) => transport === 'udp')!.port;
    this.tcpPort = listeners.find(({ transport }) => transport === 'tcp')!.port;
  }
}

function outgoing(uri: string, more: Partial<SipOutgoing> = {}): SipOutgoing {
  return {
    method: 'MESSAGE',
    uri,
    headers: [
      ['From', '<sip:alice@sip.example>;tag=f1'],
      ['To', '<sip:bob@peer.example>'],
      ['Call-ID', `out-${Math.random()}@sip.example`],
      ['CSeq', '7 MESSAGE'],
      ['Content-Type', 'text/plain'],
    ],
    body: Buffer.from('hi'),
    ...more,
  };
}

function isFailure(code: string) {
  return (error: unknown) => {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

/** One test or more per promise of `SipStack`. */
export function sipStackKeepsItsPromises(world: SipStackWorld): void {
  async function stage(t: TestContext, handler: (request: SipRequest) => Promise<SipReply> = async () => OK) {
    const made = await world.make();
    const seen: SipRequest[] = [];
    const listeners = await made.stack.start(async (request) => {
      seen.push(request);
      return handler(request);
    });
    t.after(async () => {
      const stopped = made.stack.stop(0);
      await made.passTime(1);
      await stopped;
      await made.close?.();
    });
    return new Stage(made, listeners, seen);
  }

  async function udpPeer(t: TestContext) {
    const peer = await UdpPeer.open();
    t.after(() => peer.close());
    return peer;
  }

  async function streamPeer(t: TestContext, port: number) {
    const peer = await StreamPeer.connect(port);
    t.after(() => peer.close());
    return peer;
  }

  async function streamServer(t: TestContext) {
    const server = await StreamServer.open();
    t.after(() => server.close());
    return server;
  }

  const name = (what: string) => `${world.name}: ${what}`;
  const { abilities } = world;

  test(name('1. a request reaches the handler once, its retransmissions get the same bytes'), async (t) => {
    const { seen, udpPort } = await stage(t);
    const peer = await udpPeer(t);
    const request = rawRequest();
    peer.send(request, udpPort);
    const first = await peer.next();
    peer.send(request, udpPort);
    peer.send(request, udpPort);
    const again = [await peer.next(), await peer.next()];
    assert.equal(first.status, 200);
    assert.deepEqual(
      again.map(({ bytes }) => bytes.toString()),
      [first.bytes.toString(), first.bytes.toString()],
    );
    assert.equal(seen.length, 1);
  });

  const notWellFormed: ReadonlyArray<readonly [string, Buffer]> = [
    ['a CSeq of another method', rawRequest({ headers: [], cseq: '1 OPTIONS\r\nX-Was:' })],
    ['a From that is none', rawRequest({ from: '<<>>' })],
    [
      'a Content-Length beyond the end',
      Buffer.from(rawRequest().toString().replace('Content-Length: 5', 'Content-Length: 50')),
    ],
    ['a second Call-ID', rawRequest({ headers: ['Call-ID: other@raw.example'] })],
  ];
  for (const [what, bytes] of notWellFormed) {
    test(name(`1. a request with ${what} is answered 400 and not seen`), async (t) => {
      const { seen, udpPort } = await stage(t);
      const peer = await udpPeer(t);
      peer.send(bytes, udpPort);
      assert.equal((await peer.next()).status, 400);
      assert.equal(seen.length, 0);
    });
  }

  test(name('1. bytes without a readable Via are dropped, and the next request is answered'), async (t) => {
    const { seen, udpPort } = await stage(t);
    const peer = await udpPeer(t);
    for (const junk of ['\0', 'jaK', 'MESSAGE sip:a@b SIP/2.0\r\n\r\n', '\r\n\r\n', 'SIP/2.0 200 OK\r\n\r\n']) {
      peer.send(junk, udpPort);
    }
    peer.send(rawRequest(), udpPort);
    assert.equal((await peer.next()).status, 200);
    assert.equal(seen.length, 1);
    assert.equal(peer.received.length, 1);
  });

  test(name('2. an answer has Via, From, To with a tag, Call-ID and CSeq of its request'), async (t) => {
    const { udpPort } = await stage(t, async () => ({
      status: 202,
      headers: [
        ['Expires', '60'],
        ['Content-Type', 'text/plain'],
      ],
      body: Buffer.from('so be it'),
    }));
    const peer = await udpPeer(t);
    const via = 'SIP/2.0/UDP pc.sip.example:5999;branch=z9hG4bKa;rport';
    const behind = 'SIP/2.0/UDP far.sip.example;branch=z9hG4bKb';
    peer.send(rawRequest({ via: `${via}, ${behind}`, callId: 'c@x', cseq: 9 }), udpPort);
    const answer = await peer.next();
    assert.equal(answer.startLine, 'SIP/2.0 202 Accepted');
    assert.equal(answer.header('From'), '<sip:alice@sip.example>;tag=a1');
    assert.match(answer.header('To'), /^<sip:bob@sip\.example>;tag=.{8,}$/);
    assert.equal(answer.header('Call-ID'), 'c@x');
    assert.equal(answer.header('CSeq'), '9 MESSAGE');
    assert.equal(answer.header('Expires'), '60');
    assert.equal(answer.header('Content-Length'), '8');
    assert.equal(answer.body.toString(), 'so be it');
    assert.equal(answer.all('Via').length, 2);
    assert.equal(answer.viaParam('received'), '127.0.0.1');
    assert.equal(answer.viaParam('rport'), String(peer.port));
    assert.equal(answer.all('Via')[1], behind);
  });

  test(name('2. a To tag that is there stays the only one'), async (t) => {
    const { udpPort } = await stage(t);
    const peer = await udpPeer(t);
    peer.send(rawRequest({ to: '<sip:bob@sip.example>;tag=mine' }), udpPort);
    assert.equal((await peer.next()).header('To'), '<sip:bob@sip.example>;tag=mine');
  });

  test(name('2. the To tag is the one that the handler gives'), async (t) => {
    const { udpPort } = await stage(t, async () => ({ status: 200, toTag: 'chosen-1' }));
    const peer = await udpPeer(t);
    peer.send(rawRequest(), udpPort);
    assert.equal((await peer.next()).header('To'), '<sip:bob@sip.example>;tag=chosen-1');
    peer.send(rawRequest({ to: '<sip:bob@sip.example>;tag=mine' }), udpPort);
    assert.equal((await peer.next()).header('To'), '<sip:bob@sip.example>;tag=mine');
  });

  const toPort = abilities.answersToViaPort ? 'the port of the Via at the address' : 'where';
  test(name(`2. without rport an answer goes to ${toPort} it came from`), async (t) => {
    const { udpPort } = await stage(t);
    const peer = await udpPeer(t);
    const other = await udpPeer(t);
    peer.send(rawRequest({ via: `SIP/2.0/UDP elsewhere.example:${other.port};branch=z9hG4bKnr` }), udpPort);
    const asked = abilities.answersToViaPort ? other : peer;
    const answer = await asked.next();
    assert.equal(answer.status, 200);
    assert.equal(answer.viaParam('received'), '127.0.0.1');
    assert.equal((asked === other ? peer : other).received.length, 0);
  });

  test(name('2. over a connection an answer goes back over it'), async (t) => {
    const { tcpPort } = await stage(t);
    const peer = await streamPeer(t, tcpPort);
    peer.send(rawRequest({ via: 'SIP/2.0/TCP elsewhere.example:1;branch=z9hG4bKtcp' }));
    assert.equal((await peer.next()).status, 200);
  });

  test(name('2. a handler that rejects is answered 500'), async (t) => {
    const { udpPort } = await stage(t, async () => Promise.reject(new Error('a fault of ours')));
    const peer = await udpPeer(t);
    peer.send(rawRequest(), udpPort);
    const answer = await peer.next();
    assert.equal(answer.status, 500);
    assert.ok(!answer.bytes.toString().includes('a fault of ours'), 'what is inside stays inside');
  });

  const waits = abilities.saysTrying ? 'silence, then one 100 after 3.5 s' : 'silence';
  test(name(`3. a slow handler: ${waits}, never a 408, then the answer`), async (t) => {
    let finish: (reply: SipReply) => void = () => undefined;
    const { seen, udpPort, passTime } = await stage(t, () => new Promise((resolve) => (finish = resolve)));
    const peer = await udpPeer(t);
    const request = rawRequest();
    peer.send(request, udpPort);
    await until(() => seen.length === 1, { what: 'the handler has it', everyMs: 2 });
    await passTime(3_300);
    peer.send(request, udpPort);
    await passTime(0);
    assert.equal(peer.received.length, 0, 'nothing before timer E reaches T2 (RFC 4320, section 4.1)');
    await passTime(400);
    if (abilities.saysTrying) assert.equal((await peer.next()).status, 100);
    peer.send(request, udpPort);
    if (abilities.saysTrying) {
      assert.equal((await peer.next()).status, 100, 'a retransmission gets the last answer again');
    }
    finish(OK);
    assert.equal((await peer.next()).status, 200);
    assert.deepEqual(
      peer.received.map(({ status }) => status).filter((status) => status === 408),
      [],
    );
    assert.equal(seen.length, 1);
  });

  test(name('4. the first final response counts, provisional ones do not, and no To tag is needed'), async (t) => {
    const { stack } = await stage(t);
    const peer = await udpPeer(t);
    const answered = stack.request(outgoing(`sip:bob@127.0.0.1:${peer.port}`));
    const request = await peer.next();
    peer.send(rawResponse(request, 100), request.port);
    peer.send(rawResponse(request, 183), request.port);
    peer.send(rawResponse(request, 488, { toTag: false, headers: ['Warning: 399 x "y"'], body: 'why' }), request.port);
    peer.send(rawResponse(request, 200), request.port);
    const response = await answered;
    assert.equal(response.status, 488);
    assert.equal(response.headers.get('warning'), '399 x "y"');
    assert.equal(Buffer.from(response.body).toString(), 'why');
    assert.equal(response.flow.remotePort, peer.port);
  });

  test(name('4. a response with another branch, sent-by or CSeq, or from elsewhere, is not ours'), async (t) => {
    const { stack } = await stage(t);
    const peer = await udpPeer(t);
    const stranger = await UdpPeer.open('127.0.0.2');
    t.after(() => stranger.close());
    const answered = stack.request(outgoing(`sip:bob@127.0.0.1:${peer.port}`));
    const request = await peer.next();
    const via = request.header('Via');
    stranger.send(rawResponse(request, 404), request.port, '127.0.0.1');
    peer.send(rawResponse(request, 405, { cseq: '7 OPTIONS' }), request.port);
    peer.send(rawResponse(request, 406, { via: via.replace(/branch=[^;]*/, 'branch=z9hG4bKguess') }), request.port);
    peer.send(rawResponse(request, 407, { via: via.replace(/ [^ ;]+;/, ' other.example:5060;') }), request.port);
    peer.send(rawResponse(request, 410, { via: `${via}, SIP/2.0/UDP behind.example;branch=z9hG4bKx` }), request.port);
    await new Promise((resolve) => setTimeout(resolve, 20));
    peer.send(rawResponse(request, 202), request.port);
    assert.equal((await answered).status, 202);
  });

  test(name('5. nobody there: peer-unreachable, at once over TCP'), async (t) => {
    const { stack } = await stage(t);
    const server = await StreamServer.open();
    const { port } = server;
    server.close();
    await assert.rejects(
      stack.request(outgoing(`sip:bob@127.0.0.1:${port};transport=tcp`)),
      isFailure('peer-unreachable'),
    );
  });

  test(name('5. reached and silent: peer-timeout after 64*T1, repeated on the way'), async (t) => {
    const { stack, passTime } = await stage(t);
    const peer = await udpPeer(t);
    let settled = false;
    const answered = stack.request(outgoing(`sip:bob@127.0.0.1:${peer.port}`)).finally(() => (settled = true));
    const failed = assert.rejects(answered, isFailure('peer-timeout'));
    const first = await peer.next();
    await passTime(30_000);
    assert.equal(settled, false);
    await passTime(2_500);
    await failed;
    // 0.5, 1.5, 3.5, then every 4 s up to 32 s (RFC 3261, section 17.1.2.2).
    await peer.count(abilities.transmissions);
    for (const message of peer.received) assert.deepEqual(message.bytes, first.bytes);
  });

  test(name('5. timeoutMs ends it earlier'), async (t) => {
    const { stack, passTime } = await stage(t);
    const peer = await udpPeer(t);
    const failed = assert.rejects(
      stack.request(outgoing(`sip:bob@127.0.0.1:${peer.port}`, { timeoutMs: 1_000 })),
      isFailure('peer-timeout'),
    );
    await peer.next();
    await passTime(1_100);
    await failed;
  });

  test(name('5. a connection lost in the middle: peer-unreachable at once'), async (t) => {
    const { stack } = await stage(t);
    const server = await streamServer(t);
    const failed = assert.rejects(
      stack.request(outgoing(`sip:bob@127.0.0.1:${server.port};transport=tcp`)),
      isFailure('peer-unreachable'),
    );
    const peer = await server.next();
    await peer.next();
    peer.close();
    await failed;
  });

  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const text = Buffer.from('\ufeffgrüße\r\n\r\n\t😀 \u{10ffff} \ufffd\n.\r\n');
  const exactly = abilities.carriesBytes ? [everyByte, text] : [text];
  test(name('6. every byte of a body arrives as it was sent, in both directions'), async (t) => {
    const answered = { body: text };
    const type: HeaderField = ['Content-Type', 'text/plain'];
    const { stack, seen, udpPort } = await stage(t, async () => ({
      status: 200,
      headers: [type],
      body: answered.body,
    }));
    const peer = await udpPeer(t);
    for (const [at, body] of exactly.entries()) {
      answered.body = body;
      peer.send(rawRequest({ body }), udpPort);
      assert.deepEqual((await peer.next()).body, body);
      assert.deepEqual(Buffer.from(seen[at]!.body), body);
      const response = stack.request(outgoing(`sip:bob@127.0.0.1:${peer.port}`, { body }));
      const request = await peer.next();
      assert.deepEqual(request.body, body);
      assert.equal(request.header('Content-Length'), String(body.length));
      peer.send(rawResponse(request, 200, { body, headers: ['Content-Type: text/plain'] }), request.port);
      assert.deepEqual(Buffer.from((await response).body), body);
    }
  });

  if (!abilities.carriesBytes) {
    for (const [what, body] of [
      ['a NUL', Buffer.from('a\0b')],
      ['bytes that are no UTF-8', Buffer.from([0x61, 0xff, 0xfe])],
    ] as const) {
      test(name(`6. a body with ${what} is refused and not sent`), async (t) => {
        const { stack } = await stage(t);
        const peer = await udpPeer(t);
        const uri = `sip:bob@127.0.0.1:${peer.port}`;
        await assert.rejects(stack.request(outgoing(uri, { body })), isFailure('content-unsupported'));
        assert.equal(peer.received.length, 0);
      });
    }

    test(name('6. a message that the server cannot take is refused, and the next one goes'), async (t) => {
      const { stack } = await stage(t);
      const peer = await udpPeer(t);
      const uri = `sip:bob@127.0.0.1:${peer.port}`;
      const large = outgoing(uri, { body: Buffer.alloc(13_000, 'x') });
      await assert.rejects(stack.request(large), isFailure('content-too-large'));
      const small = stack.request(outgoing(uri));
      const request = await peer.next();
      assert.equal(request.body.toString(), 'hi');
      peer.send(rawResponse(request, 200), request.port);
      assert.equal((await small).status, 200);
    });
  }

  test(name('7. a small request stays on UDP, a large one goes over TCP'), async (t) => {
    const { stack } = await stage(t);
    const server = await streamServer(t);
    const datagrams = await UdpPeer.open('127.0.0.1', server.port);
    t.after(() => datagrams.close());
    const uri = `sip:bob@127.0.0.1:${server.port}`;
    const small = stack.request(outgoing(uri, { body: Buffer.alloc(200, 'x') }));
    const request = await datagrams.next();
    datagrams.send(rawResponse(request, 200), request.port);
    assert.equal((await small).flow.transport, 'udp');
    const large = stack.request(outgoing(uri, { body: Buffer.alloc(1_300, 'x') }));
    const peer = await server.next();
    const other = await peer.next();
    assert.match(other.header('Via'), /^SIP\/2\.0\/TCP /);
    peer.send(rawResponse(other, 200));
    assert.equal((await large).flow.transport, 'tcp');
    assert.equal(datagrams.received.length, 1);
  });

  test(name('7. a large request goes over UDP where TCP is refused'), async (t) => {
    const { stack } = await stage(t);
    const peer = await udpPeer(t);
    const answered = stack.request(outgoing(`sip:bob@127.0.0.1:${peer.port}`, { body: Buffer.alloc(2_000, 'x') }));
    const request = await peer.next();
    assert.match(request.header('Via'), /^SIP\/2\.0\/UDP /);
    assert.equal(request.body.length, 2_000);
    peer.send(rawResponse(request, 200), request.port);
    assert.equal((await answered).status, 200);
  });

  test(name('7. many requests are under way at once over one connection, in the order they were given'), async (t) => {
    const { stack } = await stage(t);
    const server = await streamServer(t);
    const uri = `sip:bob@127.0.0.1:${server.port};transport=tcp`;
    const answers = Array.from({ length: 100 }, (_, at) =>
      stack.request(outgoing(uri, { body: Buffer.from(String(at)) })),
    );
    const peer = await server.next();
    await peer.count(100);
    assert.deepEqual(
      peer.received.map(({ body }) => body.toString()),
      Array.from({ length: 100 }, (_, at) => String(at)),
    );
    for (const request of [...peer.received].reverse()) {
      peer.send(rawResponse(request, 200 + (Number(request.body.toString()) % 5)));
    }
    assert.deepEqual(
      (await Promise.all(answers)).map(({ status }) => status),
      Array.from({ length: 100 }, (_, at) => 200 + (at % 5)),
    );
    assert.equal(server.peers.length, 1);
  });

  test(name('7. many requests come in over one connection, and all are answered'), async (t) => {
    const { seen, tcpPort } = await stage(t);
    const peer = await streamPeer(t, tcpPort);
    peer.send(Buffer.concat(Array.from({ length: 100 }, (_, at) => rawRequest({ body: String(at) }))));
    await peer.count(100);
    assert.deepEqual(
      seen.map(({ body }) => Buffer.from(body).toString()),
      Array.from({ length: 100 }, (_, at) => String(at)),
    );
  });

  const smuggled = ['\r\nX-Evil: 1', '\nX-Evil: 1', '\r', 'a\0b', '\r\n\r\nMESSAGE sip:x SIP/2.0'];
  for (const text of smuggled) {
    test(name(`8. ${JSON.stringify(text)} cannot leave in a request`), async (t) => {
      const { stack } = await stage(t);
      const peer = await udpPeer(t);
      const uri = `sip:bob@127.0.0.1:${peer.port}`;
      const { headers } = outgoing(uri);
      await assert.rejects(
        stack.request(outgoing(uri, { headers: [...headers, ['Subject', `a${text}`]] })),
        isFailure('internal'),
      );
      await assert.rejects(
        stack.request(outgoing(uri, { headers: [...headers, [`Subject${text}`, 'a']] })),
        isFailure('internal'),
      );
      await assert.rejects(stack.request(outgoing(`${uri}${text}`, { nextHop: { uri } })), isFailure('internal'));
      await assert.rejects(stack.request(outgoing(uri, { method: `MESSAGE${text}` })), isFailure('internal'));
      assert.equal(peer.received.length, 0);
    });

    test(name(`8. ${JSON.stringify(text)} cannot leave in an answer`), async (t) => {
      const { udpPort } = await stage(t, async ({ uri }) =>
        uri.includes('reason')
          ? { status: 200, reason: `OK${text}` }
          : { status: 200, headers: [['Subject', `a${text}`]] },
      );
      const peer = await udpPeer(t);
      for (const user of ['reason', 'header']) {
        peer.send(rawRequest({ uri: `sip:${user}@sip.example` }), udpPort);
        const answer = await peer.next();
        assert.equal(answer.status, 500);
        assert.ok(!answer.bytes.toString().includes('Evil'));
      }
    });
  }

  test(name('9. stop refuses with 503, waits for the handler, and answers what it was busy with'), async (t) => {
    let finish: (reply: SipReply) => void = () => undefined;
    const { stack, seen, udpPort } = await stage(t, () => new Promise((resolve) => (finish = resolve)));
    const peer = await udpPeer(t);
    peer.send(rawRequest(), udpPort);
    await until(() => seen.length === 1, { what: 'the handler has it', everyMs: 2 });
    const stopped = stack.stop(5_000);
    peer.send(rawRequest(), udpPort);
    const refused = await peer.next();
    assert.equal(refused.status, 503);
    if (abilities.saysRetryAfter) assert.match(refused.header('Retry-After'), /^\d+$/);
    finish(OK);
    assert.equal((await peer.next()).status, 200);
    await stopped;
    assert.equal(seen.length, 1);
    await assert.rejects(stack.request(outgoing(`sip:bob@127.0.0.1:${peer.port}`)), isFailure('shutting-down'));
  });

  test(name('9. stop waits no longer than it was told, closes connections and ends what waits'), async (t) => {
    const { stack, seen, tcpPort, passTime } = await stage(t, () => new Promise(() => undefined));
    const peer = await streamPeer(t, tcpPort);
    const silent = await udpPeer(t);
    peer.send(rawRequest());
    await until(() => seen.length === 1, { what: 'the handler has it', everyMs: 2 });
    const failed = assert.rejects(
      stack.request(outgoing(`sip:bob@127.0.0.1:${silent.port}`)),
      isFailure('shutting-down'),
    );
    await silent.next();
    const stopped = stack.stop(1_000);
    await passTime(1_050);
    await stopped;
    if (abilities.ownsConnections) await peer.closed;
    await failed;
  });

  test(name('10. a far end reaches the server where it says'), async (t) => {
    const { stack, udpPort, tcpPort } = await stage(t);
    assert.equal(await stack.reachableAt('udp', '127.0.0.1'), `127.0.0.1:${udpPort}`);
    assert.equal(await stack.reachableAt('tcp', '127.0.0.1'), `127.0.0.1:${tcpPort}`);
    assert.equal(await stack.reachableAt('tls', '127.0.0.1'), undefined);
    assert.equal(await stack.reachableAt('udp', '192.0.2.1'), undefined);
  });

  test(
    name('11. a flow is open while its connection is, and one over UDP as long as there is a listener'),
    async (t) => {
      const { stack, seen, udpPort, tcpPort } = await stage(t);
      const datagrams = await udpPeer(t);
      datagrams.send(rawRequest(), udpPort);
      await datagrams.next();
      const peer = await streamPeer(t, tcpPort);
      peer.send(rawRequest({ via: 'SIP/2.0/TCP 127.0.0.1:1;branch=z9hG4bKflow' }));
      await peer.next();
      const [overUdp = '', overTcp = ''] = seen.map(({ flow }) => flow.id);
      assert.deepEqual(
        [overUdp, overTcp, 'no such flow'].map((flow) => stack.isFlowOpen(flow)),
        [true, true, false],
      );
      peer.close();
      if (abilities.ownsConnections)
        await until(() => !stack.isFlowOpen(overTcp), { what: 'the flow is gone', everyMs: 2 });
      assert.equal(stack.isFlowOpen(overUdp), true);
    },
  );

  if (!abilities.handsOn) return;

  test(
    name('12. a request that is handed on has the Via values of those before, and its answer must have them'),
    async (t) => {
      const { stack } = await stage(t);
      const peer = await udpPeer(t);
      const vias = ['SIP/2.0/WS x7.invalid;branch=z9hG4bKb', 'SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKa'];
      const answered = stack.request(outgoing(`sip:bob@127.0.0.1:${peer.port}`, { vias }));
      const request = await peer.next();
      assert.deepEqual(request.all('Via').slice(1), vias);
      peer.send(rawResponse(request, 404, { via: request.header('Via') }), request.port);
      await new Promise((resolve) => setTimeout(resolve, 20));
      peer.send(rawResponse(request, 202), request.port);
      assert.equal((await answered).status, 202);
    },
  );

  test(name('12. a connection whose far end keeps the promise of a flow timer stays, another is closed'), async (t) => {
    const { tcpPort, passTime } = await stage(t, async () => ({ status: 200, flowTimerSeconds: 30 }));
    const [silent, alive] = [await streamPeer(t, tcpPort), await streamPeer(t, tcpPort)];
    for (const [at, peer] of [silent, alive].entries()) {
      peer.send(rawRequest({ via: `SIP/2.0/TCP 127.0.0.1:1;branch=z9hG4bKtimer${at}` }));
      await peer.next();
    }
    await passTime(29_000);
    const bytes = alive.bytes.length;
    alive.send('\r\n\r\n');
    await until(() => alive.bytes.length === bytes + 2, { what: 'the pong', everyMs: 2 });
    await passTime(15_000);
    await silent.closed;
    assert.equal(alive.isClosed, false);
  });
}
