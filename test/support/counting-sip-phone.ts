import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { currentLedger, Ledger, type LedgerSource } from './counting-ledger.ts';
import { answerTo, bodyOf, branchOf, digestAnswer, headerOf, MessageSplitter, statusOf } from './sip-wire.ts';
import { until } from './until.ts';

export type SipPhoneOptions = {
  readonly ledger: LedgerSource;
  readonly transport: 'udp' | 'tcp';
  /** Loopback port of the registrar. */
  readonly port: number;
  readonly users: ReadonlyArray<{ readonly user: string; readonly domain: string; readonly password: string }>;
};

/** Registers its users at one contact, and counts the MESSAGE requests it answers with 200. */
export class CountingSipPhone {
  readonly #options: SipPhoneOptions;
  readonly #answers = new Map<string, string>();
  readonly #pending = new Map<string, (answer: string) => void>();
  #udp: UdpSocket | undefined;
  #server: Server | undefined;
  #registrar: Socket | undefined;
  #contactPort = 0;
  #cseq = 0;
  readonly #sockets = new Set<Socket>();
  /** Messages that carry no mark, such as words from the server. */
  readonly others: string[] = [];

  constructor(options: SipPhoneOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    if (this.#options.transport === 'udp') {
      const udp = createSocket('udp4');
      await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
      udp.setRecvBufferSize(4 << 20);
      udp.on('message', (bytes, from) => {
        this.#take(bytes.toString('latin1'), (answer) =>
          udp.send(Buffer.from(answer, 'latin1'), from.port, from.address),
        );
      });
      this.#contactPort = udp.address().port;
      this.#udp = udp;
      return;
    }
    const server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#contactPort = (server.address() as { port: number }).port;
    this.#server = server;
  }

  async register(): Promise<void> {
    for (const user of this.#options.users) await this.#registerOne(user, 600);
  }

  async unregister(): Promise<void> {
    for (const user of this.#options.users) await this.#registerOne(user, 0);
  }

  close(): void {
    this.#udp?.close();
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    const splitter = new MessageSplitter();
    this.#sockets.add(socket);
    socket.setEncoding('latin1');
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: string) => {
      for (const message of splitter.push(chunk)) this.#take(message, (answer) => socket.write(answer, 'latin1'));
    });
  }

  #take(message: string, reply: (answer: string) => void): void {
    const branch = branchOf(message);
    if (statusOf(message) !== undefined) {
      this.#pending.get(branch)?.(message);
      return;
    }
    const known = this.#answers.get(branch); // a retransmission: the same answer, and nothing is counted
    if (known !== undefined) {
      reply(known);
      return;
    }
    const answer = answerTo(message, message.startsWith('MESSAGE ') ? '200 OK' : '405 Method Not Allowed');
    this.#answers.set(branch, answer);
    if (message.startsWith('MESSAGE ')) this.#count(message);
    reply(answer);
  }

  #count(message: string): void {
    const body = bodyOf(message);
    const mark = Ledger.markOf(body);
    if (mark === undefined) {
      this.others.push(body);
      return;
    }
    const tag = /;tag=([^;]+)/.exec(headerOf(message, 'From') ?? '')?.[1] ?? '';
    currentLedger(this.#options.ledger)?.seen(mark, {
      id: `${headerOf(message, 'Call-ID')} ${headerOf(message, 'CSeq')} ${tag}`,
    });
  }

  async #registerOne(user: SipPhoneOptions['users'][number], expires: number): Promise<void> {
    let answer = await this.#exchange(user, expires);
    if (statusOf(answer) === 401) {
      const uri = `sip:${user.domain}`;
      const credentials = digestAnswer(headerOf(answer, 'WWW-Authenticate') ?? '', {
        ...user,
        method: 'REGISTER',
        uri,
      });
      answer = await this.#exchange(user, expires, `Authorization: ${credentials}\r\n`);
    }
    if (statusOf(answer) !== 200) throw new Error(`REGISTER was answered ${answer.split('\r\n')[0]}`);
  }

  async #exchange({ user, domain }: { user: string; domain: string }, expires: number, more = ''): Promise<string> {
    const { transport, port } = this.#options;
    const branch = `z9hG4bK${randomBytes(9).toString('base64url')}`;
    const address = `sip:${user}@${domain}`;
    const request =
      `REGISTER sip:${domain} SIP/2.0\r\nVia: SIP/2.0/${transport.toUpperCase()} 127.0.0.1:${this.#contactPort};` +
      `branch=${branch};rport\r\nMax-Forwards: 70\r\nFrom: <${address}>;tag=${branch.slice(-6)}\r\nTo: <${address}>\r\n` +
      `Call-ID: counting-${user}\r\nCSeq: ${++this.#cseq} REGISTER\r\n` +
      `Contact: <sip:${user}@127.0.0.1:${this.#contactPort};transport=${transport}>\r\nExpires: ${expires}\r\n${more}` +
      `Content-Length: 0\r\n\r\n`;
    let answer: string | undefined;
    this.#pending.set(branch, (text) => (answer = text));
    this.#send(request, port);
    const timer = setInterval(() => this.#udp?.send(request, port, '127.0.0.1'), 500);
    try {
      return await until(() => answer, { what: 'REGISTER is answered', withinMs: 10_000 });
    } finally {
      clearInterval(timer);
      this.#pending.delete(branch);
    }
  }

  /** Over TCP on one connection that stays, as phones do: requests may come back on it. */
  #send(request: string, port: number): void {
    if (this.#udp !== undefined) {
      this.#udp.send(request, port, '127.0.0.1');
      return;
    }
    if (this.#registrar?.writable !== true) {
      this.#registrar = connect({ port, host: '127.0.0.1', noDelay: true });
      this.#serve(this.#registrar);
    }
    this.#registrar.write(request, 'latin1');
  }
}
