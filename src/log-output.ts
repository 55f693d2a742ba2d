import { constants, fstatSync, openSync, writeSync } from 'node:fs';

export type LogOutputOptions = {
  /** Lines gather up to this much before they are written, characters. */
  readonly gatherLength: number;
  /** And at most this long, ms. */
  readonly gatherMs: number;
  /** What waits for a slow reader; over it lines are lost, and counted. Characters. */
  readonly heldLengthMax: number;
};

const DEFAULTS: LogOutputOptions = { gatherLength: 15_000, gatherMs: 250, heldLengthMax: 4 * 1024 * 1024 };
/** Between two tries while the reader does not read, ms. */
const FULL_MS = 50;
/** After a write that failed, for want of a reader or of space, ms. */
const FAILED_MS = 1_000;
/** How long the end of the process waits for its reader, ms. */
const LAST_FLUSH_MS = 500;

/**
 * Lines to a file descriptor, in gathered writes.
 *
 * The log is never what stops the server: a reader that is slow, gone or out of space costs lines, which are counted
 * and told of once there is room again, and neither memory without bound, nor an exception, nor the end of the process.
 */
export class LogOutput {
  readonly #fd: number;
  readonly #options: LogOutputOptions;
  #text = '';
  /** What a write has left over. */
  #rest: Uint8Array = new Uint8Array();
  #lost = 0;
  /** Lost lines that what is left over tells of. */
  #told = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(fd: number, options: Partial<LogOutputOptions> = {}) {
    this.#fd = withoutBlocking(fd);
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Takes a line with its line break. */
  write(line: string): void {
    const { gatherLength, gatherMs, heldLengthMax } = this.#options;
    if (this.#text.length + line.length > heldLengthMax) {
      this.#lost += 1;
      return;
    }
    this.#text += line;
    // A reader that is behind, or was not there, is tried again by the timer alone.
    if (this.#text.length >= gatherLength && this.#rest.length === 0 && this.#lost === 0) this.#flush();
    else this.#flushIn(gatherMs);
  }

  /** Writes what waits, as far as the reader takes it within half a second. For the end of the process. */
  flushSync(): void {
    const endsAtMs = Date.now() + LAST_FLUSH_MS;
    for (;;) {
      const outcome = this.#writeOnce();
      if (outcome === 'done' || outcome === 'failed' || Date.now() >= endsAtMs) return;
      if (outcome === 'full') sleep(FULL_MS);
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (;;) {
      const outcome = this.#writeOnce();
      if (outcome === 'done') return;
      if (outcome !== 'more') {
        this.#flushIn(outcome === 'full' ? FULL_MS : FAILED_MS);
        return;
      }
    }
  }

  #flushIn(delayMs: number): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#flush(), delayMs);
    this.#timer.unref();
  }

  #writeOnce(): 'done' | 'more' | 'full' | 'failed' {
    const bytes = this.#next();
    if (bytes.length === 0) return 'done';
    try {
      this.#rest = bytes.subarray(writeSync(this.#fd, bytes));
      if (this.#rest.length === 0) this.#told = 0;
      return 'more';
    } catch (thrown) {
      if (isFull(thrown)) return 'full';
      this.#loseRest();
      return 'failed';
    }
  }

  /** What is to be written next: what the last write left, else all that has gathered. */
  #next(): Uint8Array {
    if (this.#rest.length > 0) return this.#rest;
    if (this.#lost > 0 && this.#text.length === 0) {
      const line = { level: 'warn', time: new Date().toISOString(), lines: this.#lost, msg: 'log lines lost' };
      // After a line break, since a line may have been written in half.
      this.#text = `\n${JSON.stringify(line)}\n`;
      this.#told = this.#lost;
      this.#lost = 0;
    }
    this.#rest = Buffer.from(this.#text);
    this.#text = '';
    return this.#rest;
  }

  #loseRest(): void {
    if (this.#told > 0) this.#lost += this.#told;
    else for (const byte of this.#rest) if (byte === 0x0a) this.#lost += 1;
    this.#told = 0;
    this.#rest = new Uint8Array();
  }
}

/**
 * A pipe that nobody reads from would block this process, also in its end. Opened once more it can be without blocking
 * for us alone; the flag on the descriptor itself would be that of all who share it.
 */
function withoutBlocking(fd: number): number {
  try {
    if (!fstatSync(fd).isFIFO()) return fd;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return fd;
  }
}

function isFull(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'EAGAIN';
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
