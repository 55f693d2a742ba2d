import { Socket } from 'node:net';

import { frameOf } from './control-frame.ts';

/**
 * What the library takes for its connection to a drachtio server. Nothing of it reaches the system: what the library
 * writes is given to `onWrite`, what it is to read comes through `deliver`.
 *
 * Between the library and the real connection there is thus a place where input is bounded before it is parsed, where
 * no frame leaves that the server cannot take, and where text means bytes: the library reads and writes UTF-8 and
 * counts UTF-16, so each byte is one character to it.
 */
export class LibrarySocket extends Socket {
  readonly #onWrite: (payload: string) => void;
  readonly #onEnd: () => void;

  constructor(events: { onWrite(payload: string): void; onEnd(): void }) {
    super();
    this.#onWrite = (payload) => events.onWrite(payload);
    this.#onEnd = () => events.onEnd();
  }

  /** Hands one frame to the library, within the call. @param payload one character per byte */
  deliver(payload: string): void {
    this.emit('data', frameOf(Buffer.from(payload, 'utf8')));
  }

  override write(chunk: unknown, ...rest: unknown[]): boolean {
    const text = String(chunk);
    this.#onWrite(text.slice(text.indexOf('#') + 1));
    const done = rest.find((each) => typeof each === 'function');
    if (done !== undefined) (done as () => void)();
    return true;
  }

  override end(): this {
    this.#onEnd();
    return this;
  }

  override setKeepAlive(): this {
    return this;
  }

  override setNoDelay(): this {
    return this;
  }

  override _read(): void {
    // What there is to read is delivered.
  }
}
