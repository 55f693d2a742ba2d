import type { TestContext } from 'node:test';

import type { SipOutgoing, SipReply, SipRequest, SipTransport } from '../../src/sip/message.ts';
import type { SipStack } from '../../src/sip/stack.ts';
import { createEmbeddedStack, type EmbeddedStackOptions } from '../../src/sip/stack-embedded.ts';
import { FakeClock, settled } from './fake-clock.ts';
import { LogRecorder } from './log-recorder.ts';
import { StreamPeer, StreamServer, UdpPeer } from './raw-sip.ts';
import { WsPeer, type WsPeerOptions } from './ws-peer.ts';

/** The embedded engine on loopback with a clock that stands still, and peers that go away with the test. */
export class EngineStage {
  readonly stack: SipStack;
  readonly clock: FakeClock;
  readonly log: LogRecorder;
  readonly seen: SipRequest[];
  readonly ports: Readonly<Record<SipTransport, number>>;
  readonly #t: TestContext;

  private constructor(t: TestContext, parts: Pick<EngineStage, 'stack' | 'clock' | 'log' | 'seen' | 'ports'>) {
    this.#t = t;
    this.stack = parts.stack;
    this.clock = parts.clock;
    this.log = parts.log;
    this.seen = parts.seen;
    this.ports = parts.ports;
  }

  static async open(
    t: TestContext,
    options: Partial<EmbeddedStackOptions> = {},
    handler: (request: SipRequest) => Promise<SipReply> = async () => ({ status: 200 }),
  ): Promise<EngineStage> {
    const clock = new FakeClock();
    const log = new LogRecorder();
    const stack = createEmbeddedStack({
      listeners: [
        { transport: 'udp', address: '127.0.0.1', port: 0 },
        { transport: 'tcp', address: '127.0.0.1', port: 0 },
      ],
      clock,
      log,
      ...options,
    });
    const seen: SipRequest[] = [];
    const listeners = await stack.start(async (request) => {
      seen.push(request);
      return handler(request);
    });
    t.after(async () => {
      const stopped = stack.stop(0);
      await settled();
      clock.advance(1);
      await stopped;
    });
    const portOf = (transport: string) => listeners.find((listener) => listener.transport === transport)?.port ?? 0;
    return new EngineStage(t, {
      stack,
      clock,
      log,
      seen,
      ports: { udp: portOf('udp'), tcp: portOf('tcp'), tls: portOf('tls'), ws: portOf('ws'), wss: portOf('wss') },
    });
  }

  /** Lets time pass, and what was sent on loopback arrive. */
  async pass(ms: number): Promise<void> {
    await this.clock.advanceAsync(ms);
    for (let turn = 0; turn < 5; turn++) await settled();
  }

  async udpPeer(address = '127.0.0.1', port = 0): Promise<UdpPeer> {
    const peer = await UdpPeer.open(address, port);
    this.#t.after(() => peer.close());
    return peer;
  }

  async tcpPeer(): Promise<StreamPeer> {
    const peer = await StreamPeer.connect(this.ports.tcp);
    this.#t.after(() => peer.close());
    return peer;
  }

  async wsPeer(options: WsPeerOptions = {}): Promise<WsPeer> {
    const port = options.scheme === 'wss' ? this.ports.wss : this.ports.ws;
    const peer = await WsPeer.connect(port, options);
    this.#t.after(() => peer.close());
    return peer;
  }

  async tcpServer(): Promise<StreamServer> {
    const server = await StreamServer.open();
    this.#t.after(() => server.close());
    return server;
  }
}

/** A request to be sent by the engine. */
export function anOutgoing(uri: string, more: Partial<SipOutgoing> = {}): SipOutgoing {
  return {
    method: 'MESSAGE',
    uri,
    headers: [
      ['From', '<sip:alice@sip.example>;tag=f1'],
      ['To', '<sip:bob@peer.example>'],
      ['Call-ID', 'out@sip.example'],
      ['CSeq', '7 MESSAGE'],
    ],
    ...more,
  };
}
