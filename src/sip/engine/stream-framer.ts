import { GatewayError } from '../../core/errors.ts';
import { parseDigits, skipBlanks, trimBlanks } from '../characters.ts';

/** What one message on a stream may measure. */
export type StreamLimits = {
  /** Start line and header fields, bytes. */
  readonly headerBytesMax: number;
  readonly bodyBytesMax: number;
};

export const STREAM_LIMITS: StreamLimits = { headerBytesMax: 32 * 1024, bodyBytesMax: 1024 * 1024 };

/** One message, or a keep-alive: `ping` is CRLFCRLF and wants a CRLF back, `pong` is that CRLF (RFC 5626, 4.4.1). */
export type StreamFrame = Buffer | 'ping' | 'pong';

const CR = 0x0d;
const LF = 0x0a;
const EMPTY = Buffer.alloc(0);

/**
 * Cuts the bytes of one connection into SIP messages by their Content-Length (RFC 3261, section 18.3).
 *
 * Linear in the bytes pushed, however they are cut up: nothing is searched twice, and only the unfinished message at
 * the end of a chunk is copied. Frames are views; no later push changes them.
 *
 * A line that ends in a bare CR or LF, or a Content-Length that is missing, no number or contradicted, leaves no way
 * to tell where the next message begins: that is a fault for good, and the connection has to be closed.
 */
export class StreamFramer {
  private readonly limits: StreamLimits;
  /** Bytes not yet given out: `buffer[begin..end)`; `buffer` may be longer than that. */
  private buffer: Buffer = EMPTY;
  /** Whether `buffer` is ours to append to, rather than the caller's chunk. */
  private isOwn = false;
  private begin = 0;
  private end = 0;
  /** How far the header at `begin` has been looked at. */
  private scanned = 0;
  private lineStart = 0;
  /** Length of the whole message at `begin`, once its header is complete. */
  private messageLength: number | undefined;
  private contentLength: number | undefined;
  /** The last thing given out was a lone CRLF: a second one makes it a ping. */
  private isHalfPing = false;
  private failure: GatewayError | undefined;

  constructor(limits: StreamLimits = STREAM_LIMITS) {
    this.limits = limits;
  }

  /**
   * What ended the stream's sense; undefined as long as it has some. Look here after each push: the messages before
   * the fault are still returned, and only the next push throws.
   */
  get fault(): GatewayError | undefined {
    return this.failure;
  }

  /** Bytes of an unfinished message held back. */
  get pendingBytes(): number {
    return this.end - this.begin;
  }

  /**
   * The bytes of an unfinished or refused message, from its first one on; for an answer to its sender, and for the log.
   */
  get pending(): Buffer {
    return this.buffer.subarray(this.begin, this.end);
  }

  /**
   * Takes the next bytes of the connection, and gives out what became complete, in order.
   *
   * A lone CRLF at the end of a chunk is a `pong` at once, and if a second CRLF follows, a `ping` then.
   *
   * @throws GatewayError('request-malformed' | 'content-too-large') when there is a fault and nothing to give out
   *   before it; from then on at every call.
   */
  push(chunk: Buffer): StreamFrame[] {
    if (this.failure !== undefined) throw this.failure;
    this.take(chunk);
    const frames: StreamFrame[] = [];
    try {
      while (this.next(frames));
    } catch (error) {
      this.failure = GatewayError.of(error);
      if (frames.length === 0) throw this.failure;
      return frames;
    }
    this.keepRest();
    return frames;
  }

  private take(chunk: Buffer): void {
    if (this.begin === this.end) {
      this.buffer = chunk;
      this.isOwn = false;
      this.begin = this.scanned = this.lineStart = 0;
      this.end = chunk.length;
      return;
    }
    const needed = this.end + chunk.length;
    if (needed > this.buffer.length || !this.isOwn) {
      // Doubling keeps the copying linear when a message trickles in.
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.buffer.length, 1024));
      this.buffer.copy(larger, 0, 0, this.end);
      this.buffer = larger;
      this.isOwn = true;
    }
    chunk.copy(this.buffer, this.end);
    this.end = needed;
  }

  /** Moves an unfinished message into a buffer of its own: the old one belongs to the frames given out, or the caller. */
  private keepRest(): void {
    if (this.begin === this.end) {
      this.buffer = EMPTY;
      this.begin = this.end = this.scanned = this.lineStart = 0;
      return;
    }
    if (this.isOwn && this.begin === 0) return;
    const rest = Buffer.allocUnsafe(Math.max(this.end - this.begin, 1024));
    this.buffer.copy(rest, 0, this.begin, this.end);
    this.buffer = rest;
    this.isOwn = true;
    this.scanned -= this.begin;
    this.lineStart -= this.begin;
    this.end -= this.begin;
    this.begin = 0;
  }

  /** Takes one thing off the front; false when more bytes are needed for that. */
  private next(frames: StreamFrame[]): boolean {
    if (this.messageLength === undefined) {
      if (this.scanned === this.begin) {
        const keepAlive = this.nextKeepAlive(frames);
        if (keepAlive !== undefined) return keepAlive;
      }
      if (!this.scanHeader()) return false;
    }
    const length = this.messageLength ?? 0;
    if (this.end - this.begin < length) return false;
    frames.push(this.buffer.subarray(this.begin, this.begin + length));
    this.begin += length;
    this.scanned = this.lineStart = this.begin;
    this.messageLength = this.contentLength = undefined;
    return true;
  }

  /** A CRLF before a message; undefined when what stands there is no CR. */
  private nextKeepAlive(frames: StreamFrame[]): boolean | undefined {
    const { buffer, begin, end } = this;
    if (begin === end) return false;
    if (buffer[begin] === LF) throw malformed('bare LF before a message');
    if (buffer[begin] !== CR) {
      this.isHalfPing = false;
      return undefined;
    }
    if (begin + 1 === end) return false;
    if (buffer[begin + 1] !== LF) throw malformed('bare CR before a message');
    if (this.isHalfPing) {
      this.isHalfPing = false;
      frames.push('ping');
      this.begin += 2;
    } else if (begin + 3 < end && buffer[begin + 2] === CR && buffer[begin + 3] === LF) {
      frames.push('ping');
      this.begin += 4;
    } else {
      this.isHalfPing = true;
      frames.push('pong');
      this.begin += 2;
    }
    this.scanned = this.lineStart = this.begin;
    return true;
  }

  /** Goes on looking for the end of the header; true once the length of the message is known. */
  private scanHeader(): boolean {
    const { buffer, begin, end, limits } = this;
    const limit = Math.min(end, begin + limits.headerBytesMax + 4);
    let at = this.scanned;
    for (; at < limit; at++) {
      const code = buffer[at] ?? 0;
      if (code > CR || (code !== CR && code !== LF)) continue;
      if (code === LF) throw malformed('bare LF in the header');
      // The line is only known to be over once the first byte of the next one is here: it may be folded.
      if (at + 2 >= limit) break;
      if (buffer[at + 1] !== LF) throw malformed('bare CR in the header');
      const next = buffer[at + 2];
      if (next === 0x20 || next === 0x09) {
        at += 2;
        continue;
      }
      if (at > this.lineStart) this.readLine(this.lineStart, at);
      if (next === CR) {
        if (at + 3 >= limit) break;
        if (buffer[at + 3] !== LF) throw malformed('bare CR in the header');
        this.scanned = at + 4;
        this.messageLength = this.scanned - begin + this.bodyLength();
        return true;
      }
      this.lineStart = at + 2;
      at++;
    }
    this.scanned = at;
    if (at - begin > limits.headerBytesMax) throw tooLarge('header on a stream is too large');
    return false;
  }

  /** Looks at one unfolded header line; only Content-Length matters here. */
  private readLine(start: number, end: number): void {
    // `| 0x20` makes an ASCII letter small: c for Content-Length, l for its compact form.
    const first = (this.buffer[start] ?? 0) | 0x20;
    if (first !== 0x63 && first !== 0x6c) return;
    const value = contentLengthOf(this.buffer.toString('latin1', start, end));
    if (value === undefined) return;
    const length = parseDigits(value, Number.MAX_SAFE_INTEGER);
    if (length === undefined) throw malformed('Content-Length on a stream is no number');
    if (this.contentLength !== undefined && this.contentLength !== length) {
      throw malformed('Content-Length values on a stream differ');
    }
    this.contentLength = length;
  }

  private bodyLength(): number {
    // RFC 3261, section 18.3: over a stream the field must be there.
    if (this.contentLength === undefined) throw malformed('Content-Length on a stream is missing');
    if (this.contentLength > this.limits.bodyBytesMax) throw tooLarge('body on a stream is too large');
    return this.contentLength;
  }
}

/** The value of a line that is a Content-Length field, folds undone; undefined for any other line. */
function contentLengthOf(line: string): string | undefined {
  const name = line.slice(0, 14).toLowerCase();
  const nameEnd = name === 'content-length' ? 14 : name.startsWith('l') ? 1 : -1;
  if (nameEnd === -1) return undefined;
  const colon = skipBlanks(line, nameEnd);
  if (line.charCodeAt(colon) !== 0x3a) return undefined;
  return trimBlanks(line.slice(colon + 1).replaceAll('\r\n', ''));
}

function malformed(message: string): GatewayError {
  return new GatewayError('request-malformed', message);
}

function tooLarge(message: string): GatewayError {
  return new GatewayError('content-too-large', message);
}
