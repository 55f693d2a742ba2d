import { randomUUID } from 'node:crypto';
import { isUtf8 } from 'node:buffer';

import type { Log } from '../../src/core/log.ts';
import type { Clock } from '../../src/core/ports.ts';
import { viaToldItsSource } from '../../src/sip/engine/answers.ts';
import type { Channel, MessageSink } from '../../src/sip/engine/channel.ts';
import { ClientTransactions } from '../../src/sip/engine/client-transactions.ts';
import { ConnectionGate } from '../../src/sip/engine/connection-gate.ts';
import { ENGINE_LIMITS } from '../../src/sip/engine/limits.ts';
import { parseSipMessage, type ParsedRequest } from '../../src/sip/engine/parser.ts';
import { serializeRequest, serializeResponse } from '../../src/sip/engine/serializer.ts';
import { StreamTransport } from '../../src/sip/engine/stream-transport.ts';
import { TimerWheel } from '../../src/sip/engine/timer-wheel.ts';
import { TokenSource } from '../../src/sip/engine/tokens.ts';
import { UdpListener } from '../../src/sip/engine/udp-listener.ts';
import { parseNameAddr } from '../../src/sip/header-values.ts';
import type { HeaderField, SipHeaders } from '../../src/sip/message.ts';
import { parseSipUri, uriParam } from '../../src/sip/uri.ts';

/** What the server's stack knows; requests of other methods vanish. */
const METHODS = new Set(
  'INVITE ACK BYE CANCEL OPTIONS REGISTER MESSAGE SUBSCRIBE NOTIFY PUBLISH INFO PRACK UPDATE REFER'.split(' '),
);
const LINE_BYTES_MAX = 8_192;
const UNANSWERED_MS = 64_000;
const ANSWERED_MS = 32_000;

/** One that waits for its answer, or has it and waits for repetitions. */
type Transaction = {
  readonly id: string;
  readonly key: string;
  readonly request: ParsedRequest;
  readonly channel: Channel;
  readonly dialogId: string;
  bytes?: Buffer;
  isOver: boolean;
};

/** What the server keeps of a subscription (or call). */
type Dialog = { readonly id: string; readonly channel: Channel; readonly routes: readonly string[] };

export type SipSideEvents = {
  /** A request for an application. @returns whether there is one */
  onRequest(message: {
    readonly txnId: string;
    readonly dialogId: string;
    readonly channel: Channel;
    readonly method: string;
    readonly raw: Buffer;
  }): boolean;
  /** A request of an application has made a dialog. */
  onDialog(txnId: string, dialogId: string): void;
  /** A response, or what the server makes of none: then `channel` is undefined. */
  onResponse(txnId: string, raw: Buffer, channel: Channel | undefined): void;
};

export type ToSend = {
  readonly method: string;
  readonly uri: string;
  readonly headers: readonly HeaderField[];
  readonly body: Buffer;
  readonly proxy: string;
};

/** The SIP stack of the drachtio server of the tests: real sockets over UDP and TCP, its transactions, its dialogs. */
export class DrachtioSipSide implements MessageSink {
  readonly #events: SipSideEvents;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #wheel: TimerWheel;
  readonly #tokens = new TokenSource();
  readonly #clients: ClientTransactions;
  readonly #streams: StreamTransport;
  readonly #raw = new WeakMap<SipHeaders, Buffer>();
  readonly #byKey = new Map<string, Transaction>();
  readonly #byId = new Map<string, Transaction>();
  readonly #sent = new Map<string, string>();
  readonly #connections = new Map<string, Channel>();
  readonly dialogs = new Map<string, Dialog>();
  #udp: UdpListener | undefined;
  #tcpPort = 0;

  constructor(clock: Clock, log: Log, events: SipSideEvents) {
    this.#clock = clock;
    this.#log = log;
    this.#events = events;
    this.#wheel = new TimerWheel(clock);
    this.#clients = new ClientTransactions(this.#wheel, log);
    const context = { wheel: this.#wheel, sink: this, limits: ENGINE_LIMITS, log };
    this.#streams = new StreamTransport(context, undefined, this.#tokens, new ConnectionGate(ENGINE_LIMITS, log));
  }

  async start(udpPort: number, tcpPort: number): Promise<void> {
    this.#udp = new UdpListener('127.0.0.1', udpPort, this, this.#log);
    await this.#udp.start();
    this.#tcpPort = await this.#streams.listen({ transport: 'tcp', address: '127.0.0.1', port: tcpPort });
  }

  get ports(): { readonly udp: number; readonly tcp: number } {
    return { udp: this.#udp?.port ?? 0, tcp: this.#tcpPort };
  }

  get hostPorts(): string {
    const { udp, tcp } = this.ports;
    return `udp/127.0.0.1:${udp},tcp/127.0.0.1:${tcp}`;
  }

  async stop(): Promise<void> {
    this.#clients.stop();
    await this.#streams.close(0);
    await this.#udp?.close();
    this.#wheel.stop();
  }

  onMessage(bytes: Buffer, channel: Channel): void {
    const parsed = parseSipMessage(bytes, LIMITS);
    const { transport, remoteAddress, remotePort } = channel.flow;
    if (transport === 'tcp') this.#connections.set(`${remoteAddress}:${remotePort}`, channel);
    switch (parsed.kind) {
      case 'request':
        if (METHODS.has(parsed.method)) this.#takeRequest(parsed, bytes, channel);
        return;
      case 'response': {
        this.#raw.set(parsed.headers, bytes);
        const branch = parsed.via.params.get('branch');
        const txnId = typeof branch === 'string' ? this.#sent.get(branch) : undefined;
        if (txnId !== undefined && parsed.status < 200) this.#events.onResponse(txnId, bytes, channel);
        this.#clients.receive(parsed, channel);
        return;
      }
      case 'malformed': {
        const { request } = parsed;
        if (request?.headers.get('Via') !== undefined) channel.send(this.#plainAnswer(request.headers, 400, channel));
        return;
      }
      case 'keep-alive':
        return;
    }
  }

  onStreamFault(bytes: Buffer, channel: Channel): void {
    const parsed = parseSipMessage(bytes);
    if (parsed.kind === 'malformed' && parsed.request !== undefined) {
      channel.send(this.#plainAnswer(parsed.request.headers, 400, channel));
    }
  }

  /**
   * Sends what an application answered. @returns the text as sent, where it went and the dialog there is now; why not.
   *
   * The first response of any kind ends a transaction that is no INVITE's.
   */
  answer(
    txnId: string,
    status: number,
    reason: string,
    headers: readonly HeaderField[],
    body: Buffer,
  ): Answered | string {
    const transaction = this.#byId.get(txnId);
    if (transaction === undefined || transaction.isOver) return 'Response not sent due to unknown transaction';
    const { request, channel } = transaction;
    if (body.length > 0 && !headers.some(([name]) => name === 'Content-Type'))
      return 'Unknown server error sending response';
    const given = headers.find(([name]) => name === 'To')?.[1];
    const tag = /tag=(.*)/.exec(given ?? '')?.[1] ?? this.#tokens.token();
    const to = request.headers.get('To') ?? '';
    const isDialog = ['SUBSCRIBE', 'INVITE'].includes(request.method) && status >= 200 && status < 300;
    const rest = headers.filter(([name]) => !ITS_OWN.has(name) && !ECHOED.has(name));
    const fields: HeaderField[] = [
      ...this.#vias(request.headers, channel),
      ['From', request.headers.get('From') ?? ''],
      ['To', request.to.params.has('tag') || status === 100 ? to : `${to};tag=${tag}`],
      ['Call-ID', request.headers.get('Call-ID') ?? ''],
      ['CSeq', request.headers.get('CSeq') ?? ''],
      ...(isDialog ? request.headers.all('Record-Route').map((value): HeaderField => ['Record-Route', value]) : []),
      ...rest,
      ...(isDialog && !rest.some(([name]) => name === 'Contact')
        ? [['Contact', `<sip:${this.#contact(channel)}>`] as const]
        : []),
    ];
    const bytes = serializeResponse({ status, reason, headers: fields, body });
    transaction.bytes = bytes;
    transaction.isOver = request.method !== 'INVITE' || status >= 200;
    channel.send(bytes);
    const callId = request.headers.get('Call-ID') ?? '';
    let { dialogId } = transaction;
    if (isDialog && dialogId === '') {
      dialogId = `${callId};from-tag=${String(request.from.params.get('tag') ?? '')}`;
      this.dialogs.set(callId, { id: dialogId, channel, routes: request.headers.all('Record-Route') });
    }
    this.#clock.after(ANSWERED_MS, () => this.#forget(transaction));
    return { bytes, channel, dialogId };
  }

  /** Sends a request of an application. @returns what was sent, or why not */
  send(toSend: ToSend): Sent | string {
    const { method, uri, body } = toSend;
    if (!METHODS.has(method) || parseSipUri(uri) === undefined) return `invalid request-uri: ${method} ${uri}`;
    if (body.length > 0 && !toSend.headers.some(([name]) => name === 'Content-Type')) return 'missing content-type';
    const callId = toSend.headers.find(([name]) => name === 'Call-ID')?.[1] ?? '';
    const dialog = this.dialogs.get(callId);
    const { udp, tcp } = this.ports;
    const own = parseSipUri(uri);
    if (dialog === undefined && own?.host === '127.0.0.1' && [udp, tcp].includes(own.port ?? 5060)) {
      return 'can not send request to myself';
    }
    const firstRoute = dialog?.routes[0];
    const hop =
      firstRoute === undefined
        ? dialog === undefined && toSend.proxy !== ''
          ? toSend.proxy
          : uri
        : parseNameAddr(firstRoute)?.uri;
    const channel = dialog?.channel ?? this.#channelTo(hop ?? uri);
    if (channel === undefined) return 'requested protocol/transport not available';
    const branch = this.#tokens.branch();
    const sentBy = this.#contact(channel);
    const headers: HeaderField[] = [
      ['Via', `SIP/2.0/${channel.flow.transport.toUpperCase()} ${sentBy};rport;branch=${branch}`],
      ...(dialog?.routes ?? []).map((route): HeaderField => ['Route', route]),
      ...toSend.headers.filter(([name]) => !ITS_OWN.has(name)),
    ];
    if (!headers.some(([name]) => name === 'Max-Forwards')) headers.push(['Max-Forwards', '70']);
    const bytes = serializeRequest({ method, uri, headers, body });
    const txnId = randomUUID();
    this.#sent.set(branch, txnId);
    const isFinal =
      method === 'NOTIFY' &&
      headers.some(([name, value]) => name === 'Subscription-State' && value.startsWith('terminated'));
    // After the answer to the application: a response that it does not yet know of would be lost on it.
    setImmediate(() => {
      void this.#clients
        .run({ branch, method, sentBy, viaCount: 1, bytes, channel, patienceMs: 32_000 })
        .then((outcome) => {
          this.#sent.delete(branch);
          if (isFinal) this.dialogs.delete(callId);
          if (outcome.kind === 'stopped') return;
          if (outcome.kind !== 'response') {
            const status = outcome.kind === 'timeout' ? 408 : 503;
            const echo = headers.filter(([name]) => ['Via', 'From', 'To', 'Call-ID', 'CSeq'].includes(name));
            this.#events.onResponse(txnId, serializeResponse({ status, reason: 'Internal', headers: echo }), undefined);
            return;
          }
          const { response } = outcome;
          if (method === 'SUBSCRIBE' && response.status < 300 && dialog === undefined) {
            const tag = /tag=([^;]*)/.exec(headers.find(([name]) => name === 'From')?.[1] ?? '')?.[1] ?? '';
            const routes = [...response.headers.all('Record-Route')].reverse();
            const id = `${callId};from-tag=${tag}`;
            this.dialogs.set(callId, { id, channel, routes });
            this.#events.onDialog(txnId, id);
          }
          this.#events.onResponse(txnId, this.#raw.get(response.headers) ?? Buffer.alloc(0), channel);
        });
    });
    return { bytes, channel, txnId, dialogId: dialog?.id ?? '' };
  }

  #takeRequest(request: ParsedRequest, bytes: Buffer, channel: Channel): void {
    const { method, headers, body } = request;
    const key = keyOf(request, method === 'ACK' || method === 'CANCEL' ? 'INVITE' : method);
    const known = this.#byKey.get(key);
    if (method === 'ACK') return;
    if (method === 'CANCEL') {
      channel.send(this.#plainAnswer(headers, known === undefined ? 481 : 200, channel));
      if (known === undefined || known.isOver) return;
      known.isOver = true;
      known.bytes = this.#plainAnswer(known.request.headers, 487, channel);
      channel.send(known.bytes);
      this.#events.onRequest({ txnId: known.id, dialogId: '', channel, method, raw: bytes });
      return;
    }
    if (known !== undefined) {
      if (known.bytes !== undefined) channel.send(known.bytes);
      return;
    }
    const hasLongLine = bytes
      .toString('latin1')
      .split('\r\n')
      .some((line) => line.length > LINE_BYTES_MAX);
    if (hasLongLine || !isUtf8(body) || body.includes(0)) {
      channel.send(this.#plainAnswer(headers, 400, channel));
      return;
    }
    const dialog = this.dialogs.get(headers.get('Call-ID') ?? '');
    const isIn = dialog !== undefined && request.to.params.has('tag');
    if (!isIn && method === 'REFER') return;
    if (!isIn && ['BYE', 'UPDATE'].includes(method)) {
      channel.send(this.#plainAnswer(headers, 481, channel));
      return;
    }
    const transaction: Transaction = {
      id: randomUUID(),
      key,
      request,
      channel,
      dialogId: isIn ? dialog.id : '',
      isOver: false,
    };
    this.#byKey.set(key, transaction);
    this.#byId.set(transaction.id, transaction);
    this.#clock.after(UNANSWERED_MS, () => {
      if (!transaction.isOver) this.#forget(transaction);
    });
    if (method === 'INVITE') {
      transaction.bytes = this.#plainAnswer(headers, 100, channel);
      channel.send(transaction.bytes);
    }
    const raw = withRport(bytes, channel);
    const isTaken = this.#events.onRequest({
      txnId: transaction.id,
      dialogId: transaction.dialogId,
      channel,
      method,
      raw,
    });
    if (isTaken) return;
    transaction.isOver = true;
    transaction.bytes = this.#plainAnswer(headers, isIn ? 481 : 503, channel);
    channel.send(transaction.bytes);
  }

  #forget(transaction: Transaction): void {
    this.#byKey.delete(transaction.key);
    this.#byId.delete(transaction.id);
  }

  #plainAnswer(headers: SipHeaders, status: number, channel: Channel): Buffer {
    const to = headers.get('To') ?? '';
    return serializeResponse({
      status,
      reason: 'By The Server',
      headers: [
        ...this.#vias(headers, channel),
        ['From', headers.get('From') ?? ''],
        ['To', status === 100 || /;\s*tag=/.test(to) ? to : `${to};tag=${this.#tokens.token()}`],
        ['Call-ID', headers.get('Call-ID') ?? ''],
        ['CSeq', headers.get('CSeq') ?? ''],
      ],
    });
  }

  /** The server answers to where a request came from, whether it was asked to or not. */
  #vias(headers: SipHeaders, { flow }: Channel): HeaderField[] {
    return headers.all('Via').map((value, at): HeaderField => {
      if (at > 0) return ['Via', value];
      const asking = /;\s*rport/i.test(value) ? value : `${value};rport`;
      const via = parseSipMessage(
        Buffer.from(
          `X sip:x SIP/2.0\r\nVia: ${asking}\r\nFrom: <sip:x>\r\nTo: <sip:x>\r\nCSeq: 1 X\r\nCall-ID: x\r\n\r\n`,
        ),
      );
      return ['Via', via.kind === 'request' ? viaToldItsSource(asking, via.via, flow) : value];
    });
  }

  #channelTo(text: string): Channel | undefined {
    const uri = parseSipUri(text);
    if (uri === undefined || uri.scheme === 'sips') return undefined;
    const named = uriParam(uri, 'transport');
    const transport = typeof named === 'string' ? named.toLowerCase() : 'udp';
    const address = uri.host === 'localhost' ? '127.0.0.1' : uri.host;
    const port = uri.port ?? 5060;
    if (transport === 'udp') return this.#udp?.channelTo(address, port);
    if (transport !== 'tcp') return undefined;
    // A connection that is there is used, whoever opened it.
    const there = this.#connections.get(`${address}:${port}`);
    if (there?.isUsable === true) return there;
    return this.#streams.towards({ target: { transport, address, port }, names: [] });
  }

  #contact({ flow }: Channel): string {
    const { udp, tcp } = this.ports;
    return `127.0.0.1:${flow.transport === 'udp' ? udp : tcp}`;
  }
}

export type Answered = { readonly bytes: Buffer; readonly channel: Channel; readonly dialogId: string };
export type Sent = {
  readonly bytes: Buffer;
  readonly channel: Channel;
  readonly txnId: string;
  readonly dialogId: string;
};

const LIMITS = {
  messageBytesMax: 1 << 20,
  headerBytesMax: 32 * 1024,
  headerCountMax: 256,
  viaCountMax: 70,
  listValuesMax: 128,
};
/** What the server writes itself, whatever an application says. */
const ITS_OWN = new Set(['Via', 'Route', 'Record-Route', 'RSeq', 'Content-Length']);
/** What an answer has from its request. */
const ECHOED = new Set(['From', 'To', 'Call-ID', 'CSeq']);

function keyOf({ via, headers, cseq }: ParsedRequest, method: string): string {
  return [
    via.host,
    via.port ?? 5060,
    String(via.params.get('branch')),
    headers.get('Call-ID'),
    cseq.number,
    method,
  ].join(' ');
}

/** The message as it came, but for the port in its topmost Via. */
function withRport(bytes: Buffer, { flow }: Channel): Buffer {
  const text = bytes.toString('latin1');
  const at = /\r\n(?:via|v)[ \t]*:[^\r\n,]*/i.exec(text);
  if (at === null) return bytes;
  const via = /;\s*rport\b[^;,\r\n]*/i.test(at[0])
    ? at[0].replace(/;\s*rport\b[^;,\r\n]*/i, `;rport=${flow.remotePort}`)
    : `${at[0]};rport=${flow.remotePort}`;
  return Buffer.from(text.slice(0, at.index) + via + text.slice(at.index + at[0].length), 'latin1');
}
