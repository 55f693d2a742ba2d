import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** One SIP message as it came, read with no more than a test needs and nothing of the engine under test. */
export class RawMessage {
  readonly bytes: Buffer;
  readonly startLine: string;
  readonly body: Buffer;
  readonly port: number;
  readonly #lines: readonly string[];

  constructor(bytes: Buffer, port: number) {
    this.bytes = bytes;
    this.port = port;
    const end = bytes.indexOf('\r\n\r\n');
    this.#lines = bytes.toString('latin1', 0, end).split('\r\n');
    this.startLine = this.#lines[0]!;
    this.body = bytes.subarray(end + 4);
  }

  /** The status of a response; 0 for a request. */
  get status(): number {
    return this.startLine.startsWith('SIP/2.0 ') ? Number(this.startLine.slice(8, 11)) : 0;
  }

  all(name: string): readonly string[] {
    const prefix = `${name.toLowerCase()}:`;
    return this.#lines
      .slice(1)
      .filter((line) => line.toLowerCase().startsWith(prefix))
      .map((line) => line.slice(prefix.length).trim());
  }

  header(name: string): string {
    return this.all(name)[0] ?? '';
  }

  /** A parameter of the topmost Via. */
  viaParam(name: string): string | undefined {
    return new RegExp(`;${name}=([^;]*)`).exec(this.header('Via'))?.[1];
  }
}

/** Collects what arrives, and lets a test wait for it. */
export class Inbox {
  readonly received: RawMessage[] = [];
  #read = 0;
  #waiting: Array<() => void> = [];

  add(message: RawMessage): void {
    this.received.push(message);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  async next(withinMs = 2_000): Promise<RawMessage> {
    await this.count(this.#read + 1, withinMs);
    return this.received[this.#read++]!;
  }

  /** Waits until so many have come in all. */
  async count(count: number, withinMs = 5_000): Promise<void> {
    const endsAt = Date.now() + withinMs;
    while (this.received.length < count) {
      const leftMs = endsAt - Date.now();
      if (leftMs <= 0) throw new Error(`${this.received.length} of ${count} messages came within ${withinMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}

/** A SIP peer on UDP that does what the test says, and nothing by itself. */
export class UdpPeer extends Inbox {
  readonly #socket: UdpSocket;
  readonly address: string;

  private constructor(socket: UdpSocket, address: string) {
    super();
    this.#socket = socket;
    this.address = address;
    socket.on('message', (bytes, { port }) => this.add(new RawMessage(bytes, port)));
  }

  static async open(address = '127.0.0.1', port = 0): Promise<UdpPeer> {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 * 1024 * 1024 });
    socket.bind(port, address);
    await once(socket, 'listening');
    return new UdpPeer(socket, address);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(message: string | Buffer, port: number, address = this.address): void {
    this.#socket.send(message, port, address);
  }

  close(): void {
    this.#socket.close();
  }
}

/** One end of a connection that speaks SIP as the test says. */
export class StreamPeer extends Inbox {
  readonly socket: Socket;
  /** Everything that came, framing or not. */
  bytes = Buffer.alloc(0);
  #rest = Buffer.alloc(0);
  isClosed = false;
  readonly closed: Promise<void>;

  constructor(socket: Socket) {
    super();
    this.socket = socket;
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        resolve();
      });
    });
    socket.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.#rest = Buffer.concat([this.#rest, chunk]);
      this.#cut();
    });
  }

  static async connect(port: number, address = '127.0.0.1', localPort?: number): Promise<StreamPeer> {
    const socket = connect({ port, host: address, ...(localPort === undefined ? {} : { localPort }) });
    const peer = new StreamPeer(socket);
    await once(socket, 'connect');
    return peer;
  }

  send(message: string | Buffer): void {
    this.socket.write(message);
  }

  close(): void {
    this.socket.destroy();
  }

  #cut(): void {
    for (;;) {
      while (this.#rest[0] === 0x0d && this.#rest[1] === 0x0a) this.#rest = this.#rest.subarray(2);
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = /\r\nContent-Length: *(\d+)/i.exec(this.#rest.toString('latin1', 0, end))?.[1] ?? '0';
      const total = end + 4 + Number(length);
      if (this.#rest.length < total) return;
      this.add(new RawMessage(this.#rest.subarray(0, total), this.socket.remotePort ?? 0));
      this.#rest = this.#rest.subarray(total);
    }
  }
}

/** Accepts connections for a test. */
export class StreamServer {
  readonly #server: Server;
  readonly peers: StreamPeer[] = [];
  #waiting: Array<(peer: StreamPeer) => void> = [];
  #taken = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(
    server: Server = createServer(),
    event = 'connection',
    port = 0,
    address = '127.0.0.1',
  ): Promise<StreamServer> {
    const self = new StreamServer(server);
    server.on(event, (socket: Socket) => {
      const peer = new StreamPeer(socket);
      self.peers.push(peer);
      const wake = self.#waiting.shift();
      if (wake !== undefined) {
        self.#taken++;
        wake(peer);
      }
    });
    server.listen(port, address);
    await once(server, 'listening');
    return self;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** The next connection that was opened. */
  next(): Promise<StreamPeer> {
    const peer = this.peers[this.#taken];
    if (peer !== undefined) {
      this.#taken++;
      return Promise.resolve(peer);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#server.close();
    for (const peer of this.peers) peer.close();
  }
}

export type RequestParts = {
  readonly method?: string;
  readonly uri?: string;
  readonly via?: string;
  readonly branch?: string;
  readonly from?: string;
  readonly to?: string;
  readonly callId?: string;
  readonly cseq?: number | string;
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  /** Left out when false. */
  readonly contentLength?: boolean;
};

let made = 0;

/** A MESSAGE, or what the parts say. Ids are new each time unless given. */
export function rawRequest(parts: RequestParts = {}): Buffer {
  const number = ++made;
  const method = parts.method ?? 'MESSAGE';
  const body = Buffer.from(parts.body ?? 'hello');
  const via = parts.via ?? `SIP/2.0/UDP 127.0.0.1:5999;rport;branch=${parts.branch ?? `z9hG4bKraw${number}`}`;
  const lines = [
    `${method} ${parts.uri ?? 'sip:bob@sip.example'} SIP/2.0`,
    `Via: ${via}`,
    'Max-Forwards: 70',
    `From: ${parts.from ?? '<sip:alice@sip.example>;tag=a1'}`,
    `To: ${parts.to ?? '<sip:bob@sip.example>'}`,
    `Call-ID: ${parts.callId ?? `call${number}@raw.example`}`,
    `CSeq: ${parts.cseq ?? 1} ${method}`,
    ...(parts.headers ?? ['Content-Type: text/plain']),
    ...(parts.contentLength === false ? [] : [`Content-Length: ${body.length}`]),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]);
}

/** An answer to a request that was received. */
export function rawResponse(
  request: RawMessage,
  status: number,
  options: { toTag?: boolean; headers?: readonly string[]; body?: string | Buffer; cseq?: string; via?: string } = {},
): Buffer {
  const body = Buffer.from(options.body ?? '');
  const to = request.header('To');
  const lines = [
    `SIP/2.0 ${status} Answer`,
    ...(options.via === undefined ? request.all('Via') : [options.via]).map((via) => `Via: ${via}`),
    `From: ${request.header('From')}`,
    `To: ${options.toTag === false || to.includes('tag=') ? to : `${to};tag=b1`}`,
    `Call-ID: ${request.header('Call-ID')}`,
    `CSeq: ${options.cseq ?? request.header('CSeq')}`,
    ...(options.headers ?? []),
    `Content-Length: ${body.length}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]);
}
