import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { branchOf, MessageSplitter, statusOf } from './sip-wire.ts';

export type SipEndOptions = {
  readonly transport: 'udp' | 'tcp';
  /** Loopback port of the server. */
  readonly port: number;
  /** A request that came, as latin1 text. `reply` sends on the way it came. */
  readonly onRequest: (text: string, reply: (answer: string) => void) => void;
};

type Pending = {
  readonly build: (via: string) => string;
  readonly resolve: (answer: string) => void;
  readonly reject: (error: Error) => void;
  text: string;
  /** performance.now() */
  startedMs: number;
  againAtMs: number;
  intervalMs: number;
};

/** RFC 3261, section 17.1.2.2: T1, T2 and timer F. */
const T1_MS = 500;
const T2_MS = 4_000;
const TIMER_F_MS = 64 * T1_MS;
const TICK_MS = 20;

/**
 * One socket for thousands of phones. Each request goes out again and again until it has its answer, over restarts of
 * the server: over UDP by the timers of RFC 3261, then anew under another branch; over TCP anew on the next connection.
 */
export class PatientSipEnd {
  readonly #options: SipEndOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #sockets = new Set<Socket>();
  #udp: UdpSocket | undefined;
  #listener: Server | undefined;
  #toServer: Socket | undefined;
  #isConnected = false;
  #port = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Requests that were sent once more. */
  repeated = 0;

  private constructor(options: SipEndOptions) {
    this.#options = options;
  }

  static async open(options: SipEndOptions): Promise<PatientSipEnd> {
    const end = new PatientSipEnd(options);
    if (options.transport === 'udp') await end.#openUdp();
    else await end.#openTcp();
    end.#timer = setInterval(() => end.#tick(), TICK_MS);
    return end;
  }

  /** The URI of the Contact of one of its phones. */
  contactOf(user: string): string {
    return `sip:${user}@127.0.0.1:${this.#port}${this.#udp === undefined ? ';transport=tcp' : ''}`;
  }

  /** Sends what `build` makes of a Via; gives the final answer, whenever it comes. Rejects when this end is closed. */
  request(build: (via: string) => string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#begin({ build, resolve, reject, text: '', startedMs: 0, againAtMs: 0, intervalMs: 0 });
    });
  }

  /** Sends no more: who waits for an answer is told that there is none. */
  giveUp(): void {
    const left = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of left) reject(new Error('given up without an answer'));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.giveUp();
    for (const socket of this.#sockets) socket.destroy();
    this.#listener?.close();
    const udp = this.#udp;
    if (udp !== undefined) await new Promise<void>((resolve) => udp.close(resolve));
  }

  async #openUdp(): Promise<void> {
    const udp = createSocket({ type: 'udp4', recvBufferSize: 8 << 20, sendBufferSize: 8 << 20 });
    udp.on('error', () => undefined); // an ICMP refusal while the server is away
    udp.on('message', (bytes, from) => {
      this.#take(bytes.toString('latin1'), (answer) =>
        udp.send(Buffer.from(answer, 'latin1'), from.port, from.address),
      );
    });
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    this.#port = udp.address().port;
    this.#udp = udp;
  }

  async #openTcp(): Promise<void> {
    const listener = createServer({ noDelay: true }, (socket) => this.#serve(socket));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    this.#port = (listener.address() as AddressInfo).port;
    this.#listener = listener;
    this.#connect();
  }

  #connect(): void {
    const socket = connect({ port: this.#options.port, host: '127.0.0.1', noDelay: true });
    this.#toServer = socket;
    this.#serve(socket);
    socket.on('connect', () => {
      this.#isConnected = true;
      const left = [...this.#pending.values()];
      this.#pending.clear();
      for (const pending of left) this.#begin(pending);
    });
    socket.on('close', () => {
      this.#isConnected = false;
      if (!this.#isClosed) setTimeout(() => this.#connect(), 50);
    });
  }

  #serve(socket: Socket): void {
    const splitter = new MessageSplitter();
    this.#sockets.add(socket);
    socket.setEncoding('latin1');
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: string) => {
      for (const text of splitter.push(chunk)) this.#take(text, (answer) => void socket.write(answer, 'latin1'));
    });
  }

  #begin(pending: Pending): void {
    const branch = `z9hG4bK${randomBytes(9).toString('base64url')}`;
    const transport = this.#udp === undefined ? 'TCP' : 'UDP';
    if (pending.text !== '') this.repeated += 1;
    pending.text = pending.build(`SIP/2.0/${transport} 127.0.0.1:${this.#port};rport;branch=${branch}`);
    pending.startedMs = performance.now();
    pending.intervalMs = T1_MS;
    pending.againAtMs = pending.startedMs + T1_MS;
    this.#pending.set(branch, pending);
    this.#put(pending.text);
  }

  #put(text: string): void {
    if (this.#udp !== undefined) this.#udp.send(Buffer.from(text, 'latin1'), this.#options.port, '127.0.0.1');
    else if (this.#isConnected) this.#toServer?.write(text, 'latin1');
  }

  #tick(): void {
    if (this.#udp === undefined) return;
    const nowMs = performance.now();
    for (const [branch, pending] of [...this.#pending]) {
      if (nowMs < pending.againAtMs) continue;
      if (nowMs - pending.startedMs >= TIMER_F_MS) {
        this.#pending.delete(branch);
        this.#begin(pending);
        continue;
      }
      this.repeated += 1;
      pending.intervalMs = Math.min(2 * pending.intervalMs, T2_MS);
      pending.againAtMs = nowMs + pending.intervalMs;
      this.#put(pending.text);
    }
  }

  #take(text: string, reply: (answer: string) => void): void {
    const status = statusOf(text);
    if (status === undefined) this.#options.onRequest(text, reply);
    else if (status >= 200) {
      const branch = branchOf(text);
      const pending = this.#pending.get(branch);
      if (pending === undefined) return;
      this.#pending.delete(branch);
      pending.resolve(text);
    }
  }
}
