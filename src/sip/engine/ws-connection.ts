import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';

import type { SipFlow } from '../message.ts';
import { Connection } from './connection.ts';
import type { StreamContext } from './stream-connection.ts';

/** After this long without a word from the far end it is asked whether it is still there, and how long it may take; ms. */
const PING_AFTER_MS = 25_000;
const PONG_WITHIN_MS = 10_000;
/** How long the far end may take to answer our farewell; ms. */
const FAREWELL_MS = 2_000;
/** RFC 6455, section 7.4.1. */
const GOING_AWAY = 1001;
const POLICY_VIOLATED = 1008;

/** What is written in answer to a keep-alive of the application's own (RFC 5626, section 4.4.1; RFC 7118, section 6). */
const PONG = '\r\n';
const CR = 0x0d;
const LF = 0x0a;

/**
 * One WebSocket that a client has opened: one SIP message in each message of it, either way (RFC 7118, section 5).
 *
 * A far end that is silent is pinged, and one that does not answer is gone. One that does not read what it is sent is
 * cut off before much of it piles up here.
 */
export class WsConnection extends Connection {
  override readonly flow: SipFlow;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #context: StreamContext;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #hasSpoken = false;
  #isAsked = false;
  readonly #openedAtMs: number;
  /** When the far end sent anything, and when a message last went either way. */
  #heardAtMs: number;
  #activeAtMs: number;
  override readonly closed: Promise<void>;

  constructor(webSocket: WebSocket, socket: Socket, flow: SipFlow, context: StreamContext) {
    super();
    this.flow = flow;
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#context = context;
    this.#openedAtMs = this.#heardAtMs = this.#activeAtMs = context.wheel.elapsedMs;
    this.closed = new Promise((resolve) => {
      webSocket.once('close', () => {
        this.#lost();
        resolve();
      });
    });
    webSocket.on('error', (error) => context.log.info({ peer: flow.remoteAddress, error }, 'websocket failed'));
    webSocket.on('message', (data) => this.#read(data));
    webSocket.on('pong', () => this.#heard());
    webSocket.on('ping', () => this.#heard());
    this.#arm();
  }

  override get isUsable(): boolean {
    return this.#state === 'open';
  }

  override send(bytes: Buffer): boolean {
    if (this.#state !== 'open') return false;
    this.#activeAtMs = this.#context.wheel.elapsedMs;
    return this.#write(bytes, !isUtf8(bytes));
  }

  override close(code = GOING_AWAY): void {
    if (this.#state !== 'open') return;
    this.#toldGone();
    this.#webSocket.close(code);
    this.#context.wheel.arm(this, FAREWELL_MS);
  }

  override destroy(): void {
    this.#webSocket.terminate();
    this.#lost();
  }

  override onTimer(): void {
    if (this.#state !== 'open') {
      this.destroy();
      return;
    }
    const { wheel, limits } = this.#context;
    if (!this.#hasSpoken && wheel.elapsedMs - this.#openedAtMs >= limits.silentMs) {
      this.#giveUp('silent');
    } else if (this.#isAsked && wheel.elapsedMs - this.#heardAtMs >= PING_AFTER_MS + PONG_WITHIN_MS) {
      this.#giveUp('no answer to a ping');
    } else if (wheel.elapsedMs - this.#activeAtMs >= limits.idleMs && !this.isBoarded) {
      this.#giveUp('idle');
    } else {
      if (!this.#isAsked && wheel.elapsedMs - this.#heardAtMs >= PING_AFTER_MS) {
        this.#isAsked = true;
        this.#webSocket.ping();
      }
      this.#arm();
    }
  }

  #arm(): void {
    const { wheel, limits } = this.#context;
    const dueMs = [this.#heardAtMs + PING_AFTER_MS + (this.#isAsked ? PONG_WITHIN_MS : 0)];
    if (!this.#hasSpoken) dueMs.push(this.#openedAtMs + limits.silentMs);
    wheel.arm(this, Math.max(Math.min(...dueMs) - wheel.elapsedMs, 1_000));
  }

  #heard(): void {
    this.#heardAtMs = this.#context.wheel.elapsedMs;
    this.#isAsked = false;
  }

  #read(data: RawData): void {
    if (this.#state !== 'open') return;
    this.#heard();
    const bytes = bytesOf(data);
    if (isLineEnds(bytes)) {
      if (bytes.length >= 4) this.#write(PONG, false);
      return;
    }
    this.#hasSpoken = true;
    this.#activeAtMs = this.#context.wheel.elapsedMs;
    this.#context.sink.onMessage(bytes, this);
  }

  #write(data: Buffer | string, isBinary: boolean): boolean {
    // Looked at before: what is written in one turn of the event loop is in the count then.
    if (this.#webSocket.bufferedAmount > this.#context.limits.pendingBytesMax) {
      this.#giveUp('reader too slow');
      return false;
    }
    this.#webSocket.send(data, { binary: isBinary });
    return true;
  }

  #giveUp(reason: 'silent' | 'no answer to a ping' | 'idle' | 'reader too slow'): void {
    this.#context.log.info({ peer: this.flow.remoteAddress, reason }, 'connection closed');
    if (reason === 'silent') this.close(POLICY_VIOLATED);
    else this.destroy();
  }

  #lost(): void {
    if (this.#state === 'closed') return;
    this.#toldGone();
    this.#state = 'closed';
    this.#context.wheel.disarm(this);
    this.#socket.destroy();
  }

  #toldGone(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.tellGone(true);
  }
}

function bytesOf(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

/** Nothing but line ends, or nothing at all: kept alive, and no message. */
function isLineEnds(bytes: Buffer): boolean {
  return bytes.length <= 4 && bytes.every((byte, at) => byte === (at % 2 === 0 ? CR : LF));
}
