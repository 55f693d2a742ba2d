import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';

import type { Log } from '../../src/core/log.ts';
import type { Clock } from '../../src/core/ports.ts';
import type { Channel } from '../../src/sip/engine/channel.ts';
import { canonicalName } from '../../src/sip/headers.ts';
import type { HeaderField } from '../../src/sip/message.ts';
import { systemClock } from '../../src/system-clock.ts';
import { DrachtioSipSide } from './drachtio-sip-side.ts';
import { LogRecorder } from './log-recorder.ts';

/** The ring a server reads its applications into; what does not fit pushes out what came first. */
const RING_BYTES = 12_228;
const READ_BYTES = 8_192;
const LENGTH_DIGITS_MAX = 5;

export type DrachtioServerOptions = {
  readonly secret: string;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly version?: string;
  readonly controlPort?: number;
  /** PEM: control connections are TLS. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Requests go to an application that is connected to for them. */
  readonly outbound?: { readonly port: number; readonly ca?: string };
};

/**
 * A drachtio server in this process, as applications see it: the control protocol as the real one speaks it, with its
 * ring of 12,228 bytes and its faults, and SIP on real sockets over UDP and TCP behind it.
 */
export class DrachtioServer {
  readonly #options: DrachtioServerOptions;
  readonly sip: DrachtioSipSide;
  readonly #applications = new Set<Application>();
  /** Which application a transaction or dialog belongs to. */
  readonly #owners = new Map<string, Application>();
  #control: Server | undefined;
  #controlPort = 0;
  #turn = 0;
  /** Nothing is read from applications any more: the server hangs. */
  isHanging = false;
  /** Messages of the control protocol that came, but for pings: their kinds and first lines. */
  readonly received: string[] = [];

  constructor(options: DrachtioServerOptions) {
    this.#options = options;
    this.sip = new DrachtioSipSide(options.clock ?? systemClock, options.log ?? new LogRecorder(), {
      onRequest: ({ txnId, dialogId, channel, method, raw }) => this.#deliver(txnId, dialogId, channel, method, raw),
      onDialog: (txnId, dialogId) => {
        const owner = this.#owners.get(txnId);
        owner?.dialogs.set(txnId, dialogId);
        if (owner !== undefined) this.#owners.set(dialogId, owner);
      },
      onResponse: (txnId, raw, channel) => {
        const owner = this.#owners.get(txnId);
        const meta = channel === undefined ? `0||||${time()}` : metaOf(channel, raw.length);
        owner?.send(`sip|network|${meta}|${txnId}|${owner.dialogOf(txnId)}|`, raw);
      },
    });
  }

  static async start(options: DrachtioServerOptions): Promise<DrachtioServer> {
    const server = new DrachtioServer(options);
    await server.sip.start(0, 0);
    await server.openControl();
    return server;
  }

  get controlPort(): number {
    return this.#controlPort;
  }

  /** Applications that are connected and have said the secret. */
  get applications(): number {
    return [...this.#applications].filter(({ isIn }) => isIn).length;
  }

  /** Lets applications connect: at the port it had, if it had one. */
  async openControl(): Promise<void> {
    const { tls, controlPort = 0 } = this.#options;
    const take = (socket: Socket) => void this.#connected(socket);
    const server =
      tls === undefined ? createServer(take) : createTlsServer({ cert: tls.certificate, key: tls.key }, take);
    server.on('tlsClientError', (_error, socket: Socket) => socket.destroy());
    server.listen(this.#controlPort === 0 ? controlPort : this.#controlPort, '127.0.0.1');
    await once(server, 'listening');
    this.#controlPort = (server.address() as AddressInfo).port;
    this.#control = server;
  }

  /** Cuts every control connection, and takes no new ones until `openControl`. */
  async cutControl(): Promise<void> {
    const server = this.#control;
    this.#control = undefined;
    const closed = server === undefined ? Promise.resolve() : new Promise((resolve) => server.close(resolve));
    for (const application of this.#applications) application.destroy();
    await closed;
  }

  async stop(): Promise<void> {
    await this.cutControl();
    await this.sip.stop();
  }

  /** Hands bytes to the applications as a request that has come, whatever they are. */
  deliverRaw(raw: Buffer): void {
    const meta = `${raw.length}|udp|127.0.0.1|9|${time()}`;
    for (const application of this.#applications) {
      application.send(`sip|network|${meta}|${randomUUID()}||127.0.0.1|5060|`, raw);
    }
  }

  #connected(socket: Socket): Application {
    const application = new Application(socket, {
      isHanging: () => this.isHanging,
      onMessage: (fields, text, from) => this.#take(fields, text, from),
      onGone: (gone) => {
        this.#applications.delete(gone);
        for (const [id, owner] of this.#owners) if (owner === gone) this.#owners.delete(id);
      },
    });
    this.#applications.add(application);
    return application;
  }

  /** @returns false when the connection is to be closed */
  #take(fields: readonly string[], text: string, from: Application): boolean {
    const [id = '', kind = ''] = fields;
    const answer = (verdict: string, ...more: string[]) => from.send(['response', id, verdict, ...more].join('|'));
    if (kind !== 'ping')
      this.received.push(text === '' ? fields.slice(1).join('|') : `${kind} ${text.split('\r\n')[0] ?? ''}`);
    switch (kind) {
      case 'ping':
        answer('OK', 'pong');
        return true;
      case 'authenticate': {
        const { secret, version = 'v0.9.10' } = this.#options;
        if (fields[2] !== secret) {
          answer('NO', 'incorrect secret');
          return false;
        }
        from.isIn = true;
        answer('OK', this.sip.hostPorts, version, this.sip.hostPorts);
        from.onIn();
        return true;
      }
      case 'route':
        from.methods.add(fields[2] ?? '');
        answer('OK');
        return true;
      case 'remove_route':
        from.methods.clear();
        answer('OK');
        return true;
      case 'sip':
        this.#takeSip(id, fields, text, from);
        return true;
      default:
        answer('NO', 'Unknown message type');
        return false;
    }
  }

  #takeSip(id: string, fields: readonly string[], text: string, from: Application): void {
    const [startLine = '', ...lines] = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n');
    // A NUL ends what the server reads of a body.
    const body = Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4).split('\0')[0] ?? '', 'latin1');
    const headers = lines.map((line): HeaderField => {
      const colon = line.indexOf(':');
      const value = Buffer.from(line.slice(colon + 1).trim(), 'latin1').toString();
      return [canonicalName(line.slice(0, colon).trim()), value];
    });
    const refuse = (why: string) => from.send(`response|${id}|NOK|${why}`);
    if (startLine.startsWith('SIP/')) {
      const [, status = '', reason = ''] = /^SIP\/2\.0 (\d+) ?(.*)$/.exec(startLine) ?? [];
      const txnId = fields[2] ?? '';
      const sent = this.sip.answer(txnId, Number(status), reason, headers, body);
      if (typeof sent === 'string') {
        refuse(sent);
        return;
      }
      if (sent.dialogId !== '') this.#owners.set(sent.dialogId, from);
      const meta = metaOf(sent.channel, sent.bytes.length);
      from.send(`response|${id}|OK|application|${meta}|${txnId}|${sent.dialogId}||Msg sent:|`, sent.bytes);
      return;
    }
    const [method = '', uri = ''] = startLine.split(' ');
    if (method === 'CANCEL') {
      refuse('unable to cancel unknown transaction id');
      return;
    }
    const sent = this.sip.send({ method, uri, headers, body, proxy: fields[4] ?? '' });
    if (typeof sent === 'string') {
      refuse(sent);
      return;
    }
    this.#owners.set(sent.txnId, from);
    from.dialogs.set(sent.txnId, sent.dialogId);
    from.send(
      `response|${id}|OK|application|${metaOf(sent.channel, sent.bytes.length)}|${sent.txnId}|Msg sent:|`,
      sent.bytes,
    );
  }

  #deliver(txnId: string, dialogId: string, channel: Channel, method: string, raw: Buffer): boolean {
    const meta = metaOf(channel, raw.length);
    const { localAddress, localPort } = channel.flow;
    const local = dialogId === '' ? `|${localAddress}|${localPort}|` : '|';
    const text = `sip|network|${meta}|${txnId}|${dialogId}${local}`;
    const owner = this.#owners.get(method === 'CANCEL' ? txnId : dialogId);
    if (dialogId !== '' || method === 'CANCEL') {
      owner?.send(text, raw);
      return owner !== undefined;
    }
    const { outbound } = this.#options;
    if (outbound !== undefined) {
      this.#connectTo(outbound, (application) => {
        this.#owners.set(txnId, application);
        application.send(text, raw);
      });
      return true;
    }
    const willing = [...this.#applications].filter(({ methods }) => methods.has(method.toLowerCase()));
    const chosen = willing[this.#turn++ % Math.max(1, willing.length)];
    if (chosen === undefined) return false;
    this.#owners.set(txnId, chosen);
    chosen.send(text, raw);
    return true;
  }

  /** A connection of its own for each request, as the real one does where no tag names a connected application. */
  #connectTo({ port, ca }: { port: number; ca?: string }, onIn: (application: Application) => void): void {
    const socket =
      ca === undefined
        ? connect({ port, host: '127.0.0.1' })
        : connectTls({ port, host: '127.0.0.1', ca, servername: 'localhost' });
    const application = this.#connected(socket);
    application.onIn = () => onIn(application);
  }
}

type ApplicationEvents = {
  isHanging(): boolean;
  onMessage(fields: readonly string[], text: string, from: Application): boolean;
  onGone(application: Application): void;
};

/** One control connection, whichever side opened it. */
class Application {
  readonly #socket: Socket;
  readonly #events: ApplicationEvents;
  readonly methods = new Set<string>();
  readonly dialogs = new Map<string, string>();
  isIn = false;
  onIn: () => void = () => undefined;
  #ring = Buffer.alloc(0);

  constructor(socket: Socket, events: ApplicationEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.once('close', () => events.onGone(this));
    socket.on('data', (chunk: Buffer) => {
      if (events.isHanging()) return;
      for (let at = 0; at < chunk.length; at += READ_BYTES) this.#read(chunk.subarray(at, at + READ_BYTES));
    });
  }

  dialogOf(txnId: string): string {
    return this.dialogs.get(txnId) ?? '';
  }

  send(text: string, sip?: Buffer): void {
    const head = Buffer.from(`${randomUUID()}|${text}${sip === undefined ? '' : '\r\n'}`);
    const payload = sip === undefined ? head : Buffer.concat([head, sip]);
    this.#socket.write(Buffer.concat([Buffer.from(`${payload.length}#`), payload]));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    const all = Buffer.concat([this.#ring, chunk]);
    this.#ring = all.subarray(Math.max(0, all.length - RING_BYTES));
    for (;;) {
      const mark = this.#ring.indexOf('#');
      if (mark < 0 || mark > LENGTH_DIGITS_MAX) {
        if (this.#ring.length > LENGTH_DIGITS_MAX) this.#socket.destroy();
        return;
      }
      const digits = this.#ring.toString('latin1', 0, mark);
      if (!/^\d+$/.test(digits)) {
        this.#socket.destroy();
        return;
      }
      const end = mark + 1 + Number(digits);
      // Longer than the ring: it never comes to an end.
      if (this.#ring.length < end) return;
      const message = this.#ring.toString('latin1', mark + 1, end);
      this.#ring = this.#ring.subarray(end);
      const lineEnd = message.indexOf('\r\n');
      const fields = (lineEnd < 0 ? message : message.slice(0, lineEnd)).split('|');
      if (!this.#events.onMessage(fields, lineEnd < 0 ? '' : message.slice(lineEnd + 2), this)) {
        this.#socket.end();
        return;
      }
    }
  }
}

function metaOf({ flow }: Channel, bytes: number): string {
  return `${bytes}|${flow.transport}|${flow.remoteAddress}|${flow.remotePort}|${time()}`;
}

function time(): string {
  return `${new Date().toISOString().slice(11, 23)}000`;
}
