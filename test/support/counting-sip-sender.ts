import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { Ledger, type Mark } from './counting-ledger.ts';
import { branchOf, MessageSplitter, statusOf } from './sip-wire.ts';

export type SipSenderOptions = {
  readonly ledger: Ledger;
  readonly transport: 'udp' | 'tcp';
  /** Several: each request goes to the next one, and each repetition of it; a connection, when it is opened again. */
  readonly port: number | readonly number[];
  /** One entry per pair: the user parts and domains of both. */
  readonly pairs: ReadonlyArray<{ readonly from: string; readonly to: string }>;
  /** Messages per second over all pairs; Infinity: as fast as answers come. */
  readonly rate: number;
  /** Ends by itself after so many messages. */
  readonly total?: number;
  /** Bytes of a body; default 60. */
  readonly bodyBytes?: number;
};

type Pending = {
  readonly mark: Mark;
  readonly pair: PairState;
  readonly callId: string;
  readonly tag: string;
  readonly cseq: number;
  branch: string;
  request: string;
  /** When the request was first sent, and when it is due again; performance.now(). */
  startedMs: number;
  againAtMs: number;
  intervalMs: number;
};

type PairState = {
  readonly index: number;
  readonly from: string;
  readonly to: string;
  next: number;
  pending?: Pending;
};

/** RFC 3261, section 17.1.2.2: T1, T2 and timer F. */
const T1_MS = 500;
const T2_MS = 4_000;
const TIMER_F_MS = 64 * T1_MS;

/**
 * Sends numbered MESSAGE requests over UDP or TCP as RFC 3261 and RFC 3428 ask: one request of a pair outstanding at a
 * time, retransmitted over UDP until timer F, then sent anew with a new branch and CSeq. A lost connection is opened
 * again, and what was unanswered on it sent again with the same Call-ID, CSeq and tag under a new branch.
 */
export class CountingSipSender {
  readonly #options: SipSenderOptions;
  readonly #pairs: PairState[];
  readonly #pending = new Map<string, Pending>();
  readonly #filler: string;
  readonly #statuses = new Map<number, number>();
  #udp: UdpSocket | undefined;
  #tcp: Socket | undefined;
  #isTcpUp = false;
  #localPort = 0;
  #nextPort = 0;
  #timer: NodeJS.Timeout | undefined;
  #startedMs = 0;
  #begun = 0;
  #stopping = false;
  #retransmissions = 0;
  #anew = 0;

  constructor(options: SipSenderOptions) {
    this.#options = options;
    this.#pairs = options.pairs.map(({ from, to }, index) => ({ index, from, to, next: 0 }));
    this.#filler = 'x'.repeat(Math.max(0, (options.bodyBytes ?? 60) - 12));
  }

  async start(): Promise<void> {
    if (this.#options.transport === 'udp') await this.#openUdp();
    else await this.#openTcp();
    this.#startedMs = performance.now();
    this.#timer = setInterval(() => this.#tick(), 5);
    this.#tick();
  }

  /** Begins no new message, and waits until all that were begun have an answer. */
  async drain(withinMs: number): Promise<void> {
    this.#stopping = true;
    const endsAtMs = performance.now() + withinMs;
    while (this.#pending.size > 0) {
      if (performance.now() > endsAtMs)
        throw new Error(`${this.#pending.size} requests have no answer after ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Resolves when `total` messages have been sent and answered. */
  async finished(withinMs: number): Promise<void> {
    const endsAtMs = performance.now() + withinMs;
    while (this.#begun < (this.#options.total ?? 0) || this.#pending.size > 0) {
      if (performance.now() > endsAtMs)
        throw new Error(`only ${this.#begun - this.#pending.size} answered after ${withinMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#stopping = true;
    this.#udp?.close();
    this.#tcp?.destroy();
  }

  get begun(): number {
    return this.#begun;
  }

  /** How often each status came, and how often a request had to be sent again or anew. */
  report(): { statuses: Record<string, number>; retransmissions: number; anew: number } {
    return {
      statuses: Object.fromEntries(this.#statuses),
      retransmissions: this.#retransmissions,
      anew: this.#anew,
    };
  }

  async #openUdp(): Promise<void> {
    const udp = createSocket('udp4');
    await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve));
    udp.setRecvBufferSize(4 << 20);
    udp.on('message', (bytes) => this.#answered(bytes.toString('latin1')));
    udp.on('error', () => undefined); // an ICMP refusal while the other side is away
    this.#localPort = udp.address().port;
    this.#udp = udp;
  }

  #openTcp(): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ port: this.#port(), host: '127.0.0.1', noDelay: true });
      const splitter = new MessageSplitter();
      socket.setEncoding('latin1');
      socket.on('data', (chunk: string) => {
        for (const message of splitter.push(chunk)) this.#answered(message);
      });
      socket.on('error', () => undefined);
      socket.on('connect', () => {
        this.#isTcpUp = true;
        this.#localPort = socket.localPort ?? 0;
        for (const pending of [...this.#pending.values()]) {
          this.#pending.delete(pending.branch);
          this.#write(pending);
          this.#anew++;
        }
        resolve();
      });
      socket.on('close', () => {
        this.#isTcpUp = false;
        if (this.#timer !== undefined && !this.#closed()) setTimeout(() => void this.#openTcp(), 50);
      });
      this.#tcp = socket;
    });
  }

  #closed(): boolean {
    return this.#stopping && this.#pending.size === 0;
  }

  #tick(): void {
    const nowMs = performance.now();
    for (const pending of [...this.#pending.values()]) {
      if (nowMs - pending.startedMs >= TIMER_F_MS) this.#sendAnew(pending);
      else if (this.#udp !== undefined && nowMs >= pending.againAtMs) {
        this.#retransmissions++;
        pending.intervalMs = Math.min(pending.intervalMs * 2, T2_MS);
        pending.againAtMs = nowMs + pending.intervalMs;
        this.#put(pending.request);
      }
    }
    if (this.#stopping) return;
    for (const pair of this.#pairs) this.#next(pair, nowMs);
  }

  /** Begins the next message of a pair, when it is due and the one before is answered. */
  #next(pair: PairState, nowMs: number): void {
    if (this.#stopping || pair.pending !== undefined) return;
    const { rate, total, ledger } = this.#options;
    if (total !== undefined && this.#begun >= total) return;
    const dueMs = this.#startedMs + ((pair.next * this.#pairs.length + pair.index) * 1_000) / rate;
    if (nowMs < dueMs) return;
    const mark: Mark = { pair: pair.index, number: pair.next++ };
    this.#begun++;
    ledger.sent(mark);
    const pending: Pending = {
      mark,
      pair,
      callId: randomBytes(9).toString('base64url'),
      tag: randomBytes(4).toString('hex'),
      cseq: 1,
      branch: '',
      request: '',
      startedMs: nowMs,
      againAtMs: nowMs + T1_MS,
      intervalMs: T1_MS,
    };
    pair.pending = pending;
    this.#write(pending);
  }

  /** Timer F has fired: nobody knows what became of it, so the same text goes out as a new request. */
  #sendAnew(old: Pending): void {
    this.#anew++;
    this.#pending.delete(old.branch);
    const nowMs = performance.now();
    const pending: Pending = {
      ...old,
      cseq: old.cseq + 1,
      startedMs: nowMs,
      againAtMs: nowMs + T1_MS,
      intervalMs: T1_MS,
    };
    old.pair.pending = pending;
    this.#write(pending);
  }

  #write(pending: Pending): void {
    const { from, to } = pending.pair;
    const { transport } = this.#options;
    const body = Ledger.body(pending.mark, this.#filler);
    pending.branch = `z9hG4bK${randomBytes(9).toString('base64url')}`;
    pending.request =
      `MESSAGE sip:${to} SIP/2.0\r\nVia: SIP/2.0/${transport.toUpperCase()} 127.0.0.1:${this.#localPort};` +
      `branch=${pending.branch};rport\r\nMax-Forwards: 70\r\nFrom: <sip:${from}>;tag=${pending.tag}\r\n` +
      `To: <sip:${to}>\r\nCall-ID: ${pending.callId}\r\nCSeq: ${pending.cseq} MESSAGE\r\n` +
      `Content-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    this.#pending.set(pending.branch, pending);
    this.#put(pending.request);
  }

  #port(): number {
    const { port } = this.#options;
    return typeof port === 'number' ? port : (port[this.#nextPort++ % port.length] ?? 0);
  }

  #put(request: string): void {
    if (this.#udp !== undefined) this.#udp.send(request, this.#port(), '127.0.0.1');
    else if (this.#isTcpUp) this.#tcp?.write(request, 'latin1');
  }

  #answered(message: string): void {
    const status = statusOf(message);
    if (status === undefined || status < 200) return;
    const pending = this.#pending.get(branchOf(message));
    if (pending === undefined) return;
    this.#pending.delete(pending.branch);
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1);
    if (status < 300) this.#options.ledger.accepted(pending.mark);
    else this.#options.ledger.refused(pending.mark);
    delete pending.pair.pending;
    this.#next(pending.pair, performance.now());
  }
}
