import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';

import type { Log } from '../../core/log.ts';
import type { Clock } from '../../core/ports.ts';
import { ControlFrameReader, controlMessage, FRAME_BYTES_MAX, frameOf, type ControlMessage } from './control-frame.ts';

/** What comes from the server at once: a message of 1 MiB, its header and the fields before it; bytes. */
const INBOUND_FRAME_BYTES_MAX = 1024 * 1024 + 128 * 1024;
/** What may wait for its turn towards a server that reads slowly; bytes. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;
const PING_EVERY_MS = 15_000;
/** A server that says nothing for so long after a ping is gone, or hangs; ms. */
const PONG_WITHIN_MS = 10_000;

/** Answers that this side gives in the place of the server, for frames that it does not send. */
export const TOO_LARGE = 'too large for the control connection';
export const TOO_MANY = 'too much waits for the control connection';

export type ControlLineDeps = {
  readonly clock: Clock;
  readonly log: Log;
  /** Takes every message but answers to our own; `isCut`: of a frame too large, the beginning. */
  readonly onMessage: (message: ControlMessage, isCut: boolean) => void;
  /** Called once, with the reason for the log and for health. */
  readonly onGone: (reason: string) => void;
};

/**
 * One control connection: frames in, frames out, never more of them unread than the server's ring holds.
 *
 * The server reads frames in order and answers each, so an answer says that all frames up to the one it answers have
 * been read. Frames that do not fit beside those still unread wait; a ping then asks the server to say how far it is.
 */
export class ControlLine {
  readonly #socket: Socket;
  readonly #deps: ControlLineDeps;
  readonly #reader = new ControlFrameReader(INBOUND_FRAME_BYTES_MAX);
  /** Frames sent whose reading is not known of, oldest first: their sizes by their ids. */
  readonly #unread = new Map<string, number>();
  #unreadBytes = 0;
  readonly #waiting = new Map<string, Buffer>();
  #waitingBytes = 0;
  /** What answers to our own frames are for. */
  readonly #own = new Map<string, (fields: readonly string[]) => void>();
  #canPing = false;
  #pingId: string | undefined;
  #cancelPing: (() => void) | undefined;
  #isGone = false;

  constructor(socket: Socket, deps: ControlLineDeps) {
    this.#socket = socket;
    this.#deps = deps;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, PING_EVERY_MS);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => this.close(`the control connection failed (${error.message})`));
    socket.on('close', () => this.close('the server closed the control connection'));
  }

  /** From now on the server is asked now and then whether it is there. Servers before 0.8.2 know no ping. */
  keepAsking(): void {
    this.#canPing = true;
    this.#cancelPing = this.#deps.clock.after(PING_EVERY_MS, () => this.#ping());
  }

  /** Sends a frame of our own. @param onAnswer gets the fields from `OK` or `NO` on */
  send(text: string, onAnswer: (fields: readonly string[]) => void = () => undefined): void {
    const id = randomUUID();
    this.#own.set(id, onAnswer);
    this.#put(id, Buffer.from(`${id}|${text}`, 'latin1'));
  }

  /**
   * Sends a frame of the library's. @param payload one character per byte
   * @returns why it is not sent, undefined when it is
   */
  forward(payload: string): string | undefined {
    const bar = payload.indexOf('|');
    return this.#put(payload.slice(0, bar), Buffer.from(payload, 'latin1'));
  }

  close(reason: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#cancelPing?.();
    this.#socket.destroy();
    this.#waiting.clear();
    this.#deps.onGone(reason);
  }

  /** Lets what was written leave, then closes. */
  end(reason: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#cancelPing?.();
    this.#socket.end();
    const cancel = this.#deps.clock.after(1_000, () => this.#socket.destroy());
    this.#socket.once('close', cancel);
    this.#deps.onGone(reason);
  }

  #read(chunk: Buffer): void {
    if (this.#isGone) return;
    const isSound = this.#reader.push(chunk, (payload, isCut) => {
      if (!this.#isGone) this.#take(controlMessage(payload), isCut);
    });
    if (!isSound) this.close('what answers there is no drachtio control port');
  }

  #take(message: ControlMessage, isCut: boolean): void {
    const { fields } = message;
    if (fields[1] !== 'response') {
      this.#deps.onMessage(message, isCut);
      return;
    }
    const id = fields[2] ?? '';
    const own = this.#own.get(id);
    if (own === undefined) this.#deps.onMessage(message, isCut);
    else {
      this.#own.delete(id);
      own(fields.slice(3));
    }
    if (!this.#isGone) this.#readUpTo(id);
  }

  #put(id: string, payload: Buffer): string | undefined {
    if (this.#isGone) return undefined;
    const frame = frameOf(payload);
    if (frame.length > FRAME_BYTES_MAX) return TOO_LARGE;
    if (this.#waiting.size === 0 && this.#fits(frame)) {
      this.#write(id, frame);
      return undefined;
    }
    if (this.#waitingBytes + frame.length > WAITING_BYTES_MAX) return TOO_MANY;
    this.#waiting.set(id, frame);
    this.#waitingBytes += frame.length;
    this.#askHowFar();
    return undefined;
  }

  #fits(frame: Buffer): boolean {
    return this.#unread.size === 0 || this.#unreadBytes + frame.length <= FRAME_BYTES_MAX;
  }

  #write(id: string, frame: Buffer): void {
    this.#unread.set(id, frame.length);
    this.#unreadBytes += frame.length;
    this.#socket.write(frame);
  }

  #readUpTo(id: string): void {
    if (!this.#unread.has(id)) return;
    for (const [other, size] of this.#unread) {
      this.#unread.delete(other);
      this.#unreadBytes -= size;
      if (other === id) break;
    }
    for (const [next, frame] of this.#waiting) {
      if (!this.#fits(frame)) break;
      this.#waiting.delete(next);
      this.#waitingBytes -= frame.length;
      this.#write(next, frame);
    }
    if (this.#waiting.size > 0) this.#askHowFar();
  }

  /** A ping is small enough to fit beside everything, and its answer says that all before it was read. */
  #askHowFar(): void {
    if (!this.#canPing || this.#pingId !== undefined) return;
    this.#cancelPing?.();
    this.#ping();
  }

  #ping(): void {
    if (this.#isGone) return;
    const { clock } = this.#deps;
    const id = randomUUID();
    this.#pingId = id;
    this.#own.set(id, () => {
      this.#pingId = undefined;
      this.#cancelPing?.();
      this.#cancelPing = clock.after(PING_EVERY_MS, () => this.#ping());
    });
    this.#write(id, frameOf(Buffer.from(`${id}|ping`)));
    this.#cancelPing = clock.after(PONG_WITHIN_MS, () => this.close('the server does not answer any more'));
  }
}
