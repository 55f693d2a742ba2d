import type { Socket } from 'node:net';

import type { Log } from '../../core/log.ts';
import type { SipFlow } from '../message.ts';
import type { MessageSink } from './channel.ts';
import { Connection } from './connection.ts';
import type { EngineLimits } from './limits.ts';
import { StreamFramer, type StreamFrame } from './stream-framer.ts';
import type { TimerWheel } from './timer-wheel.ts';

/** What is written in answer to a keep-alive (RFC 5626, section 4.4.1). */
const PONG = Buffer.from('\r\n');
/** How long a connection that is being closed has to send what it still holds; ms. */
const FAREWELL_MS = 2_000;

export type StreamContext = {
  readonly wheel: TimerWheel;
  readonly sink: MessageSink;
  readonly limits: EngineLimits;
  readonly log: Log;
};

/** Why a connection was closed by us, as the log has it. */
type CloseReason =
  | 'no sign of life'
  | 'silent'
  | 'idle'
  | 'message unfinished'
  | 'reader too slow'
  | 'not opened in time'
  | 'stream fault';

/**
 * One TCP or TLS connection, whichever side opened it: messages in, messages out, and an end when it is of no use.
 *
 * What is sent in one turn of the event loop leaves as one write. What is sent before an outgoing connection is open
 * and its certificate verified waits here, and is lost with it.
 */
export class StreamConnection extends Connection {
  readonly #socket: Socket;
  readonly #context: StreamContext;
  readonly #isInbound: boolean;
  readonly #framer: StreamFramer;
  #flow: SipFlow;
  #state: 'opening' | 'open' | 'closing' | 'closed' = 'opening';
  #early: Buffer[] = [];
  #earlyBytes = 0;
  #isCorked = false;
  /** What comes in makes no sense any more; what is still to be answered goes out, then it is closed. */
  #isDeaf = false;
  #hasSpoken = false;
  #activeAtMs: number;
  /** When anything last came, and how long the far end may be silent after that. */
  #heardAtMs: number;
  #silenceMaxMs: number | undefined;
  /** Since when a message has been unfinished. */
  #partialSinceMs: number | undefined;
  override readonly closed: Promise<void>;

  constructor(socket: Socket, flow: SipFlow, isInbound: boolean, context: StreamContext) {
    super();
    this.#socket = socket;
    this.#flow = flow;
    this.#isInbound = isInbound;
    this.#context = context;
    this.#framer = new StreamFramer(context.limits);
    this.#activeAtMs = this.#heardAtMs = context.wheel.elapsedMs;
    socket.on('error', (error) => context.log.debug({ peer: flow.remoteAddress, error }, 'connection failed'));
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#lost();
        resolve();
      });
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    context.wheel.arm(this, isInbound ? context.limits.silentMs : context.limits.connectMs);
  }

  override get flow(): SipFlow {
    return this.#flow;
  }

  override get isUsable(): boolean {
    return this.#state === 'opening' || this.#state === 'open';
  }

  /** The connection is there, and for TLS the far end is who it should be. */
  opened(flow: SipFlow): void {
    if (this.#state !== 'opening') return;
    this.#flow = flow;
    this.#state = 'open';
    this.#activeAtMs = this.#context.wheel.elapsedMs;
    this.#context.wheel.arm(this, this.#isInbound ? this.#context.limits.silentMs : this.#context.limits.idleMs);
    const early = this.#early;
    this.#early = [];
    for (const bytes of early) this.#write(bytes);
  }

  override send(bytes: Buffer): boolean {
    if (this.#state === 'open') return this.#write(bytes);
    if (this.#state !== 'opening') return false;
    this.#earlyBytes += bytes.length;
    if (this.#earlyBytes > this.#context.limits.pendingBytesMax) return false;
    this.#early.push(bytes);
    return true;
  }

  expectEvery(ms: number): void {
    this.#silenceMaxMs = ms;
    this.#context.wheel.arm(this, this.#nextLookMs());
  }

  override close(): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#flush();
    this.#toldGone();
    this.#state = 'closing';
    this.#socket.end();
    this.#context.wheel.arm(this, FAREWELL_MS);
  }

  override destroy(): void {
    this.#socket.destroy();
    this.#lost();
  }

  override onTimer(): void {
    if (this.#state === 'closing') {
      this.destroy();
      return;
    }
    if (this.#isDeaf) {
      this.close();
      return;
    }
    const reason = this.#overdue();
    if (reason !== undefined) this.#giveUp(reason);
    else this.#context.wheel.arm(this, this.#nextLookMs());
  }

  #overdue(): CloseReason | undefined {
    const { wheel, limits } = this.#context;
    if (this.#state === 'opening') return 'not opened in time';
    if (this.#isInbound && !this.#hasSpoken) return 'silent';
    const partialMs = this.#partialSinceMs === undefined ? 0 : wheel.elapsedMs - this.#partialSinceMs;
    if (partialMs >= limits.partialMs) return 'message unfinished';
    if (wheel.elapsedMs - this.#heardAtMs >= (this.#silenceMaxMs ?? Infinity)) return 'no sign of life';
    return wheel.elapsedMs - this.#activeAtMs >= limits.idleMs && !this.isBoarded ? 'idle' : undefined;
  }

  #nextLookMs(): number {
    const { wheel, limits } = this.#context;
    const idleAtMs = this.#activeAtMs + limits.idleMs;
    const partialAtMs = this.#partialSinceMs === undefined ? idleAtMs : this.#partialSinceMs + limits.partialMs;
    const silentAtMs = this.#heardAtMs + (this.#silenceMaxMs ?? Infinity);
    return Math.max(Math.min(idleAtMs, partialAtMs, silentAtMs) - wheel.elapsedMs, 1_000);
  }

  #read(chunk: Buffer): void {
    if (this.#state !== 'open' || this.#isDeaf) return;
    const { wheel, sink } = this.#context;
    this.#activeAtMs = this.#heardAtMs = wheel.elapsedMs;
    let frames: readonly StreamFrame[] = [];
    try {
      frames = this.#framer.push(chunk);
    } catch {
      // Nothing came before the fault, which is looked at below.
    }
    this.#watchPartial(frames.length > 0);
    for (const frame of frames) {
      if (!this.isUsable) return;
      if (frame === 'ping') this.#write(PONG);
      else if (frame !== 'pong') sink.onMessage(frame, this);
    }
    if (this.#framer.fault === undefined || !this.isUsable) return;
    const { fault } = this.#framer;
    this.#context.log.info(
      { peer: this.#flow.remoteAddress, error: fault },
      'stream closed for a fault in its framing',
    );
    sink.onStreamFault(this.#framer.pending, this);
    this.#isDeaf = true;
    wheel.arm(this, FAREWELL_MS);
  }

  /** Keeps an eye on a message that does not end: one byte now and then must not hold a connection for ever. */
  #watchPartial(hasFrames: boolean): void {
    const { wheel, limits } = this.#context;
    const hadPartial = this.#partialSinceMs !== undefined;
    if (hasFrames || this.#framer.pendingBytes === 0) this.#partialSinceMs = undefined;
    if (this.#framer.pendingBytes > 0 && this.#partialSinceMs === undefined) this.#partialSinceMs = wheel.elapsedMs;
    if (hasFrames) this.#hasSpoken = true;
    // While it has never said a whole thing, the timer for silence covers this too.
    if (!hadPartial && this.#partialSinceMs !== undefined && (this.#hasSpoken || !this.#isInbound)) {
      wheel.arm(this, limits.partialMs);
    }
  }

  #write(bytes: Buffer): boolean {
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      setImmediate(this.#flush);
    }
    this.#socket.write(bytes);
    if (this.#socket.writableLength > this.#context.limits.pendingBytesMax) {
      this.#giveUp('reader too slow');
      return false;
    }
    return true;
  }

  readonly #flush = (): void => {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#activeAtMs = this.#context.wheel.elapsedMs;
    this.#socket.uncork();
  };

  #giveUp(reason: CloseReason): void {
    this.#context.log.info({ peer: this.#flow.remoteAddress, reason }, 'connection closed');
    this.destroy();
  }

  #lost(): void {
    if (this.#state === 'closed') return;
    this.#toldGone();
    this.#state = 'closed';
    this.#context.wheel.disarm(this);
    this.#early = [];
  }

  #toldGone(): void {
    if (!this.isUsable) return;
    const wasOpen = this.#state === 'open';
    this.#state = 'closing';
    this.tellGone(wasOpen);
  }
}
