import { Server, type Socket } from 'node:net';

import Srf from 'drachtio-srf';
import { GatewayError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/ports.ts';
import { toWireText, type ControlMessage } from './drachtio/control-frame.ts';
import { ControlLine } from './drachtio/control-line.ts';
import { LibrarySocket } from './drachtio/library-socket.ts';
import type { LibraryRequest } from './drachtio/outgoing.ts';
import { refusalError } from './drachtio/refusal.ts';
import type { LibraryReply } from './drachtio/reply.ts';
import type { SipHeaders } from './message.ts';
import { NoWayOut } from './stack.ts';
import { reasonPhrase } from './engine/reason-phrases.ts';
import {
  parseSipMessage,
  SIP_LIMITS,
  type ParsedMalformed,
  type ParsedRequest,
  type ParsedResponse,
  type SipLimits,
} from './engine/parser.ts';

/** Where a message came from, as the server says; `address` is empty for a response that the server made itself. */
export type ControlSource = {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
};

/** A request that came over a control connection. */
export type ControlRequest = ControlSource & {
  readonly request: ParsedRequest;
  /** Where the server received it, `address:port`; undefined for one within a dialog. */
  readonly receivedOn: string | undefined;
  /** Sends the answer, once. `onSent` gets why it was not sent, undefined when it was. */
  answer(reply: LibraryReply, onSent: OnSent): void;
};

type OnSent = (failure: string | undefined) => void;

export type ControlResponse = { readonly response: ParsedResponse; readonly source: ControlSource };

export type SessionOptions = {
  readonly secret: string;
  readonly tags: readonly string[];
  /** Methods, in lower case, that this side wants from the server; empty on a connection that the server opened. */
  readonly methods: readonly string[];
  readonly onRequest: (session: DrachtioSession, request: ControlRequest) => void;
  readonly onGone: (reason: string) => void;
  readonly clock: Clock;
  readonly log: Log;
};

/** What a server says when it lets this side in. */
export type Welcome = {
  /** Comma list of `proto/address:port`. */
  readonly hostPorts: string;
  readonly version: string;
};

/** How long a server may take to let us in; ms. */
const WELCOME_MS = 5_000;
/** Requests that a server may send while it lets us in; it has its own patience with more. */
const EARLY_MAX = 256;
export const WRONG_SECRET = 'the server refuses the secret';
const LIMITS: SipLimits = {
  ...SIP_LIMITS,
  headerBytesMax: 64 * 1024,
  messageBytesMax: 1024 * 1024 + 64 * 1024,
};

/** The library takes these and throws at all others. */
const KNOWN_STATUSES: ReadonlySet<number> = new Set([
  ...[200, 202, 204, 300, 301, 302, 305, 380, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413],
  ...[414, 415, 416, 420, 421, 422, 423, 428, 433, 480, 481, 482, 483, 484, 485, 486, 487, 488, 489, 491, 493, 494],
  ...[500, 501, 502, 503, 504, 505, 513, 580, 600, 603, 604, 606],
]);

/** What of the library is used here; its own types leave most of it out. */
type LibrarySettled = { readonly msg: { readonly raw: string }; readonly status: number } & LibraryMeta;
type LibraryMeta = {
  readonly source: string;
  readonly source_address: string;
  readonly source_port: number;
  readonly protocol: string;
  readonly stackTxnId: string;
  readonly receivedOn?: string;
};
type LibraryIncoming = LibraryMeta & { readonly method: string; readonly msg: { readonly raw: string } };
type LibraryAnswer = {
  send(status: number, reason: string, options: object, done: (failure: unknown) => void): void;
};
type LibrarySent = LibraryMeta & { on(event: 'response', listener: (response: LibrarySettled) => void): void };
type Library = {
  use(handler: (request: LibraryIncoming, response: LibraryAnswer) => void): void;
  listen(options: object): void;
  on(event: 'connect', listener: (error: Error | null, hostPorts?: string, version?: string) => void): void;
  request(options: object, done: (error: Error | null, sent?: LibrarySent) => void): void;
};
const newLibrary = (tags: readonly string[]): Library =>
  new (Srf as unknown as new (tags: readonly string[]) => Library)(tags);

type Waiting = { fail(error: GatewayError): void };

/**
 * One control connection that a drachtio server has let us in on. The library speaks the protocol on it; what it is
 * given and what it sends passes through `ControlLine`.
 *
 * The library always works as one that was connected to: then it neither reconnects by itself (in plain TCP, after TLS)
 * nor throws at what it cannot read.
 */
export class DrachtioSession {
  readonly #options: SessionOptions;
  readonly #line: ControlLine;
  readonly #library: Library;
  readonly #rim: LibrarySocket;
  readonly #waiting = new Set<Waiting>();
  /** What came before we were let in altogether. */
  #early: ControlRequest[] = [];
  #isOpen = false;
  #gone: string | undefined;
  #onFirstEnd: ((reason: string) => void) | undefined;
  welcome: Welcome = { hostPorts: '', version: '' };

  private constructor(socket: Socket, options: SessionOptions) {
    this.#options = options;
    this.#line = new ControlLine(socket, {
      clock: options.clock,
      log: options.log,
      onMessage: (message, isCut) => this.#take(message, isCut),
      onGone: (reason) => this.#lost(reason),
    });
    this.#rim = new LibrarySocket({
      onWrite: (payload) => this.#forward(payload),
      onEnd: () => this.#line.close('what the server sent cannot be read'),
    });
    this.#library = newLibrary(options.tags);
    this.#library.use((request, response) => this.#received(request, response));
  }

  /**
   * Says the secret on a connection that is open, and what is wanted of the server.
   *
   * @throws Error with the reason, in words for the operator; the connection is closed then and `onGone` not called
   */
  static async open(socket: Socket, options: SessionOptions): Promise<DrachtioSession> {
    const session = new DrachtioSession(socket, options);
    await session.#login();
    return session;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Sends a request and waits for its final response.
   *
   * @throws GatewayError as `refusalError`; 'peer-timeout' after `patienceMs`; 'peer-unreachable' once the control
   *   connection is gone
   */
  request(request: LibraryRequest, patienceMs: number): Promise<ControlResponse> {
    return new Promise((resolve, reject) => {
      if (!this.#isOpen) {
        reject(connectionGone(this.#gone));
        return;
      }
      let txnId: string | undefined;
      const settle = (): boolean => {
        cancel();
        return this.#waiting.delete(waiting);
      };
      const waiting: Waiting = {
        fail: (error) => {
          if (settle()) reject(error);
        },
      };
      const cancel = this.#options.clock.after(patienceMs, () => {
        waiting.fail(new GatewayError('peer-timeout', 'no final response in time'));
        if (txnId !== undefined) this.#forget(txnId);
      });
      this.#waiting.add(waiting);
      this.#library.request({ ...request, _socket: this.#rim }, (error, sent) => {
        if (error !== null || sent === undefined) {
          waiting.fail(refusalError(error?.message ?? ''));
          return;
        }
        txnId = sent.stackTxnId;
        // Nobody waits any more; the library need not either.
        if (!this.#waiting.has(waiting)) this.#forget(txnId);
        sent.on('response', (response) => {
          if (response.status < 200) return;
          const parsed = parseSipMessage(Buffer.from(response.msg.raw, 'latin1'), LIMITS);
          if (!settle()) return;
          if (parsed.kind === 'response') resolve({ response: parsed, source: sourceOf(response) });
          else reject(new GatewayError('peer-failed', 'the response makes no sense'));
        });
      });
    });
  }

  /** Asks for no new requests any more: the server gives them to others, or answers 503 itself. */
  wantNoMore(): void {
    // In the server this takes back all of them, whichever is named.
    const [method] = this.#options.methods;
    if (this.#isOpen && method !== undefined) this.#line.send(`remove_route|${method}`);
  }

  /** Ends the connection once what was written has left; what waits is rejected with this error. */
  close(error: GatewayError): void {
    for (const waiting of [...this.#waiting]) waiting.fail(error);
    this.#line.end('closed by this side');
  }

  async #login(): Promise<void> {
    const { clock, secret, tags, methods } = this.#options;
    const welcome = await new Promise<Welcome>((resolve, reject) => {
      const cancel = clock.after(WELCOME_MS, () => this.#line.close('the server does not answer to the secret'));
      this.#onFirstEnd = (reason) => {
        cancel();
        reject(new Error(reason));
      };
      this.#library.on('connect', (error, hostPorts, version) => {
        if (error !== null) this.#line.close(WRONG_SECRET);
        else {
          cancel();
          resolve({ hostPorts: hostPorts ?? '', version: version ?? '' });
        }
      });
      const rim = new Server();
      this.#library.listen({ server: rim, secret: toWireText(secret), tags });
      rim.emit('connection', this.#rim);
    });
    if (this.#gone !== undefined) throw new Error(this.#gone);
    this.#onFirstEnd = undefined;
    this.welcome = welcome;
    this.#isOpen = true;
    if (knowsPing(welcome.version)) this.#line.keepAsking();
    for (const method of methods) {
      this.#line.send(`route|${method}`, ([verdict]) => {
        if (verdict !== 'OK') this.#options.log.warn({ method }, 'drachtio server gives us no requests of this method');
      });
    }
    for (const request of this.#early.splice(0)) this.#hand(request);
  }

  #lost(reason: string): void {
    this.#gone = reason;
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    this.#rim.destroy();
    for (const waiting of [...this.#waiting]) waiting.fail(connectionGone(reason));
    if (wasOpen) this.#options.onGone(reason);
    else this.#onFirstEnd?.(reason);
  }

  /** A frame of the library's; what is not sent is answered here, in a later turn as everything is. */
  #forward(payload: string): void {
    const refusal = this.#line.forward(payload);
    if (refusal === undefined) return;
    const id = payload.slice(0, payload.indexOf('|'));
    queueMicrotask(() => this.#rim.deliver(`0|response|${id}|NOK|${refusal}`));
  }

  #take({ fields, text }: ControlMessage, isCut: boolean): void {
    const { log } = this.#options;
    // The library ends the fields at it, and would take what follows for the message.
    if (fields.some((field) => field.includes('\r'))) {
      log.warn({ kind: fields[1] ?? '' }, 'drachtio server sent fields that are no line');
      return;
    }
    if (fields[1] === 'response') {
      // The server closes the connection after it, which must not be what is said.
      if (!this.#isOpen && fields[3] === 'NO') {
        this.#line.close(WRONG_SECRET);
        return;
      }
      this.#rim.deliver(text === '' ? fields.join('|') : `${fields.join('|')}\r\n${text}`);
      return;
    }
    if (fields[1] !== 'sip') {
      log.debug({ kind: fields[1] ?? '' }, 'drachtio server sent what is not asked for');
      return;
    }
    // The library prints what it cannot parse, body and all. A message begins behind line ends (RFC 3261, section 7.5), and
    // its header lines are lines: folded ones are made one (section 7.3.1).
    const message = text.replace(/^(?:\r\n)+/, '');
    const head = message.indexOf('\r\n\r\n');
    const unfolded = /\r\n[ \t]/.test(message.slice(0, head))
      ? message.slice(0, head).replace(/[ \t]*\r\n[ \t]+/g, ' ') + message.slice(head)
      : message;
    const parsed = parseSipMessage(Buffer.from(unfolded, 'latin1'), LIMITS);
    if (parsed.kind === 'malformed' || (isCut && parsed.kind === 'request')) {
      log.debug(
        { peer: fields[5] ?? '', reason: parsed.kind === 'malformed' ? parsed.reason : 'size' },
        'malformed message',
      );
      if (parsed.kind === 'malformed') this.#refuse(parsed, fields[8] ?? '', isCut ? 513 : parsed.status);
      return;
    }
    if (parsed.kind !== 'keep-alive') this.#rim.deliver(`${fields.join('|')}\r\n${unfolded}`);
  }

  /** Answers a request that is handed to nobody, as far as it could be read. */
  #refuse({ request }: ParsedMalformed, txnId: string, status: number): void {
    if (request === undefined || request.method === 'ACK' || request.method === 'CANCEL') return;
    this.#answerPlainly(txnId, request.headers, { status, reason: reasonPhrase(status), headers: {} }, () => undefined);
  }

  /** An answer without the library, which knows not every status. */
  #answerPlainly(
    txnId: string,
    headers: SipHeaders,
    { status, reason, headers: given, body = '' }: LibraryReply,
    onSent: OnSent,
  ): void {
    const { To: tagged, ...fields } = given;
    const echo = ['From', 'To', 'Call-ID', 'CSeq'].flatMap((name) => {
      const value = headers.get(name);
      const tag = name === 'To' && tagged !== undefined && !/;\s*tag\s*=/i.test(value ?? '') ? tagged : '';
      return value === undefined ? [] : [`${name}: ${toWireText(value)}${tag.slice(tag.indexOf(';'))}`];
    });
    const lines = [...echo, ...Object.entries(fields).map(([name, value]) => `${name}: ${value}`)];
    const text = `SIP/2.0 ${status} ${reason}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n${body}`;
    this.#line.send(`sip|${txnId}|\r\n${text}`, ([verdict, ...rest]) => {
      onSent(verdict === 'OK' ? undefined : (rest[0] ?? ''));
    });
  }

  /** A server that connects here sends at once what it connected for. */
  #hand(request: ControlRequest): void {
    if (this.#isOpen) this.#options.onRequest(this, request);
    else if (this.#early.length < EARLY_MAX) this.#early.push(request);
  }

  #received(incoming: LibraryIncoming, answer: LibraryAnswer): void {
    const { log } = this.#options;
    try {
      // The server acknowledges failures itself; what it asks of itself (`application`) it does itself.
      if (incoming.method === 'ACK' || incoming.source !== 'network') return;
      const request = parseSipMessage(Buffer.from(incoming.msg.raw, 'latin1'), LIMITS);
      if (request.kind !== 'request') return;
      this.#hand({
        ...sourceOf(incoming),
        request,
        receivedOn: incoming.receivedOn,
        answer: (reply, onSent) => {
          const { status, reason, headers, body } = reply;
          if (!KNOWN_STATUSES.has(status)) {
            this.#answerPlainly(incoming.stackTxnId, request.headers, reply, onSent);
            return;
          }
          answer.send(
            status,
            reason,
            { headers: { ...headers }, ...(body === undefined ? {} : { body }) },
            (failure) => {
              onSent(failureText(failure));
            },
          );
        },
      });
    } catch (error) {
      // A fault of ours that one message can reach must not end the work of all others.
      log.error({ error }, 'message could not be handled');
    }
  }

  /** The library forgets a request only when it has its final response: it is given one. */
  #forget(txnId: string): void {
    this.#rim.deliver(`0|sip|network|0|||0||${txnId}||\r\nSIP/2.0 408 Request Timeout\r\nCSeq: 1 MESSAGE\r\n\r\n`);
  }
}

function sourceOf({ protocol, source_address, source_port }: LibraryMeta): ControlSource {
  return { protocol, address: source_address, port: source_port };
}

function failureText(failure: unknown): string | undefined {
  if (failure === null || failure === undefined) return undefined;
  return failure instanceof Error ? failure.message : typeof failure === 'string' ? failure : 'not sent';
}

function connectionGone(reason: string | undefined): GatewayError {
  return new NoWayOut(reason ?? 'the control connection to the drachtio server is gone');
}

/** Since 0.8.2; a version in another form says nothing. */
function knowsPing(version: string): boolean {
  const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined) return false;
  const [have, need] = [
    [Number(major), Number(minor), Number(patch)],
    [0, 8, 2],
  ];
  for (const [at, part] of need.entries()) if (have[at] !== part) return (have[at] ?? 0) > part;
  return true;
}
