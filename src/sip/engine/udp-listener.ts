import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

import type { Log } from '../../core/log.ts';
import type { SipFlow } from '../message.ts';
import { isStun, stunAnswer } from './stun.ts';
import { hostPort, type Channel, type MessageSink } from './channel.ts';

/** A burst of a second at full rate; the system cuts it to what it allows. */
const SOCKET_BUFFER_BYTES = 8 * 1024 * 1024;
const CHANNELS_MAX = 65_536;

/** One far end of a UDP listener. */
export class UdpChannel implements Channel {
  readonly listener: UdpListener;
  readonly flow: SipFlow;
  readonly isReliable = false;

  constructor(listener: UdpListener, address: string, port: number) {
    this.listener = listener;
    this.flow = {
      transport: 'udp',
      localAddress: listener.address,
      localPort: listener.port,
      remoteAddress: address,
      remotePort: port,
      id: udpFlowId(listener.address, listener.port, address, port),
    };
  }

  get isUsable(): boolean {
    return this.listener.isOpen;
  }

  send(bytes: Buffer): boolean {
    return this.listener.sendTo(bytes, this.flow.remoteAddress, this.flow.remotePort);
  }

  board(): void {
    // A datagram that does not arrive tells nobody.
  }

  leave(): void {
    // Nobody is on board.
  }
}

/** Holds all there is to know, so that a flow over UDP outlives the process: nothing was connected. */
function udpFlowId(localAddress: string, localPort: number, remoteAddress: string, remotePort: number): string {
  return `udp,${localAddress},${localPort},${remoteAddress},${remotePort}`;
}

/** One bound UDP socket. Answers and requests leave from the very port requests come to (RFC 3581, section 4). */
export class UdpListener {
  readonly address: string;
  readonly family: 4 | 6;
  readonly #socket: Socket;
  readonly #sink: MessageSink;
  readonly #log: Log;
  readonly #channels = new Map<string, UdpChannel>();
  #port: number;
  #isOpen = false;

  constructor(address: string, port: number, sink: MessageSink, log: Log) {
    this.address = address;
    this.family = address.includes(':') ? 6 : 4;
    this.#port = port;
    this.#sink = sink;
    this.#log = log;
    this.#socket = createSocket({
      type: this.family === 6 ? 'udp6' : 'udp4',
      ipv6Only: this.family === 6,
      recvBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
      // Only addresses are ever sent to; the system's resolver has no say, and costs no turn.
      lookup: (host, _options, done) => done(null, host, this.family),
    });
  }

  /** The port in use, once started. */
  get port(): number {
    return this.#port;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  async start(): Promise<void> {
    // Listened for before: with our own lookup the socket may be bound within the call.
    const listening = once(this.#socket, 'listening');
    this.#socket.bind({ address: this.address, port: this.#port, exclusive: true });
    await listening;
    this.#port = this.#socket.address().port;
    this.#isOpen = true;
    this.#socket.on('error', (error) => this.#log.warn({ error }, 'udp socket failed'));
    this.#socket.on('message', (bytes, { address, port }) => {
      // Port 0 can stand in a forged datagram, and nothing can be sent there.
      if (port === 0) return;
      if (isStun(bytes)) this.#keepAlive(bytes, address, port);
      else this.#sink.onMessage(bytes, this.channelTo(address, port));
    });
  }

  #keepAlive(bytes: Buffer, address: string, port: number): void {
    const answer = stunAnswer(bytes, address, port);
    if (answer !== undefined) this.sendTo(answer, address, port);
  }

  channelTo(address: string, port: number): UdpChannel {
    const key = hostPort(address, port);
    let channel = this.#channels.get(key);
    if (channel === undefined) {
      // Source addresses are the network's to choose: forgetting all of them now and then costs little.
      if (this.#channels.size >= CHANNELS_MAX) this.#channels.clear();
      channel = new UdpChannel(this, address, port);
      this.#channels.set(key, channel);
    }
    return channel;
  }

  /** The channel of a flow id that this listener, or one at the same place before it, gave out. */
  channelOf(flowId: string): UdpChannel | undefined {
    const [, localAddress, localPort, address, portText] = flowId.split(',');
    if (localAddress !== this.address || localPort !== String(this.#port)) return undefined;
    const port = Number(portText);
    if (address === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
    return this.channelTo(address, port);
  }

  sendTo(bytes: Buffer, address: string, port: number): boolean {
    if (!this.#isOpen) return false;
    // Without a callback a datagram that cannot leave is lost like any other; retransmission is for that.
    this.#socket.send(bytes, port, address);
    return true;
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#channels.clear();
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }
}
