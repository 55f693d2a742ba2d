import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { digestResponse, ha1Of } from '../../src/sip/digest.ts';
import { parseSipMessage, type ParsedRequest, type ParsedResponse } from '../../src/sip/engine/parser.ts';
import { serializeRequest, serializeResponse } from '../../src/sip/engine/serializer.ts';
import { StreamFramer } from '../../src/sip/engine/stream-framer.ts';
import { parseAuthParams } from '../../src/sip/header-values.ts';
import type { HeaderField } from '../../src/sip/message.ts';

export type PhoneOptions = {
  readonly user: string;
  readonly domain: string;
  readonly password?: string;
  readonly server: { readonly transport: 'udp' | 'tcp'; readonly port: number };
  /** Loopback address that it sends from and listens at; 127.0.0.1 when absent. */
  readonly address?: string;
  /** Where it listens; a free port when absent. */
  readonly port?: number;
};

export type PhoneRequest = {
  readonly method: string;
  readonly uri: string;
  readonly to?: string;
  /** Whole From value without the tag; the user himself when absent. */
  readonly from?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly headers?: readonly HeaderField[];
  readonly body?: string | Uint8Array;
};

/** What the phone answers; undefined for nothing at all. */
export type PhoneAnswer = (
  request: ParsedRequest,
) => { readonly status: number; readonly headers?: readonly HeaderField[] } | undefined;

type Send = (bytes: Buffer) => void;

const ANSWER_WITHIN_MS = 5_000;
const RETRANSMIT_AFTER_MS = 500;

/** A number that no other phone of this process has used, for branches, tags and Call-IDs. */
let last = 0;
const fresh = (): string => `${process.pid}x${(last += 1)}`;

/**
 * A SIP phone on real sockets that does what a test tells it: registers with digest, writes, repeats itself, answers or
 * keeps silent. Reads and writes with our own parser and serializer; transactions are as simple as can be: over UDP it
 * repeats a request twice a second, and it answers every copy of what it gets.
 */
export class ScriptedPhone {
  /** Requests that came, repeated ones included, oldest first. */
  readonly received: ParsedRequest[] = [];
  /** How it answers what it gets; 200 to everything when it is told nothing else. */
  answer: PhoneAnswer = () => ({ status: 200 });
  readonly #options: PhoneOptions;
  readonly #address: string;
  readonly #waiting = new Map<string, (response: ParsedResponse) => void>();
  readonly #arrivals: Array<() => void> = [];
  readonly #sockets = new Set<Socket>();
  #udp: UdpSocket | undefined;
  #listener: Server | undefined;
  #connection: Socket | undefined;
  #port = 0;
  #cseq = 0;
  readonly #registerCallId = fresh();

  private constructor(options: PhoneOptions) {
    this.#options = options;
    this.#address = options.address ?? '127.0.0.1';
  }

  static async open(options: PhoneOptions): Promise<ScriptedPhone> {
    const phone = new ScriptedPhone(options);
    await (options.server.transport === 'udp' ? phone.#openUdp() : phone.#openTcp());
    return phone;
  }

  get aor(): string {
    return `sip:${this.#options.user}@${this.#options.domain}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Where it can be reached, a SIP URI. */
  get contact(): string {
    const transport = this.#udp === undefined ? ';transport=tcp' : '';
    return `sip:${this.#options.user}@${this.#address}:${this.#port}${transport}`;
  }

  /** Registers its contact for so many seconds; 0 takes it away. */
  register(expiresSeconds = 600, headers: readonly HeaderField[] = []): Promise<ParsedResponse> {
    return this.request({
      method: 'REGISTER',
      uri: `sip:${this.#options.domain}`,
      to: `<${this.aor}>`,
      callId: this.#registerCallId,
      headers: [['Contact', `<${this.contact}>;expires=${expiresSeconds}`], ...headers],
    });
  }

  /** Writes a text to somebody. */
  write(uri: string, body: string | Uint8Array, headers: readonly HeaderField[] = []): Promise<ParsedResponse> {
    const type: HeaderField[] = headers.some(([name]) => name === 'Content-Type')
      ? []
      : [['Content-Type', 'text/plain']];
    return this.request({ method: 'MESSAGE', uri, headers: [...type, ...headers], body });
  }

  /** Sends a request and gives the final response; answers one challenge when the phone has a password. */
  async request(request: PhoneRequest): Promise<ParsedResponse> {
    const response = await this.exchange(this.bytesOf(request));
    const { password } = this.#options;
    if (response.status !== 401 || password === undefined) return response;
    const authorization = this.#authorization(request, response.headers.get('WWW-Authenticate') ?? '', password);
    const headers: HeaderField[] = [...(request.headers ?? []), ['Authorization', authorization]];
    return this.exchange(this.bytesOf({ ...request, cseq: (this.#cseq += 1), headers }));
  }

  /** A request as it goes on the wire, for tests that send it more than once. */
  bytesOf(request: PhoneRequest): Buffer {
    const { method, uri, headers = [], body = '' } = request;
    const transport = this.#udp === undefined ? 'TCP' : 'UDP';
    return serializeRequest({
      method,
      uri,
      headers: [
        ['Via', `SIP/2.0/${transport} ${this.#address}:${this.#port};branch=z9hG4bK${fresh()};rport`],
        ['Max-Forwards', '70'],
        ['From', `${request.from ?? `<${this.aor}>`};tag=${this.#options.user}`],
        ['To', request.to ?? `<${uri}>`],
        ['Call-ID', request.callId ?? fresh()],
        ['CSeq', `${request.cseq ?? (this.#cseq += 1)} ${method}`],
        ...headers,
      ],
      body: Buffer.from(body),
    });
  }

  /** Sends these bytes, again and again over UDP, until the final response with their branch is there. */
  async exchange(bytes: Buffer): Promise<ParsedResponse> {
    const branch = branchOf(bytes);
    const send = await this.#sendToServer();
    return new Promise<ParsedResponse>((resolve, reject) => {
      const again = this.#udp === undefined ? undefined : setInterval(() => send(bytes), RETRANSMIT_AFTER_MS);
      const late = setTimeout(() => {
        end();
        reject(new Error(`no answer within ${ANSWER_WITHIN_MS} ms to ${bytes.toString('utf8', 0, 60)}`));
      }, ANSWER_WITHIN_MS);
      const end = (): void => {
        clearInterval(again);
        clearTimeout(late);
        this.#waiting.delete(branch);
      };
      this.#waiting.set(branch, (response) => {
        if (response.status < 200) return;
        end();
        resolve(response);
      });
      send(bytes);
    });
  }

  /** Resolves when so many requests have come in all. */
  async count(requests: number, withinMs = ANSWER_WITHIN_MS): Promise<readonly ParsedRequest[]> {
    const endsAtMs = Date.now() + withinMs;
    while (this.received.length < requests) {
      const leftMs = endsAtMs - Date.now();
      if (leftMs <= 0) throw new Error(`${this.aor} got ${this.received.length} of ${requests} requests`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#arrivals.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return this.received;
  }

  /** The texts that came, repeated ones included. */
  get texts(): readonly string[] {
    return this.received.map(({ body }) => body.toString('utf8'));
  }

  /** Stops listening for new connections and closes those it was called on; its own to the server stays. */
  async closeListener(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener === undefined) return;
    for (const socket of this.#sockets) if (socket !== this.#connection) socket.destroy();
    await new Promise<void>((resolve) => listener.close(() => resolve()));
  }

  async close(): Promise<void> {
    const udp = this.#udp;
    if (udp !== undefined) await new Promise<void>((resolve) => udp.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await this.closeListener();
  }

  async #openUdp(): Promise<void> {
    const udp = createSocket('udp4');
    udp.on('message', (bytes, from) => {
      this.#take(bytes, (answer) => udp.send(answer, from.port, from.address));
    });
    udp.bind(this.#options.port ?? 0, this.#address);
    await once(udp, 'listening');
    this.#port = udp.address().port;
    this.#udp = udp;
  }

  async #openTcp(): Promise<void> {
    const listener = createServer((socket) => this.#serve(socket));
    listener.listen(this.#options.port ?? 0, this.#address);
    await once(listener, 'listening');
    this.#port = (listener.address() as AddressInfo).port;
    this.#listener = listener;
  }

  #serve(socket: Socket): void {
    const framer = new StreamFramer();
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk) => {
      for (const frame of framer.push(chunk)) {
        if (typeof frame !== 'string') this.#take(frame, (answer) => socket.write(answer));
      }
    });
  }

  async #sendToServer(): Promise<Send> {
    const { port } = this.#options.server;
    const udp = this.#udp;
    if (udp !== undefined) return (bytes) => udp.send(bytes, port, '127.0.0.1');
    let connection = this.#connection;
    if (connection === undefined || connection.destroyed) {
      connection = connect({ port, host: '127.0.0.1', localAddress: this.#address });
      this.#connection = connection;
      await once(connection, 'connect');
      this.#serve(connection);
    }
    const open = connection;
    return (bytes) => open.write(bytes);
  }

  #take(bytes: Buffer, reply: Send): void {
    const message = parseSipMessage(bytes);
    if (message.kind === 'response') {
      const branch = message.via.params.get('branch');
      if (typeof branch === 'string') this.#waiting.get(branch)?.(message);
      return;
    }
    if (message.kind !== 'request') throw new Error(`the server sent what is no request: ${bytes.toString('latin1')}`);
    this.received.push(message);
    const answer = this.answer(message);
    if (answer !== undefined) reply(responseTo(message, answer.status, answer.headers ?? [], this.#options.user));
    for (const arrived of this.#arrivals.splice(0)) arrived();
  }

  /** Answers a challenge for a request that somebody else sends. */
  authorize(method: string, uri: string, challenge: string): string {
    return this.#authorization({ method, uri }, challenge, this.#options.password ?? '');
  }

  #authorization({ method, uri }: PhoneRequest, challenge: string, password: string): string {
    const params = parseAuthParams(challenge)?.params;
    const realm = params?.get('realm') ?? '';
    const nonce = params?.get('nonce') ?? '';
    const algorithm = params?.get('algorithm') === 'SHA-256' ? 'SHA-256' : 'MD5';
    const { user } = this.#options;
    const counted = { qop: 'auth', nc: '00000001', cnonce: fresh() } as const;
    const ha1 = ha1Of(algorithm, user, realm, password);
    const response = digestResponse({ algorithm, ha1, method, uri, nonce, ...counted });
    return (
      `Digest username="${user}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", ` +
      `algorithm=${algorithm}, qop=auth, nc=${counted.nc}, cnonce="${counted.cnonce}"`
    );
  }
}

function branchOf(bytes: Buffer): string {
  const message = parseSipMessage(bytes);
  const branch = message.kind === 'request' ? message.via.params.get('branch') : undefined;
  if (typeof branch !== 'string') throw new Error('what is to be sent is no request with a branch');
  return branch;
}

function responseTo(request: ParsedRequest, status: number, headers: readonly HeaderField[], tag: string): Buffer {
  const copied = request.headers.fields.filter(([name]) => ['Via', 'From', 'To', 'Call-ID', 'CSeq'].includes(name));
  const tagged = copied.map(([name, value]): HeaderField => [
    name,
    name === 'To' && !request.to.params.has('tag') ? `${value};tag=${tag}` : value,
  ]);
  return serializeResponse({ status, reason: 'Scripted', headers: [...tagged, ...headers] });
}
