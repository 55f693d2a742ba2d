import type { Socket } from 'node:net';

/** Of answers that the far side has not read; over it nothing more is read from it, until half of them are gone. UTF-16 units. */
const UNREAD_MAX = 65_536;

/**
 * Reads from a socket, unless whoever has the stream wants to wait, or the far side asks on and on and does not read what
 * it is answered: otherwise its answers would gather here without end.
 *
 * Only answers count. Two servers that have much to send to each other would wait for each other for ever if what they send
 * did.
 */
export class AnswersUnread {
  #socket: Socket;
  #units = 0;
  #isPaused = false;
  #isHolding = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#read();
  }

  /** TLS has taken the connection over. */
  goOnWith(socket: Socket): void {
    this.#socket = socket;
    this.#units = 0;
    this.#isHolding = false;
    if (this.#isPaused) socket.pause();
  }

  /** Writes an answer to something that the far side has said. */
  write(text: string): void {
    const socket = this.#socket;
    this.#units += text.length;
    socket.write(text, () => {
      if (socket !== this.#socket) return;
      this.#units -= text.length;
      if (!this.#isHolding || this.#units > UNREAD_MAX / 2) return;
      this.#isHolding = false;
      this.#read();
    });
    if (this.#isHolding || this.#units <= UNREAD_MAX) return;
    this.#isHolding = true;
    socket.pause();
  }

  #read(): void {
    if (!this.#isPaused && !this.#isHolding && !this.#socket.destroyed) this.#socket.resume();
  }
}
